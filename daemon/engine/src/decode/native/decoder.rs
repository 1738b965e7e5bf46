//! From tokens to scores.
//!
//! Enters: tokens, and what was heard. Leaves: the scores behind the last of them, and where the
//! model looked. Runs on the thread that decodes; threads help only with large matrices, since one
//! token is bound by reading the weights once.
//!
//! The model is that of OpenAI's `model.py` (`TextDecoder`). Keys and values of each token are
//! kept in slots; a history says which slots a text consists of, so that several texts with a
//! common beginning (beams) share its slots.

use super::attention::{self, BLOCK, Keys, Queries};
use super::encoder::Heard;
use super::kernels::Kernels;
use super::linear::{Into, Rows};
use super::pool::Pool;
use super::weights::{HEAD, Weights};
use crate::decode::backend::check;
use crate::decode::{DecodeError, Run};

/// The state of a decoder.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// For each text, the slots of its tokens.
    histories: Vec<Vec<usize>>,
    /// For each layer, one row per slot.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    /// For each slot, the weights of each alignment head, one per position.
    attention: Vec<f32>,
    scores: Vec<f32>,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    rows: Vec<f32>,
    input: Rows,
    wide: Vec<f32>,
    attended: Vec<f32>,
    weights: Vec<f32>,
}

/// A token that is fed.
#[derive(Clone, Copy, Debug)]
struct Fed {
    token: i32,
    place: usize,
    /// Which text it belongs to. The slots of that text up to `place` are its own and those before.
    text: usize,
}

/// What a step needs besides its own state.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) weights: &'a Weights,
    pub(super) heard: &'a [Heard],
    pub(super) pool: &'a mut Pool,
    pub(super) run: Run<'a>,
}

impl Texts {
    /// Forgets all tokens.
    pub(super) fn clear(&mut self) {
        self.histories.clear();
        self.scores.clear();
    }

    /// Scores behind the last token of text `index`.
    pub(super) fn scores(&self, index: usize, vocabulary: usize) -> &[f32] {
        let start = index * vocabulary;
        self.scores
            .get(start..start + vocabulary)
            .unwrap_or_default()
    }

    /// Feeds `tokens` at `past` to the first text, which is the only one afterwards.
    pub(super) fn feed(
        &mut self,
        tokens: &[i32],
        past: usize,
        mut around: Surroundings<'_>,
    ) -> Result<(), DecodeError> {
        self.histories.resize(1, Vec::new());
        let history = &mut self.histories[0];
        assert!(past <= history.len(), "tokens are fed one behind the other");
        assert!(
            past + tokens.len() <= around.weights.places,
            "the text is too long"
        );
        history.truncate(past);
        history.extend(past..past + tokens.len());
        let fed: Vec<Fed> = tokens
            .iter()
            .zip(past..)
            .map(|(&token, place)| Fed {
                token,
                place,
                text: 0,
            })
            .collect();
        for some in fed.chunks(BLOCK) {
            check(around.run)?;
            self.step(some, &mut around);
        }
        let width = around.weights.width;
        let last = self.scratch.rows.len().saturating_sub(width);
        self.score(last, &mut around);
        Ok(())
    }

    /// Feeds one token to each of several texts, text `i` going on where `parents[i]` was. All
    /// have `past` tokens before it.
    pub(super) fn feed_beams(
        &mut self,
        parents: &[usize],
        tokens: &[i32],
        past: usize,
        mut around: Surroundings<'_>,
    ) -> Result<(), DecodeError> {
        check(around.run)?;
        assert!(
            parents.len() == tokens.len() && parents.len() <= BLOCK,
            "one token for each text"
        );
        let places = around.weights.places;
        assert!(past < places, "the text is too long");
        let histories = parents.iter().enumerate().map(|(text, &parent)| {
            let mut history = self.histories[parent][..past].to_vec();
            history.push(text * places + past);
            history
        });
        self.histories = histories.collect();
        let fed: Vec<Fed> = tokens
            .iter()
            .enumerate()
            .map(|(text, &token)| Fed {
                token,
                place: past,
                text,
            })
            .collect();
        self.step(&fed, &mut around);
        self.score(0, &mut around);
        Ok(())
    }

