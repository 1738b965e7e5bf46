//! The models folder: room, and files that appear in it whole or not at all.
//!
//! Enters: bytes in pieces. Leaves: a file under its name, after everything is on the disk. A
//! download lies in a `.part` file until it is whole, locked against a second download.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};
use sha1::{Digest, Sha1};
use tempfile::NamedTempFile;

/// Why a model could not be put into the folder.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Not enough room.
    #[error(
        "the disk of {} is full: {needed} more needed, {free} free; make room, or set \
         WSTREAM_MODELS_DIR to a folder on another disk",
        dir.display(), needed = megabytes(*needed), free = megabytes(*free)
    )]
    Full {
        /// The folder.
        dir: PathBuf,
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Another process has the file.
    #[error("{} is being fetched already: wait for the other download to end", .0.display())]
    Busy(PathBuf),
    /// Anything else that the system says.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// `78 MB`, for people.
pub fn megabytes(bytes: u64) -> String {
    let count = bytes as f64;
    match bytes {
        0..1_000_000 => format!("{:.0} kB", count / 1e3),
        1_000_000..10_000_000 => format!("{:.1} MB", count / 1e6),
        10_000_000..1_000_000_000 => format!("{:.0} MB", count / 1e6),
        _ => format!("{:.1} GB", count / 1e9),
    }
}

/// Makes the folder if it is not there, and refuses if it has less than `needed` bytes free.
pub fn ensure_room(dir: &Path, needed: u64) -> Result<(), DiskError> {
    fs::create_dir_all(dir).map_err(|source| write_error(dir, source))?;
    match free(dir) {
        Some(free) if free < needed => Err(DiskError::Full {
            dir: dir.to_owned(),
            needed,
            free,
        }),
        _ => Ok(()),
    }
}

/// Bytes that we may still use; `None` where the file system does not tell.
fn free(dir: &Path) -> Option<u64> {
    let stat = statvfs(dir).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

fn write_error(path: &Path, source: io::Error) -> DiskError {
    let path = path.to_owned();
    DiskError::Write { path, source }
}

/// The error for a write to a file in `dir` that failed with `needed` bytes to go: a full disk is
/// told as such.
pub fn full_or(dir: &Path, path: &Path, needed: u64, source: io::Error) -> DiskError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::Full {
            dir: dir.to_owned(),
            needed,
            free: free(dir).unwrap_or(0),
        },
        _ => write_error(path, source),
    }
}

/// Makes a rename in `dir` survive a loss of power. Some file systems cannot, which is no failure.
fn sync_dir(dir: &Path) {
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
}

/// A download that may be broken off and gone on with.
#[derive(Debug)]
pub struct PartFile {
    /// Locked as long as this is open.
    file: File,
    path: PathBuf,
    dir: PathBuf,
    /// Bytes that are in the file and in the checksum.
    length: u64,
    sha1: Sha1,
}

/// Bytes read at a time to take up an earlier download's checksum.
const BLOCK: usize = 256 * 1024;

