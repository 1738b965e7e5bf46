//! From sound to text: the only module that knows whisper, and of it only `whisper.rs`, `model.rs`
//! and `whole_file.rs`. What runs a model is behind [`Backend`].
//!
//! Enters: a [`Request`] with up to 30 s of sound. Leaves: a [`Decoded`] text with times. A
//! [`Decoder`] belongs to one thread; the [`Model`] behind it is shared.
//!
//! The same request gives the same answer whenever, with however many threads and after whatever
//! else it is decoded: decoding is greedy or starts from a fresh state, and nothing is carried over.

mod backend;
pub mod cpu;
pub mod file;
mod greedy;
mod model;
mod native;
pub mod quality;
mod rules;
pub mod sound;
pub mod timing;
mod tokenizer;
mod vocabulary;
mod whisper;
pub mod whole_file;
mod word;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use backend::Backend;
use greedy::Written;
pub use model::{BACKEND_VARIABLE, BackendChoice, Language, LoadError, Model, UnknownLanguage};
use quality::{Evidence, Verdict};
use rules::FirstTimestamp;
pub use rules::Token;
use whisper_rs::WhisperError;
pub use word::{Word, text_of};
use wstream_wire::SAMPLE_RATE;

/// What to decode.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// 16 kHz mono, at most 30 s; the context comes first.
    pub samples: Vec<f32>,
    /// This many samples at the beginning are heard but not written.
    pub context_samples: usize,
    /// What was said before.
    pub prompt: Option<Prompt>,
    /// Words that the samples begin with, forced on the decoder: it goes on behind them.
    pub known: Vec<Word>,
    /// So many of them are said in the context.
    pub context_words: usize,
    /// The language that is spoken.
    pub language: Language,
    /// The languages that may be detected, by whisper.cpp's numbers; empty: all.
    pub languages: Vec<i32>,
    /// How hard to try.
    pub effort: Effort,
}

/// Text that the model is to believe it has just written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its end counts most.
    pub text: String,
    /// Only this many tokens of its end are used; the model's own limit holds as well.
    pub most_tokens: usize,
    /// Words to expect, in front of the text. As many of the first as have room in the budget.
    pub vocabulary: Arc<[String]>,
}

/// How hard to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    /// One pass: the text is replaced soon.
    Quick,
    /// A doubtful result is decoded again in other ways.
    #[default]
    Careful,
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// In order of time, from the beginning of the request's samples. Empty where nothing was said.
    pub stretches: Vec<Stretch>,
    /// The same text word by word; the known words come first.
    pub words: Vec<Word>,
    /// ISO 639-1 code, given or detected.
    pub language: &'static str,
    /// Nothing better could be found, but it may well be wrong: no prompt for what follows.
    pub suspect: bool,
}

impl Decoded {
    /// The same, `seconds` later.
    fn later(mut self, seconds: f64) -> Decoded {
        for stretch in &mut self.stretches {
            stretch.start += seconds;
            stretch.end += seconds;
        }
        for word in &mut self.words {
            *word = word.earlier(-seconds);
        }
        self
    }

    /// Goes on with a decode of the sound behind the second `end`, where the text was thought to
    /// stop.
    fn go_on(&mut self, rest: Decoded, end: f64) {
        let twice = word::said_before(&self.words, &rest.words, end);
        let (again, new) = rest.words.split_at(twice);
        self.words.extend_from_slice(new);
        let mut bytes: usize = again.iter().map(|word| word.text.len()).sum();
        for mut stretch in rest.stretches {
            let cut = bytes.min(stretch.text.len());
            bytes -= cut;
            stretch.text.drain(..cut);
            if !stretch.text.trim().is_empty() {
                self.stretches.push(stretch);
            }
        }
    }
}

/// A piece of text with its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    /// Seconds.
    pub start: f64,
    /// Seconds; never before `start`.
    pub end: f64,
    /// Carries its own leading space where the script has spaces.
    pub text: String,
    /// Number of text tokens.
    pub tokens: usize,
    /// Sum of the tokens' probabilities.
    pub probability: f64,
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The flag was raised; whoever raised it does not want the text.
    #[error("decoding was stopped")]
    Aborted,
    /// whisper.cpp reports a failure.
    #[error("the model failed on this sound")]
    Whisper(#[source] WhisperError),
    /// A mistake of ours; it is in the log.
    #[error("decoding failed on this sound")]
    Panicked,
}

