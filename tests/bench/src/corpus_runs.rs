//! Runs over files of the corpus: which ones, how, and the report of them.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::cli::Cli;
use crate::feed::Pace;
use crate::figures::Figures;
use crate::measure::{self, Heard};
use crate::normalise::Normalised;
use crate::offline::{BEAMS, Offline};
use crate::play::{Circumstances, Sound, Take, play};
use crate::record::FileRun;
use crate::reference::{Corpus, Entry};
use crate::report::Report;
use crate::station::{Setup, samples};
use crate::{machine, say};

/// Seconds of sound in a quick run; with the silence behind each file that is under three minutes.
const QUICK_S: f64 = 100.0;

/// Plays what the arguments choose.
pub async fn run(cli: &Cli, corpus: &Corpus) -> Result<Report> {
    let entries = chosen(cli, corpus)?;
    let pace = if cli.fast || cli.non_speech {
        Pace::Fast
    } else {
        Pace::Spoken
    };
    let mut sounds = Vec::new();
    for entry in &entries {
        sounds.push(Sound {
            name: entry.name.clone(),
            samples: samples(&corpus.path(entry))?,
        });
    }
    let mut report = begin(cli, pace);
    let take = play(
        &setup(cli)?,
        &sounds,
        None,
        circumstances(cli, pace),
        progress,
    )
    .await?;
    about_use(&mut report, &take);
    fill(cli, corpus, &mut report, &take.runs, pace == Pace::Spoken)?;
    measure::use_figures(&take, &mut report.figures);
    report.files = take.runs;
    Ok(report)
}

/// The figures of an earlier run by today's rules; what it used of the machine stays.
pub fn again(cli: &Cli, corpus: &Corpus, mut report: Report) -> Result<Report> {
    let before = std::mem::take(&mut report.figures);
    let files = std::mem::take(&mut report.files);
    let spoken = report.about.get("pace").is_none_or(|pace| pace == "spoken");
    fill(cli, corpus, &mut report, &files, spoken)?;
    for figure in before.0 {
        if !report.figures.0.iter().any(|new| new.key == figure.key) {
            report.figures.0.push(figure);
        }
    }
    report.files = files;
    Ok(report)
}

/// A report that knows its circumstances, and no figures yet.
pub fn begin(cli: &Cli, pace: Pace) -> Report {
    let mut about = machine::circumstances();
    let mut tell = |key: &str, value: String| about.insert(key.to_owned(), value);
    tell("model", cli.model.clone());
    tell("strategy", cli.strategy.clone());
    let pace = match pace {
        Pace::Spoken => "spoken",
        Pace::Fast => "as fast as it is taken",
    };
    tell("pace", pace.to_owned());
    let core = if cli.busy { ", one core busy" } else { "" };
    tell("at once", format!("{}{core}", cli.sessions));
    let label = cli.label.clone().unwrap_or_else(|| cli.model.clone());
    Report {
        label,
        about,
        ..Report::default()
    }
}

pub fn circumstances(cli: &Cli, pace: Pace) -> Circumstances {
    Circumstances {
        pace,
        busy: cli.busy,
        sessions: usize::from(cli.sessions),
    }
}

/// How busy the machine was with other things: whoever reads latencies must know.
pub fn about_use(report: &mut Report, take: &Take) {
    let others = format!("{:.2} cores", take.others_cores);
    report.about.insert("others used".to_owned(), others);
}

pub fn setup(cli: &Cli) -> Result<Setup> {
    let models_dir = wstream_tests::models_with(&cli.model)
        .with_context(|| format!("wstreamctl model pull {} fetches it", cli.model))?;
    let config = match &cli.config {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => String::new(),
    };
    Ok(Setup {
        models_dir,
        model: cli.model.clone(),
        strategy: cli.strategy.clone(),
        config,
    })
}

pub fn progress(run: &FileRun) {
    say(&format!("{}: {}", run.file, run.text()));
    for utterance in &run.utterances {
        if let Some(failed) = &utterance.failed {
            say(&format!("{}: FAILED: {failed}", run.file));
        }
    }
    for trouble in &run.troubles {
        say(&format!("{}: trouble: {trouble}", run.file));
    }
}

