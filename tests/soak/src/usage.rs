//! What the programs take, looked at now and then.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::book::Book;
use crate::station::Station;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// What the programs take at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    /// Since the run began.
    pub(crate) at: Duration,
    /// A microphone that is open has threads and descriptors of its own.
    pub(crate) is_listening: bool,
    /// Proportional set sizes in MB: daemon, its own engine (which is killed now and then, and
    /// unloaded), the one behind the network (which is not), plugins.
    pub(crate) daemon_mb: f64,
    pub(crate) own_engine_mb: f64,
    pub(crate) other_engine_mb: f64,
    pub(crate) plugins_mb: f64,
    /// Of the daemon.
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// Looks until the end has come.
pub(crate) async fn watch(station: &Station, book: &Book, end: Instant) -> Result<()> {
    while Instant::now() < end {
        tokio::time::sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
        let daemon = station.daemon.pid()?;
        let plugins = station.plugins().await?;
        let now = Usage {
            at: book.began.elapsed(),
            is_listening: book.is_listening(),
            daemon_mb: pss_mb(daemon),
            own_engine_mb: station.engines()?.into_iter().map(pss_mb).sum(),
            other_engine_mb: station.other_engine().map_or(0.0, pss_mb),
            plugins_mb: plugins.iter().map(|(_, pid)| pss_mb(*pid)).sum(),
            descriptors: entries(daemon, "fd"),
            threads: entries(daemon, "task"),
        };
        crate::report::look(&now, book);
        book.usage.borrow_mut().push(now);
    }
    Ok(())
}

/// Memory of a process: its own, and its share of what is shared. Zero when it has ended.
fn pss_mb(pid: i32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1000.0
}

fn entries(pid: i32, of: &str) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/{of}")).map_or(0, Iterator::count)
}
