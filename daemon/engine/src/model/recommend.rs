//! Which model this machine can stream with, found out by measuring; nothing is downloaded.
//!
//! A model of `base`'s shape with made-up weights is loaded from memory and does what a partial
//! costs: encode 10 s of sound in the audio context that the engine gives it, and decode 30 tokens.
//! Computing does not depend on the weights' values, so the time is `base`'s own.
//!
//! **Criterion**: `base` if that takes at most [`LIMIT`], else `tiny.en`. A partial should come about
//! every second, and 10 s is longer than most utterances; beyond it, partials of `base` would fall
//! behind the speaker, and `tiny.en`, which costs about 0.4 of it, keeps up.

use std::time::{Duration, Instant};

use serde::Serialize;
use whisper_rs::{
    WhisperContext, WhisperContextParameters, WhisperError, WhisperState, WhisperTokenId,
};

use crate::decode::cpu::{self, CpuUnsupported, Features};

use super::check::hum;
use super::ggml::{size, write_header, write_tensor_header};
use super::layout::{Dimensions, parts};
use super::quantize::{Encoding, Format};

/// What a partial of 10 s of sound may cost.
pub const LIMIT: Duration = Duration::from_secs(1);

/// Sound of the measured partial.
const SECONDS: usize = 10;

/// Tokens of 10 s of speech: 2.5 words a second, and punctuation.
const TOKENS: usize = 30;

/// The audio context for 10 s: 50 positions a second and 64 to spare, in steps of 256.
const AUDIO_CTX: u32 = 768;

/// The fastest of so many counts: whatever else runs only adds to the time.
const ROUNDS: usize = 3;

/// `base`'s sizes, but with an encoder that has no more positions than are measured.
const SHAPE: Dimensions = Dimensions {
    vocab: 51_865,
    audio_ctx: AUDIO_CTX,
    audio_state: 512,
    audio_head: 8,
    audio_layer: 6,
    text_ctx: 448,
    text_state: 512,
    text_head: 8,
    text_layer: 6,
    mels: 80,
};

/// What was measured, and what follows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recommendation {
    /// The model to use.
    pub model: &'static str,
    /// Seconds that a partial of 10 s of sound costs with `base`.
    pub base_partial_s: f64,
    /// Of them, for encoding.
    pub encode_s: f64,
    /// Of them, for decoding 30 tokens.
    pub decode_s: f64,
    /// The most that is accepted.
    pub limit_s: f64,
    /// Threads that were used.
    pub threads: usize,
}

/// Why this machine could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// whisper.cpp would not run here.
    #[error(transparent)]
    Cpu(#[from] CpuUnsupported),
    /// The stand-in did not load or decode.
    #[error("the model that is measured with did not run")]
    Whisper(#[from] WhisperError),
}

/// Measures and decides. Takes some seconds and 350 MB while it runs.
///
/// Tried with `threads` and with one, because the engine, too, goes down to one where the cores are
/// busy: waiting for a thread that does not get its core costs ten times the work itself.
pub fn recommend(threads: usize) -> Result<Recommendation, MeasureError> {
    cpu::check(Features::of_this_machine())?;
    whisper_rs::install_logging_hooks();
    let parameters = WhisperContextParameters::default();
    let context = WhisperContext::new_from_buffer_with_params(&stand_in(), parameters)?;
    let mut state = context.create_state()?;
    state.pcm_to_mel(&hum(SECONDS), threads)?;
    let mut best: Option<Cost> = None;
    for round in 0..ROUNDS {
        for threads in if threads == 1 {
            vec![1]
        } else {
            vec![threads, 1]
        } {
            let cost = partial(&mut state, context.token_sot(), threads)?;
            if best.is_none_or(|best| cost.total() < best.total()) {
                best = Some(cost);
            }
        }
        // A machine this slow need not be kept busy for the same answer.
        if round > 0 && best.is_some_and(|best| best.total() > 2 * LIMIT) {
            break;
        }
    }
    Ok(decide(best.expect("at least one round was counted")))
}

/// What a partial took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    encode: Duration,
    decode: Duration,
    threads: usize,
}

