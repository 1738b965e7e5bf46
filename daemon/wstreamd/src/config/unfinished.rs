//! A mark that the microphone is open, for a daemon that dies and is started again: no words, only
//! which start of the machine it was, since nobody wants to be listened to after a new one.

use std::path::{Path, PathBuf};

/// Changes with every start of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The mark, in `$XDG_STATE_HOME/wstream/listening`.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// `None`: there is nowhere to put it.
    path: Option<PathBuf>,
    is_set: bool,
}

impl Unfinished {
    /// Takes the mark away that a daemon before left; whether it had been listening.
    pub fn take() -> (Self, bool) {
        let project = directories::ProjectDirs::from("", "", "wstream");
        let path = project.and_then(|project| Some(project.state_dir()?.join("listening")));
        let was_listening = path.as_deref().is_some_and(|path| taken(path, &boot()));
        let unfinished = Unfinished {
            path,
            is_set: false,
        };
        (unfinished, was_listening)
    }

    /// Sets the mark or takes it away.
    pub fn set(&mut self, is_listening: bool) {
        let Some(path) = self.path.as_deref().filter(|_| self.is_set != is_listening) else {
            return;
        };
        let done = match is_listening {
            true => std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
                .and_then(|()| std::fs::write(path, boot())),
            false => std::fs::remove_file(path),
        };
        match done {
            Ok(()) => self.is_set = is_listening,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot keep over a crash whether the microphone is open");
            }
        }
    }
}

fn boot() -> String {
    std::fs::read_to_string(BOOT).unwrap_or_default()
}

fn taken(path: &Path, boot: &str) -> bool {
    let left = std::fs::read_to_string(path);
    let _ = std::fs::remove_file(path);
    left.is_ok_and(|left| !boot.is_empty() && left == boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_once_and_for_one_start_of_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/listening");
        let mut mark = Unfinished {
            path: Some(path.clone()),
            is_set: false,
        };
        assert!(!taken(&path, &boot()));
        mark.set(true);
        assert!(path.exists());
        mark.set(false);
        assert!(!path.exists());
        mark.set(true);
        assert!(taken(&path, &boot()) && !path.exists());
        std::fs::write(&path, boot()).unwrap();
        assert!(!taken(&path, "another"));
    }
}