impl From<WhisperError> for DecodeError {
    fn from(error: WhisperError) -> Self {
        DecodeError::Whisper(error)
    }
}

/// Shortest sound that is handed to whisper.cpp: it reads beyond the end of much shorter ones.
/// What is missing is filled up with silence.
const LEAST_SAMPLES: usize = SAMPLE_RATE as usize;

/// Voice without which a request is not decoded again without what is in front of it, seconds.
const ALONE_S: f64 = 0.3;
const ALONE_QUICK_S: f64 = 1.0;

/// A decoder with its own buffers, kept as long as the thread: making them is costly.
#[derive(Debug)]
pub struct Decoder {
    model: Arc<Model>,
    backend: Box<dyn Backend>,
}

/// How one decode runs, whatever is decoded.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Threads to compute with, this one included.
    pub threads: usize,
    /// Raised from outside when the text is not wanted any more. Looked at after the encoder and
    /// after each token.
    pub abort: &'a AtomicBool,
}

impl Decoder {
    /// Allocates a decoder's buffers.
    pub fn new(model: Arc<Model>) -> Result<Decoder, DecodeError> {
        let backend = model.backend()?;
        Ok(Decoder { model, backend })
    }

    /// Decodes one request.
    pub fn decode(&mut self, request: &Request, run: Run<'_>) -> Result<Decoded, DecodeError> {
        let own_sound = &request.samples[request.context_samples.min(request.samples.len())..];
        if sound::is_silent(own_sound) {
            return Ok(Decoded {
                language: self.model.language_code(request.language, None),
                words: request.known.clone(),
                ..Decoded::default()
            });
        }
        let samples = &request.samples;
        let positions = sound::audio_context(samples.len());
        let prompt = self.model.prompt_tokens(request.prompt.as_ref());

        self.listen(samples, positions, run)?;
        let mut best = self.attempt(request, &prompt, run)?;
        // What is dropped gets another chance as well as what is doubted.
        let is_doubted = |best: &Attempt| best.verdict != Verdict::Good && !best.is_empty();
        if request.effort == Effort::Careful && is_doubted(&best) {
            if !prompt.is_empty() {
                // The prompt may be what leads it astray; the encoder's work is still good.
                best = best.better_of(self.attempt(request, &[], run)?);
            }
            let more = sound::more_context(positions);
            if is_doubted(&best) && more > positions {
                self.listen(samples, more, run)?;
                best = best.better_of(self.attempt(request, &[], run)?);
            }
        }
        if best.verdict == Verdict::Nothing
            && let Some(decoded) = self.decode_alone(request, run)?
        {
            return Ok(decoded);
        }
        let unfinished = best.unfinished;
        let mut decoded = best.into_decoded(&self.model, request);
        if let Some(end) = unfinished.filter(|_| request.effort == Effort::Careful) {
            self.decode_rest(&mut decoded, request, end, run)?;
        }
        Ok(decoded)
    }

    /// Decodes a request without the sound in front of its own, where that is what leads the model
    /// astray: behind a whole sentence it may well write an end. `None` if there is no such sound,
    /// hardly any voice, or nothing comes of it either.
    fn decode_alone(
        &mut self,
        request: &Request,
        run: Run<'_>,
    ) -> Result<Option<Decoded>, DecodeError> {
        let lead = request.context_samples.min(request.samples.len());
        let own_sound = &request.samples[lead..];
        let least = match request.effort {
            Effort::Quick => ALONE_QUICK_S,
            Effort::Careful => ALONE_S,
        };
        if lead == 0 || sound::voiced_seconds(own_sound) < least {
            return Ok(None);
        }
        let lead_s = lead as f64 / f64::from(SAMPLE_RATE);
        let (lead_words, known) = request.known.split_at(request.context_words);
        let alone = Request {
            samples: own_sound.to_vec(),
            known: known.iter().map(|word| word.earlier(lead_s)).collect(),
            language: request.language,
            languages: request.languages.clone(),
            effort: request.effort,
            ..Request::default()
        };
        self.listen(own_sound, sound::audio_context(own_sound.len()), run)?;
        let attempt = self.attempt(&alone, &[], run)?;
        if attempt.verdict == Verdict::Nothing {
            return Ok(None);
        }
        let decoded = attempt.into_decoded(&self.model, &alone).later(lead_s);
        Ok(Some(Decoded {
            words: [lead_words, &decoded.words].concat(),
            ..decoded
        }))
    }

