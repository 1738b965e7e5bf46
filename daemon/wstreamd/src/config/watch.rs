//! Tells when the configuration file has changed. No poll: the kernel says so.

use std::path::PathBuf;

use futures_util::StreamExt as _;
use inotify::{Inotify, WatchMask};
use tokio::sync::mpsc;

/// Bytes for a batch of inotify events; one event is 16 bytes and a name of at most 255.
const EVENT_BUFFER: usize = 1024;

/// Sends `()` whenever the file at `path` may have changed, until the receiver is gone.
/// Watches the folder, since editors replace files; makes the folder if it is missing.
pub async fn watch(path: PathBuf, changed: mpsc::Sender<()>) {
    if let Err(error) = follow(&path, &changed).await {
        tracing::warn!(path = %path.display(), %error, "changes of the configuration will not be noticed: send SIGHUP after an edit");
    }
}

async fn follow(path: &std::path::Path, changed: &mpsc::Sender<()>) -> std::io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    std::fs::create_dir_all(dir)?;
    let inotify = Inotify::init()?;
    let mask = WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO | WatchMask::DELETE;
    inotify.watches().add(dir, mask)?;
    let mut events = inotify.into_event_stream([0; EVENT_BUFFER])?;
    while let Some(event) = events.next().await {
        if event?.name.as_deref() == Some(name) && changed.send(()).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
