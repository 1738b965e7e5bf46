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
    /// Text that the client has shown already and the settled text begins with.
    committed: bool,
}

/// Text with what belongs to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Transcript {
    pub(super) text: String,
    pub(super) segments: Vec<Segment>,
    pub(super) language: &'static str,
    pub(super) suspect: bool,
    pub(super) processing_time_ms: f64,
    tokens: usize,
    probability: f64,
}

impl Transcript {
    /// Mean probability of the tokens; 0 without text.
    pub(super) fn confidence(&self) -> f64 {
        if self.tokens == 0 {
            0.0
        } else {
            self.probability / self.tokens as f64
        }
    }

    /// Goes on with `decoded`, whose sound began `at_s` into the utterance.
    fn append(
        &mut self,
        decoded: Decoded,
        context_samples: usize,
        at_s: f64,
        processing_time_ms: f64,
        repair_behind: Option<&str>,
    ) {
        // A language that was told by some words counts more than one told by none.
        if self.language.is_empty() || self.tokens == 0 {
            self.language = decoded.language;
        }
        self.suspect |= decoded.suspect;
        self.processing_time_ms += processing_time_ms;
        let mut repair_behind = repair_behind;
        for stretch in strategy::behind_context(decoded, context_samples) {
            let words = match repair_behind.take() {
                Some(before) => text::without_overlap(before, &stretch.text),
                None => &stretch.text,
            };
            if words.trim().is_empty() {
                continue;
            }
            text::join(&mut self.text, words.trim_end());
            self.segments.push(Segment {
                start: at_s + stretch.start,
                end: at_s + stretch.end,
                text: words.trim().to_owned(),
            });
            self.tokens += stretch.tokens;
            self.probability += stretch.probability;
        }
    }
}

/// How the sound of an utterance relates to what is put in front of it.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) manner: Manner,
    /// What the session remembers of the utterance before.
    pub(super) memory: Memory,
    /// Whether words that the context made the model write again are dropped.
    pub(super) repairs: bool,
}

impl Utterance {
    /// An utterance whose text begins with `text`, whatever else is decoded.
    pub(super) fn committed(text: String) -> Utterance {
        Utterance {
            settled: Transcript {
                text,
                ..Transcript::default()
            },
            ..Utterance::default()
        }
    }

    /// More sound has come.
    pub(super) fn push(&mut self, samples: impl IntoIterator<Item = f32>) {
        self.samples.extend(samples);
    }

    /// Sound has come whose text is committed; only the last second of it is still of use.
    pub(super) fn push_committed(&mut self, samples: &[f32]) {
        self.committed |= !samples.is_empty();
        self.push_settled(samples);
    }

    fn push_settled(&mut self, samples: &[f32]) {
        self.settled_samples += samples.len();
        self.context.extend_from_slice(samples);
        self.context = strategy::context_of(&self.context).to_vec();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settled_samples == 0 && self.samples.is_empty()
    }

    /// Samples since the utterance's beginning.
    pub(super) fn len(&self) -> usize {
        self.settled_samples + self.samples.len()
    }

    /// Samples that are still to be decoded.
    pub(super) fn waiting(&self) -> usize {
        self.samples.len()
    }

    /// How many samples the next piece has, once the utterance is too long for the model.
    pub(super) fn next_piece(&self) -> Option<usize> {
        sound::cut(&self.samples)
    }

    /// Samples in front of those that are still to be decoded.
    pub(super) fn settled_samples(&self) -> usize {
        self.settled_samples
    }

    /// How many waiting samples are left when the silence from the sample `pause` on is cut off,
    /// save `tail` samples of it. `None` while there are not so many, or where what follows is no
    /// silence.
    pub(super) fn without_silence(&self, pause: Option<u64>, tail: usize) -> Option<usize> {
        let pause = usize::try_from(pause?).ok()?;
        let cut = pause.checked_sub(self.settled_samples)?.checked_add(tail)?;
        (cut <= self.samples.len() && sound::is_quiet_behind(&self.samples, cut)).then_some(cut)
    }

    /// Asks for the first `count` waiting samples.
    pub(super) fn request(&self, count: usize, effort: Effort, setting: &Setting) -> Request {
        let own;
        let (manner, memory) = if self.settled_samples == 0 {
            (setting.manner, &setting.memory)
        } else {
            // Behind a piece of its own an utterance goes on as behind another utterance; behind
            // committed text with both, since that boundary may be in the middle of speech.
            own = Memory {
                previous: self.settled.text.clone(),
                context: self.context.clone(),
            };
            let mut manner = setting.manner;
            if self.committed {
                manner.strategy = wstream_wire::Strategy::Hybrid;
            }
            (manner, &own)
        };
        strategy::request(manner, memory, &self.samples[..count], effort)
    }

