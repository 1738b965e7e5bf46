//! Latencies and counts of utterances, pooled over files.

use super::erasure::{self, Erasure};
use super::trace::{end_s, traces};
use crate::record::{FileRun, Utterance};
use crate::reference::{SpokenWord, Timing};

/// Seconds each, unless said otherwise. What each means is in the table of `README.md`.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    pub first_partial: Vec<f64>,
    pub first_seen: Vec<f64>,
    pub stable: Vec<f64>,
    pub partial_lag: Vec<f64>,
    pub partial_interval: Vec<f64>,
    pub endpoint: Vec<f64>,
    pub speech_to_final: Vec<f64>,
    pub endpoint_to_final: Vec<f64>,
    /// Of words that a partial committed.
    pub committed: Vec<f64>,
    /// Words of finals of utterances over [`LONG_S`], and how many of them were committed before
    /// the endpoint.
    pub long_words: usize,
    pub long_words_committed: usize,
    pub utterances: usize,
    pub endpoints: usize,
    /// Endpoints within a word, or in a gap between words shorter than [`GAP_S`].
    pub early_cuts: usize,
    /// Endpoints with more words of the same file to come.
    pub pauses: usize,
    /// Utterances in which the reference has no word.
    pub false_onsets: usize,
    /// Words of the reference that lie in no utterance.
    pub missed_words: usize,
    pub failed: usize,
    /// Utterances that neither ended nor failed.
    pub unanswered: usize,
    pub raw: Erasure,
    pub normalised: Erasure,
    /// Characters of committed text that were taken back.
    pub committed_erased: usize,
}

/// Utterances over this long are expected to commit words before they end.
const LONG_S: f64 = 3.0;

/// A gap between words that nobody hears as a pause; below the shortest hangover in use (300 ms)
/// by what forced alignment may err.
const GAP_S: f64 = 0.2;

/// Half of the last digit of the reference times.
const SLIP_S: f64 = 0.005;

impl Timings {
    /// Adds one file's utterances.
    pub fn add(&mut self, run: &FileRun, timing: Option<&Timing>) {
        let mut placed = 0;
        for (index, utterance) in run.utterances.iter().enumerate() {
            let next = run.utterances.get(index + 1);
            self.count(utterance);
            let Some(timing) = timing else { continue };
            let until = end_s(utterance, next);
            let spoken = inside(timing, utterance.at_s, until);
            placed += spoken.len();
            self.latencies(utterance, spoken);
            if utterance.ended.is_some() {
                self.endpoints += 1;
                let heard_until = spoken.last().map_or(until, |word| word.end);
                self.cut(timing, heard_until);
            }
        }
        if let Some(timing) = timing {
            self.missed_words += timing.words.len().saturating_sub(placed);
        }
        for (utterance, words) in run.utterances.iter().zip(traces(run, timing)) {
            let ended = utterance.ended.as_ref();
            let long = ended.is_some_and(|ended| ended.duration_s > LONG_S);
            let in_time = ended.map_or(f64::INFINITY, |ended| ended.t);
            for word in &words {
                if long {
                    self.long_words += 1;
                    let committed = word.committed.is_some_and(|t| t < in_time);
                    self.long_words_committed += usize::from(committed);
                }
                let Some(spoken) = &word.spoken else { continue };
                self.first_seen.push(word.first_seen - spoken.end);
                self.stable.push(word.stable - spoken.end);
                if let Some(committed) = word.committed {
                    self.committed.push(committed - spoken.end);
                }
            }
        }
    }

    /// What needs no reference.
    fn count(&mut self, utterance: &Utterance) {
        self.utterances += 1;
        self.failed += usize::from(utterance.failed.is_some());
        let answered = utterance.finished.is_some() || utterance.failed.is_some();
        self.unanswered += usize::from(!answered);
        for shown in &utterance.shown {
            if let Some(heard_s) = shown.heard_s {
                self.partial_lag.push(shown.t - utterance.at_s - heard_s);
            }
        }
        for pair in utterance.shown.windows(2) {
            self.partial_interval.push(pair[1].t - pair[0].t);
        }
        let Some(finished) = &utterance.finished else {
            return;
        };
        if let Some(ended) = &utterance.ended {
            self.endpoint_to_final.push(finished.t - ended.t);
        }
        let mut texts: Vec<String> = utterance.shown.iter().map(|s| s.text()).collect();
        texts.push(finished.text.clone());
        self.raw.add(erasure::raw(&texts));
        self.normalised.add(erasure::normalised(&texts));
        let mut kept: Vec<&str> = utterance
            .shown
            .iter()
            .map(|s| s.committed.as_str())
            .collect();
        kept.push(&finished.text);
        self.committed_erased += erasure::committed(&kept);
    }

