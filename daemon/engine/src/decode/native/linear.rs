//! A layer of weights, packed for the kernels.
//!
//! Enters: rows of numbers. Leaves: rows of numbers. Weights are 8-bit integers with a scale per
//! output; each input row becomes 8-bit integers with a scale of its own on the way, as
//! CTranslate2 does it. Or both stay floats: the measure that the integers are tested by.

use super::kernels::{
    FLOAT_COLUMNS, FLOAT_ROWS, FloatTile, IntRows, IntTile, Kernels, PANEL, Scales, TILE_PANELS,
    TILE_ROWS,
};
use super::pool::{Parts, Pool};
use super::weights::Norm;

/// How weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// As floats: four times the memory.
    #[cfg_attr(not(test), allow(dead_code, reason = "the measure in tests"))]
    Float,
    /// As 8-bit integers.
    Int8,
}

/// `outputs` sums over `inputs` numbers, each with its own weights and bias.
#[derive(Debug)]
pub(super) struct Linear {
    inputs: usize,
    outputs: usize,
    weights: Weights,
    /// One per output, filled up to whole tiles.
    bias: Vec<f32>,
}

#[derive(Debug)]
enum Weights {
    /// Panels of [`FLOAT_COLUMNS`] outputs: for each input, the weights of all of them.
    Float(Vec<f32>),
    Int8 {
        /// See [`Kernels::int_tile`].
        panels: Vec<u8>,
        /// What a weight's step stands for; one per output, filled up to whole tiles.
        scales: Vec<f32>,
        /// Inputs, filled up with zeros to a multiple of 4.
        depth: usize,
    },
}

/// Rows that are ready to be multiplied.
#[derive(Debug, Default)]
pub(super) struct Rows {
    count: usize,
    width: usize,
    floats: Vec<f32>,
    bytes: Vec<i8>,
    stride: usize,
    steps: Vec<f32>,
    sums: Vec<i32>,
    /// A row behind a norm.
    normed: Vec<f32>,
}

/// What to do with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Into {
    /// Put it there.
    Place,
    /// Add it to what is there.
    Sum,
}

/// Outputs of one claim where one row's outputs are shared among threads: a multiple of a tile.
const CLAIM_OUTPUTS: usize = 1024;

/// Weights above which one row's outputs are shared: reading a megabyte takes ten times as long
/// as waking a thread.
const SHARED_FROM: usize = 1 << 20;

impl Rows {
    /// Empties it for rows of `width` numbers.
    pub(super) fn clear(&mut self, width: usize) {
        self.count = 0;
        self.width = width;
        self.stride = width.next_multiple_of(4);
        self.floats.clear();
        self.bytes.clear();
        self.steps.clear();
        self.sums.clear();
    }

    /// Makes it of `rows`, each `width` numbers, for a layer of this `precision`.
    pub(super) fn plain(
        &mut self,
        kernels: &Kernels,
        precision: Precision,
        width: usize,
        rows: &[f32],
    ) {
        self.clear(width);
        for row in rows.chunks_exact(width) {
            self.push(kernels, precision, row);
        }
    }

    /// Makes it of `rows` behind a layer norm.
    pub(super) fn normed(
        &mut self,
        kernels: &Kernels,
        precision: Precision,
        norm: &Norm,
        rows: &[f32],
    ) {
        let width = norm.weight.len();
        self.clear(width);
        let mut normed = std::mem::take(&mut self.normed);
        normed.resize(width, 0.0);
        for row in rows.chunks_exact(width) {
            // SAFETY: the table was chosen by what the processor has.
            unsafe { (kernels.norm)(row, &norm.weight, &norm.bias, &mut normed) };
            self.push(kernels, precision, &normed);
        }
        self.normed = normed;
    }

