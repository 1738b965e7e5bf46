//! How early and how steady the text was, as lines of the table.

use crate::figures::Figures;
use crate::metrics::display::{Displays, displays};
use crate::metrics::timing::Timings;
use crate::record::FileRun;
use crate::reference::Corpus;

/// The latencies, counts and erasures of our own runs.
pub fn timings(corpus: &Corpus, runs: &[FileRun]) -> Timings {
    let mut timings = Timings::default();
    for run in runs {
        let entry = corpus.find(&run.file);
        timings.add(run, entry.and_then(|entry| entry.timing.as_ref()));
    }
    timings
}

/// Our own latencies as lines of the table.
pub fn timing_figures(timings: &Timings, figures: &mut Figures) {
    for (key, label, values) in [
        (
            "first_partial",
            "first partial after onset, s",
            &timings.first_partial,
        ),
        (
            "first_seen",
            "word latency first seen, s",
            &timings.first_seen,
        ),
        ("stable", "word latency stable, s", &timings.stable),
        ("committed", "word latency committed, s", &timings.committed),
        ("partial_lag", "partial lag, s", &timings.partial_lag),
        (
            "partial_interval",
            "partial interval, s",
            &timings.partial_interval,
        ),
        (
            "endpoint",
            "end of speech to endpoint, s",
            &timings.endpoint,
        ),
        (
            "speech_to_final",
            "end of speech to final, s",
            &timings.speech_to_final,
        ),
        (
            "endpoint_to_final",
            "endpoint to final, s",
            &timings.endpoint_to_final,
        ),
    ] {
        figures.spread(key, label, values);
    }
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    figures.value(
        "erasure",
        "normalised erasure",
        timings.normalised.normalised(),
    );
    figures.value(
        "erasure_raw",
        "erasure as written",
        timings.raw.normalised(),
    );
    figures.count(
        "erasure_committed",
        "committed characters taken back",
        timings.committed_erased,
    );
    figures.value(
        "committed_share",
        "committed before endpoint, utterances > 3 s",
        share(timings.long_words_committed, timings.long_words),
    );
    figures.count("utterances", "utterances", timings.utterances);
    figures.count(
        "early_cuts",
        "endpoints in the middle of speech",
        timings.early_cuts,
    );
    figures.value(
        "early_cut_rate",
        "early cut rate",
        share(timings.early_cuts, timings.endpoints),
    );
    figures.count("pauses", "endpoints at pauses within files", timings.pauses);
    figures.count(
        "false_onsets",
        "utterances without a word said",
        timings.false_onsets,
    );
    figures.count(
        "missed_words",
        "words outside of all utterances",
        timings.missed_words,
    );
    figures.count(
        "failed",
        "utterances failed or without an end",
        timings.failed + timings.unanswered,
    );
}

/// How each file's display behaved: comparable with other systems.
pub fn display_figures(shown: &Displays, figures: &mut Figures) {
    figures.spread(
        "first_text",
        "file: first text after onset, s",
        &shown.first_text,
    );
    figures.spread(
        "last_change",
        "file: last change after end of speech, s",
        &shown.last_change,
    );
    figures.spread(
        "done",
        "file: says it is done after end of speech, s",
        &shown.done,
    );
    figures.value(
        "file_erasure",
        "file: normalised erasure",
        shown.normalised.normalised(),
    );
    figures.value(
        "file_erasure_raw",
        "file: erasure as written",
        shown.raw.normalised(),
    );
    figures.count("blank", "files of speech without text", shown.blank);
}

/// Our own displays.
pub fn own_displays(corpus: &Corpus, runs: &[FileRun]) -> Displays {
    let mut all = Displays::default();
    for run in runs {
        if let Some(timing) = corpus.find(&run.file).and_then(|e| e.timing.as_ref()) {
            // Done is the last final: what comes after it is only the end of the sound.
            let done = run.utterances.iter().filter_map(|u| u.finished.as_ref());
            let done = done.map(|finished| finished.t).reduce(f64::max);
            all.add(&displays(run), done, timing);
        }
    }
    all
}