    /// The text so far with `decoded`, which heard what follows the settled sound.
    pub(super) fn transcript(
        &self,
        decoded: Decoded,
        context_samples: usize,
        processing_time_ms: f64,
        setting: &Setting,
    ) -> Transcript {
        let mut transcript = self.settled.clone();
        let before = if self.settled_samples > 0 {
            self.settled.text.clone()
        } else {
            setting.memory.previous.clone()
        };
        let repair = (setting.repairs && context_samples > 0).then_some(before.as_str());
        transcript.append(
            decoded,
            context_samples,
            self.settled_samples as f64 / f64::from(SAMPLE_RATE),
            processing_time_ms,
            repair,
        );
        transcript
    }

    /// The first `count` waiting samples have been decoded for good.
    pub(super) fn settle(&mut self, count: usize, transcript: Transcript) {
        self.settled = transcript;
        let settled: Vec<f32> = self.samples.drain(..count).collect();
        self.push_settled(&settled);
        self.committed = false;
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
        let setting = Setting {
            manner: Manner {
                strategy: Strategy::Hybrid,
                language: Language::Auto,
                prompt_tokens: 64,
            },
            memory,
            repairs: false,
        };
        let mut utterance = Utterance::default();
        assert!(utterance.is_empty());
        utterance.push(vec![0.2; 40 * 16_000]);
        let count = utterance.next_piece().expect("40 s are too long");

        let request = utterance.request(count, Effort::Careful, &setting);
        assert_eq!(request.context_samples, 100);
        assert_eq!(request.prompt.map(|p| p.text), Some("long ago".to_owned()));
        let piece = utterance.transcript(said(" One two.", 0.0, 2.0), 0, 5.0, &setting);
        utterance.settle(count, piece);
        assert_eq!(utterance.len(), 40 * 16_000);
        assert_eq!(utterance.next_piece(), None);

        let request = utterance.request(utterance.waiting(), Effort::Careful, &setting);
        assert_eq!(request.context_samples, 16_000);
        assert_eq!(request.prompt.map(|p| p.text), Some("One two.".to_owned()));
        let whole = utterance.transcript(said(" Three.", 1.5, 3.0), 16_000, 7.0, &setting);
        assert_eq!(whole.text, "One two. Three.");
        assert_eq!(whole.processing_time_ms, 12.0);
        assert_eq!(whole.confidence(), 0.5);
        let at_s = count as f64 / 16_000.0;
        assert_eq!(whole.segments[1].start, at_s + 0.5);
        assert_eq!(utterance.last_second().len(), 16_000);
    }

    #[test]
    fn the_end_of_a_pause_is_left_out_only_while_it_is_quiet() {
        let mut utterance = Utterance::default();
        utterance.push(vec![0.2; 16_000]);
        utterance.push(vec![0.0; 4800]);
        for (pause, expected) in [
            (None, None),
            (Some(16_000), Some(17_600)),
            (Some(19_200), Some(20_800)),
            (Some(20_000), None),
            (Some(u64::MAX), None),
            (Some(3000), None),
        ] {
            assert_eq!(
                utterance.without_silence(pause, 1600),
                expected,
                "{pause:?}"
            );
        }
    }

    #[test]
    fn committed_text_stays_byte_for_byte() {
        let memory = Memory::default();
        let setting = Setting {
            manner: Manner {
                strategy: Strategy::Prompt,
                language: Language::Auto,
                prompt_tokens: 64,
            },
            memory,
            repairs: true,
        };
        let mut utterance = Utterance::committed("  One,  two".to_owned());
        utterance.push_committed(&[0.1; 20_000]);
        utterance.push(vec![0.1; 16_000]);
        let request = utterance.request(16_000, Effort::Careful, &setting);
        assert_eq!(request.context_samples, 16_000);
        for (next, expected) in [
            (" one two three", "  One,  two three"),
            ("three", "  One,  two three"),
            (" three", "  One,  two three"),
        ] {
            let text = utterance
                .transcript(said(next, 0.8, 1.8), 16_000, 1.0, &setting)
                .text;
            assert_eq!(text, expected);
        }
    }
}
