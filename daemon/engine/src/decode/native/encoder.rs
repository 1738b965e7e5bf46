//! From sound to keys and values for the decoder.
//!
//! Enters: samples. Leaves: for each layer of the decoder, the blocks of keys and values that its
//! attention over the sound reads. Runs on the thread that decodes and its pool.
//!
//! The model is that of OpenAI's `model.py` (`AudioEncoder`): two convolutions, sinusoids added,
//! layers of attention and a two-layer perceptron, each behind a layer norm and added to what went
//! in. Positions are worked on in blocks of 32: a claim takes a block through attention, which
//! needs the keys of all blocks, through the rest of the layer, and on to the next layer's keys.
//! So threads meet once per layer, and what a claim works on stays in its core's cache.

use std::sync::Mutex;

use super::attention::{self, BLOCK, Keys, Queries, block_length};
use super::kernels::Kernels;
use super::linear::{Into, Rows};
use super::pool::{Parts, Pool};
use super::weights::{Block, Weights};
use crate::decode::backend::check;
use crate::decode::{DecodeError, Run};

/// Frames that a claim of the first convolution takes.
const FRAMES: usize = 64;

/// The buffers of an encoder; they grow to what is asked of them.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    mel: Vec<f32>,
    padded: Vec<f32>,
    /// What the first convolution puts out, with a row of zeros at either end.
    frames: Vec<f32>,
    /// What the layers add to.
    rows: Vec<f32>,
    /// For each block the queries, then the keys and values: of this layer and of the next.
    current: Vec<f32>,
    next: Vec<f32>,
    scratches: Vec<Mutex<Scratch>>,
}

/// One worker's own buffers.
#[derive(Debug, Default)]
struct Scratch {
    input: Rows,
    wide: Vec<f32>,
    attended: Vec<f32>,
    weights: Vec<f32>,
}

/// The keys and values of the sound for one layer of the decoder.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) blocks: Vec<f32>,
    pub(super) positions: usize,
}

impl Encoder {
    /// Encodes `samples` to `positions` positions, into one `heard` per layer of the decoder.
    pub(super) fn encode(
        &mut self,
        weights: &Weights,
        pool: &mut Pool,
        samples: &[f32],
        positions: usize,
        heard: &mut [Heard],
        run: Run<'_>,
    ) -> Result<(), DecodeError> {
        let (width, heads) = (weights.width, weights.heads);
        let blocks = positions.div_ceil(BLOCK);
        let key_length = block_length(heads);
        let chunk = BLOCK * width + key_length;
        self.scratches
            .resize_with(run.threads.max(1), Mutex::default);
        self.rows.resize(blocks * BLOCK * width, 0.0);
        self.current.resize(blocks * chunk, 0.0);
        self.next.resize(blocks * chunk, 0.0);
        for heard in heard.iter_mut() {
            heard.positions = positions;
            heard.blocks.resize(blocks * key_length, 0.0);
        }
        self.convolve_frames(weights, pool, samples, positions, run);
        check(run)?;

        let kernels = &weights.kernels;
        let scratches = &self.scratches;
        let frames = &self.frames;
        let rows = Parts::new(&mut self.rows);
        let first = weights.encoder.first();
        let next = Parts::new(&mut self.next);
        pool.run(run.threads, blocks, &|worker, block| {
            let mut scratch = lock(&scratches[worker]);
            let count = BLOCK.min(positions - block * BLOCK);
            // SAFETY: each claim has a block of its own.
            let own = unsafe { rows.part(block * BLOCK * width, count * width) };
            scratch.convolve(weights, frames, block * BLOCK, own);
            if let Some(layer) = first {
                // SAFETY: as above.
                let next = unsafe { next.part(block * chunk, chunk) };
                scratch.keys(kernels, layer, own, next, heads);
            }
        });
        std::mem::swap(&mut self.current, &mut self.next);

        let heard: Vec<Parts<'_>> = heard
            .iter_mut()
            .map(|h| Parts::new(&mut h.blocks))
            .collect();
        for (index, layer) in weights.encoder.iter().enumerate() {
            check(run)?;
            let rows = Parts::new(&mut self.rows);
            let current = &self.current;
            let next = Parts::new(&mut self.next);
            pool.run(run.threads, blocks, &|worker, block| {
                let mut scratch = lock(&scratches[worker]);
                let count = BLOCK.min(positions - block * BLOCK);
                // SAFETY: each claim has a block of its own.
                let own = unsafe { rows.part(block * BLOCK * width, count * width) };
                scratch.attend(
                    kernels,
                    Queries {
                        values: &current[block * chunk..][..count * width],
                        stride: width,
                        count,
                    },
                    Keys {
                        blocks: &current[BLOCK * width..],
                        stride: chunk,
                        count: positions,
                    },
                    heads,
                );
                scratch.finish_layer(kernels, layer, own);
                if let Some(layer) = weights.encoder.get(index + 1) {
                    // SAFETY: as above.
                    let next = unsafe { next.part(block * chunk, chunk) };
                    scratch.keys(kernels, layer, own, next, heads);
                    return;
                }
                let Scratch { input, wide, .. } = &mut *scratch;
                wide.resize(count * 2 * width, 0.0);
                input.normed(kernels, weights.precision, &weights.encoder_norm, own);
                for (decoder, heard) in weights.decoder.iter().zip(&heard) {
                    let linear = &decoder.cross_kv;
                    linear.apply(kernels, input, wide, 2 * width, Into::Place);
                    // SAFETY: as above.
                    let heard = unsafe { heard.part(block * key_length, key_length) };
                    attention::store_block(heard, wide, 2 * width, heads);
                }
            });
            std::mem::swap(&mut self.current, &mut self.next);
        }
        check(run)
    }

