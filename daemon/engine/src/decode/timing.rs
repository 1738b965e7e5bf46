//! How long a backend takes: for comparing them.
//!
//! Enters: a model. Leaves: milliseconds. Runs on the calling thread and the threads it asks for.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::{DecodeError, Model, Run};

/// Milliseconds of the two steps of decoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Of the encoder, spectrogram included.
    pub encode_ms: f64,
    /// Of a token behind some others.
    pub token_ms: f64,
    /// Of feeding a prompt of 64 tokens.
    pub prompt_ms: f64,
}

/// Tokens that are timed. The first of them stands behind a prompt of 64.
const TOKENS: usize = 24;

/// Times `samples` at `positions` positions: the best of `rounds`, since other programs only ever
/// make it slower.
pub fn measure(
    model: &Model,
    samples: &[f32],
    positions: i32,
    threads: usize,
    rounds: usize,
) -> Result<Times, DecodeError> {
    let mut backend = model.backend()?;
    let never = AtomicBool::new(false);
    let run = Run {
        threads,
        abort: &never,
    };
    let mut best = Times {
        encode_ms: f64::INFINITY,
        token_ms: f64::INFINITY,
        prompt_ms: f64::INFINITY,
    };
    let ms = |since: Instant| since.elapsed().as_secs_f64() * 1000.0;
    for _ in 0..rounds {
        let started = Instant::now();
        backend.encode(samples, positions, run)?;
        best.encode_ms = best.encode_ms.min(ms(started));
        let prompt: Vec<i32> = (1000..1064).collect();
        let started = Instant::now();
        backend.feed(&prompt, 0, run)?;
        best.prompt_ms = best.prompt_ms.min(ms(started));
        for index in 0..TOKENS {
            let started = Instant::now();
            backend.feed(&[500 + index as i32], prompt.len() + index, run)?;
            best.token_ms = best.token_ms.min(ms(started));
        }
    }
    Ok(best)
}
