//! Other systems, by the events that their adapters in `peers/` write: JSON lines.
//!
//! `{"file", "t", "committed", "tentative", "final"}` for each change of a file's display,
//! `{"file", "ended": true, "t"}` when the system says that it is done with the file, and at the
//! end one `{"peer", "version", "model", "cpu_s", "peak_rss_mb", "sound_s"}`. Their figures are
//! made by the code that makes ours, each file being one utterance.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::cli::Cli;
use crate::corpus_runs::{normalise, offline};
use crate::figures::Figures;
use crate::measure::{self, Heard};
use crate::metrics::display::{Displays, displays};
use crate::record::{FileRun, Finished, Shown, Utterance};
use crate::reference::{Corpus, Entry};
use crate::report::Report;

/// Any of the three kinds of line; which one it is tells what it has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    file: Option<String>,
    t: f64,
    committed: String,
    tentative: String,
    #[serde(rename = "final")]
    is_final: bool,
    ended: bool,
    peer: Option<String>,
    version: Option<String>,
    model: Option<String>,
    cpu_s: Option<f64>,
    peak_rss_mb: Option<f64>,
    sound_s: Option<f64>,
}

/// What a peer's file of events says.
#[derive(Debug, Default)]
struct Events {
    runs: Vec<FileRun>,
    about: Line,
}

/// The peer's figures.
pub fn report(cli: &Cli, corpus: &Corpus, path: &Path) -> Result<Report> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let events = read(&text).with_context(|| format!("{} is no file of events", path.display()))?;
    let mut report = Report {
        label: events
            .about
            .peer
            .clone()
            .unwrap_or_else(|| path.display().to_string()),
        ..Report::default()
    };
    for (key, value) in [
        ("version", &events.about.version),
        ("model", &events.about.model),
    ] {
        let value = value.clone().unwrap_or_default();
        report.about.insert(key.to_owned(), value);
    }
    let mut texts = Vec::new();
    let mut shown = Displays::default();
    for run in &events.runs {
        let entry = corpus
            .find(&run.file)
            .with_context(|| format!("{} is not in the corpus", run.file))?;
        if let Some(timing) = &entry.timing {
            let done = (run.ended_t > 0.0).then_some(run.ended_t);
            shown.add(&displays(run), done, timing);
        }
        texts.push((entry, run.text()));
    }
    let heard: Vec<Heard<'_>> = texts
        .iter()
        .zip(&events.runs)
        .map(|((entry, text), run)| Heard {
            entry,
            text,
            shown: run.utterances.iter().any(|u| !u.shown.is_empty()),
        })
        .collect();
    let entries: Vec<&Entry> = texts.iter().map(|(entry, _)| *entry).collect();
    // Offline decoding is ours, of the model that the arguments name; it is the peer's baseline
    // only where the weights are the same.
    let offline = match events.about.model.as_deref() == Some(&cli.model) {
        true => offline(cli, corpus, &entries)?,
        false => None,
    };
    let normalised = normalise(&heard, offline.as_ref())?;
    let timings = measure::timings(corpus, &events.runs);
    let figures = &mut report.figures;
    for (key, label, values) in [
        (
            "first_seen",
            "word latency first seen, s",
            &timings.first_seen,
        ),
        ("stable", "word latency stable, s", &timings.stable),
        ("committed", "word latency committed, s", &timings.committed),
    ] {
        figures.spread(key, label, values);
    }
    figures.count(
        "erasure_committed",
        "committed characters taken back",
        timings.committed_erased,
    );
    measure::display_figures(&shown, figures);
    measure::text_figures(&heard, offline.as_ref(), &normalised, figures);
    usage(&events.about, figures);
    report.files = events.runs;
    Ok(report)
}

fn usage(about: &Line, figures: &mut Figures) {
    let share = about
        .cpu_s
        .zip(about.sound_s)
        .map(|(cpu, sound)| cpu / sound);
    figures.value("sound", "sound, s", about.sound_s);
    figures.value("cpu", "CPU seconds per second of sound", share);
    figures.value("rss", "peak resident memory, MB", about.peak_rss_mb);
}

/// Lines in the order of their arrival.
fn read(text: &str) -> Result<Events> {
    let mut events = Events::default();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line: Line =
            serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        let Some(file) = &line.file else {
            events.about = line;
            continue;
        };
        let known = events.runs.iter().position(|run| run.file == *file);
        let index = known.unwrap_or_else(|| {
            events.runs.push(FileRun {
                file: file.clone(),
                utterances: vec![Utterance::default()],
                ..FileRun::default()
            });
            events.runs.len() - 1
        });
        take(&mut events.runs[index], line);
    }
    Ok(events)
}

fn take(run: &mut FileRun, line: Line) {
    if line.ended {
        run.ended_t = line.t;
        return;
    }
    let Some(utterance) = run.utterances.first_mut() else {
        return;
    };
    let space = |text: &str| text.is_empty() || text.ends_with(char::is_whitespace);
    let apart = space(&line.committed)
        || line.tentative.is_empty()
        || line.tentative.starts_with(char::is_whitespace);
    let tentative = if apart {
        line.tentative
    } else {
        format!(" {}", line.tentative)
    };
    let shown = Shown {
        t: line.t,
        committed: line.committed,
        tentative,
        ..Shown::default()
    };
    // What is shown last is what the system leaves behind, whether it calls that final or not.
    utterance.finished = Some(Finished {
        t: line.t,
        text: shown.text(),
        ..Finished::default()
    });
    // A final is an end, no partial.
    if !line.is_final {
        utterance.shown.push(shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_runs() {
        let events = read(
            r#"{"file": "a/b.flac", "t": 1.0, "committed": "", "tentative": "so it", "final": false}
{"file": "a/b.flac", "t": 1.5, "committed": "So", "tentative": "it is", "final": false}
{"file": "a/b.flac", "t": 2.0, "committed": "So it is.", "tentative": "", "final": true}
{"file": "a/b.flac", "ended": true, "t": 2.5}
{"peer": "other", "version": "1", "cpu_s": 3.0, "peak_rss_mb": 900, "sound_s": 2.0, "model": "tiny.en"}"#,
        )
        .unwrap();
        let run = &events.runs[0];
        let utterance = &run.utterances[0];
        assert_eq!(utterance.shown[1].text(), "So it is");
        assert_eq!(utterance.shown.len(), 2);
        assert_eq!(run.text(), "So it is.");
        assert_eq!(run.ended_t, 2.5);
        let mut figures = Figures::default();
        usage(&events.about, &mut figures);
        assert_eq!(figures.get("cpu", "value"), Some(1.5));
        assert!(read("no json").is_err());
    }
}