    fn latencies(&mut self, utterance: &Utterance, spoken: &[SpokenWord]) {
        let (Some(first), Some(last)) = (spoken.first(), spoken.last()) else {
            self.false_onsets += 1;
            return;
        };
        let partial = utterance
            .shown
            .iter()
            .find(|shown| !shown.text().trim().is_empty())
            .map(|shown| shown.t);
        let finished = utterance.finished.as_ref();
        let shown = partial.or(finished.filter(|f| !f.text.trim().is_empty()).map(|f| f.t));
        self.first_partial.extend(shown.map(|t| t - first.start));
        // An utterance that the engine cut has no end of speech.
        if let Some(ended) = &utterance.ended {
            self.endpoint.push(ended.t - last.end);
            self.speech_to_final
                .extend(finished.map(|finished| finished.t - last.end));
        }
    }

    /// Whether an endpoint after a last word that ended at `heard_until` cut speech.
    fn cut(&mut self, timing: &Timing, heard_until: f64) {
        let mut later = timing.words.iter();
        if let Some(next) = later.find(|word| word.start >= heard_until - SLIP_S) {
            self.pauses += 1;
            self.early_cuts += usize::from(next.start - heard_until < GAP_S);
        }
    }
}

/// The words whose middle lies between two places of the sound.
fn inside(timing: &Timing, from: f64, until: f64) -> &[SpokenWord] {
    let middle = |word: &SpokenWord| (word.start + word.end) / 2.0;
    let first = timing.words.partition_point(|word| middle(word) < from);
    let last = timing.words.partition_point(|word| middle(word) < until);
    &timing.words[first..last.max(first)]
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::{run, timing, utterance};
    use super::*;

    fn close(values: &[f64], expected: &[f64]) {
        assert_eq!(values.len(), expected.len(), "{values:?} / {expected:?}");
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn latencies_of_an_utterance() {
        let said = timing(&[("the", 0.5, 0.7), ("cat", 0.7, 1.1), ("sat", 1.1, 4.0)]);
        let utterance = utterance(
            0.25,
            &[
                (0.9, "", " "),
                (1.5, "", "The bat"),
                (2.0, "The", " cat"),
                (3.0, "The cat", " sat"),
            ],
            Some((4.5, 4.2)),
            (4.75, "The cat sat."),
        );
        let mut timings = Timings::default();
        timings.add(&run(vec![utterance]), Some(&said));
        close(&timings.first_partial, &[1.0]);
        close(&timings.partial_interval, &[0.6, 0.5, 1.0]);
        close(&timings.partial_lag, &[0.25; 4]);
        close(&timings.endpoint, &[0.5]);
        close(&timings.endpoint_to_final, &[0.25]);
        close(&timings.speech_to_final, &[0.75]);
        close(&timings.first_seen, &[0.8, 0.9, -1.0]);
        close(&timings.stable, &[0.8, 0.9, -1.0]);
        close(&timings.committed, &[1.3, 1.9]);
        assert_eq!((timings.long_words_committed, timings.long_words), (2, 3));
        assert_eq!(timings.normalised, Erasure { erased: 1, kept: 3 });
        assert_eq!(timings.committed_erased, 0);
        assert_eq!(
            (timings.pauses, timings.early_cuts, timings.missed_words),
            (0, 0, 0)
        );
    }

    #[test]
    fn cuts_and_pauses_are_told_apart() {
        let said = timing(&[("one", 0.2, 0.6), ("two", 0.65, 1.0), ("three", 2.0, 2.4)]);
        let parts = vec![
            utterance(0.0, &[], Some((0.9, 0.62)), (1.0, "one")),
            utterance(0.62, &[], Some((1.4, 0.7)), (1.5, "two")),
            utterance(1.7, &[], Some((2.8, 1.0)), (2.9, "three")),
            utterance(3.0, &[], Some((3.5, 0.4)), (3.6, "")),
        ];
        let mut timings = Timings::default();
        timings.add(&run(parts), Some(&said));
        assert_eq!(timings.early_cuts, 1);
        assert_eq!(timings.pauses, 2);
        assert_eq!(timings.endpoints, 4);
        assert_eq!(timings.false_onsets, 1);
        assert_eq!(timings.unanswered, 0);
    }

    #[test]
    fn an_utterance_that_the_engine_cuts_has_no_end_of_speech() {
        let said = timing(&[("one", 0.2, 0.6), ("two", 0.6, 1.0)]);
        let parts = vec![
            utterance(0.0, &[], None, (1.2, "one")),
            utterance(0.6, &[], Some((1.5, 0.8)), (1.6, "two")),
        ];
        let mut timings = Timings::default();
        timings.add(&run(parts), Some(&said));
        close(&timings.endpoint, &[0.5]);
        close(&timings.endpoint_to_final, &[0.1]);
        assert_eq!((timings.early_cuts, timings.endpoints), (0, 1));
    }

    #[test]
    fn what_no_utterance_holds_is_missed() {
        let said = timing(&[("one", 0.2, 0.6), ("two", 2.0, 2.4)]);
        let mut timings = Timings::default();
        let lost = utterance(1.5, &[], Some((2.7, 1.2)), (2.8, "two"));
        timings.add(&run(vec![lost]), Some(&said));
        assert_eq!(timings.missed_words, 1);
    }
}