/// Offline texts of the speech among `entries`, unless they are not wanted.
pub fn offline(cli: &Cli, corpus: &Corpus, entries: &[&Entry]) -> Result<Option<Offline>> {
    if cli.no_offline {
        return Ok(None);
    }
    let cache = cli.offline_cache.clone().unwrap_or_else(default_cache);
    let models_dir = setup(cli)?.models_dir;
    let speech: Vec<&Entry> = entries
        .iter()
        .copied()
        .filter(|e| e.language == "en")
        .collect();
    Offline::of(corpus, &speech, &models_dir, &cli.model, &cache).map(Some)
}

fn default_cache() -> PathBuf {
    wstream_tests::program("wstream-bench-offline.json")
}

fn chosen(cli: &Cli, corpus: &Corpus) -> Result<Vec<Entry>> {
    let of = |wanted: fn(&Entry) -> bool| -> Vec<Entry> {
        corpus
            .entries
            .iter()
            .filter(|e| wanted(e))
            .cloned()
            .collect()
    };
    let mut entries = if let Some(path) = &cli.list {
        let list = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        corpus.listed(&list)?
    } else if cli.non_speech {
        of(|entry| entry.language == "none")
    } else if cli.english {
        of(Entry::in_total)
    } else if cli.quick {
        let mut left = QUICK_S;
        let mut entries = corpus.standard()?;
        entries.retain(|entry| {
            left -= entry.seconds;
            left >= 0.0
        });
        entries
    } else if cli.fast {
        of(|entry| entry.in_total() || entry.language == "none")
    } else {
        corpus.standard()?
    };
    entries.truncate(cli.first.unwrap_or(usize::MAX));
    ensure!(!entries.is_empty(), "no files to play");
    Ok(entries)
}

/// Fills in what can be said of `runs` alone. `spoken`: they were played at the speed of speech,
/// so that latencies mean something.
fn fill(
    cli: &Cli,
    corpus: &Corpus,
    report: &mut Report,
    runs: &[FileRun],
    spoken: bool,
) -> Result<()> {
    let texts: Vec<(&Entry, String, bool)> = runs
        .iter()
        .map(|run| {
            let entry = corpus.find(&run.file).context("a file of another corpus")?;
            let mut partials = run.utterances.iter().flat_map(|u| &u.shown);
            let shown = partials.any(|shown| !shown.text().trim().is_empty());
            let text = run.text();
            let shown = shown || !text.is_empty();
            Ok((entry, text, shown))
        })
        .collect::<Result<_>>()?;
    let heard: Vec<Heard<'_>> = texts
        .iter()
        .map(|(entry, text, shown)| Heard {
            entry,
            text,
            shown: *shown,
        })
        .collect();
    let entries: Vec<&Entry> = texts.iter().map(|(entry, ..)| *entry).collect();
    let offline = offline(cli, corpus, &entries)?;
    let normalised = normalise(&heard, offline.as_ref())?;
    let timings = measure::timings(corpus, runs);
    let figures = &mut report.figures;
    if spoken {
        measure::timing_figures(&timings, figures);
        measure::display_figures(&measure::own_displays(corpus, runs), figures);
    } else {
        steady(&timings, figures);
    }
    measure::text_figures(&heard, offline.as_ref(), &normalised, figures);
    figures.count(
        "partial_loops",
        "files with a loop in a partial",
        measure::partial_loops(runs),
    );
    if cli.show {
        show(&heard, &normalised);
    }
    Ok(())
}

/// What has a meaning also when the sound came too fast for latencies.
fn steady(timings: &measure::Timings, figures: &mut Figures) {
    figures.count("utterances", "utterances", timings.utterances);
    figures.count(
        "erasure_committed",
        "committed characters taken back",
        timings.committed_erased,
    );
    let failed = timings.failed + timings.unanswered;
    figures.count("failed", "utterances failed or without an end", failed);
}

/// Every text that will be asked for, normalised.
pub fn normalise(heard: &[Heard<'_>], offline: Option<&Offline>) -> Result<Normalised> {
    let mut texts: Vec<&str> = Vec::new();
    for heard in heard {
        texts.extend([heard.text, heard.entry.text.as_str()]);
        for beam in BEAMS {
            texts.extend(offline.and_then(|offline| offline.text(beam, &heard.entry.name)));
        }
    }
    Normalised::new(texts)
}

fn show(heard: &[Heard<'_>], normalised: &Normalised) {
    for heard in heard {
        let said = normalised.words(&heard.entry.text);
        let got = normalised.words(heard.text);
        if said != got {
            println!(
                "{}\n  said  {}\n  heard {}",
                heard.entry.name,
                said.join(" "),
                got.join(" ")
            );
        }
    }
}
