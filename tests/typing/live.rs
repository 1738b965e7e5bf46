//! Words that are typed while they are spoken: when they stand in the window, and that what stands
//! there only grows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use wstream_tests::timing::timings;
use wstream_tests::{Seen, corpus, models_with, root, said};

use super::{Stage, troubles};

/// How many recordings are dictated; `RUN_SLOW_TESTS=1` takes twenty.
fn recordings() -> usize {
    std::env::var_os("RUN_SLOW_TESTS").map_or(3, |_| 20)
}

/// What the field has held, and since when.
type History = Arc<Mutex<Vec<(Instant, String)>>>;

#[tokio::test]
async fn words_stand_in_the_window_while_they_are_said() -> Result<()> {
    live("x11").await
}

#[tokio::test]
async fn words_stand_in_a_window_of_wayland_while_they_are_said() -> Result<()> {
    live("wayland").await
}

#[allow(
    clippy::print_stdout,
    reason = "the times are for whoever runs it by hand"
)]
async fn live(kind: &'static str) -> Result<()> {
    let (Some(models), Some(corpus)) = (models_with("tiny.en"), corpus()) else {
        return Ok(());
    };
    let Some(mut stage) = Stage::raise_on(kind, Some(&models), "").await? else {
        return Ok(());
    };
    let listed = std::fs::read_to_string(root().join("tests/bench/list.txt"))?;
    let wanted = |line: &&str| corpus.join(line).is_file();
    let files: Vec<&str> = listed.lines().filter(wanted).take(recordings()).collect();
    ensure!(files.len() == recordings(), "the corpus has other files");
    let (mut delays, mut words) = (Vec::new(), Vec::new());
    for name in &files {
        let before = stage.text()?;
        let history = History::default();
        let watching = tokio::spawn(watch(stage.file.clone(), history.clone()));
        let from = stage.follower.log.len();
        let began = Instant::now();
        let seen = stage.say(&corpus.join(name), "live").await?;
        ensure!(troubles(&seen).is_empty(), "{name}: {:?}", troubles(&seen));
        tokio::time::sleep(Duration::from_millis(300)).await;
        watching.abort();
        let arrived: Vec<Instant> = stage.follower.log[from..]
            .iter()
            .map(|(at, _)| *at)
            .collect();
        let history = history.lock().unwrap_or_else(PoisonError::into_inner);
        let history = history.clone();
        let mut last = before.as_str();
        for (_, text) in &history {
            ensure!(text.starts_with(last), "{name}: {last:?} became {text:?}");
            last = text;
        }
        let finals = said(&seen);
        let typed = &last[before.len()..];
        ensure!(
            plain(typed) == plain(&finals),
            "{name}: {typed:?} for {finals:?}"
        );
        delays.extend(behind(&seen, &arrived, &history, before.len()));
        words.extend(behind_words(name, began, &history, before.len()));
    }
    ensure!(!delays.is_empty(), "nothing was committed before its end");
    ensure!(!words.is_empty(), "no word is where it was spoken");
    println!(
        "{kind}: {} recordings; in the window after their signal: {} times committed words, {}; after it was spoken: {} words, {}",
        files.len(),
        delays.len(),
        spread(&mut delays),
        words.len(),
        spread(&mut words),
    );
    stage.end().await
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_millis();
    format!(
        "{} ms (p50), {} (p95), {} (most)",
        at(0.5),
        at(0.95),
        at(1.0)
    )
}

/// For each word of a recording that the window holds: how long after its end in the sound it stood
/// there.
fn behind_words(
    name: &str,
    began: Instant,
    history: &[(Instant, String)],
    before: usize,
) -> Vec<Duration> {
    let Some((_, text)) = history.last() else {
        return Vec::new();
    };
    let spoken = timings().find(|(file, _)| *file == name);
    let spoken = spoken.map_or(Vec::new(), |(_, timing)| timing.words);
    let bare = |word: &str| -> String {
        let kept = word
            .chars()
            .filter(|it| it.is_alphanumeric() || *it == '\'');
        kept.collect::<String>().to_lowercase()
    };
    let (mut times, mut next) = (Vec::new(), 0);
    for word in text[before..].split_whitespace() {
        // What is heard otherwise is passed over; a word that is far from its place is another one.
        let ahead = spoken.iter().enumerate().skip(next).take(4);
        let Some((at, said)) = ahead.into_iter().find(|(_, it)| it.text == bare(word)) else {
            continue;
        };
        next = at + 1;
        let wanted = word.as_ptr() as usize - text.as_ptr() as usize
            + word.trim_end_matches(['.', ',', '?', '!']).len();
        let there = history.iter().find(|(_, text)| text.len() >= wanted);
        let said = began + Duration::from_secs_f64(said.end);
        times.extend(there.map(|(at, _)| at.saturating_duration_since(said)));
    }
    times
}

/// Spaces and capitals at the seams are joining's.
fn plain(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// Notes each text that the field holds.
async fn watch(file: PathBuf, history: History) {
    let mut last = String::new();
    loop {
        if let Ok(text) = std::fs::read_to_string(&file)
            && text != last
        {
            let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
            history.push((Instant::now(), text.clone()));
            last = text;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// For each time that committed words were told: how long after that they stood in the window, of
/// one utterance at a time. Counted in characters, since joining changes none but the first.
fn behind(
    seen: &[Seen],
    arrived: &[Instant],
    history: &[(Instant, String)],
    before: usize,
) -> Vec<Duration> {
    let mut delays = Vec::new();
    let (mut done, mut committed_before) = (before, 0);
    for (seen, at) in seen.iter().zip(arrived) {
        match seen {
            Seen::Partial { committed, .. } if committed.len() > committed_before => {
                committed_before = committed.len();
                let wanted = done + committed.len();
                let there = history.iter().find(|(_, text)| text.len() >= wanted);
                if let Some((there, _)) = there {
                    delays.push(there.saturating_duration_since(*at));
                }
            }
            Seen::Final { text, .. } if !text.is_empty() => {
                done += text.len() + 1;
                committed_before = 0;
            }
            _ => {}
        }
    }
    delays
}