    /// The spectrogram, and the first convolution.
    fn convolve_frames(
        &mut self,
        weights: &Weights,
        pool: &mut Pool,
        samples: &[f32],
        positions: usize,
        run: Run<'_>,
    ) {
        let count = 2 * positions;
        let bands = weights.mel.bands();
        weights.mel.spectrogram(samples, count, &mut self.mel);
        self.padded.clear();
        self.padded.resize(bands, 0.0);
        self.padded.extend_from_slice(&self.mel);
        self.padded.resize((count + 2) * bands, 0.0);

        let width = weights.width;
        self.frames.resize((count + 2) * width, 0.0);
        self.frames[..width].fill(0.0);
        self.frames[(count + 1) * width..].fill(0.0);
        let frames = Parts::new(&mut self.frames);
        let (padded, scratches) = (&self.padded, &self.scratches);
        let kernels = &weights.kernels;
        pool.run(run.threads, count.div_ceil(FRAMES), &|worker, claim| {
            let scratch = &mut *lock(&scratches[worker]);
            let first = claim * FRAMES;
            let some = FRAMES.min(count - first);
            let input = &mut scratch.input;
            input.clear(3 * bands);
            for frame in first..first + some {
                let row = &padded[frame * bands..][..3 * bands];
                input.push(kernels, weights.conv1.precision(), row);
            }
            // SAFETY: each claim has frames of its own; the first row is none of them.
            let out = unsafe { frames.part((1 + first) * width, some * width) };
            weights.conv1.apply(kernels, input, out, width, Into::Place);
            // SAFETY: the table fits the processor.
            unsafe { (kernels.gelu)(out) };
        });
    }
}

fn lock(scratch: &Mutex<Scratch>) -> std::sync::MutexGuard<'_, Scratch> {
    // A panic in another claim leaves nothing that is read before it is written.
    scratch
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Scratch {
    /// The second convolution, with the sinusoids, for the positions from `first` on.
    fn convolve(&mut self, weights: &Weights, frames: &[f32], first: usize, out: &mut [f32]) {
        let width = weights.width;
        let kernels = &weights.kernels;
        self.input.clear(3 * width);
        for position in first..first + out.len() / width {
            let row = &frames[2 * position * width..][..3 * width];
            self.input.push(kernels, weights.conv2.precision(), row);
        }
        let conv = &weights.conv2;
        conv.apply(kernels, &self.input, out, width, Into::Place);
        // SAFETY: the table fits the processor.
        unsafe { (kernels.gelu)(out) };
        let sinusoids = &weights.positions[first * width..];
        for (out, sinusoid) in out.iter_mut().zip(sinusoids) {
            *out += sinusoid;
        }
    }

    /// The queries, keys and values of a block's `rows` for a layer.
    fn keys(
        &mut self,
        kernels: &Kernels,
        layer: &Block,
        rows: &[f32],
        chunk: &mut [f32],
        heads: usize,
    ) {
        let width = layer.attention_norm.weight.len();
        let count = rows.len() / width;
        let precision = layer.qkv.precision();
        self.input
            .normed(kernels, precision, &layer.attention_norm, rows);
        self.wide.resize(count * 3 * width, 0.0);
        let out = &mut self.wide;
        layer
            .qkv
            .apply(kernels, &self.input, out, 3 * width, Into::Place);
        let (queries, block) = chunk.split_at_mut(BLOCK * width);
        for (query, row) in queries
            .chunks_exact_mut(width)
            .zip(out.chunks_exact(3 * width))
        {
            query.copy_from_slice(&row[..width]);
        }
        attention::store_block(block, &out[width..], 3 * width, heads);
    }

    /// Attends with all heads, to `attended`.
    fn attend(&mut self, kernels: &Kernels, queries: Queries<'_>, keys: Keys<'_>, heads: usize) {
        let (count, width) = (queries.count, queries.stride);
        let row_length = keys.count.next_multiple_of(BLOCK);
        self.attended.resize(count * width, 0.0);
        self.weights.resize(count * row_length, 0.0);
        let mut sums = [0.0; BLOCK];
        for head in 0..heads {
            let out = (self.attended.as_mut_slice(), width);
            attention::attend(
                kernels,
                head,
                queries,
                keys,
                &mut self.weights,
                &mut sums,
                out,
            );
        }
    }

    /// What follows attention in a layer, added to `rows`.
    fn finish_layer(&mut self, kernels: &Kernels, layer: &Block, rows: &mut [f32]) {
        let width = layer.mlp_norm.weight.len();
        let count = rows.len() / width;
        self.input
            .plain(kernels, layer.out.precision(), width, &self.attended);
        layer
            .out
            .apply(kernels, &self.input, rows, width, Into::Sum);

        self.input
            .normed(kernels, layer.up.precision(), &layer.mlp_norm, rows);
        let hidden = layer.up.outputs();
        self.wide.resize(count * hidden, 0.0);
        let wide = &mut self.wide;
        layer
            .up
            .apply(kernels, &self.input, wide, hidden, Into::Place);
        // SAFETY: the table fits the processor.
        unsafe { (kernels.gelu)(wide) };
        self.input
            .plain(kernels, layer.down.precision(), hidden, wide);
        layer
            .down
            .apply(kernels, &self.input, rows, width, Into::Sum);
    }
}