    /// Takes at most a block of tokens through all layers, to `scratch.rows`.
    fn step(&mut self, fed: &[Fed], around: &mut Surroundings<'_>) {
        let weights = around.weights;
        let (kernels, width, heads) = (&weights.kernels, weights.width, weights.heads);
        let threads = around.run.threads;
        let positions = around.heard.first().map_or(0, |heard| heard.positions);
        let slots: Vec<usize> = fed
            .iter()
            .map(|fed| self.histories[fed.text][fed.place])
            .collect();
        self.make_room(weights, positions, &slots);
        let scratch = &mut self.scratch;
        scratch.embed(weights, fed);
        scratch.attended.resize(fed.len() * width, 0.0);
        for (index, layer) in weights.decoder.iter().enumerate() {
            let block = &layer.block;
            let precision = weights.precision;
            let input = &mut scratch.input;
            input.normed(kernels, precision, &block.attention_norm, &scratch.rows);
            scratch.wide.resize(fed.len() * 3 * width, 0.0);
            let wide = &mut scratch.wide;
            let pool = (&mut *around.pool, threads);
            block
                .qkv
                .apply_shared(pool, kernels, input, wide, Into::Place);
            let (keys, values) = (&mut self.keys[index], &mut self.values[index]);
            for (row, &slot) in wide.chunks_exact(3 * width).zip(&slots) {
                keys[slot * width..][..width].copy_from_slice(&row[width..2 * width]);
                values[slot * width..][..width].copy_from_slice(&row[2 * width..]);
            }
            for (row, fed) in fed.iter().enumerate() {
                let history = &self.histories[fed.text][..=fed.place];
                let query = &wide[row * 3 * width..][..width];
                let out = &mut scratch.attended[row * width..][..width];
                attend_to_text(
                    kernels,
                    query,
                    (keys, values),
                    history,
                    &mut scratch.weights,
                    out,
                );
            }
            input.plain(kernels, precision, width, &scratch.attended);
            let pool = (&mut *around.pool, threads);
            block
                .out
                .apply_shared(pool, kernels, input, &mut scratch.rows, Into::Sum);

            input.normed(kernels, precision, &layer.cross_norm, &scratch.rows);
            wide.resize(fed.len() * width, 0.0);
            let pool = (&mut *around.pool, threads);
            layer
                .cross_query
                .apply_shared(pool, kernels, input, wide, Into::Place);
            let queries = Queries {
                values: wide,
                stride: width,
                count: fed.len(),
            };
            let keys = Keys {
                blocks: &around.heard[index].blocks,
                stride: attention::block_length(heads),
                count: positions,
            };
            let row_length = positions.next_multiple_of(BLOCK);
            scratch.weights.resize(fed.len() * row_length, 0.0);
            let mut sums = [0.0; BLOCK];
            for head in 0..heads {
                let out = (scratch.attended.as_mut_slice(), width);
                let looked = &mut scratch.weights;
                attention::attend(kernels, head, queries, keys, looked, &mut sums, out);
                let Some(kept) = weights.alignment.iter().position(|&h| h == (index, head)) else {
                    continue;
                };
                for ((&slot, row), sum) in slots.iter().zip(looked.chunks(row_length)).zip(sums) {
                    let start = (slot * weights.alignment.len() + kept) * positions;
                    let kept = &mut self.attention[start..][..positions];
                    for (kept, weight) in kept.iter_mut().zip(row) {
                        *kept = weight / sum;
                    }
                }
            }
            input.plain(kernels, precision, width, &scratch.attended);
            let pool = (&mut *around.pool, threads);
            layer
                .cross_out
                .apply_shared(pool, kernels, input, &mut scratch.rows, Into::Sum);

            input.normed(kernels, precision, &block.mlp_norm, &scratch.rows);
            wide.resize(fed.len() * block.up.outputs(), 0.0);
            let pool = (&mut *around.pool, threads);
            block
                .up
                .apply_shared(pool, kernels, input, wide, Into::Place);
            // SAFETY: the table fits the processor.
            unsafe { (kernels.gelu)(wide) };
            input.plain(kernels, precision, block.up.outputs(), wide);
            let pool = (&mut *around.pool, threads);
            block
                .down
                .apply_shared(pool, kernels, input, &mut scratch.rows, Into::Sum);
        }
    }

