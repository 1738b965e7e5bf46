//! The life of each word of a final: when it was spoken, first shown, shown for good, committed.

use wstream_tests::sound::words;

use super::align::align;
use crate::record::{FileRun, Utterance};
use crate::reference::{SpokenWord, Timing};

/// One word of a final.
#[derive(Clone, Debug, PartialEq)]
pub struct WordTrace {
    /// As the final has it, in lower case without punctuation.
    pub text: String,
    /// The word of the reference that it stands for, if one does.
    pub spoken: Option<SpokenWord>,
    pub first_seen: f64,
    /// From when on it did not change any more.
    pub stable: f64,
    /// When a partial first called it committed; `None`: only the final did.
    pub committed: Option<f64>,
}

/// Seconds by which a word may lie outside the utterance that shows it and still be the one meant:
/// the sound kept around an utterance, and the alignment's slips.
const SLACK_S: f64 = 0.7;

/// The traces of each utterance's words. Utterances without a final have none.
pub fn traces(run: &FileRun, timing: Option<&Timing>) -> Vec<Vec<WordTrace>> {
    let finals: Vec<Vec<String>> = run.utterances.iter().map(|u| words(u.text())).collect();
    let all: Vec<&str> = finals.iter().flatten().map(String::as_str).collect();
    let mut spoken = vec![None; all.len()];
    if let Some(timing) = timing {
        let said: Vec<&str> = timing.words.iter().map(|w| w.text.as_str()).collect();
        for pair in align(&said, &all) {
            if let (Some(word), Some(shown)) = pair {
                spoken[shown] = Some(&timing.words[word]);
            }
        }
    }
    let mut spoken = spoken.into_iter();
    run.utterances
        .iter()
        .zip(finals)
        .enumerate()
        .map(|(index, (utterance, texts))| {
            let next = run.utterances.get(index + 1);
            let until = end_s(utterance, next);
            let mut trace = lives(utterance, texts);
            for (word, spoken) in trace.iter_mut().zip(&mut spoken) {
                word.spoken = spoken
                    .filter(|s| s.end > utterance.at_s - SLACK_S && s.start < until + SLACK_S)
                    .cloned();
            }
            trace
        })
        .collect()
}

/// Where an utterance ends in the sound: as it says, else where the next begins (an engine that
/// cuts a long one says no more than that).
pub fn end_s(utterance: &Utterance, next: Option<&Utterance>) -> f64 {
    let said = utterance
        .ended
        .as_ref()
        .map(|ended| ended.at_s.unwrap_or(utterance.at_s + ended.duration_s));
    said.or(next.map(|next| next.at_s)).unwrap_or(f64::INFINITY)
}

fn lives(utterance: &Utterance, texts: Vec<String>) -> Vec<WordTrace> {
    let Some(finished) = &utterance.finished else {
        return Vec::new();
    };
    let mut trace: Vec<WordTrace> = texts
        .iter()
        .map(|text| WordTrace {
            text: text.clone(),
            spoken: None,
            first_seen: finished.t,
            stable: finished.t,
            committed: None,
        })
        .collect();
    // Backwards: a word is stable since the oldest partial of those that all have it.
    let mut unbroken = vec![true; texts.len()];
    for shown in utterance.shown.iter().rev() {
        let hypothesis = words(&shown.text());
        let mut there = vec![false; texts.len()];
        for pair in align(&hypothesis, &texts) {
            if let (Some(i), Some(j)) = pair {
                there[j] = hypothesis[i] == texts[j];
            }
        }
        let committed = words(&shown.committed);
        for (j, word) in trace.iter_mut().enumerate() {
            unbroken[j] &= there[j];
            if there[j] {
                word.first_seen = shown.t;
            }
            if unbroken[j] {
                word.stable = shown.t;
            }
            if committed.get(j) == Some(&word.text) {
                word.committed = Some(shown.t);
            }
        }
    }
    trace
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{Ended, Finished, Shown};

    /// An utterance from partials `(t, committed, tentative)`, its endpoint and its final.
    pub(crate) fn utterance(
        at_s: f64,
        shown: &[(f64, &str, &str)],
        ended: Option<(f64, f64)>,
        finished: (f64, &str),
    ) -> Utterance {
        Utterance {
            at_s,
            shown: shown
                .iter()
                .map(|&(t, committed, tentative)| Shown {
                    t,
                    committed: committed.into(),
                    tentative: tentative.into(),
                    heard_s: Some(t - at_s - 0.25),
                    ..Shown::default()
                })
                .collect(),
            ended: ended.map(|(t, duration_s)| Ended {
                t,
                at_s: Some(at_s + duration_s),
                duration_s,
            }),
            finished: Some(Finished {
                t: finished.0,
                text: finished.1.into(),
                ..Finished::default()
            }),
            ..Utterance::default()
        }
    }

    pub(crate) fn run(utterances: Vec<Utterance>) -> FileRun {
        FileRun {
            utterances,
            ..FileRun::default()
        }
    }

    /// Words `(text, start, end)` in order.
    pub(crate) fn timing(words: &[(&str, f64, f64)]) -> Timing {
        let words: Vec<SpokenWord> = words
            .iter()
            .map(|&(text, start, end)| SpokenWord {
                text: text.into(),
                start,
                end,
            })
            .collect();
        Timing {
            onset: words[0].start,
            offset: words[words.len() - 1].end,
            words,
        }
    }

    #[test]
    fn words_are_followed_through_partials() {
        let utterance = utterance(
            0.0,
            &[
                (1.0, "", "The bat"),
                (1.5, "The", " cat sat"),
                (2.0, "The", " bat sat"),
                (2.5, "The cat", " sat."),
            ],
            Some((3.0, 3.0)),
            (3.1, "The cat sat down."),
        );
        let timing = timing(&[
            ("the", 0.1, 0.3),
            ("cat", 0.3, 0.8),
            ("sat", 0.8, 1.2),
            ("down", 1.2, 1.9),
        ]);
        let traces = traces(&run(vec![utterance]), Some(&timing));
        let life: Vec<_> = traces[0]
            .iter()
            .map(|w| (w.text.as_str(), w.first_seen, w.stable, w.committed))
            .collect();
        let expected = [
            ("the", 1.0, 1.0, Some(1.5)),
            // Gone at 2.0, so for good only since 2.5.
            ("cat", 1.5, 2.5, Some(2.5)),
            ("sat", 1.5, 1.5, None),
            ("down", 3.1, 3.1, None),
        ];
        assert_eq!(life, expected);
        assert_eq!(traces[0][3].spoken.as_ref().unwrap().end, 1.9);
    }

    #[test]
    fn words_of_several_utterances_find_their_times() {
        let one = utterance(0.0, &[], Some((1.5, 1.2)), (1.6, "Yes."));
        let two = utterance(4.0, &[], Some((5.5, 1.2)), (5.6, "Oh yes."));
        let timing = timing(&[("yes", 0.2, 0.6), ("oh", 4.2, 4.4), ("yes", 4.4, 4.8)]);
        let traces = traces(&run(vec![one, two]), Some(&timing));
        let ends: Vec<Vec<f64>> = traces
            .iter()
            .map(|words| {
                words
                    .iter()
                    .map(|w| w.spoken.as_ref().unwrap().end)
                    .collect()
            })
            .collect();
        assert_eq!(ends, [vec![0.6], vec![4.4, 4.8]]);
        // Without a reference there are traces, but no times.
        let without = super::traces(&run(vec![utterance(0.0, &[], None, (1.0, "Hm."))]), None);
        assert_eq!(without[0][0].spoken, None);
    }
}