impl Cost {
    fn total(self) -> Duration {
        self.encode + self.decode
    }
}

fn partial(
    state: &mut WhisperState,
    token: WhisperTokenId,
    threads: usize,
) -> Result<Cost, WhisperError> {
    let start = Instant::now();
    state.encode(0, threads)?;
    let encode = start.elapsed();
    for position in 0..TOKENS {
        // Which token it is does not matter to the time.
        state.decode(&[token], position, threads)?;
        // Far beyond the limit the rest need not be waited for: the answer is the same.
        if start.elapsed() > 4 * LIMIT {
            break;
        }
    }
    Ok(Cost {
        encode,
        decode: start.elapsed() - encode,
        threads,
    })
}

fn decide(cost: Cost) -> Recommendation {
    Recommendation {
        model: match cost.total() <= LIMIT {
            true => "base",
            false => "tiny.en",
        },
        base_partial_s: cost.total().as_secs_f64(),
        encode_s: cost.encode.as_secs_f64(),
        decode_s: cost.decode.as_secs_f64(),
        limit_s: LIMIT.as_secs_f64(),
        threads: cost.threads,
    }
}

impl Recommendation {
    /// The figure and the reason, for people.
    pub fn explain(&self) -> String {
        let keeps_up = match self.model {
            "base" => "keeps up with speech",
            _ => "would fall behind the speaker",
        };
        format!(
            "base takes {:.2} s for a partial of {SECONDS} s of sound on this machine ({:.2} s to \
             encode, {:.2} s for {TOKENS} tokens, threads: {}); with a limit of {:.1} s it {keeps_up}",
            self.base_partial_s, self.encode_s, self.decode_s, self.threads, self.limit_s
        )
    }
}

/// The file of a model of [`SHAPE`] with made-up weights.
fn stand_in() -> Vec<u8> {
    let mut file = Vec::with_capacity(size(&SHAPE, &[], Format::F16) as usize);
    let written = write_stand_in(&mut file);
    written.expect("writing to memory does not fail");
    file
}

fn write_stand_in(file: &mut Vec<u8>) -> std::io::Result<()> {
    write_header(&SHAPE, &[], Encoding::F16, file)?;
    let mut noise = Noise(1);
    for part in parts(&SHAPE) {
        let stored = Encoding::F16.of_role(part.role);
        write_tensor_header(&part, stored, file)?;
        let values: Vec<f32> = (0..part.values()).map(|_| noise.next()).collect();
        stored.encode(&values, file);
    }
    Ok(())
}

/// Small numbers that repeat on every machine. Not zeros: a processor may be quicker with those.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f32 {
        // Numerical Recipes' generator; quality does not matter here.
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The upper 16 bits, as -0.05 to 0.05: about what weights have.
        ((self.0 >> 16) as f32 / 32_768.0 - 1.0) * 0.05
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::ggml::inspect_input;
    use super::super::input::Input;
    use super::*;

    #[test]
    fn the_stand_in_is_a_model_of_its_shape() {
        let file = stand_in();
        let length = file.len() as u64;
        let summary = inspect_input(&mut Input::new(Cursor::new(&file), length)).unwrap();
        assert_eq!(summary.dimensions, SHAPE);
        assert_eq!(summary.bytes, size(&SHAPE, &[], Format::F16));
    }

    #[test]
    fn the_limit_decides() {
        for (encode_ms, decode_ms, model) in [
            (300, 200, "base"),
            (800, 200, "base"),
            (801, 200, "tiny.en"),
            (100, 1000, "tiny.en"),
        ] {
            let recommendation = decide(Cost {
                encode: Duration::from_millis(encode_ms),
                decode: Duration::from_millis(decode_ms),
                threads: 2,
            });
            assert_eq!(recommendation.model, model, "{encode_ms} + {decode_ms}");
            assert!(recommendation.explain().contains("1.0 s"));
        }
    }

    #[test]
    fn measuring_gives_a_figure() {
        let recommendation = recommend(1).unwrap();
        assert!(recommendation.encode_s > 0.0 && recommendation.decode_s > 0.0);
    }
}
