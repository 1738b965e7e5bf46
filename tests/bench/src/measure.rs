//! From a run to its figures.

use serde_json::Value;

use crate::figures::Figures;
use crate::metrics::align::edits;
use crate::metrics::display::{Displays, displays};
use crate::metrics::error_rate::{Errors, difference, percent};
use crate::metrics::loops::is_loop;
pub use crate::metrics::timing::Timings;
use crate::normalise::Normalised;
use crate::offline::{BEAMS, Offline};
use crate::play::Take;
use crate::record::FileRun;
use crate::reference::{Corpus, Entry};

/// A text that some system made of a file.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    pub entry: &'a Entry,
    pub text: &'a str,
    /// Whether anything was shown, also in passing.
    pub shown: bool,
}

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

/// Error rates by group, beside offline decoding where it is known; hallucinations; loops.
pub fn text_figures(
    heard: &[Heard<'_>],
    offline: Option<&Offline>,
    normalised: &Normalised,
    figures: &mut Figures,
) {
    let (speech, noise): (Vec<&Heard<'_>>, Vec<&Heard<'_>>) =
        heard.iter().partition(|heard| heard.entry.language == "en");
    let counted: Vec<_> = speech.iter().filter(|h| h.entry.in_total()).collect();
    // The better of the two searches over all that counts, not file by file: that no decoder can.
    let errors = |beam: Option<usize>, heard: &Heard<'_>| {
        let said = normalised.words(&heard.entry.text);
        let theirs = beam.and_then(|beam| offline?.text(beam, &heard.entry.name));
        Errors {
            words: said.len(),
            ours: edits(said, normalised.words(heard.text)),
            theirs: theirs.map_or(0, |text| edits(said, normalised.words(text))),
        }
    };
    let total = |beam: Option<usize>| -> Vec<Errors> {
        counted.iter().map(|heard| errors(beam, heard)).collect()
    };
    let best = offline.and_then(|_| {
        BEAMS
            .into_iter()
            .min_by_key(|&beam| total(Some(beam)).iter().map(|e| e.theirs).sum::<usize>())
    });
    let all = total(best);
    figures.value("wer", "word error rate, %", percent(&all, |e| e.ours));
    if best.is_some() {
        figures.value(
            "wer_offline",
            "offline, best of greedy and beam 5, %",
            percent(&all, |e| e.theirs),
        );
        let interval = difference(&all);
        let mean = percent(&all, |e| e.ours).zip(percent(&all, |e| e.theirs));
        figures.value(
            "wer_difference",
            "difference, points",
            mean.map(|(ours, theirs)| ours - theirs),
        );
        figures.value(
            "wer_difference_low",
            "its 95 % interval, from",
            interval.map(|i| i.0),
        );
        figures.value(
            "wer_difference_high",
            "its 95 % interval, to",
            interval.map(|i| i.1),
        );
    }
    figures.count(
        "words",
        "words of the reference",
        all.iter().map(|e| e.words).sum(),
    );
    for group in ["english", "long", "noisy", "digits", "joined"] {
        let part: Vec<Errors> = speech
            .iter()
            .filter(|heard| heard.entry.group() == group)
            .map(|heard| errors(best, heard))
            .collect();
        if !part.is_empty() && part.len() < counted.len() {
            figures.value(
                &format!("wer_{group}"),
                &format!("  {group}, %"),
                percent(&part, |e| e.ours),
            );
            if best.is_some() {
                let label = format!("  {group} offline, %");
                figures.value(
                    &format!("wer_{group}_offline"),
                    &label,
                    percent(&part, |e| e.theirs),
                );
            }
        }
    }
    let looped = heard.iter().filter(|heard| {
        is_loop(
            normalised.words(heard.text),
            normalised.words(&heard.entry.text),
        )
    });
    figures.count(
        "loops",
        "files with a loop in the final text",
        looped.count(),
    );
    if !noise.is_empty() {
        figures.count("non_speech", "non-speech files", noise.len());
        let with_text = noise.iter().filter(|h| !h.text.trim().is_empty()).count();
        figures.count("hallucinated", "non-speech files with text", with_text);
        let shown = noise.iter().filter(|h| h.shown).count();
        figures.count(
            "hallucinated_shown",
            "non-speech files with text in passing",
            shown,
        );
    }
}

/// Partials that went round in circles, shown to the user for a while.
pub fn partial_loops(runs: &[FileRun]) -> usize {
    let words = wstream_tests::sound::words;
    let shown = |run: &FileRun| {
        let said = words(&run.text());
        let mut partials = run.utterances.iter().flat_map(|u| &u.shown);
        partials.any(|shown| is_loop(&words(&shown.text()), &said))
    };
    runs.iter().filter(|run| shown(run)).count()
}

