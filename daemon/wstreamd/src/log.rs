//! Where log lines go: to the journal when systemd gave us its stream, else to stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is logged unless `$WSTREAM_LOG` says otherwise (the syntax of `tracing`'s filters).
/// zbus warns of things that are none of the user's business.
const DEFAULT_FILTER: &str = "info,zbus=error,cpal=error";

/// Sets the process's logger up. A bad `$WSTREAM_LOG` is reported and the default used.
pub fn init() {
    let wanted = std::env::var("WSTREAM_LOG").ok();
    let parsed = wanted.as_deref().map(EnvFilter::try_new);
    let (filter, problem) = match parsed {
        None => (EnvFilter::new(DEFAULT_FILTER), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
    };
    let registry = tracing_subscriber::registry().with(filter);
    match journal() {
        Some(journal) => registry.with(journal).init(),
        None => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr),
            )
            .init(),
    }
    if let Some(error) = problem {
        tracing::warn!(%error, "WSTREAM_LOG is not a filter: using the default");
    }
}

/// The journal, if stderr is connected to it: systemd says so in `$JOURNAL_STREAM` as device and
/// inode (systemd.exec(5)).
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let (device, inode) = stream.split_once(':')?;
    let stat = rustix::fs::fstat(std::io::stderr()).ok()?;
    let is_ours = device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino);
    if !is_ours {
        return None;
    }
    tracing_journald::layer().ok()
}
