//! The decoder's loop: listen once, then write token by token.
//!
//! Enters: samples, then what to write and under which limits. Leaves: tokens with their
//! probabilities. Runs on the thread that owns the backend.

use super::backend::check;
use super::model::Language;
use super::rules::{self, FirstTimestamp, Token, log_sum_exp};
use super::vocabulary::Vocabulary;
use super::word::{self, Word, continues_word};
use super::{DecodeError, Decoder, LEAST_SAMPLES, Run, Stretch, quality};

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
    /// What the answer begins with, whatever the model would say.
    pub(super) known: &'a [Word],
    pub(super) language: Language,
    /// whisper.cpp's numbers of the languages that may be detected; empty: all.
    pub(super) languages: &'a [i32],
    pub(super) first: FirstTimestamp,
    pub(super) most_tokens: usize,
    /// Seconds of sound: a stretch that ends there is the last one.
    pub(super) seconds: f64,
}

/// What the decoder wrote.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// Text and timestamps; the known ones come first.
    tokens: Vec<Token>,
    /// How many of them were known.
    known: usize,
    /// For each token and for the end, the second where the model looked when it chose it; empty
    /// where the backend cannot tell.
    looked_at: Vec<f64>,
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
    /// Runs the encoder over `samples` with `positions` positions. What is missing of
    /// [`LEAST_SAMPLES`] is filled up with silence.
    pub(super) fn listen(
        &mut self,
        samples: &[f32],
        positions: i32,
        run: Run<'_>,
    ) -> Result<(), DecodeError> {
        if samples.len() >= LEAST_SAMPLES {
            return self.backend.encode(samples, positions, run);
        }
        let mut padded = samples.to_vec();
        padded.resize(LEAST_SAMPLES, 0.0);
        self.backend.encode(&padded, positions, run)
    }

    /// Writes what was listened to last.
    pub(super) fn write(&mut self, task: &Task<'_>, run: Run<'_>) -> Result<Written, DecodeError> {
        let model = self.model.clone();
        let vocabulary = &model.vocabulary;
        let language = self.language(task, vocabulary, run)?;
        let mut written = Written {
            tokens: known_tokens(task.known, vocabulary),
            known: 0,
            looked_at: Vec::new(),
            logprob: 0.0,
            ended: false,
            looped: false,
            no_speech: 0.0,
            language,
        };
        written.known = written.tokens.len();
        written.logprob = written.tokens.iter().map(|t| f64::from(t.logprob)).sum();
        let mut past = self.begin(task, &mut written, vocabulary, run)?;
        // The place whose step chose the first token of the answer.
        let first_place = past - written.known - 1;

        let last_word = task.known.last().map(|word| word.text.as_str());
        let mut scores = Vec::with_capacity(vocabulary.size);
        let most_tokens = written.known + task.most_tokens;
        while written.tokens.len() < most_tokens.min(MOST_TOKENS) {
            check(run)?;
            scores.clear();
            scores.extend_from_slice(self.backend.scores());
            if let Some(last_word) = last_word.filter(|_| written.tokens.len() == written.known) {
                forbid(&mut scores, vocabulary, |piece| {
                    continues_word(last_word, piece)
                });
            }
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
        written.looked_at = (first_place..past)
            .map_while(|place| self.backend.attended(place))
            .map(|position| f64::from(position) / TIMESTAMPS_PER_S)
            .collect();
        Ok(written)
    }

    /// The language to write in; detected where the task leaves it open. `None` for a model that
    /// knows English alone.
    fn language(
        &mut self,
        task: &Task<'_>,
        vocabulary: &Vocabulary,
        run: Run<'_>,
    ) -> Result<Option<i32>, DecodeError> {
        if vocabulary.languages.is_empty() {
            return Ok(None);
        }
        Ok(Some(match task.language {
            Language::Known(number) => number,
            Language::Auto => {
                self.backend.feed(&[vocabulary.start], 0, run)?;
                likeliest_language(self.backend.scores(), vocabulary, task.languages)
            }
        }))
    }

    /// Feeds everything in front of the first free token, and returns the place behind it.
    fn begin(
        &mut self,
        task: &Task<'_>,
        written: &mut Written,
        vocabulary: &Vocabulary,
        run: Run<'_>,
    ) -> Result<usize, DecodeError> {
        let mut beginning = Vec::new();
        if !task.prompt.is_empty() {
            beginning.push(vocabulary.previous);
            beginning.extend_from_slice(task.prompt);
        }
        beginning.push(vocabulary.start);
        let mut fed = 0;
        if written.known == 0 {
            // Where something is known, something was said.
            self.backend.feed(&beginning, 0, run)?;
            fed = beginning.len();
            let scores = self.backend.scores();
            let no_speech = scores[vocabulary.no_speech as usize] - log_sum_exp(scores);
            written.no_speech = f64::from(no_speech.exp());
        }
        if let Some(language) = written.language {
            beginning.push(vocabulary.languages[language as usize]);
            beginning.push(vocabulary.transcribe);
        }
        beginning.extend(written.tokens.iter().map(|token| token.id));
        if fed < beginning.len() {
            self.backend.feed(&beginning[fed..], fed, run)?;
        }
        Ok(beginning.len())
    }
}

