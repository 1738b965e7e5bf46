//! Whisper without a library: the backend that is ours.
//!
//! Enters: sound and tokens, as [`Backend`] says. Leaves: scores. A [`Weights`] is shared by all
//! decoders, a [`NativeBackend`] belongs to one and has its own buffers and threads.
//!
//! What is computed is Whisper as OpenAI published it (`audio.py`, `model.py`); each file says
//! which part. How: weights are 8-bit integers with one scale per output, and each row of inputs
//! is made into 8-bit integers with a scale of its own, as CTranslate2 does; the sums are exact
//! integers. Attention, norms and convolutions stay in floats. `kernels` has this arithmetic for
//! several sets of instructions and chooses by what the processor has.
//!
//! What makes it faster than whisper.cpp: integer products (four times the work per instruction),
//! no scores for tokens that are only fed, blocks of 32 positions that stay in the cache through a
//! whole layer, and threads that meet once per layer and never spin.

mod attention;
mod blocks;
mod decoder;
mod encoder;
mod heads;
mod kernels;
mod linear;
mod looked;
mod mel;
mod pool;
#[cfg(test)]
mod tests;
mod weights;

use std::sync::Arc;

pub(super) use weights::Weights;

use decoder::{Surroundings, Texts};
use encoder::{Encoder, Heard};
use pool::Pool;

use super::backend::Backend;
use super::{DecodeError, Run};

/// Samples of an encoder position.
const POSITION_SAMPLES: usize = 320;

/// One decoder's buffers.
#[derive(Debug)]
pub(super) struct NativeBackend {
    weights: Arc<Weights>,
    pool: Pool,
    encoder: Encoder,
    /// One per layer of the decoder.
    heard: Vec<Heard>,
    texts: Texts,
    /// Positions with sound.
    heard_positions: usize,
}

impl NativeBackend {
    pub(super) fn new(weights: Arc<Weights>) -> NativeBackend {
        let layers = weights.decoder.len();
        NativeBackend {
            weights,
            pool: Pool::new(),
            encoder: Encoder::default(),
            heard: std::iter::repeat_with(Heard::default)
                .take(layers)
                .collect(),
            texts: Texts::default(),
            heard_positions: 0,
        }
    }

    /// Feeds one token to each of several texts: text `i` goes on where text `parents[i]` of the
    /// last call was, and all have `past` tokens before it. After [`feed`](Backend::feed) there is
    /// one text, number 0.
    #[allow(dead_code, reason = "the search with beams will call it")]
    pub(super) fn feed_beams(
        &mut self,
        parents: &[usize],
        tokens: &[i32],
        past: usize,
        run: Run<'_>,
    ) -> Result<(), DecodeError> {
        let (texts, around) = self.around(run);
        texts.feed_beams(parents, tokens, past, around)
    }

    /// Raw scores behind the last token of text `index`.
    #[allow(dead_code, reason = "the search with beams will ask for them")]
    pub(super) fn beam_scores(&self, index: usize) -> &[f32] {
        self.texts.scores(index, self.weights.vocabulary)
    }

    fn around<'a>(&'a mut self, run: Run<'a>) -> (&'a mut Texts, Surroundings<'a>) {
        let around = Surroundings {
            weights: &self.weights,
            heard: &self.heard,
            pool: &mut self.pool,
            run,
        };
        (&mut self.texts, around)
    }
}

impl Backend for NativeBackend {
    fn encode(&mut self, samples: &[f32], positions: i32, run: Run<'_>) -> Result<(), DecodeError> {
        self.texts.clear();
        let most = self.weights.positions.len() / self.weights.width;
        let positions = usize::try_from(positions).unwrap_or(0).clamp(1, most);
        self.heard_positions = samples.len().div_ceil(POSITION_SAMPLES).min(positions);
        self.encoder.encode(
            &self.weights,
            &mut self.pool,
            samples,
            positions,
            &mut self.heard,
            run,
        )
    }

    fn feed(&mut self, tokens: &[i32], past: usize, run: Run<'_>) -> Result<(), DecodeError> {
        if tokens.is_empty() {
            return Ok(());
        }
        let (texts, around) = self.around(run);
        texts.feed(tokens, past, around)
    }

    fn scores(&self) -> &[f32] {
        self.texts.scores(0, self.weights.vocabulary)
    }

    fn attended(&self, place: usize) -> Option<f32> {
        let (attention, history) = self.texts.attention()?;
        let positions = self.heard.first()?.positions;
        looked::most_looked_at(
            attention,
            history,
            *history.get(place)?,
            (
                self.weights.alignment.len(),
                positions,
                self.heard_positions,
            ),
        )
    }
}
