//! A folder with executables.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Read anew each time, so that what is put there counts at once. Clones share what was complained
/// of.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Files that are no executables, and the folder where it cannot be read.
    complained: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Folder {
            path,
            complained: Arc::default(),
        }
    }

    /// Its executables, by name. Others are complained of once, hidden ones never.
    pub(crate) fn hooks(&self) -> Vec<PathBuf> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.complain(&self.path, &format!("cannot be read ({error})"));
                }
                return Vec::new();
            }
        };
        let mut hooks = Vec::new();
        for entry in entries.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if is_executable(&path) {
                hooks.push(path);
            } else {
                self.complain(
                    &path,
                    "is not run: make it executable (chmod +x), or remove it",
                );
            }
        }
        hooks.sort();
        hooks
    }

    fn complain(&self, path: &Path, what: &str) {
        let mut complained = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if complained.insert(path.to_owned()) {
            crate::hook::warn(path, what);
        }
    }
}

fn is_executable(path: &Path) -> bool {
    // A link counts as what it points to.
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_in_the_order_of_their_names() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().join("final.d"));
        assert!(folder.hooks().is_empty());
        std::fs::create_dir(root.path().join("final.d")).unwrap();
        for (name, mode) in [
            ("20-b", 0o755),
            ("10 a", 0o700),
            ("30-c", 0o644),
            (".hidden", 0o755),
        ] {
            let file = root.path().join("final.d").join(name);
            std::fs::write(&file, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(root.path().join("final.d/folder")).unwrap();
        for _ in 0..2 {
            let names: Vec<_> = folder.hooks();
            let names: Vec<_> = names.iter().map(|hook| hook.file_name().unwrap()).collect();
            assert_eq!(names, ["10 a", "20-b"]);
        }
        assert_eq!(folder.complained.lock().unwrap().len(), 2);
    }
}
