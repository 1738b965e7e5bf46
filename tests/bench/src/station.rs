//! A private bus with the real daemon on it, and files played into it.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use wstream_api::keys;
use wstream_tests::{Desktop, Running, Seen, sound};
use zbus::{Fd, Variant};

use crate::feed::{self, Pace, RATE};
use crate::follow::{Arrivals, follow};
use crate::record::FileRun;
use crate::usage::{Memory, Watch, cpu_seconds};

/// How the daemon is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub models_dir: PathBuf,
    pub model: String,
    pub strategy: String,
    /// More lines for its configuration.
    pub config: String,
}

/// A daemon, its bus, and what it says.
#[derive(Debug)]
pub struct Station {
    desktop: Desktop,
    daemon: Running,
    arrivals: Arrivals,
    /// CPU seconds used before the measurement.
    cpu_before: f64,
    watch: Watch,
}

/// What a station used while it played.
#[derive(Clone, Debug, Default)]
pub struct Used {
    pub cpu_s: f64,
    pub memory: Memory,
    /// What the engine wrote when it ended, if it did.
    pub engine: Option<serde_json::Value>,
}

/// The longest wait for a signal while a session is under way.
const PATIENCE: Duration = Duration::from_secs(180);

/// From the call to the first sample: the daemon must have begun to read by then.
const AHEAD: Duration = Duration::from_millis(150);

/// How long the engine may take to write its counters after the daemon has ended.
const LAST_WORDS: Duration = Duration::from_secs(3);

impl Station {
    /// Raises all of it, and plays `warm_up` once as fast as it goes, so that loading the model is
    /// not measured.
    pub async fn raise(setup: &Setup, warm_up: &[i16]) -> Result<Self> {
        let desktop = Desktop::new(&setup.models_dir).await?;
        desktop.configure(&format!(
            "model = {:?}\nstrategy = {:?}\nlanguage = \"en\"\n{}\n",
            setup.model, setup.strategy, setup.config
        ))?;
        let stats = stats_path(desktop.path());
        let daemon = desktop
            .start_with(|command| {
                command.env("WSTREAM_ENGINE_STATS", stats);
            })
            .await?;
        let arrivals = follow(desktop.bus_address()).await?;
        let pid = daemon.pid()?;
        let mut station = Station {
            desktop,
            daemon,
            arrivals,
            cpu_before: 0.0,
            watch: Watch::start(pid)?,
        };
        station.play("warm-up", warm_up, Pace::Fast).await?;
        station.cpu_before = cpu_seconds(pid)?;
        Ok(station)
    }

    /// Plays samples and the silence after them; returns when the session has ended.
    pub async fn play(&mut self, name: &str, samples: &[i16], pace: Pace) -> Result<FileRun> {
        let ahead = if pace == Pace::Spoken {
            AHEAD
        } else {
            Duration::ZERO
        };
        let begin = Instant::now() + ahead;
        let (reader, writer) = feed::start(samples, begin, pace)?;
        let options = HashMap::from([
            (keys::FORMAT, Variant::from("s16le")),
            (keys::RATE, Variant::from(RATE)),
        ]);
        let session = self
            .daemon
            .proxy
            .feed(Fd::from(reader.as_fd()), options)
            .await
            .with_context(|| format!("the daemon does not take {name}"))?;
        drop(reader);
        let mut run = FileRun {
            file: name.to_owned(),
            seconds: samples.len() as f64 / f64::from(RATE),
            ..FileRun::default()
        };
        loop {
            let arrival = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await;
            let Ok(arrival) = arrival else {
                bail!("{name}: no signal for {PATIENCE:?}; so far {run:#?}");
            };
            let (at, message) = arrival.context("the bus has gone")?;
            let seen = Seen::read(&message)?;
            let ended = matches!(&seen, Seen::SessionEnded { session: s, .. } if *s == session);
            run.take(at.saturating_duration_since(begin).as_secs_f64(), seen);
            if ended {
                break;
            }
        }
        let lateness = writer.join().ok().context("the writer of sound panicked")?;
        run.worst_late_ms = lateness.worst_ms();
        Ok(run)
    }

    /// Ends the daemon; what it used since it was warm.
    pub async fn finish(self) -> Result<Used> {
        let cpu_s = cpu_seconds(self.daemon.pid()?)? - self.cpu_before;
        let memory = self.watch.finish();
        self.daemon.terminate().await?;
        let stats = stats_path(self.desktop.path());
        let asked = Instant::now();
        let engine = loop {
            if let Ok(text) = std::fs::read_to_string(&stats)
                && let Some(line) = text.lines().last()
            {
                break serde_json::from_str(line).ok();
            }
            // An engine that does not count writes nothing; there is nothing to wait for but time.
            if asked.elapsed() > LAST_WORDS {
                break None;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        Ok(Used {
            cpu_s,
            memory,
            engine,
        })
    }
}

fn stats_path(dir: &Path) -> PathBuf {
    dir.join("engine-stats.json")
}

/// The samples of a file.
pub fn samples(path: &Path) -> Result<Vec<i16>> {
    sound::samples(path)
}
