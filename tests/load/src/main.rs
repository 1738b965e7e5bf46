//! How many people one engine serves, and what that costs: real sentences at the pace of speech,
//! from many clients at once, to one engine on this machine. By hand; see the engine's `SERVICE.md`.

mod engine;
mod figures;
mod speaker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use futures_util::future::try_join_all;

use engine::Engine;
use figures::{Row, spread};
use speaker::{Heard, Sentence};

/// Measures how much one engine can serve.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sessions in which somebody speaks without end
    Speaking {
        /// How many at once, one run after the other
        #[arg(required = true, value_name = "N")]
        counts: Vec<usize>,
        /// Seconds of each run
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Sessions in which nobody says anything, and one in which somebody does
    Idle {
        /// How many
        #[arg(value_name = "N")]
        count: usize,
        /// Seconds of each run
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
}

/// Who speaks before a measurement: more than the cores of most machines.
const WARMERS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let sentences = sentences()?;
    match Cli::parse().command {
        Command::Speaking { counts, seconds } => {
            say(Row::HEAD);
            for count in counts {
                let engine = warm(count, &sentences).await?;
                let row = speaking(&engine, &sentences, count, Duration::from_secs(seconds));
                say(&row.await?.to_string());
            }
        }
        Command::Idle { count, seconds } => {
            idle(&sentences, count, Duration::from_secs(seconds)).await?;
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the result of this program")]
fn say(line: &str) {
    println!("{line}");
}

/// English sentences of the corpus, one utterance each.
fn sentences() -> Result<Vec<Sentence>> {
    let corpus = wstream_tests::corpus().context("this needs the corpus of speech")?;
    let mut files: Vec<_> = std::fs::read_dir(corpus.join("librispeech"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "flac"));
    ensure!(files.len() > 10, "the corpus has no sentences");
    files
        .iter()
        .take(60)
        .map(|file| Ok(Arc::new(wstream_tests::sound::samples(file)?)))
        .collect()
}

/// An engine for so many sessions that has all its buffers: each core makes its own at first.
async fn warm(sessions: usize, sentences: &[Sentence]) -> Result<Engine> {
    let engine = Engine::start(sessions.max(WARMERS)).await?;
    let shortest = sentences.iter().min_by_key(|sentence| sentence.len());
    let shortest: Vec<Sentence> = shortest.into_iter().cloned().collect();
    speaking(&engine, &shortest, WARMERS, Duration::from_secs(1)).await?;
    Ok(engine)
}

/// `count` speakers, each with sentences of its own order, for about `time`.
async fn speaking(
    engine: &Engine,
    sentences: &[Sentence],
    count: usize,
    time: Duration,
) -> Result<Row> {
    let before_mb = engine.memory_mb()?;
    let (cpu_before, began) = (engine.cpu_seconds()?, std::time::Instant::now());
    let watch = engine.watch();
    let speakers = (0..count).map(|number| {
        let mut own = sentences.to_vec();
        own.rotate_left(number * 7 % sentences.len());
        speaker::speak(engine.url().to_owned(), own, time, number)
    });
    let heard = try_join_all(speakers).await?;
    let wall_s = began.elapsed().as_secs_f64();
    let cpu_s = engine.cpu_seconds()? - cpu_before;
    let peak_mb = watch.finish().await?;
    let all = heard.into_iter().fold(Heard::default(), Heard::and);
    Ok(Row {
        sessions: count,
        waits: spread(&all.waits).context("nobody has ended a sentence")?,
        first: spread(&all.first).context("nobody has seen a word")?,
        partials_per_s: all.partials as f64 / all.sound_s,
        finals: all.finals,
        lost: all.lost,
        cores: cpu_s / wall_s,
        before_mb,
        peak_mb,
    })
}

/// What connections cost in which nothing is said, and whether they disturb somebody who speaks.
async fn idle(sentences: &[Sentence], count: usize, time: Duration) -> Result<()> {
    let engine = warm(count + 1, sentences).await?;
    let alone = speaking(&engine, sentences, 1, time).await?;
    let before_mb = engine.memory_mb()?;
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(speaker::connect(engine.url()).await?);
    }
    let with_mb = engine.memory_mb()?;
    let cpu_before = engine.cpu_seconds()?;
    tokio::time::sleep(time).await;
    let cores = (engine.cpu_seconds()? - cpu_before) / time.as_secs_f64();
    let beside = speaking(&engine, sentences, 1, time).await?;
    say(&format!(
        "{count} idle connections: {:.1} kB each, {cores:.4} cores for all",
        (with_mb - before_mb) * 1000.0 / count as f64
    ));
    say(Row::HEAD);
    say(&alone.to_string());
    say(&beside.to_string());
    Ok(())
}