/// The tokens of words that are known, as if they had just been written.
fn known_tokens(known: &[Word], vocabulary: &Vocabulary) -> Vec<Token> {
    let mut tokens = Vec::new();
    for word in known {
        if tokens.is_empty() && word.opening.is_empty() {
            // Every answer opens with a timestamp.
            tokens.push(Token {
                id: vocabulary.first_timestamp,
                logprob: 0.0,
            });
        }
        tokens.extend(word.opening.iter().chain(&word.tokens));
    }
    tokens
}

/// Makes the text tokens impossible whose bytes are `unwanted`.
fn forbid(scores: &mut [f32], vocabulary: &Vocabulary, unwanted: impl Fn(&[u8]) -> bool) {
    for id in 0..vocabulary.end_of_text {
        if unwanted(vocabulary.bytes(id)) {
            scores[id as usize] = f32::NEG_INFINITY;
        }
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

    /// The words, `known` first as they are. `seconds` is where the sound ends.
    pub(super) fn words(&self, known: &[Word], vocabulary: &Vocabulary, seconds: f64) -> Vec<Word> {
        let times = self.times(vocabulary, seconds);
        let new = word::split(&self.tokens[self.known..], &times[self.known..], vocabulary);
        known.iter().cloned().chain(new).collect()
    }

    /// The second at which each token begins, and at which the last one ends; never going back.
    fn times(&self, vocabulary: &Vocabulary, seconds: f64) -> Vec<f64> {
        let mut times = if self.looked_at.len() >= self.tokens.len() {
            let mut times = self.looked_at[..self.tokens.len()].to_vec();
            // The last token was not always fed, and then it is not known what follows it.
            let end = self.looked_at.get(self.tokens.len()).copied();
            times.push(end.unwrap_or(seconds));
            times
        } else {
            self.times_by_timestamps(vocabulary, seconds)
        };
        let mut latest = 0.0_f64;
        for time in &mut times {
            latest = latest.max(time.min(seconds));
            *time = latest;
        }
        times
    }

    /// As [`Written::times`], from the timestamps around each stretch, in which every letter takes
    /// as long as every other.
    fn times_by_timestamps(&self, vocabulary: &Vocabulary, seconds: f64) -> Vec<f64> {
        let is_timestamp = |token: &Token| token.id >= vocabulary.first_timestamp;
        let time =
            |token: &Token| f64::from(token.id - vocabulary.first_timestamp) / TIMESTAMPS_PER_S;
        let mut times = Vec::with_capacity(self.tokens.len() + 1);
        let mut now = 0.0;
        let mut rest = self.tokens.as_slice();
        while let Some(token) = rest.first() {
            if is_timestamp(token) {
                now = time(token).min(seconds);
                times.push(now);
                rest = &rest[1..];
                continue;
            }
            let length = rest.iter().position(is_timestamp).unwrap_or(rest.len());
            let end = rest
                .get(length)
                .map_or(seconds, time)
                .clamp(now, seconds.max(now));
            let letters = |tokens: &[Token]| -> usize {
                tokens.iter().map(|t| vocabulary.bytes(t.id).len()).sum()
            };
            let all = letters(&rest[..length]).max(1) as f64;
            for index in 0..length {
                times.push(now + (end - now) * letters(&rest[..index]) as f64 / all);
            }
            now = end;
            rest = &rest[length..];
        }
        times.push(now);
        times
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
fn likeliest_language(scores: &[f32], vocabulary: &Vocabulary, allowed: &[i32]) -> i32 {
    (0..)
        .zip(&vocabulary.languages)
        .filter(|(number, _)| allowed.is_empty() || allowed.contains(number))
        .max_by(|(_, a), (_, b)| scores[**a as usize].total_cmp(&scores[**b as usize]))
        .map(|(number, _)| number)
        // None of those that are allowed is one of this model's; English is.
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_divide_the_text() {
        let vocabulary = Vocabulary::for_tests(10, 15, 1516, &[]);
        let written = |ids: &[i32]| Written {
            tokens: ids.iter().map(|&id| Token { id, logprob: 0.0 }).collect(),
            known: 0,
            looked_at: Vec::new(),
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

        // Letters share the time between two timestamps.
        let two = written(&[65, 1, 2, 115, 165, 3]);
        assert_eq!(
            two.times(&vocabulary, 5.0),
            [1.0, 1.0, 1.5, 2.0, 3.0, 3.0, 5.0]
        );
        let told = Written {
            looked_at: vec![0.1, 0.4, 0.3, 1.9, 9.0, 9.0],
            ..two
        };
        assert_eq!(
            told.times(&vocabulary, 5.0),
            [0.1, 0.4, 0.4, 1.9, 5.0, 5.0, 5.0]
        );
    }
}
