//! What is told while the run goes on, and at its end.

use std::time::Duration;

use anyhow::{Result, ensure};
use wstream_tests::sound::{word_errors, words};

use crate::book::{Book, End};
use crate::usage::Usage;

/// A sentence with at least so many words must leave some.
const FEW: usize = 4;
/// A figure of the programs: its name, how it is read, and how much it may grow by chance, as a
/// share and beyond that.
type Figure = (&'static str, fn(&Usage) -> f64, f64, f64);

/// What may come and go by chance: a share of memory, and MB; threads; and the descriptors of an
/// engine or of a connection to one, which is there or not.
const SHARE: f64 = 0.1;
const SLACK_MB: f64 = 3.0;
const SLACK: f64 = 1.0;
const OF_AN_ENGINE: f64 = 4.0;
/// An engine makes its buffers as they are needed: it had 160 MB after ten minutes of six hours, and
/// 163 to 165 MB from then on. In a run that is not much longer than this it says nothing.
const WARM: Duration = Duration::from_secs(600);
const ENGINE_MB: f64 = 20.0;
/// How much slower finals may be at the end than at the beginning, beyond what a machine that is
/// busy with other things does.
const SLOWER: f64 = 3.0;

#[allow(clippy::print_stdout, reason = "the result of this program")]
fn say(line: &str) {
    println!("{line}");
}

pub(crate) fn begin(seed: u64, server: &str, minutes: u64) {
    say(&format!("seed {seed}, {server}, {minutes} minutes"));
}

/// A line now and then, so that whoever waits sees something.
pub(crate) fn look(now: &Usage, book: &Book) {
    let ends = book.ends.borrow().len();
    if book.usage.borrow().len() % 6 == 5 {
        say(&format!(
            "{:5.1} min: {ends} utterances, daemon {:.1} MB, engines {:.0} and {:.0} MB, plugins \
             {:.1} MB, {} descriptors, {} threads",
            now.at.as_secs_f64() / 60.0,
            now.daemon_mb,
            now.own_engine_mb,
            now.other_engine_mb,
            now.plugins_mb,
            now.descriptors,
            now.threads
        ));
    }
}

/// The report; an error where something is not as it must be.
pub(crate) fn end(book: &Book) -> Result<()> {
    let ends = book.ends.borrow();
    let count = |wanted: fn(&End) -> bool| ends.iter().filter(|(_, end)| wanted(end)).count();
    say(&format!(
        "{} utterances: {} finals with words, {} empty, {} failed, {} cancelled, {} without an end",
        ends.len() + book.open_count(),
        count(|end| matches!(end, End::Final { text, .. } if !text.is_empty())),
        count(|end| matches!(end, End::Final { text, .. } if text.is_empty())),
        count(|end| matches!(end, End::Failed(_))),
        count(|end| matches!(end, End::Cancelled)),
        book.open_count()
    ));
    let mut happened: Vec<_> = book.happened.borrow().clone().into_iter().collect();
    happened.sort_unstable();
    say(&format!("happened: {happened:?}"));
    say(&format!("troubles told: {:?}", book.troubles.borrow()));
    let mut wrong = lost(book);
    wrong.extend(grown(book));
    wrong.extend(slower(book));
    ensure!(
        wrong.is_empty(),
        "seed {}:\n{}",
        book.seed,
        wrong.join("\n")
    );
    Ok(())
}

/// Words and utterances that have gone.
fn lost(book: &Book) -> Vec<String> {
    let spoken = book.spoken.borrow();
    let said: usize = spoken.iter().map(|it| words(&it.said).len()).sum();
    let errors: usize = spoken
        .iter()
        .map(|it| word_errors(&it.said, &it.heard))
        .sum();
    say(&format!(
        "{} recordings heard whole: {said} words, {:.1} % wrong (counted without normalising)",
        spoken.len(),
        100.0 * errors as f64 / said.max(1) as f64
    ));
    let mut wrong = book.unexplained.borrow().clone();
    if book.open_count() > 0 {
        wrong.push(format!("{} utterances have no end", book.open_count()));
    }
    let silent = |it: &&crate::book::Spoken| it.heard.is_empty() && words(&it.said).len() >= FEW;
    wrong.extend(
        spoken
            .iter()
            .filter(silent)
            .map(|it| format!("{} has left no word", it.file)),
    );
    let half = |it: &&crate::book::Spoken| {
        !it.heard.is_empty() && 2 * word_errors(&it.said, &it.heard) > words(&it.said).len()
    };
    for it in spoken.iter().filter(half) {
        say(&format!("more than half wrong: {}", it.file));
    }
    wrong
}

/// Middle values, while the microphone was open, of the beginning and of the end: the second fifth,
/// since the first warms up, and the last.
fn grown(book: &Book) -> Vec<String> {
    let usage = book.usage.borrow();
    let mut wrong = Vec::new();
    let is_warm = usage.last().is_some_and(|last| last.at > 4 * WARM);
    let engine_slack_mb = if is_warm { ENGINE_MB } else { f64::INFINITY };
    let kinds: [Figure; 5] = [
        ("daemon, MB", |it| it.daemon_mb, SHARE, SLACK_MB),
        (
            "the other engine, MB",
            |it| it.other_engine_mb,
            SHARE,
            engine_slack_mb,
        ),
        ("plugins, MB", |it| it.plugins_mb, SHARE, SLACK_MB),
        ("descriptors", |it| it.descriptors as f64, 0.0, OF_AN_ENGINE),
        ("threads", |it| it.threads as f64, 0.0, SLACK),
    ];
    for (name, of, share, slack) in kinds {
        let heard = usage.iter().filter(|it| it.is_listening);
        let values: Vec<f64> = heard.map(of).collect();
        let fifth = values.len() / 5;
        let (Some(before), Some(after)) = (
            median(&values[fifth..2 * fifth]),
            median(&values[values.len() - fifth..]),
        ) else {
            say("too short to say whether something grows");
            return wrong;
        };
        let most = values.iter().copied().fold(0.0, f64::max);
        say(&format!(
            "{name}: {before:.1} in the second fifth, {after:.1} in the last, {most:.1} at most"
        ));
        if after > before * (1.0 + share) + slack {
            wrong.push(format!("{name} has grown from {before:.1} to {after:.1}"));
        }
    }
    wrong
}

/// Times to a final, at the beginning and at the end.
fn slower(book: &Book) -> Vec<String> {
    let ends = book.ends.borrow();
    let latencies: Vec<f64> = ends
        .iter()
        .filter_map(|(_, end)| match end {
            End::Final { text, latency_ms } if !text.is_empty() => Some(*latency_ms),
            _ => None,
        })
        .collect();
    let after: Vec<f64> = (book.spoken.borrow().iter())
        .filter_map(|it| Some(it.after?.as_secs_f64() * 1000.0))
        .collect();
    let mut wrong = Vec::new();
    for (name, values) in [
        ("endpoint to final, ms", latencies),
        ("end of the recording to its last final, ms", after),
    ] {
        let fifth = values.len() / 5;
        let (Some(first), Some(last)) = (
            median(&values[..fifth]),
            median(&values[values.len() - fifth..]),
        ) else {
            continue;
        };
        say(&format!(
            "{name}: median {first:.0} in the first fifth, {last:.0} in the last (ratio {:.2})",
            last / first.max(1.0)
        ));
        // Below a tenth of a second the ratio says nothing.
        if last > SLOWER * first.max(100.0) {
            wrong.push(format!("{name}: from {first:.0} to {last:.0}"));
        }
    }
    wrong
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
