//! Hours of dictation through a virtual microphone, while strategies, backends, engines and plugins
//! change and die under it, at random from a seed: nothing may be lost, grow or become slow.
//!
//! The real daemon on a private bus and sound server, the real model, real speech and noise at their
//! own pace. `run.sh` runs minutes of it; hours are for by hand:
//!
//!     target/release/wstream-soak --minutes 120
//!
//! It ends with a report, and fails where an utterance has no end, what was said has left no word,
//! committed words were taken back, or something has grown.

mod book;
mod chance;
mod happen;
mod play;
mod report;
mod station;
mod usage;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};

use book::Book;
use chance::Chance;
use station::Station;

/// Dictates for a long time while things change and die.
#[derive(Debug, Parser)]
struct Cli {
    /// How long
    #[arg(long, default_value_t = 120)]
    minutes: u64,
    /// Repeats the run that printed this number
    #[arg(long)]
    seed: Option<u64>,
    /// Which sound server the microphone is of
    #[arg(long, value_enum, default_value_t = Server::Pulseaudio)]
    server: Server,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Server {
    Pulseaudio,
    Pipewire,
}

/// How long the last words may take after the microphone is closed.
const LAST_WORDS: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let seed = cli.seed.unwrap_or_else(chance::any);
    let server = match cli.server {
        Server::Pulseaudio => "pulseaudio",
        Server::Pipewire => "pipewire",
    };
    let Some(station) = Station::raise(server).await? else {
        return Ok(());
    };
    report::begin(seed, server, cli.minutes);
    let book = Book::new(seed);
    let end = Instant::now() + Duration::from_secs(cli.minutes * 60);
    let mut follower = station.follower().await?;

    station.listen().await?;
    book.opened();
    let all = async {
        tokio::try_join!(
            play::speech(&station, &book, Chance::new(seed), end),
            // Not the same numbers: what is said and what happens shall not go together.
            happen::happenings(&station, &book, Chance::new(!seed), end),
            usage::watch(&station, &book, end),
        )?;
        station.daemon.proxy.stop().await?;
        book.until_all_have_ended(LAST_WORDS).await;
        Ok::<(), anyhow::Error>(())
    };
    tokio::select! {
        done = all => done?,
        followed = book.follow(&mut follower) => followed?,
    }
    let result = report::end(&book);
    station.end().await?;
    result
}
