//! The decoder's loop: listen once, then write token by token.
//!
//! Enters: padded samples, then what to write and under which limits. Leaves: tokens with their
//! probabilities. Runs on the thread that owns the backend.

use super::backend::check;
use super::model::Language;
use super::rules::{self, FirstTimestamp, Token, log_sum_exp};
use super::vocabulary::Vocabulary;
use super::{DecodeError, Decoder, Run, Stretch, quality};

/// Timestamp tokens per second.
const TIMESTAMPS_PER_S: f64 = 50.0;

/// The model's context is half prompt, half answer; four places are for special tokens.
const MOST_TOKENS: usize = 448 / 2 - 4;

/// A stretch that ends so near the sound's end is the last one: whatever the decoder would still
/// write repeats it. 100 ms, as in whisper.cpp.
const END_S: f64 = 0.1;

/// Tokens after which a loop is looked for, and how often.
const LOOP_CHECK_TOKENS: usize = 24;

/// What to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task<'a> {
    pub(super) prompt: &'a [i32],
    pub(super) language: Language,
    pub(super) first: FirstTimestamp,
    pub(super) most_tokens: usize,
    /// Seconds of sound: a stretch that ends there is the last one.
    pub(super) seconds: f64,
}

/// What the decoder wrote.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// Text and timestamps.
    tokens: Vec<Token>,
    /// Sum of the logarithms of all choices, the end included.
    logprob: f64,
    /// Whether it came to the end by itself.
    pub(super) ended: bool,
    /// Whether it was stopped because it wrote the same again and again.
    pub(super) looped: bool,
    /// Probability that nothing is spoken.
    pub(super) no_speech: f64,
    /// whisper.cpp's number of the language; `None` for a model that knows English alone.
    pub(super) language: Option<i32>,
}

impl Decoder {
    /// Runs the encoder over `samples`, at least a second of them, with `positions` positions.
    pub(super) fn listen(
        &mut self,
        samples: &[f32],
        positions: i32,
        run: Run<'_>,
    ) -> Result<(), DecodeError> {
        self.backend.encode(samples, positions, run)
    }

    /// Writes what was listened to last.
    pub(super) fn write(&mut self, task: &Task<'_>, run: Run<'_>) -> Result<Written, DecodeError> {
        let model = self.model.clone();
        let vocabulary = &model.vocabulary;
        let mut past = 0;
        let mut language = None;
        if !vocabulary.languages.is_empty() {
            language = Some(match task.language {
                Language::Known(number) => number,
                Language::Auto => {
                    self.backend.feed(&[vocabulary.start], 0, run)?;
                    likeliest_language(self.backend.scores(), vocabulary)
                }
            });
        }
        let mut beginning = Vec::new();
        if !task.prompt.is_empty() {
            beginning.push(vocabulary.previous);
            beginning.extend_from_slice(task.prompt);
        }
        beginning.push(vocabulary.start);
        self.backend.feed(&beginning, past, run)?;
        past += beginning.len();
        let scores = self.backend.scores();
        let no_speech = scores[vocabulary.no_speech as usize] - log_sum_exp(scores);
        if let Some(language) = language {
            let task = [
                vocabulary.languages[language as usize],
                vocabulary.transcribe,
            ];
            self.backend.feed(&task, past, run)?;
            past += task.len();
        }
        let mut written = Written {
            tokens: Vec::new(),
            logprob: 0.0,
            ended: false,
            looped: false,
            no_speech: f64::from(no_speech.exp()),
            language,
        };
        let mut scores = Vec::with_capacity(vocabulary.size);
        for _ in 0..task.most_tokens.min(MOST_TOKENS) {
            check(run)?;
            scores.clear();
            scores.extend_from_slice(self.backend.scores());
            let token = rules::choose(&mut scores, &written.tokens, vocabulary, task.first);
            written.logprob += f64::from(token.logprob);
            if token.id == vocabulary.end_of_text {
                written.ended = true;
                break;
            }
            written.tokens.push(token);
            let closed_at = written.closed_at(vocabulary);
            if closed_at.is_some_and(|end| end >= task.seconds - END_S) {
                written.ended = true;
                break;
            }
            if written.tokens.len().is_multiple_of(LOOP_CHECK_TOKENS)
                && written.is_looping(vocabulary)
            {
                written.looped = true;
                break;
            }
            self.backend.feed(&[token.id], past, run)?;
            past += 1;
        }
        Ok(written)
    }
}

