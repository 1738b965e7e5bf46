//! An utterance as it grows: sound that is still to be decoded, and the text of what is settled.
//!
//! Enters: samples and decodes. Leaves: what to decode next, and the whole text. Pure.
//!
//! A long utterance does not fit the model's window. It is cut into pieces at places that depend on
//! its sound alone; each piece is decoded once, as soon as it is complete, and its sound is freed.

use wstream_wire::{SAMPLE_RATE, Segment};

use crate::decode::{Decoded, Effort, Request, sound};
use crate::strategy::{self, Manner, Memory};
use crate::text;

/// One utterance.
#[derive(Clone, Debug, Default)]
pub(super) struct Utterance {
    /// Sound that is not settled.
    samples: Vec<f32>,
    /// Samples in front of it that are.
    settled_samples: usize,
    /// The last second in front of `samples`.
    context: Vec<f32>,
    /// The text of the settled sound.
    settled: Transcript,
}

/// Text with what belongs to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Transcript {
    pub(super) text: String,
    pub(super) segments: Vec<Segment>,
    pub(super) language: &'static str,
    pub(super) suspect: bool,
    pub(super) processing_time_ms: f64,
}

impl Transcript {
    /// Goes on with `decoded`, whose sound began `at_s` into the utterance.
    fn append(
        &mut self,
        decoded: Decoded,
        context_samples: usize,
        at_s: f64,
        processing_time_ms: f64,
    ) {
        // A language that was told by some words counts more than one told by none.
        if self.language.is_empty() || self.text.is_empty() {
            self.language = decoded.language;
        }
        self.suspect |= decoded.suspect;
        self.processing_time_ms += processing_time_ms;
        for stretch in strategy::behind_context(decoded, context_samples) {
            let words = &stretch.text;
            if words.trim().is_empty() {
                continue;
            }
            text::join(&mut self.text, words.trim_end());
            self.segments.push(Segment {
                start: at_s + stretch.start,
                end: at_s + stretch.end,
                text: words.trim().to_owned(),
            });
        }
    }
}

impl Utterance {
    /// More sound has come.
    pub(super) fn push(&mut self, samples: impl IntoIterator<Item = f32>) {
        self.samples.extend(samples);
    }

    fn push_settled(&mut self, samples: &[f32]) {
        self.settled_samples += samples.len();
        self.context.extend_from_slice(samples);
        self.context = strategy::context_of(&self.context).to_vec();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settled_samples == 0 && self.samples.is_empty()
    }

    /// Samples that are still to be decoded.
    pub(super) fn waiting(&self) -> usize {
        self.samples.len()
    }

    /// All its samples.
    pub(super) fn samples(&self) -> usize {
        self.settled_samples + self.samples.len()
    }

    /// How many samples the next piece has, once the utterance is too long for the model.
    pub(super) fn next_piece(&self) -> Option<usize> {
        sound::cut(&self.samples)
    }

    /// Asks for the first `count` waiting samples.
    pub(super) fn request(
        &self,
        count: usize,
        effort: Effort,
        manner: Manner,
        memory: &Memory,
    ) -> Request {
        let own;
        let memory = if self.settled_samples == 0 {
            memory
        } else {
            // Behind a piece of its own an utterance goes on as behind another utterance.
            own = Memory {
                previous: self.settled.text.clone(),
                context: self.context.clone(),
            };
            &own
        };
        strategy::request(manner, memory, &self.samples[..count], effort)
    }

    /// The text so far with `decoded`, which heard what follows the settled sound.
    pub(super) fn transcript(
        &self,
        decoded: Decoded,
        context_samples: usize,
        processing_time_ms: f64,
    ) -> Transcript {
        let mut transcript = self.settled.clone();
        transcript.append(
            decoded,
            context_samples,
            self.settled_samples as f64 / f64::from(SAMPLE_RATE),
            processing_time_ms,
        );
        transcript
    }

    /// The first `count` waiting samples have been decoded for good.
    pub(super) fn settle(&mut self, count: usize, transcript: Transcript) {
        self.settled = transcript;
        let settled: Vec<f32> = self.samples.drain(..count).collect();
        self.push_settled(&settled);
    }

    /// The text of what is settled.
    pub(super) fn settled(&self) -> &Transcript {
        &self.settled
    }

    /// The last second of its sound.
    pub(super) fn last_second(&self) -> Vec<f32> {
        let mut all = self.context.clone();
        all.extend_from_slice(strategy::context_of(&self.samples));
        strategy::context_of(&all).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Language, Stretch};
    use wstream_wire::Strategy;

    fn said(text: &str, start: f64, end: f64) -> Decoded {
        Decoded {
            stretches: vec![Stretch {
                start,
                end,
                text: text.to_owned(),
                tokens: 2,
                probability: 1.0,
            }],
            words: Vec::new(),
            language: "en",
            suspect: false,
        }
    }

    #[test]
    fn pieces_become_one_text_with_times_from_the_beginning() {
        let memory = Memory {
            previous: "long ago".to_owned(),
            context: vec![0.1; 100],
        };
        let manner = Manner {
            strategy: Strategy::Hybrid,
            language: Language::Auto,
            prompt_tokens: 64,
        };
        let mut utterance = Utterance::default();
        assert!(utterance.is_empty());
        utterance.push(vec![0.2; 40 * 16_000]);
        let count = utterance.next_piece().expect("40 s are too long");

        let request = utterance.request(count, Effort::Careful, manner, &memory);
        assert_eq!(request.context_samples, 100);
        assert_eq!(request.prompt.map(|p| p.text), Some("long ago".to_owned()));
        let piece = utterance.transcript(said(" One two.", 0.0, 2.0), 0, 5.0);
        utterance.settle(count, piece);
        assert_eq!(utterance.next_piece(), None);

        let request = utterance.request(utterance.waiting(), Effort::Careful, manner, &memory);
        assert_eq!(request.context_samples, 16_000);
        assert_eq!(request.prompt.map(|p| p.text), Some("One two.".to_owned()));
        let whole = utterance.transcript(said(" Three.", 1.5, 3.0), 16_000, 7.0);
        assert_eq!(whole.text, "One two. Three.");
        assert_eq!(whole.processing_time_ms, 12.0);
        let at_s = count as f64 / 16_000.0;
        assert_eq!(whole.segments[1].start, at_s + 0.5);
        assert_eq!(utterance.last_second().len(), 16_000);
    }
}
