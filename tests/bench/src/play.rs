//! A whole run: stations side by side, the files dealt out among them.

use anyhow::Result;
use futures_util::future::try_join_all;

use crate::feed::Pace;
use crate::record::FileRun;
use crate::station::{Setup, Station, Used};
use crate::usage::{Busy, machine_cpu_seconds};

/// A file to play.
#[derive(Clone, Debug)]
pub struct Sound {
    pub name: String,
    pub samples: Vec<i16>,
}

/// What a run gave.
#[derive(Clone, Debug, Default)]
pub struct Take {
    pub runs: Vec<FileRun>,
    pub used: Vec<Used>,
    pub wall_s: f64,
    /// Cores that others kept busy meanwhile, on average.
    pub others_cores: f64,
}

/// Circumstances of a run.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub pace: Pace,
    pub busy: bool,
    pub sessions: usize,
}

/// Plays all `sounds`, after a `warm_up` that is not counted (the shortest of them unless given);
/// `progress` is told each file when it is through.
pub async fn play(
    setup: &Setup,
    sounds: &[Sound],
    warm_up: Option<&[i16]>,
    circumstances: Circumstances,
    progress: impl Fn(&FileRun),
) -> Result<Take> {
    let shortest = sounds.iter().map(|sound| sound.samples.as_slice());
    let warm_up = warm_up.or(shortest.min_by_key(|samples| samples.len()));
    let warm_up = warm_up.unwrap_or_default();
    let mut stations = Vec::new();
    for _ in 0..circumstances.sessions {
        stations.push(Station::raise(setup, warm_up).await?);
    }
    let busy = circumstances.busy.then(Busy::start).transpose()?;
    let cpu_before = machine_cpu_seconds()?;
    let began = std::time::Instant::now();
    let progress = &progress;
    let played = stations
        .iter_mut()
        .enumerate()
        .map(|(number, station)| async move {
            let mut runs = Vec::new();
            for sound in sounds.iter().skip(number).step_by(circumstances.sessions) {
                let run = station
                    .play(&sound.name, &sound.samples, circumstances.pace)
                    .await?;
                progress(&run);
                runs.push(run);
            }
            anyhow::Ok(runs)
        });
    let runs = try_join_all(played).await?.concat();
    let wall_s = began.elapsed().as_secs_f64();
    let cpu_s = machine_cpu_seconds()? - cpu_before;
    drop(busy);
    let mut used = Vec::new();
    for station in stations {
        used.push(station.finish().await?);
    }
    let ours: f64 = used.iter().map(|used| used.cpu_s).sum();
    Ok(Take {
        runs,
        used,
        wall_s,
        others_cores: (cpu_s - ours).max(0.0) / wall_s.max(0.001),
    })
}
