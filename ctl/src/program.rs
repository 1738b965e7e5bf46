//! The other programs of the project: found, and run in our place.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::Failure;

/// A program that does what links more than a client should.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    name: &'static str,
    /// Names the program's file, for those who keep it elsewhere.
    variable: &'static str,
}

/// Knows the models.
pub(crate) const ENGINE: Program = Program {
    name: "wstream-engine",
    variable: "WSTREAM_ENGINE",
};

/// Knows the configuration.
pub(crate) const DAEMON: Program = Program {
    name: "wstreamd",
    variable: "WSTREAM_DAEMON",
};

/// Knows what was dictated, where it is kept.
pub(crate) const HISTORY: Program = Program {
    name: "wstream-history",
    variable: "WSTREAM_HISTORY",
};

impl Program {
    /// Becomes this program, with our standard input and output; returns only when that fails.
    pub(crate) fn become_it(self, arguments: &[&OsStr]) -> Failure {
        let program = match self.find() {
            Ok(program) => program,
            Err(failure) => return failure,
        };
        let cause = Command::new(&program).args(arguments).exec();
        Failure::Run { program, cause }
    }

    /// Runs this program to its end with nothing to read, and gives what it said.
    pub(crate) fn output(self, arguments: &[&str]) -> Result<Output, Failure> {
        let program = self.find()?;
        let ran = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        ran.map_err(|cause| Failure::Run { program, cause })
    }

    /// Its file's name.
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    fn find(self) -> Result<PathBuf, Failure> {
        if let Some(path) = std::env::var_os(self.variable).filter(|path| !path.is_empty()) {
            return Ok(PathBuf::from(path));
        }
        let own = std::env::current_exe().ok();
        let path = std::env::var_os("PATH").unwrap_or_default();
        find_in(self.name, own.as_deref(), &path).ok_or(Failure::NoProgram {
            name: self.name,
            variable: self.variable,
        })
    }
}

/// Beside `own`, in `../libexec/wstream` from there, then in the folders of `path`.
fn find_in(name: &str, own: Option<&Path>, path: &OsStr) -> Option<PathBuf> {
    let mut folders = Vec::new();
    if let Some(folder) = own.and_then(Path::parent) {
        folders.push(folder.to_owned());
        if let Some(prefix) = folder.parent() {
            folders.push(prefix.join("libexec/wstream"));
        }
    }
    folders.extend(std::env::split_paths(path).filter(|folder| folder.is_absolute()));
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn found_beside_us_then_in_libexec_then_in_path() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("bin/wstreamctl");
        let elsewhere = root.path().join("elsewhere");
        let search = || find_in("tool", Some(&own), elsewhere.as_os_str());
        assert_eq!(search(), None);
        for folder in ["elsewhere", "libexec/wstream", "bin"] {
            let folder = root.path().join(folder);
            let tool = folder.join("tool");
            fs::create_dir_all(&folder).unwrap();
            let before = search();
            fs::write(&tool, "#!/bin/sh\n").unwrap();
            assert_eq!(search(), before, "not a program yet");
            fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(search(), Some(tool));
        }
    }
}
