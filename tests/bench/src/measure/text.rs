//! How right the text was, as lines of the table.

use crate::figures::Figures;
use crate::metrics::align::edits;
use crate::metrics::error_rate::{Errors, difference, percent};
use crate::metrics::loops::is_loop;
use crate::normalise::Normalised;
use crate::offline::{BEAMS, Offline};
use crate::record::FileRun;
use crate::reference::Entry;

/// A text that some system made of a file.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    pub entry: &'a Entry,
    pub text: &'a str,
    /// Whether anything was shown, also in passing.
    pub shown: bool,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::VALUE;

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
}
