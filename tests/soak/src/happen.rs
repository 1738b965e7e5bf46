//! What happens meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::book::Book;
use crate::chance::Chance;
use crate::station::Station;

/// What may happen, and how many seconds lie between two of its kind on average.
const KINDS: [(Happening, f64); 5] = [
    (Happening::Toggle, 60.0),
    (Happening::Strategy, 45.0),
    (Happening::Backend, 90.0),
    (Happening::EngineKilled, 120.0),
    (Happening::PluginKilled, 180.0),
];

#[derive(Clone, Copy, Debug)]
enum Happening {
    Toggle,
    Strategy,
    Backend,
    EngineKilled,
    PluginKilled,
}

impl Happening {
    fn name(self) -> &'static str {
        match self {
            Happening::Toggle => "toggles",
            Happening::Strategy => "strategy switches",
            Happening::Backend => "backend switches",
            Happening::EngineKilled => "engines killed",
            Happening::PluginKilled => "plugins killed",
        }
    }
}

/// Makes things happen until the end has come.
pub(crate) async fn happenings(
    station: &Station,
    book: &Book,
    mut chance: Chance,
    end: Instant,
) -> Result<()> {
    let now = Instant::now();
    let mut due = KINDS.map(|(_, mean_s)| now + chance.until_next(mean_s));
    loop {
        let (next, at) = (due.iter().copied().enumerate())
            .min_by_key(|(_, at)| *at)
            .context("there are kinds")?;
        if at >= end {
            tokio::time::sleep_until(end.into()).await;
            return Ok(());
        }
        tokio::time::sleep_until(at.into()).await;
        let (kind, mean_s) = KINDS[next];
        if happen(kind, station, book, &mut chance)
            .await
            .with_context(|| format!("{kind:?}"))?
        {
            book.happened(kind.name());
        }
        due[next] = Instant::now() + chance.until_next(mean_s);
    }
}

/// `false`: there was nothing to which it could happen.
async fn happen(
    kind: Happening,
    station: &Station,
    book: &Book,
    chance: &mut Chance,
) -> Result<bool> {
    let proxy = &station.daemon.proxy;
    match kind {
        Happening::Toggle => {
            // Noted before: a sound that begins in between is not heard whole.
            book.closed();
            proxy.toggle(HashMap::new()).await?;
            tokio::time::sleep(chance.between(0.0, 12.0)).await;
            proxy.toggle(HashMap::new()).await?;
            book.opened();
        }
        Happening::Strategy => {
            let strategy = *chance.of(&["prompt", "context", "hybrid"]);
            proxy.set_strategy(strategy).await?;
        }
        Happening::Backend => {
            let backend = *chance.of(&["local", "other"]);
            proxy.set_backend(backend).await?;
        }
        Happening::EngineKilled => {
            let Some(engine) = station.engines()?.first().copied() else {
                return Ok(false);
            };
            book.killed_engine();
            kill(engine)?;
        }
        Happening::PluginKilled => {
            let plugins = station.plugins().await?;
            if plugins.is_empty() {
                return Ok(false);
            }
            kill(chance.of(&plugins).1)?;
        }
    }
    // What changes settles before the next: not a fuzzer of the bus.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(true)
}

fn kill(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid).context("a process number")?;
    match kill_process(pid, Signal::KILL) {
        // It has ended by itself.
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}