    /// Decodes what follows the second `end`, where the text stopped although the voice did not.
    fn decode_rest(
        &mut self,
        decoded: &mut Decoded,
        request: &Request,
        end: f64,
        run: Run<'_>,
    ) -> Result<(), DecodeError> {
        let done = ((end * f64::from(SAMPLE_RATE)) as usize).min(request.samples.len());
        let sound_behind = &request.samples[done..];
        self.listen(sound_behind, sound::audio_context(sound_behind.len()), run)?;
        let rest = Request {
            samples: sound_behind.to_vec(),
            language: request.language,
            ..Request::default()
        };
        let attempt = self.attempt(&rest, &[], run)?;
        if attempt.verdict != Verdict::Good {
            return Ok(());
        }
        let rest = attempt.into_decoded(&self.model, &rest).later(end);
        decoded.go_on(rest, end);
        Ok(())
    }

    /// Decodes what was listened to last, and judges it.
    fn attempt(
        &mut self,
        request: &Request,
        prompt: &[i32],
        run: Run<'_>,
    ) -> Result<Attempt, DecodeError> {
        let seconds = request.samples.len() as f64 / f64::from(SAMPLE_RATE);
        let context_s = request.context_samples as f64 / f64::from(SAMPLE_RATE);
        let own_sound = &request.samples[request.context_samples.min(request.samples.len())..];
        let written = self.write(
            &greedy::Task {
                prompt,
                known: &request.known,
                language: request.language,
                languages: &request.languages,
                first: FirstTimestamp::from_seconds(context_s),
                most_tokens: most_tokens(seconds, request.effort),
                seconds,
            },
            run,
        )?;
        Ok(Attempt::new(written, own_sound, request, &self.model))
    }
}

/// The longest answer worth waiting for, in tokens: fast speech has five to seven per second.
/// Bounds what a loop costs.
fn most_tokens(seconds: f64, effort: Effort) -> usize {
    match effort {
        Effort::Quick => 12 + (8.0 * seconds).ceil() as usize,
        Effort::Careful => 20 + (10.0 * seconds).ceil() as usize,
    }
}

/// One decode with its verdict.
struct Attempt {
    written: Written,
    stretches: Vec<Stretch>,
    words: Vec<Word>,
    looped: bool,
    repeats: bool,
    /// Where the text stops although the voice goes on.
    unfinished: Option<f64>,
    verdict: Verdict,
}

impl Attempt {
    fn new(written: Written, own_sound: &[f32], request: &Request, model: &Model) -> Attempt {
        let seconds = request.samples.len() as f64 / f64::from(SAMPLE_RATE);
        let stretches = written.stretches(&model.vocabulary, seconds);
        let all_words = written.words(&request.known, &model.vocabulary, seconds);
        let text = text_of(&all_words[request.context_words..]);
        let words: Vec<String> = crate::text::words(&text)
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        let looped = written.looped || quality::loop_start(&words).is_some();
        let repeats = quality::repeats(&words);
        let context_s = seconds - own_sound.len() as f64 / f64::from(SAMPLE_RATE);
        let unfinished = stretches
            .last()
            .map(|stretch| stretch.end)
            .filter(|&end| end < context_s + sound::voice_until(own_sound));
        let evidence = Evidence {
            words,
            mean_logprob: written.mean_logprob(),
            no_speech: written.no_speech,
            ended: written.ended && unfinished.is_none(),
            voiced_s: sound::voiced_seconds(own_sound),
            seconds: own_sound.len() as f64 / f64::from(SAMPLE_RATE),
        };
        let verdict = quality::judge(&evidence);
        tracing::debug!(
            ?verdict,
            words = evidence.words.len(),
            mean_logprob = evidence.mean_logprob,
            no_speech = evidence.no_speech,
            unfinished,
            voiced_s = evidence.voiced_s,
            seconds,
            "decoded"
        );
        Attempt {
            written,
            stretches,
            words: all_words,
            looped,
            repeats,
            unfinished,
            verdict,
        }
    }

