//! Tells when the configuration file has changed. No poll: the kernel says so.

use std::path::PathBuf;

use futures_util::StreamExt as _;
use inotify::{Inotify, WatchMask};
use tokio::sync::mpsc;

use super::{Config, load};

/// Bytes for a batch of inotify events; one event is 16 bytes and a name of at most 255.
const EVENT_BUFFER: usize = 1024;

/// Sends `()` whenever the file at `path` may have changed since it was `loaded`, until the receiver
/// is gone. Watches the folder, since editors replace files; makes the folder if it is missing.
pub async fn watch(path: PathBuf, loaded: Config, changed: mpsc::Sender<()>) {
    if let Err(error) = follow(&path, loaded, &changed).await {
        tracing::warn!(path = %path.display(), %error, "changes of the configuration will not be noticed: send SIGHUP after an edit");
    }
}

async fn follow(
    path: &std::path::Path,
    loaded: Config,
    changed: &mpsc::Sender<()>,
) -> std::io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    std::fs::create_dir_all(dir)?;
    let inotify = Inotify::init()?;
    let mask = WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO | WatchMask::DELETE;
    inotify.watches().add(dir, mask)?;
    let mut events = inotify.into_event_stream([0; EVENT_BUFFER])?;
    // It may have been edited between its reading and this watch.
    let is_other = load(path).map_or(true, |now| now != loaded);
    drop(loaded);
    if is_other && changed.send(()).await.is_err() {
        return Ok(());
    }
    while let Some(event) = events.next().await {
        if event?.name.as_deref() == Some(name) && changed.send(()).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_edit_before_the_watch_is_told_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "strategy = \"prompt\"\n").unwrap();
        let (changed, mut told) = mpsc::channel(1);
        tokio::spawn(watch(path.clone(), Config::default(), changed));
        assert_eq!(told.recv().await, Some(()));

        let loaded = load(&path).unwrap();
        let (changed, mut told) = mpsc::channel(1);
        tokio::spawn(watch(path.clone(), loaded, changed));
        // Its folder is watched before anything else is told; the first news are of this edit.
        tokio::task::yield_now().await;
        assert!(told.try_recv().is_err());
        std::fs::write(&path, "strategy = \"hybrid\"\n").unwrap();
        assert_eq!(told.recv().await, Some(()));
    }
}
