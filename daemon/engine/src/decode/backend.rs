//! What a model must be able to do for the loop that writes text.
//!
//! Enters: sound, then tokens. Leaves: scores, and where the model looked. Everything above this
//! trait knows no library; everything below knows nothing of text.

use std::sync::atomic::Ordering;

use super::{DecodeError, Run};

/// A model with the buffers of one decode. Belongs to one thread at a time.
pub(super) trait Backend: Send + std::fmt::Debug {
    /// Runs the encoder over `samples` (16 kHz mono, already padded to the least that is decoded),
    /// with `positions` positions of 20 ms. Forgets all tokens that were fed.
    fn encode(&mut self, samples: &[f32], positions: i32, run: Run<'_>) -> Result<(), DecodeError>;

    /// Feeds `tokens` at place `past`; whatever stood there or behind is overwritten. Afterwards
    /// [`scores`](Backend::scores) are those behind the last of them.
    fn feed(&mut self, tokens: &[i32], past: usize, run: Run<'_>) -> Result<(), DecodeError>;

    /// Raw scores (logits) behind the last token fed, one per token of the vocabulary. Empty
    /// before anything was fed.
    fn scores(&self) -> &[f32];

    /// Where in the sound, in encoder positions of 20 ms, the token fed at place `place` attended
    /// most. `None` where the backend cannot tell.
    #[allow(dead_code, reason = "the loop that stops at the sound's end asks it")]
    fn attended(&self, place: usize) -> Option<f32>;
}

/// Fails where whoever asked does not want the text any more.
pub(super) fn check(run: Run<'_>) -> Result<(), DecodeError> {
    if run.abort.load(Ordering::Relaxed) {
        Err(DecodeError::Aborted)
    } else {
        Ok(())
    }
}