    /// Whether nothing was written; long voice without a word is another matter.
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.verdict == Verdict::Nothing
    }

    /// The one to believe: a good one, else one that is no loop, else the likelier one.
    fn better_of(self, other: Attempt) -> Attempt {
        let rank = |attempt: &Attempt| {
            let verdict = match attempt.verdict {
                Verdict::Good => 2,
                Verdict::Nothing => 1,
                Verdict::Suspect => 0,
            };
            (
                verdict,
                !attempt.looped && attempt.written.ended,
                !attempt.repeats,
            )
        };
        let key = |attempt: &Attempt| (rank(attempt), attempt.written.mean_logprob());
        let (own, others) = (key(&self), key(&other));
        if others.0 > own.0 || (others.0 == own.0 && others.1 > own.1) {
            other
        } else {
            self
        }
    }

    fn into_decoded(self, model: &Model, request: &Request) -> Decoded {
        let language = model.language_code(Language::Auto, self.written.language);
        let text: String = self.stretches.iter().map(|s| s.text.as_str()).collect();
        // A full stop or a note sign alone is what the model writes over music and noise.
        if self.verdict == Verdict::Nothing || crate::text::words(&text).is_empty() {
            return Decoded {
                language,
                words: request.known.clone(),
                ..Decoded::default()
            };
        }
        let (mut stretches, mut words) = (self.stretches, self.words);
        if self.looped {
            cut_loop(&mut stretches);
            let plain: Vec<String> = words.iter().map(Word::plain).collect();
            if let Some(start) = quality::loop_start(&plain) {
                words.truncate(start.max(request.known.len()));
            }
        }
        Decoded {
            stretches,
            words,
            language,
            suspect: self.verdict == Verdict::Suspect,
        }
    }
}

/// Keeps a loop's first round and drops what follows.
fn cut_loop(stretches: &mut Vec<Stretch>) {
    let text: String = stretches.iter().map(|s| s.text.as_str()).collect();
    let words = crate::text::words(&text);
    let plain: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
    let Some(start) = quality::loop_start(&plain) else {
        return;
    };
    let mut keep = words[start - 1].1;
    stretches.retain_mut(|stretch| {
        let length = stretch.text.len();
        stretch.text.truncate(keep);
        keep -= keep.min(length);
        !stretch.text.trim().is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_an_end_does_not_say_again_what_is_there() {
        let said = |text: &str, start: f64| {
            let words = text.split_inclusive(' ').enumerate();
            Decoded {
                stretches: vec![Stretch {
                    text: format!(" {text}"),
                    start,
                    ..Stretch::default()
                }],
                words: words
                    .map(|(index, word)| Word {
                        text: format!(" {}", word.trim()),
                        start: start + index as f64,
                        end: start + index as f64 + 0.9,
                        ..Word::default()
                    })
                    .collect(),
                ..Decoded::default()
            }
        };
        let texts = |decoded: &Decoded| -> Vec<String> {
            let stretches = decoded.stretches.iter();
            stretches.map(|stretch| stretch.text.clone()).collect()
        };
        let mut decoded = said("Write it down for me.", 0.0);
        decoded.go_on(said("for me. And read it.", 3.0), 3.0);
        assert_eq!(
            text_of(&decoded.words),
            " Write it down for me. And read it."
        );
        assert_eq!(texts(&decoded), [" Write it down for me.", " And read it."]);
        decoded.go_on(said("And read it.", 5.0), 5.0);
        assert_eq!(
            text_of(&decoded.words),
            " Write it down for me. And read it."
        );
        assert_eq!(decoded.stretches.len(), 2);
    }

    #[test]
    fn a_loop_is_cut_behind_its_first_round() {
        let stretch = |text: &str| Stretch {
            text: text.to_owned(),
            ..Stretch::default()
        };
        let mut stretches = vec![
            stretch(" Try again. Fail better."),
            stretch(" Fail better. Fail better."),
            stretch(" Fail better."),
        ];
        cut_loop(&mut stretches);
        assert_eq!(stretches, [stretch(" Try again. Fail better.")]);

        let mut stretches = vec![stretch(" one"), stretch(" two three")];
        cut_loop(&mut stretches);
        assert_eq!(stretches, [stretch(" one"), stretch(" two three")]);
    }
}
