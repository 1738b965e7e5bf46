//! Ten minutes of speech without a pause, in one stream: is anything lost or doubled at the cuts?

use anyhow::{Context as _, Result};
use wstream_tests::sound::words;

use crate::cli::Cli;
use crate::corpus_runs::{about_use, begin, circumstances, normalise, offline, progress, setup};
use crate::feed::Pace;
use crate::join::Joined;
use crate::measure::{self, Heard};
use crate::metrics::align::edits;
use crate::metrics::cuts::{Cuts, cuts};
use crate::offline::BEAMS;
use crate::play::{Sound, play};
use crate::reference::{Corpus, Entry};
use crate::report::Report;
use crate::station::samples;

/// How much is joined.
const LONG_S: f64 = 600.0;

/// What the stream is called.
const NAME: &str = "joined";

pub async fn run(cli: &Cli, corpus: &Corpus) -> Result<Report> {
    let mut joined = Joined::default();
    let mut pieces: Vec<&Entry> = Vec::new();
    let wanted = cli.first.unwrap_or(usize::MAX);
    // Every file once, in the manifest's order: neighbours are often of one speaker, which is what
    // a long speech is like.
    for entry in corpus.entries.iter().filter(|e| e.group() == "english") {
        let Some(timing) = &entry.timing else {
            continue;
        };
        if joined.seconds() >= LONG_S || pieces.len() >= wanted {
            break;
        }
        joined.push(&samples(&corpus.path(entry))?, timing);
        pieces.push(entry);
    }
    let timing = joined.timing().context("the corpus has no English")?;
    let text = |of: &dyn Fn(&Entry) -> Option<String>| -> Option<String> {
        let texts: Option<Vec<String>> = pieces.iter().map(|entry| of(entry)).collect();
        Some(texts?.join(" "))
    };
    let entry = Entry {
        name: NAME.to_owned(),
        seconds: joined.seconds(),
        language: "en".to_owned(),
        text: text(&|entry| Some(entry.text.clone())).unwrap_or_default(),
        timing: Some(timing),
    };
    let stream = Corpus {
        dir: corpus.dir.clone(),
        entries: vec![entry],
    };
    let entry = &stream.entries[0];

    let pace = if cli.fast { Pace::Fast } else { Pace::Spoken };
    let mut report = begin(cli, pace);
    let sound = Sound {
        name: NAME.to_owned(),
        samples: joined.samples,
    };
    // The station warms up with the shortest of what it plays: not with ten minutes.
    let warm_up = samples(&corpus.path(pieces[0]))?;
    let take = play(
        &setup(cli)?,
        std::slice::from_ref(&sound),
        Some(&warm_up),
        circumstances(cli, pace),
        progress,
    )
    .await?;
    about_use(&mut report, &take);
    let run = take.runs.first().context("nothing was played")?;

    // Offline decoding hears the pieces as they were, with their pauses, one by one.
    let texts = offline(cli, corpus, &pieces)?;
    let whole = |beam: usize| {
        let of = |entry: &Entry| texts.as_ref()?.text(beam, &entry.name).map(str::to_owned);
        text(&of)
    };
    let said: Vec<String> = joined.words.iter().map(|word| word.text.clone()).collect();
    let parts: Vec<Vec<String>> = run.utterances.iter().map(|u| words(u.text())).collect();
    let best = BEAMS
        .into_iter()
        .filter_map(whole)
        .min_by_key(|text| edits(&said, &words(text)));
    // Without offline texts, everything that was said is expected.
    let expected = best
        .as_ref()
        .map_or_else(|| said.clone(), |text| words(text));
    let found = cuts(&said, &parts, &expected);

    let spoken = pace == Pace::Spoken;
    if spoken {
        measure::timing_figures(&measure::timings(&stream, &take.runs), &mut report.figures);
    }
    let text = run.text();
    let heard = Heard {
        entry,
        text: &text,
        shown: true,
    };
    let offline_heard = best.as_ref().map(|text| Heard {
        entry,
        text,
        shown: true,
    });
    let both: Vec<Heard<'_>> = [Some(heard), offline_heard].into_iter().flatten().collect();
    let normalised = normalise(&both, None)?;
    measure::text_figures(&both[..1], None, &normalised, &mut report.figures);
    let offline_rate = both.get(1).map(|heard| {
        let said = normalised.words(&entry.text);
        100.0 * edits(said, normalised.words(heard.text)) as f64 / said.len().max(1) as f64
    });
    let label = "offline, piece by piece, pauses left in, %";
    report
        .figures
        .value("wer_pieces_offline", label, offline_rate);
    cut_figures(&found, &mut report);
    measure::use_figures(&take, &mut report.figures);
    report.files = take.runs;
    Ok(report)
}

fn cut_figures(found: &Cuts, report: &mut Report) {
    let rate =
        |errors: usize, words: usize| (words > 0).then(|| 100.0 * errors as f64 / words as f64);
    let figures = &mut report.figures;
    figures.count("cuts", "cuts between finals", found.cuts);
    let near = rate(found.near_errors, found.near_words);
    figures.value("wer_near_cuts", "errors within 3 words of a cut, %", near);
    let far = rate(found.far_errors, found.far_words);
    figures.value("wer_far", "errors elsewhere, %", far);
    figures.count(
        "lost",
        "words lost at cuts that offline has",
        found.lost.len(),
    );
    figures.count("doubled", "words doubled at cuts", found.doubled.len());
    for (what, words) in [("lost", &found.lost), ("doubled", &found.doubled)] {
        let named: Vec<String> = words
            .iter()
            .map(|(at, word)| format!("{word} ({at})"))
            .collect();
        if !named.is_empty() {
            report.about.insert(what.to_owned(), named.join(", "));
        }
    }
}