    /// Adds a row for a layer of this `precision`.
    pub(super) fn push(&mut self, kernels: &Kernels, precision: Precision, row: &[f32]) {
        debug_assert_eq!(row.len(), self.width);
        self.count += 1;
        match precision {
            Precision::Float => self.floats.extend_from_slice(row),
            Precision::Int8 => {
                let start = self.bytes.len();
                self.bytes.resize(start + self.stride, 0);
                let bytes = &mut self.bytes[start..start + self.width];
                // SAFETY: the table was chosen by what the processor has.
                let (step, sum) = unsafe { (kernels.quantise)(row, bytes) };
                self.steps.push(step);
                self.sums.push(sum);
            }
        }
    }
}

impl Linear {
    /// Packs the weights of `outputs` rows, which `row` writes one by one.
    pub(super) fn pack(
        precision: Precision,
        inputs: usize,
        outputs: usize,
        mut bias: Vec<f32>,
        mut row: impl FnMut(usize, &mut [f32]),
    ) -> Linear {
        let tile = TILE_PANELS * PANEL;
        bias.resize(outputs.next_multiple_of(tile), 0.0);
        let mut values = vec![0.0; inputs];
        let weights = match precision {
            Precision::Float => {
                let mut panels = vec![0.0; outputs.next_multiple_of(FLOAT_COLUMNS) * inputs];
                for output in 0..outputs {
                    row(output, &mut values);
                    let (panel, lane) = (output / FLOAT_COLUMNS, output % FLOAT_COLUMNS);
                    let start = panel * FLOAT_COLUMNS * inputs + lane;
                    for (k, &value) in values.iter().enumerate() {
                        panels[start + k * FLOAT_COLUMNS] = value;
                    }
                }
                Weights::Float(panels)
            }
            Precision::Int8 => {
                let depth = inputs.next_multiple_of(4);
                let mut panels = vec![128; outputs.next_multiple_of(PANEL) * depth];
                let mut scales = vec![0.0; outputs.next_multiple_of(tile)];
                for (output, scale) in scales.iter_mut().enumerate().take(outputs) {
                    row(output, &mut values);
                    let largest = values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                    *scale = largest / 127.0;
                    let start = int8_place(depth, output);
                    for (k, &value) in values.iter().enumerate() {
                        let weight = (value * inverse).round().clamp(-127.0, 127.0);
                        panels[start + k / 4 * 4 * PANEL + k % 4] = (weight + 128.0) as u8;
                    }
                }
                Weights::Int8 {
                    panels,
                    scales,
                    depth,
                }
            }
        };
        Linear {
            inputs,
            outputs,
            weights,
            bias,
        }
    }

