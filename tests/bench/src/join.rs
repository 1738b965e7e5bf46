//! One long stream made of many files, with the pauses cut out. Samples in, samples and times out.

use crate::feed::RATE;
use crate::reference::{SpokenWord, Timing};

/// Gaps between words over this long are shortened; below the shortest pause that the endpointer
/// takes for an end while an utterance is short (300 ms).
const GAP_S: f64 = 0.2;

/// What is left of such a gap, half behind the one word and half before the next.
const KEPT_S: f64 = 0.12;

/// A stream, and when its words are said.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    pub samples: Vec<i16>,
    pub words: Vec<SpokenWord>,
}

impl Joined {
    /// Appends the spoken part of a file, its pauses shortened.
    pub fn push(&mut self, samples: &[i16], timing: &Timing) {
        let edge = KEPT_S / 2.0;
        let mut from = (timing.onset - edge).max(0.0);
        let mut first = 0;
        for (index, word) in timing.words.iter().enumerate() {
            let next = timing.words.get(index + 1);
            let end = if next.is_some() {
                word.end
            } else {
                timing.offset
            };
            if next.is_some_and(|next| next.start - word.end <= GAP_S) {
                continue;
            }
            self.stretch(samples, from, end + edge, &timing.words[first..=index]);
            first = index + 1;
            from = next.map_or(0.0, |next| next.start - edge);
        }
    }

    /// When the words are said, as of a file.
    pub fn timing(&self) -> Option<Timing> {
        Some(Timing {
            onset: self.words.first()?.start,
            offset: self.words.last()?.end,
            words: self.words.clone(),
        })
    }

    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(RATE)
    }

    fn stretch(&mut self, samples: &[i16], from: f64, until: f64, words: &[SpokenWord]) {
        let place = |t: f64| ((t * f64::from(RATE)).round().max(0.0) as usize).min(samples.len());
        let (from_sample, until_sample) = (place(from), place(until));
        let shift = self.seconds() - from_sample as f64 / f64::from(RATE);
        self.samples
            .extend(&samples[from_sample..until_sample.max(from_sample)]);
        self.words.extend(words.iter().map(|word| SpokenWord {
            text: word.text.clone(),
            start: word.start + shift,
            end: word.end + shift,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::trace::tests::timing;

    #[test]
    fn pauses_go_and_words_stay() {
        // The sample's value tells the millisecond that it came from.
        let samples: Vec<i16> = (0..48_000).map(|i| i / 16).map(|ms| ms as i16).collect();
        let said = timing(&[("one", 0.5, 1.0), ("two", 1.1, 1.5), ("three", 2.5, 2.9)]);
        let mut joined = Joined::default();
        joined.push(&samples, &said);
        joined.push(&samples, &said);
        // Edges of 60 ms: 0.44 to 1.56 and 2.44 to 2.96, twice.
        assert!((joined.seconds() - 2.0 * (1.12 + 0.52)).abs() < 0.001);
        let words: Vec<&str> = joined.words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(words, ["one", "two", "three", "one", "two", "three"]);
        for (index, word) in joined.words.iter().enumerate() {
            let original = &said.words[index % 3];
            let at = (word.start * f64::from(RATE)).round() as usize;
            let ms = f64::from(joined.samples[at]) / 1000.0;
            assert!((ms - original.start).abs() < 0.002, "{word:?} is at {ms}");
        }
        assert_eq!(joined.timing().unwrap().words.len(), 6);
    }
}