/// What the run took of the machine, and what the engine says of its decoding.
pub fn use_figures(take: &Take, figures: &mut Figures) {
    let sound_s: f64 = take.runs.iter().map(|run| run.seconds).sum();
    let sum = |value: fn(&crate::station::Used) -> f64| take.used.iter().map(value).sum::<f64>();
    figures.value("sound", "sound, s", sound_s);
    figures.value("wall", "wall time, s", take.wall_s);
    figures.value(
        "cpu",
        "CPU seconds per second of sound",
        sum(|used| used.cpu_s) / sound_s,
    );
    let ms: f64 = take
        .runs
        .iter()
        .flat_map(|run| &run.utterances)
        .map(|utterance| {
            let partials = utterance.shown.iter().filter_map(|s| s.processing_ms);
            let last = utterance.finished.as_ref().and_then(|f| f.processing_ms);
            partials.sum::<f64>() + last.unwrap_or_default()
        })
        .sum();
    figures.value(
        "rtf",
        "decoding told in signals, s per s of sound",
        ms / 1000.0 / sound_s,
    );
    figures.value(
        "rss",
        "peak resident memory, MB",
        sum(|used| used.memory.rss_mb),
    );
    figures.value(
        "pss",
        "peak proportional memory, MB",
        sum(|used| used.memory.pss_mb),
    );
    let late: Vec<f64> = take.runs.iter().map(|run| run.worst_late_ms).collect();
    figures.spread("late", "worst lateness of the sound per file, ms", &late);
    let counters: Vec<&Value> = take
        .used
        .iter()
        .filter_map(|used| used.engine.as_ref())
        .collect();
    let total = |pointer: &str| -> Option<f64> {
        let numbers = counters.iter().filter_map(|c| c.pointer(pointer)?.as_f64());
        (!counters.is_empty()).then(|| numbers.sum())
    };
    let kinds = ["partial", "speculative", "final", "piece"];
    let ms: Option<f64> = kinds.iter().map(|kind| total(&format!("/ms/{kind}"))).sum();
    let ratio = |part: Option<f64>, whole: Option<f64>| {
        part.zip(whole)
            .filter(|(_, whole)| *whole > 0.0)
            .map(|(part, whole)| part / whole)
    };
    figures.value(
        "decode_rtf",
        "engine: decoding, s per s of sound",
        ms.map(|ms| ms / 1000.0 / sound_s),
    );
    figures.value(
        "discarded",
        "engine: share of decoding thrown away",
        ratio(total("/discarded_ms"), ms),
    );
    let hits = total("/ahead_hits");
    let asked = hits
        .zip(total("/ahead_misses"))
        .map(|(hits, misses)| hits + misses);
    figures.value(
        "ahead",
        "engine: finals ready ahead of time, share",
        ratio(hits, asked),
    );
    figures.value(
        "promoted",
        "engine: partials that became finals",
        total("/promoted"),
    );
    for kind in kinds {
        let label = format!("engine: decodes, {kind}");
        figures.value(
            &format!("decodes_{kind}"),
            &label,
            total(&format!("/decodes/{kind}")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::VALUE;
    use crate::metrics::trace::tests::{run, utterance};
    use crate::station::Used;

    fn entry(name: &str, language: &str, text: &str) -> Entry {
        Entry {
            name: name.into(),
            seconds: 2.0,
            language: language.into(),
            text: text.into(),
            timing: None,
        }
    }

    #[test]
    fn texts_are_counted_by_group() {
        let texts = [
            (
                entry("a/1.flac", "en", "one two three four"),
                "one two tree four",
            ),
            (entry("fsdd/2.flac", "en", "five"), "five five five five"),
            (entry("a-long/3.flac", "en", "one two"), ""),
            (entry("nonspeech-x/4.flac", "none", ""), "you"),
            (entry("nonspeech-x/5.flac", "none", ""), ""),
        ];
        let heard: Vec<Heard<'_>> = texts
            .iter()
            .map(|(entry, text)| Heard {
                entry,
                text,
                shown: entry.group() == "non-speech",
            })
            .collect();
        let all = heard.iter().flat_map(|h| [h.text, h.entry.text.as_str()]);
        let normalised = Normalised::split(all.chain(["one", "one two three"]));
        let offline = Offline::given(&[(1, "a/1.flac", "one"), (5, "a/1.flac", "one two three")]);
        let mut figures = Figures::default();
        text_figures(&heard, Some(&offline), &normalised, &mut figures);
        for (key, expected) in [
            // One wrong of four, three too many for one; the joined file is not in it.
            ("wer", 80.0),
            // Beam 5 is the better one: one of four is missing, and the digit (not decoded).
            ("wer_offline", 20.0),
            ("wer_difference", 60.0),
            ("words", 5.0),
            ("wer_english", 25.0),
            ("wer_digits", 300.0),
            ("wer_joined", 100.0),
            ("loops", 1.0),
            ("non_speech", 2.0),
            ("hallucinated", 1.0),
            ("hallucinated_shown", 2.0),
        ] {
            assert_eq!(figures.get(key, VALUE), Some(expected), "{key}");
        }
    }

    #[test]
    fn use_is_per_second_of_sound() {
        let mut run = run(vec![utterance(0.0, &[(1.0, "", "a")], None, (2.0, "a"))]);
        run.seconds = 10.0;
        run.utterances[0].shown[0].processing_ms = Some(200.0);
        run.utterances[0].finished.as_mut().unwrap().processing_ms = Some(300.0);
        let engine = serde_json::json!({
            "decodes": {"partial": 3, "speculative": 2, "final": 1, "piece": 0},
            "ms": {"partial": 600.0, "speculative": 300.0, "final": 100.0, "piece": 0.0},
            "discarded_ms": 250.0, "ahead_hits": 3, "ahead_misses": 1, "promoted": 2,
        });
        let take = Take {
            runs: vec![run],
            used: vec![Used {
                cpu_s: 5.0,
                engine: Some(engine),
                ..Used::default()
            }],
            ..Take::default()
        };
        let mut figures = Figures::default();
        use_figures(&take, &mut figures);
        for (key, expected) in [
            ("cpu", 0.5),
            ("rtf", 0.05),
            ("decode_rtf", 0.1),
            ("discarded", 0.25),
            ("ahead", 0.75),
            ("promoted", 2.0),
            ("decodes_partial", 3.0),
        ] {
            assert_eq!(figures.get(key, VALUE), Some(expected), "{key}");
        }
        // An engine that does not count.
        let mut silent = take.clone();
        silent.used[0].engine = None;
        let mut figures = Figures::default();
        use_figures(&silent, &mut figures);
        assert_eq!(figures.get("discarded", VALUE), None);
        assert_eq!(figures.get("cpu", VALUE), Some(0.5));
    }
}
