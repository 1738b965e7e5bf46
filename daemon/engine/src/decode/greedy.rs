//! The decoder's loop: listen once, then write token by token.
//!
//! Enters: padded samples, then what to write and under which limits. Leaves: tokens with their
//! probabilities. Runs on the thread that owns the state.
//!
//! whisper.cpp's own loop (`whisper_full`) reports no usable no-speech probability, samples at
//! random where it searches, and pays for language detection with a second pass of the encoder;
//! so only its encoder and its single step are used here.

use std::ffi::c_void;
use std::sync::atomic::Ordering;

use whisper_rs::{FullParams, SamplingStrategy, WhisperSysContext, WhisperSysState};

use super::model::Language;
use super::rules::{self, FirstTimestamp, Token, log_sum_exp};
use super::vocabulary::Vocabulary;
use super::{DecodeError, Decoder, Run, Stretch, quality};

/// Timestamp tokens per second.
const TIMESTAMPS_PER_S: f64 = 50.0;

/// The model's context is half prompt, half answer; four places are for special tokens.
const MOST_TOKENS: usize = 448 / 2 - 4;

/// Up to this width (tiny and base) a single token is too little work to share: a second thread
/// saves a millisecond, and costs ten where another program takes its core.
const NARROW: i32 = 512;

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
    /// Up to here something is spoken: an end before it is not believed.
    pub(super) voice_until: f64,
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

/// Parameters that make `whisper_full` compute the spectrogram, take over the number of encoder
/// positions, and stop before the encoder. There is no other way to set that number.
pub(super) fn listening_params() -> FullParams<'static, 'static> {
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    params.set_print_progress(false);
    params.set_no_context(true);
    // SAFETY: the callback takes no user data and only returns a constant.
    unsafe { params.set_start_encoder_callback(Some(stop_before_encoder)) };
    params
}

unsafe extern "C" fn stop_before_encoder(
    _: *mut WhisperSysContext,
    _: *mut WhisperSysState,
    _: *mut c_void,
) -> bool {
    false
}

impl Decoder {
    /// Runs the encoder over `samples`, at least a second of them, with `positions` positions.
    pub(super) fn listen(
        &mut self,
        samples: &[f32],
        positions: i32,
        run: Run<'_>,
    ) -> Result<(), DecodeError> {
        let mut params = self.model.listening.clone();
        params.set_audio_ctx(positions);
        params.set_n_threads(run.threads as i32);
        self.state.full(params, samples)?;
        self.state.encode(0, run.threads)?;
        check(run)
    }

    /// Writes what was listened to last.
    pub(super) fn write(&mut self, task: &Task<'_>, run: Run<'_>) -> Result<Written, DecodeError> {
        let model = self.model.clone();
        let vocabulary = &model.vocabulary;
        let step_threads = if model.context.model_n_text_state() <= NARROW {
            1
        } else {
            run.threads
        };
        let mut past = 0;
        let mut language = None;
        if !vocabulary.languages.is_empty() {
            language = Some(match task.language {
                Language::Known(number) => number,
                Language::Auto => {
                    self.state.decode(&[vocabulary.start], 0, step_threads)?;
                    likeliest_language(self.state.get_logits()?, vocabulary)
                }
            });
        }
        if !task.prompt.is_empty() {
            let prompt: Vec<i32> = std::iter::once(vocabulary.previous)
                .chain(task.prompt.iter().copied())
                .collect();
            self.state.decode(&prompt, past, run.threads)?;
            past += prompt.len();
        }
        self.state.decode(&[vocabulary.start], past, step_threads)?;
        past += 1;
        let scores = self.state.get_logits()?;
        let no_speech = scores[vocabulary.no_speech as usize] - log_sum_exp(scores);
        if let Some(language) = language {
            // One by one: the wrapper shows only the scores of a call's first token.
            for token in [
                vocabulary.languages[language as usize],
                vocabulary.transcribe,
            ] {
                self.state.decode(&[token], past, step_threads)?;
                past += 1;
            }
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
            scores.extend_from_slice(self.state.get_logits()?);
            let mut token = rules::choose(&mut scores, &written.tokens, vocabulary, task.first);
            if token.id == vocabulary.end_of_text
                && let Some(end) = written.closed_at(vocabulary)
                && end < task.voice_until
            {
                // OpenAI's program looks at the rest in a window of its own; here the encoder has
                // heard it already.
                scores.copy_from_slice(self.state.get_logits()?);
                token = rules::reopen(&mut scores, end, vocabulary);
            }
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
            if written.tokens.len() % LOOP_CHECK_TOKENS == 0 && written.is_looping(vocabulary) {
                written.looped = true;
                break;
            }
            self.state.decode(&[token.id], past, step_threads)?;
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

fn check(run: Run<'_>) -> Result<(), DecodeError> {
    if run.abort.load(Ordering::Relaxed) {
        Err(DecodeError::Aborted)
    } else {
        Ok(())
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
