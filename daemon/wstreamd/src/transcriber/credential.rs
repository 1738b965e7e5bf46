//! Secrets of remotes: where they are, and the one that was read, which nothing prints.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Longer than any token; a wrong path should not be read into memory.
const MAX_BYTES: u64 = 16 * 1024;

/// Where the secret of a remote is. It is read anew for each connection, so that one that was
/// changed counts at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFrom {
    /// In a file of its own.
    File(PathBuf),
    /// In the environment variable of this name.
    Env(String),
    /// A credential of systemd's of this name (`LoadCredential=` in the unit).
    Credential(String),
}

/// A secret. It has no way out but [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The secret itself, for the header that it goes into.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl TokenFrom {
    /// Reads the secret; an error is a sentence without it.
    pub(super) fn read(&self) -> Result<Secret, String> {
        let text = match self {
            TokenFrom::File(path) => read_file(path)?,
            TokenFrom::Env(name) => std::env::var(name).map_err(|_| {
                format!("the environment variable {name} is not set: set it for the daemon")
            })?,
            TokenFrom::Credential(name) => {
                let dir = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!(
                        "systemd gave the daemon no credentials: add LoadCredential={name}:FILE \
                         with `systemctl --user edit wstreamd`"
                    )
                })?;
                read_file(&Path::new(&dir).join(name))?
            }
        };
        let secret = text.trim();
        if secret.is_empty() {
            return Err(format!("{self} is empty: put the secret there"));
        }
        if !secret
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            return Err(format!(
                "{self} has more than one line, or signs that no header can carry: put the secret \
                 alone there"
            ));
        }
        Ok(Secret(secret.to_owned()))
    }

    /// The file, if others than its owner can read it.
    pub(super) fn file_open_to_others(&self) -> Option<&Path> {
        let TokenFrom::File(path) = self else {
            return None;
        };
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o044 != 0).then_some(path)
    }
}

impl fmt::Display for TokenFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFrom::File(path) => write!(f, "the file {}", path.display()),
            TokenFrom::Env(name) => write!(f, "the environment variable {name}"),
            TokenFrom::Credential(name) => write!(f, "the credential {name}"),
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let read = || {
        let mut text = String::new();
        File::open(path)?
            .take(MAX_BYTES)
            .read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    read().map_err(|error| {
        let path = path.display();
        format!("the secret cannot be read from {path} ({error}): put it there, readable for you")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    #[test]
    fn secrets_are_read_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let from = TokenFrom::File(path.clone());
        assert!(from.read().unwrap_err().contains("token"));
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret = from.read().unwrap();
        assert_eq!(secret.reveal(), "s3cret");
        assert!(!format!("{secret:?} {from:?} {from}").contains("s3cret"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(from.file_open_to_others(), None);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(from.file_open_to_others(), Some(path.as_path()));
        for bad in ["", " \n", "s3cret\ns3cret", "s3crét"] {
            std::fs::write(&path, bad).unwrap();
            let problem = from.read().unwrap_err();
            assert!(!problem.contains("s3cr"), "{problem}");
        }
        let unset = TokenFrom::Env("WSTREAM_NO_SUCH_TOKEN".to_owned());
        assert!(unset.read().unwrap_err().contains("WSTREAM_NO_SUCH_TOKEN"));
    }
}