impl Written {
    /// Mean over all choices, the end included.
    pub(super) fn mean_logprob(&self) -> f64 {
        self.logprob / (self.tokens.len() + usize::from(self.ended)).max(1) as f64
    }

    /// The second at which the last stretch ended, if no other has begun.
    fn closed_at(&self, vocabulary: &Vocabulary) -> Option<f64> {
        let is_timestamp = |token: &Token| token.id >= vocabulary.first_timestamp;
        match self.tokens.as_slice() {
            [.., text, end] if !is_timestamp(text) && is_timestamp(end) => {
                Some(f64::from(end.id - vocabulary.first_timestamp) / TIMESTAMPS_PER_S)
            }
            _ => None,
        }
    }

    fn is_looping(&self, vocabulary: &Vocabulary) -> bool {
        let text: Vec<i32> = self
            .tokens
            .iter()
            .map(|token| token.id)
            .filter(|&id| id < vocabulary.end_of_text)
            .collect();
        quality::loop_start(&text).is_some()
    }

    /// The text between timestamps; `seconds` is where an open stretch ends.
    pub(super) fn stretches(&self, vocabulary: &Vocabulary, seconds: f64) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let mut start = 0.0;
        let mut bytes = Vec::new();
        let mut open = Stretch::default();
        let mut close = |open: &mut Stretch, bytes: &mut Vec<u8>, start: f64, end: f64| {
            let text = String::from_utf8_lossy(bytes);
            // A character that was cut in two at the end is better missing than wrong.
            let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
            if !text.trim().is_empty() {
                let start = start.min(seconds);
                stretches.push(Stretch {
                    start,
                    end: end.clamp(start, seconds.max(start)),
                    text: text.to_owned(),
                    ..std::mem::take(open)
                });
            }
            *open = Stretch::default();
            bytes.clear();
        };
        for token in &self.tokens {
            if token.id >= vocabulary.first_timestamp {
                let time = f64::from(token.id - vocabulary.first_timestamp) / TIMESTAMPS_PER_S;
                if !bytes.is_empty() {
                    close(&mut open, &mut bytes, start, time);
                }
                start = time;
            } else {
                bytes.extend_from_slice(vocabulary.bytes(token.id));
                open.tokens += 1;
                open.probability += f64::from(token.logprob.exp());
            }
        }
        close(&mut open, &mut bytes, start, seconds);
        stretches
    }
}

/// The number of the language whose token has the highest score.
fn likeliest_language(scores: &[f32], vocabulary: &Vocabulary) -> i32 {
    (0..)
        .zip(&vocabulary.languages)
        .max_by(|(_, a), (_, b)| scores[**a as usize].total_cmp(&scores[**b as usize]))
        .map(|(number, _)| number)
        .expect("a multilingual model has languages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_divide_the_text() {
        let vocabulary = Vocabulary::for_tests(10, 15, 1516, &[]);
        let written = |ids: &[i32]| Written {
            tokens: ids.iter().map(|&id| Token { id, logprob: 0.0 }).collect(),
            logprob: 0.0,
            ended: true,
            looped: false,
            no_speech: 0.0,
            language: None,
        };
        let times = |ids: &[i32]| -> Vec<(f64, f64, String)> {
            written(ids)
                .stretches(&vocabulary, 5.0)
                .into_iter()
                .map(|s| (s.start, s.end, s.text))
                .collect()
        };
        let text = |text: &str| text.to_owned();
        assert_eq!(
            times(&[15, 1, 2, 65, 65, 3, 115]),
            [(0.0, 1.0, text(" w1 w2")), (1.0, 2.0, text(" w3"))]
        );
        // Without an end, and beyond the sound.
        assert_eq!(times(&[65, 1]), [(1.0, 5.0, text(" w1"))]);
        assert_eq!(times(&[65, 1, 1515]), [(1.0, 5.0, text(" w1"))]);
        assert_eq!(times(&[15]), []);
    }
}