    pub(super) fn precision(&self) -> Precision {
        match self.weights {
            Weights::Float(_) => Precision::Float,
            Weights::Int8 { .. } => Precision::Int8,
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Writes the weights of an output to `out`: for an embedding, the row of a token.
    pub(super) fn weights_of(&self, output: usize, out: &mut [f32]) {
        match &self.weights {
            Weights::Float(panels) => {
                let (panel, lane) = (output / FLOAT_COLUMNS, output % FLOAT_COLUMNS);
                let start = panel * FLOAT_COLUMNS * self.inputs + lane;
                for (k, out) in out.iter_mut().enumerate() {
                    *out = panels[start + k * FLOAT_COLUMNS];
                }
            }
            Weights::Int8 {
                panels,
                scales,
                depth,
            } => {
                let start = int8_place(*depth, output);
                for (k, out) in out.iter_mut().enumerate() {
                    let weight = panels[start + k / 4 * 4 * PANEL + k % 4];
                    *out = (f32::from(weight) - 128.0) * scales[output];
                }
            }
        }
    }

    /// All outputs of all `rows`; those of one row are `stride` numbers behind those of the one
    /// before it.
    pub(super) fn apply(
        &self,
        kernels: &Kernels,
        rows: &Rows,
        out: &mut [f32],
        stride: usize,
        into: Into,
    ) {
        assert!(rows.count == 0 || out.len() >= (rows.count - 1) * stride + self.outputs);
        let out = Parts::new(out);
        // SAFETY: nobody else writes to `out`.
        unsafe { self.apply_some(kernels, rows, 0..self.outputs, &out, stride, into) };
    }

    /// As [`apply`](Linear::apply), with the outputs shared among `threads` where that pays.
    pub(super) fn apply_shared(
        &self,
        (pool, threads): (&mut Pool, usize),
        kernels: &Kernels,
        rows: &Rows,
        out: &mut [f32],
        into: Into,
    ) {
        let stride = self.outputs;
        if threads < 2 || self.outputs * self.inputs < SHARED_FROM {
            return self.apply(kernels, rows, out, stride, into);
        }
        assert!(out.len() >= rows.count * stride);
        let parts = Parts::new(out);
        // At least two claims for each thread, so that a slow one holds nobody up for long.
        let most = self.outputs.div_ceil(2 * threads);
        let claim_outputs = most
            .next_multiple_of(TILE_PANELS * PANEL)
            .min(CLAIM_OUTPUTS);
        let claims = self.outputs.div_ceil(claim_outputs);
        pool.run(threads, claims, &|_, claim| {
            let first = claim * claim_outputs;
            let last = (first + claim_outputs).min(self.outputs);
            // SAFETY: each claim writes outputs of its own.
            unsafe { self.apply_some(kernels, rows, first..last, &parts, stride, into) };
        });
    }

    /// The outputs `range` of all rows; it starts at a whole tile.
    ///
    /// # Safety
    ///
    /// Nobody else may use those places of `out` meanwhile.
    unsafe fn apply_some(
        &self,
        kernels: &Kernels,
        rows: &Rows,
        range: std::ops::Range<usize>,
        out: &Parts<'_>,
        stride: usize,
        into: Into,
    ) {
        debug_assert_eq!(rows.width, self.inputs);
        match &self.weights {
            Weights::Float(panels) => {
                for first in range.clone().step_by(FLOAT_COLUMNS) {
                    let columns = FLOAT_COLUMNS.min(range.end - first);
                    let panel = &panels[first * self.inputs..][..FLOAT_COLUMNS * self.inputs];
                    for row in (0..rows.count).step_by(FLOAT_ROWS) {
                        let mut sums = [[0.0; FLOAT_COLUMNS]; FLOAT_ROWS];
                        let count = FLOAT_ROWS.min(rows.count - row);
                        let tile = FloatTile {
                            a: rows.floats[row * self.inputs..].as_ptr(),
                            a_stride: self.inputs,
                            rows: count,
                            b: panel.as_ptr(),
                            b_stride: FLOAT_COLUMNS,
                            depth: self.inputs,
                            out: sums.as_mut_ptr().cast(),
                            out_stride: FLOAT_COLUMNS,
                            adds: false,
                        };
                        // SAFETY: the sizes are those of the slices; the table fits the processor.
                        unsafe { (kernels.float_tile)(tile) };
                        let bias = &self.bias[first..];
                        for (index, sums) in sums.iter().enumerate().take(count) {
                            // SAFETY: the caller keeps these places for us.
                            let out = unsafe { out.part((row + index) * stride + first, columns) };
                            for ((out, sum), bias) in out.iter_mut().zip(sums).zip(bias) {
                                match into {
                                    Into::Place => *out = sum + bias,
                                    Into::Sum => *out += sum + bias,
                                }
                            }
                        }
                    }
                }
            }
            Weights::Int8 {
                panels,
                scales,
                depth,
            } => {
                let scale = match into {
                    Into::Place => kernels.scale,
                    Into::Sum => kernels.scale_add,
                };
                let mut sums: IntTile = [[0; _]; _];
                for first in range.clone().step_by(TILE_PANELS * PANEL) {
                    let columns = (TILE_PANELS * PANEL).min(range.end - first);
                    let count = columns.div_ceil(PANEL);
                    let weights = &panels[first * depth..][..count * PANEL * depth];
                    let mut row = 0;
                    while row < rows.count {
                        let left = rows.count - row;
                        // Tiles of equal height: eight rows are four and four, not six and two.
                        let height = left.div_ceil(left.div_ceil(TILE_ROWS));
                        let described = IntRows {
                            values: rows.bytes[row * rows.stride..][..height * rows.stride]
                                .as_ptr(),
                            stride: rows.stride,
                            sums: rows.sums[row..][..height].as_ptr(),
                            count: height,
                        };
                        // SAFETY: the sizes are those of the slices; `pack` writes no 0 and
                        // `quantise` no -128; the table fits the processor.
                        unsafe {
                            (kernels.int_tile)(
                                described,
                                weights.as_ptr(),
                                count,
                                *depth,
                                &mut sums,
                            );
                        }
                        for (index, sums) in sums.iter().enumerate().take(height) {
                            let scales = Scales {
                                row: rows.steps[row + index],
                                outputs: &scales[first..][..columns],
                                bias: &self.bias[first..][..columns],
                            };
                            // SAFETY: the caller keeps these places for us; the table fits the
                            // processor.
                            unsafe {
                                let out = out.part((row + index) * stride + first, columns);
                                scale(sums, scales, out);
                            }
                        }
                        row += height;
                    }
                }
            }
        }
    }
}

/// Where the weights of an output begin; four of them stand together, and the next four come
/// behind those of the panel's other outputs.
fn int8_place(depth: usize, output: usize) -> usize {
    output / PANEL * PANEL * depth + output % PANEL * 4
}

#[cfg(test)]
mod tests {
    use super::super::kernels::noise;
    use super::*;

    #[test]
    fn odd_sizes_give_what_naive_sums_give() {
        for (inputs, outputs, count) in [(1, 1, 1), (7, 17, 3), (240, 100, 13), (384, 1536, 9)] {
            let weights = noise(inputs * outputs, 1);
            let bias = noise(outputs, 2);
            let values = noise(inputs * count, 3);
            let before = noise(outputs * count, 4);
            for (kernels, precision) in Kernels::all()
                .into_iter()
                .flat_map(|k| [(k, Precision::Float), (k, Precision::Int8)])
            {
                let linear = Linear::pack(precision, inputs, outputs, bias.clone(), |row, out| {
                    out.copy_from_slice(&weights[row * inputs..][..inputs]);
                });
                let mut rows = Rows::default();
                rows.clear(inputs);
                for row in values.chunks(inputs) {
                    rows.push(&kernels, precision, row);
                }
                let mut placed = vec![0.0; outputs * count];
                linear.apply(&kernels, &rows, &mut placed, outputs, Into::Place);
                let mut added = before.clone();
                let mut pool = Pool::new();
                linear.apply_shared((&mut pool, 3), &kernels, &rows, &mut added, Into::Sum);
                // Half a step of each factor, of which the signs are as good as random.
                let allowed = match precision {
                    Precision::Float => 1e-4,
                    Precision::Int8 => 6.0 * (inputs as f32).sqrt() / 254.0,
                };
                for index in 0..outputs * count {
                    let (row, output) = (index / outputs, index % outputs);
                    let sum: f32 = (0..inputs)
                        .map(|k| values[row * inputs + k] * weights[output * inputs + k])
                        .sum();
                    let expected = sum + bias[output];
                    let error = (placed[index] - expected).abs();
                    assert!(error < allowed, "{} {precision:?}: {error}", kernels.name);
                    let error = (added[index] - before[index] - placed[index]).abs();
                    assert!(error < 1e-4, "{} {precision:?}: {error}", kernels.name);
                }
                let mut row = vec![0.0; inputs];
                linear.weights_of(outputs - 1, &mut row);
                for (found, &weight) in row.iter().zip(&weights[(outputs - 1) * inputs..]) {
                    assert!((found - weight).abs() < 0.005, "{found} {weight}");
                }
            }
        }
    }
}