    /// Scores of the rows of the last step, from number `first` on.
    fn score(&mut self, first: usize, around: &mut Surroundings<'_>) {
        let weights = around.weights;
        let Scratch { rows, input, .. } = &mut self.scratch;
        let rows = &rows[first..];
        let norm = &weights.decoder_norm;
        input.normed(&weights.kernels, weights.precision, norm, rows);
        self.scores
            .resize(rows.len() / weights.width * weights.vocabulary, 0.0);
        weights.embedding.apply_shared(
            (&mut *around.pool, around.run.threads),
            &weights.kernels,
            input,
            &mut self.scores,
            Into::Place,
        );
    }

    fn make_room(&mut self, weights: &Weights, positions: usize, slots: &[usize]) {
        let count = slots.iter().max().map_or(0, |slot| slot + 1);
        self.keys.resize_with(weights.decoder.len(), Vec::new);
        self.values.resize_with(weights.decoder.len(), Vec::new);
        for rows in self.keys.iter_mut().chain(&mut self.values) {
            rows.resize(rows.len().max(count * weights.width), 0.0);
        }
        let attention = count * weights.alignment.len() * positions;
        self.attention
            .resize(self.attention.len().max(attention), 0.0);
    }

    /// The weights of all alignment heads, by slot; `None` for a place without a token.
    pub(super) fn attention(&self) -> Option<(&[f32], &[usize])> {
        let history = self.histories.first()?;
        Some((&self.attention, history))
    }
}

impl Scratch {
    fn embed(&mut self, weights: &Weights, fed: &[Fed]) {
        let width = weights.width;
        self.rows.clear();
        for fed in fed {
            let start = self.rows.len();
            self.rows.resize(start + width, 0.0);
            let token = usize::try_from(fed.token)
                .ok()
                .filter(|&token| token < weights.vocabulary)
                .expect("tokens come from this model's vocabulary");
            let row = &mut self.rows[start..];
            weights.embedding.weights_of(token, row);
            let place = &weights.place_rows[fed.place * width..][..width];
            let columns = &weights.embedding_columns;
            for ((value, column), place) in row.iter_mut().zip(columns).zip(place) {
                *value = *value / column + place;
            }
        }
    }
}

/// Attention of one token over those before it and itself.
fn attend_to_text(
    kernels: &Kernels,
    query: &[f32],
    (keys, values): (&[f32], &[f32]),
    history: &[usize],
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let width = query.len();
    let scale = 1.0 / (HEAD as f32).sqrt();
    out.fill(0.0);
    for first in (0..width).step_by(HEAD) {
        let query = &query[first..][..HEAD];
        let row = |slot: usize| slot * width + first..slot * width + first + HEAD;
        scores.clear();
        for &slot in history {
            // SAFETY: here and below, the table fits the processor.
            scores.push(unsafe { (kernels.dot)(query, &keys[row(slot)]) });
        }
        // SAFETY: as above.
        let sum = unsafe { (kernels.softmax)(scores, scale) };
        let out = &mut out[first..][..HEAD];
        for (&slot, score) in history.iter().zip(scores.iter()) {
            // SAFETY: as above.
            unsafe { (kernels.add_scaled)(score / sum, &values[row(slot)], out) };
        }
    }
}
