//! Finals by the thousand through filters, and what filters cost.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use wstream_api::keys;
use wstream_tests::{Desktop, Scene, Seen, sound};
use zbus::Fd;

use crate::filters::append;

/// One long session, as fast as the daemon takes the sound: at most so many texts are under way.
const UNDER_WAY: usize = 64;

/// An utterance and a pause that ends it, as short as they may be.
fn short_word(desktop: &Desktop) -> Result<Vec<u8>> {
    let spoken = sound::samples(&sound::speak(desktop.path(), "short", "Yes.")?)?;
    let loud = |sample: &&i16| sample.unsigned_abs() > 300;
    let first = spoken.iter().position(|s| loud(&s)).context("silence")?;
    let last = spoken.iter().rposition(|s| loud(&s)).context("silence")?;
    let pause = vec![0i16; 8000];
    let word = spoken[first..=last].iter().chain(&pause);
    Ok(word.flat_map(|sample| sample.to_le_bytes()).collect())
}

const SHORT: &str = "[endpoint]\nonset_ms = 60\nhangover_ms = 150\nmin_speech_ms = 60\n\
    pre_roll_ms = 60\ntail_ms = 60\n";

/// Dictates until there are `count` finals; each goes to `see` with its number among them.
async fn dictate(
    scene: &mut Scene,
    count: usize,
    mut see: impl FnMut(usize, &str, &str) -> Result<()>,
) -> Result<()> {
    let word = short_word(&scene.desktop)?;
    let (reading, writing) = rustix::pipe::pipe()?;
    let options = HashMap::from([
        (keys::FORMAT, "s16le".into()),
        (keys::RATE, 16_000u32.into()),
    ]);
    let room = std::sync::Arc::new(tokio::sync::Semaphore::new(UNDER_WAY));
    let writer = tokio::spawn(write(writing, word, room.clone()));
    let session = scene.daemon.proxy.feed(Fd::from(&reading), options).await?;
    let mut seen = 0;
    while seen < count {
        match scene.follower.next().await? {
            Seen::Final { text, details, .. } => {
                seen += 1;
                see(seen, &text, <&str>::try_from(&details[keys::RAW])?)?;
                room.add_permits(1);
            }
            Seen::Failed { message, .. } => anyhow::bail!("failed: {message}"),
            Seen::Trouble { message, .. } => anyhow::bail!("trouble: {message}"),
            _ => {}
        }
        scene.follower.log.clear();
    }
    writer.abort();
    scene.daemon.proxy.cancel().await?;
    scene.follower.session(session).await?;
    Ok(())
}

async fn write(
    pipe: OwnedFd,
    word: Vec<u8>,
    room: std::sync::Arc<tokio::sync::Semaphore>,
) -> Result<()> {
    let mut pipe = tokio::net::unix::pipe::Sender::from_owned_fd(pipe)?;
    loop {
        room.acquire().await?.forget();
        pipe.write_all(&word).await?;
    }
}

fn is_slow() -> bool {
    std::env::var_os("RUN_SLOW_TESTS").is_some_and(|value| value == "1")
}

#[tokio::test]
async fn thousands_of_finals_through_five_filters_lose_none_and_keep_their_order() -> Result<()> {
    let count = if is_slow() { 10_000 } else { 1_000 };
    let mut scene = Scene::with(SHORT).await?;
    let mut filters = Vec::new();
    for (priority, suffix) in [(5, " e"), (1, " a"), (3, " c"), (2, " b"), (4, " d")] {
        filters.push(append(&scene.desktop, priority, suffix).await?);
    }
    dictate(&mut scene, count, |number, text, raw| {
        ensure!(
            raw == format!("number {number}"),
            "{raw} in place of {number}"
        );
        ensure!(text == format!("{raw} a b c d e"), "{text}");
        Ok(())
    })
    .await?;
    scene.daemon.terminate().await
}

/// Figures for the documentation, from a server's final to the signal: they are printed, and no
/// limit is asserted.
#[tokio::test]
#[allow(
    clippy::print_stderr,
    reason = "figures are for whoever asked for them"
)]
async fn what_filters_cost() -> Result<()> {
    if !is_slow() {
        eprintln!("skipped: RUN_SLOW_TESTS=1 measures");
        return Ok(());
    }
    let mut scene = Scene::with(SHORT).await?;
    let mut filters = Vec::new();
    let mut before = 0;
    for many in [0, 1, 5] {
        while filters.len() < many {
            filters.push(append(&scene.desktop, 0, "").await?);
        }
        let mut arrived = Vec::new();
        dictate_slowly(&mut scene, 200, |raw| {
            let number: usize = raw.trim_start_matches("number ").parse()?;
            arrived.push((number, Instant::now()));
            Ok(())
        })
        .await?;
        let mut took = Vec::new();
        for (number, at) in arrived {
            let answered = scene.server.answered(number)?;
            took.push(at.duration_since(answered).as_secs_f64() * 1e3);
            before += 1;
        }
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        eprintln!(
            "{many} filters: {:.2} ms (p50), {:.2} (p90), {:.2} (most)",
            at(0.5),
            at(0.9),
            at(1.0)
        );
    }
    ensure!(before == 600, "{before} finals");
    scene.daemon.terminate().await
}

/// One utterance after the other, so that none waits for another.
async fn dictate_slowly(
    scene: &mut Scene,
    count: usize,
    mut see: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    for _ in 0..count {
        let session = scene.feed().await?;
        loop {
            match scene.follower.next().await? {
                Seen::Final { details, .. } => see(<&str>::try_from(&details[keys::RAW])?)?,
                Seen::SessionEnded { session: ended, .. } if ended == session => break,
                _ => {}
            }
        }
    }
    Ok(())
}