impl PartFile {
    /// Opens `dir/file_name.part`, locks it, and takes up what an earlier download left there.
    pub fn open(dir: &Path, file_name: &str) -> Result<Self, DiskError> {
        fs::create_dir_all(dir).map_err(|source| write_error(dir, source))?;
        let path = dir.join(format!("{file_name}.part"));
        let file = loop {
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            let file = opened.map_err(|source| full_or(dir, &path, 0, source))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Err(DiskError::Busy(path));
            }
            // Between opening and locking, another download may have ended and renamed the very
            // file that we hold: then it is a finished model and not ours to write to.
            if is_same_file(&file, &path) {
                break file;
            }
        };
        let mut part = PartFile {
            file,
            path,
            dir: dir.to_owned(),
            length: 0,
            sha1: Sha1::new(),
        };
        part.take_up()
            .map_err(|source| write_error(&part.path, source))?;
        Ok(part)
    }

    /// Bytes that are there.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing is there yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds `bytes`; `left` more are to follow, which a full disk's message says.
    pub fn append(&mut self, bytes: &[u8], left: u64) -> Result<(), DiskError> {
        self.file
            .write_all(bytes)
            .map_err(|source| full_or(&self.dir, &self.path, left, source))?;
        self.sha1.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is there.
    pub fn restart(&mut self) -> Result<(), DiskError> {
        self.length = 0;
        self.sha1 = Sha1::new();
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|source| write_error(&self.path, source))
    }

    /// SHA-1 of what is there, in hexadecimal.
    pub fn sha1(&self) -> String {
        hexadecimal(&self.sha1.clone().finalize())
    }

    /// Gives the file its name, after all of it is on the disk.
    pub fn finish(self, path: &Path) -> Result<(), DiskError> {
        self.file
            .sync_all()
            .map_err(|source| full_or(&self.dir, &self.path, 0, source))?;
        fs::rename(&self.path, path).map_err(|source| write_error(path, source))?;
        sync_dir(&self.dir);
        Ok(())
    }

    /// Removes the file.
    pub fn remove(self) -> Result<(), DiskError> {
        fs::remove_file(&self.path).map_err(|source| write_error(&self.path, source))
    }

    fn take_up(&mut self) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        loop {
            let count = self.file.read(&mut block)?;
            if count == 0 {
                break;
            }
            self.sha1.update(&block[..count]);
            self.length += count as u64;
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        Ok(())
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Digits of a checksum.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that is written in one go and then checked before it gets its name.
#[derive(Debug)]
pub struct NewFile {
    writer: BufWriter<NamedTempFile>,
    dir: PathBuf,
    needed: u64,
}

impl NewFile {
    /// A nameless file in `dir` that will have `bytes` bytes.
    pub fn create(dir: &Path, bytes: u64) -> Result<Self, DiskError> {
        ensure_room(dir, bytes)?;
        let file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(dir)
            .map_err(|source| full_or(dir, dir, bytes, source))?;
        Ok(NewFile {
            writer: BufWriter::with_capacity(BLOCK, file),
            dir: dir.to_owned(),
            needed: bytes,
        })
    }

    /// Where to write to.
    pub fn writer(&mut self) -> &mut impl Write {
        &mut self.writer
    }

    /// Where the file lies until it has its name.
    pub fn path(&self) -> &Path {
        self.writer.get_ref().path()
    }

    /// Puts all of it on the disk.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        let flushed = self.writer.flush();
        flushed
            .and_then(|()| self.writer.get_ref().as_file().sync_all())
            .map_err(|source| self.error(source))
    }

    /// The error for a write that failed.
    pub fn error(&self, source: io::Error) -> DiskError {
        full_or(&self.dir, self.path(), self.needed, source)
    }

    /// Gives the file its name. Call [`Self::sync`] first.
    pub fn finish(self, path: &Path) -> Result<(), DiskError> {
        let file = self
            .writer
            .into_inner()
            .map_err(|error| write_error(path, error.into_error()))?;
        // Temporary files are for their owner only; a model is nothing secret.
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file()
            .set_permissions(everyone)
            .map_err(|source| write_error(path, source))?;
        file.persist(path)
            .map_err(|error| write_error(path, error.error))?;
        sync_dir(&self.dir);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_taken_up_with_its_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = PartFile::open(dir.path(), "m.bin").unwrap();
        part.append(b"ab", 1).unwrap();
        drop(part);
        let mut part = PartFile::open(dir.path(), "m.bin").unwrap();
        assert_eq!(part.len(), 2);
        part.append(b"c", 0).unwrap();
        // FIPS 180's example for "abc".
        assert_eq!(part.sha1(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        part.finish(&dir.path().join("m.bin")).unwrap();
        assert_eq!(fs::read(dir.path().join("m.bin")).unwrap(), b"abc");
        assert!(!dir.path().join("m.bin.part").exists());

        let mut part = PartFile::open(dir.path(), "m.bin").unwrap();
        part.append(b"xyz", 0).unwrap();
        part.restart().unwrap();
        part.append(b"abc", 0).unwrap();
        assert_eq!(part.sha1(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        part.remove().unwrap();
        assert!(!dir.path().join("m.bin.part").exists());
    }

    #[test]
    fn two_downloads_of_one_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = PartFile::open(dir.path(), "m.bin").unwrap();
        let second = PartFile::open(dir.path(), "m.bin");
        assert!(matches!(second, Err(DiskError::Busy(_))), "{second:?}");
        PartFile::open(dir.path(), "other.bin").unwrap();
        drop(first);
        PartFile::open(dir.path(), "m.bin").unwrap();
    }

    #[test]
    fn more_than_any_disk_has_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let error = ensure_room(dir.path(), u64::MAX).unwrap_err();
        assert!(matches!(error, DiskError::Full { .. }), "{error}");
        ensure_room(&dir.path().join("made/if/missing"), 1).unwrap();
    }

    #[test]
    fn a_new_file_has_no_name_before_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.bin");
        let mut file = NewFile::create(dir.path(), 3).unwrap();
        file.writer().write_all(b"abc").unwrap();
        file.sync().unwrap();
        assert!(!path.exists());
        file.finish(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);

        let dropped = NewFile::create(dir.path(), 3).unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 kB"),
            (999, "1 kB"),
            (3_145_728, "3.1 MB"),
            (77_704_715, "78 MB"),
            (3_095_033_483, "3.1 GB"),
        ] {
            assert_eq!(megabytes(bytes), text);
        }
    }
}
