//! Attention of some rows over many keys.
//!
//! Enters: queries, and keys with their values in blocks. Leaves: the values' means, weighted by
//! the softmax of the dot products. Pure, on buffers of the caller's.
//!
//! A block holds 32 keys. For each head the keys stand turned over (for each of the head's 64
//! numbers those of all 32 keys), then the values row by row: both are what a float tile reads.

use super::kernels::{FLOAT_COLUMNS, FLOAT_ROWS, FloatTile, Kernels};
use super::weights::HEAD;

/// Keys of a block.
pub(super) const BLOCK: usize = FLOAT_COLUMNS;

/// Numbers of one head's keys, or values, in a block.
const HEAD_BLOCK: usize = HEAD * BLOCK;

/// Numbers of a block of keys and values of `heads` heads.
pub(super) const fn block_length(heads: usize) -> usize {
    2 * heads * HEAD_BLOCK
}

/// Writes up to [`BLOCK`] rows of keys followed by values, `2 * heads * 64` numbers each and
/// `stride` apart, into a block.
pub(super) fn store_block(block: &mut [f32], rows: &[f32], stride: usize, heads: usize) {
    let width = heads * HEAD;
    for (place, row) in rows.chunks(stride).take(BLOCK).enumerate() {
        let (keys, values) = (&row[..width], &row[width..2 * width]);
        for head in 0..heads {
            let both = &mut block[head * 2 * HEAD_BLOCK..][..2 * HEAD_BLOCK];
            let (turned, plain) = both.split_at_mut(HEAD_BLOCK);
            for (number, &key) in keys[head * HEAD..][..HEAD].iter().enumerate() {
                turned[number * BLOCK + place] = key;
            }
            plain[place * HEAD..][..HEAD].copy_from_slice(&values[head * HEAD..][..HEAD]);
        }
    }
}

/// Blocks with keys and values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys<'a> {
    /// The blocks.
    pub(super) blocks: &'a [f32],
    /// From one block to the next.
    pub(super) stride: usize,
    /// Keys that count.
    pub(super) count: usize,
}

/// Rows of queries, of all heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queries<'a> {
    pub(super) values: &'a [f32],
    /// From one row to the next.
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// Attends with one head. The weighted means go to columns `64 * head` and on of the rows of
/// `out`, `out_stride` apart; the weights of row `r` to `weights[r * w..]` before they are divided
/// by their sum, where `w` is the number of keys, filled up to whole blocks. What to divide by
/// goes to `sums`.
pub(super) fn attend(
    kernels: &Kernels,
    head: usize,
    queries: Queries<'_>,
    keys: Keys<'_>,
    weights: &mut [f32],
    sums: &mut [f32],
    (out, out_stride): (&mut [f32], usize),
) {
    let blocks = keys.count.div_ceil(BLOCK);
    let row_length = blocks * BLOCK;
    let rows = queries.count;
    assert!(weights.len() >= rows * row_length && sums.len() >= rows);
    assert!(queries.values.len() >= (rows - 1) * queries.stride + (head + 1) * HEAD);
    assert!(out.len() >= (rows - 1) * out_stride + (head + 1) * HEAD);
    let block_of = |block: usize| {
        let start = block * keys.stride + head * 2 * HEAD_BLOCK;
        keys.blocks[start..start + 2 * HEAD_BLOCK].split_at(HEAD_BLOCK)
    };
    for block in 0..blocks {
        let (turned, _) = block_of(block);
        for row in (0..rows).step_by(FLOAT_ROWS) {
            let tile = FloatTile {
                a: queries.values[row * queries.stride + head * HEAD..].as_ptr(),
                a_stride: queries.stride,
                rows: FLOAT_ROWS.min(rows - row),
                b: turned.as_ptr(),
                b_stride: BLOCK,
                depth: HEAD,
                out: weights[row * row_length + block * BLOCK..].as_mut_ptr(),
                out_stride: row_length,
                adds: false,
            };
            // SAFETY: the lengths were asserted above; the table fits the processor.
            unsafe { (kernels.float_tile)(tile) };
        }
    }
    let scale = 1.0 / (HEAD as f32).sqrt();
    for (row, sum) in sums.iter_mut().enumerate().take(rows) {
        let row = &mut weights[row * row_length..][..row_length];
        let (scores, rest) = row.split_at_mut(keys.count);
        // SAFETY: the table fits the processor.
        *sum = unsafe { (kernels.softmax)(scores, scale) };
        rest.fill(0.0);
    }
    for block in 0..blocks {
        let (_, values) = block_of(block);
        for row in (0..rows).step_by(FLOAT_ROWS) {
            for half in (0..HEAD).step_by(FLOAT_COLUMNS) {
                let tile = FloatTile {
                    a: weights[row * row_length + block * BLOCK..].as_ptr(),
                    a_stride: row_length,
                    rows: FLOAT_ROWS.min(rows - row),
                    b: values[half..].as_ptr(),
                    b_stride: HEAD,
                    depth: BLOCK.min(keys.count - block * BLOCK),
                    out: out[row * out_stride + head * HEAD + half..].as_mut_ptr(),
                    out_stride,
                    adds: block > 0,
                };
                // SAFETY: the lengths were asserted above; the table fits the processor.
                unsafe { (kernels.float_tile)(tile) };
            }
        }
    }
    for (row, sum) in sums.iter().enumerate().take(rows) {
        for value in &mut out[row * out_stride + head * HEAD..][..HEAD] {
            *value /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernels::noise;
    use super::*;

    #[test]
    fn attention_is_what_its_definition_says() {
        let heads = 3;
        let width = heads * HEAD;
        for kernels in Kernels::all() {
            for (rows, count) in [(1, 1), (3, 31), (9, 32), (32, 70)] {
                let queries = noise(rows * width, 1);
                let pairs = noise(count * 2 * width, 2);
                let stride = block_length(heads) + 5;
                let mut blocks = vec![9.0; count.div_ceil(BLOCK) * stride];
                for (block, rows) in blocks
                    .chunks_mut(stride)
                    .zip(pairs.chunks(BLOCK * 2 * width))
                {
                    store_block(block, rows, 2 * width, heads);
                }
                let mut weights = vec![0.0; rows * count.next_multiple_of(BLOCK)];
                let mut sums = vec![0.0; rows];
                let mut out = vec![0.0; rows * width];
                for head in 0..heads {
                    attend(
                        &kernels,
                        head,
                        Queries {
                            values: &queries,
                            stride: width,
                            count: rows,
                        },
                        Keys {
                            blocks: &blocks,
                            stride,
                            count,
                        },
                        &mut weights,
                        &mut sums,
                        (&mut out, width),
                    );
                    for row in 0..rows {
                        let query = &queries[row * width + head * HEAD..][..HEAD];
                        let powers: Vec<f64> = (0..count)
                            .map(|key| {
                                let key = &pairs[key * 2 * width + head * HEAD..][..HEAD];
                                let dot: f32 = query.iter().zip(key).map(|(a, b)| a * b).sum();
                                f64::from(dot / 8.0).exp()
                            })
                            .collect();
                        let total: f64 = powers.iter().sum();
                        for number in 0..HEAD {
                            let column = head * HEAD + number;
                            let expected: f64 = (0..count)
                                .map(|key| {
                                    let value = pairs[key * 2 * width + width + column];
                                    powers[key] / total * f64::from(value)
                                })
                                .sum();
                            let error = (f64::from(out[row * width + column]) - expected).abs();
                            assert!(error < 1e-4, "{} {rows} {count}: {error}", kernels.name);
                        }
                    }
                }
            }
        }
    }
}
