//! Arithmetic, in the best form that the processor has.
//!
//! Numbers in, numbers out; no allocation, no thread. A [`Kernels`] is a table of functions for one
//! set of instructions, chosen once when a model is loaded. Every table computes the same integers
//! exactly, and the same floats up to rounding.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod ops;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::noise;

/// Outputs of a packed panel of weights: the 32-bit lanes of the widest register there is.
pub(super) const PANEL: usize = 16;

/// Panels that an integer tile takes at once.
pub(super) const TILE_PANELS: usize = 4;

/// Rows that an integer tile takes at most: six rows of four panels leave the 32 registers of
/// AVX-512 room for the weights and a broadcast.
pub(super) const TILE_ROWS: usize = 6;

/// Columns of a float tile.
pub(super) const FLOAT_COLUMNS: usize = 32;

/// Rows that a float tile takes at most.
pub(super) const FLOAT_ROWS: usize = 8;

/// The sums of an integer tile.
pub(super) type IntTile = [[i32; TILE_PANELS * PANEL]; TILE_ROWS];

/// The rows that an integer tile reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntRows {
    /// The first number of the first row.
    pub(super) values: *const i8,
    /// From one row to the next.
    pub(super) stride: usize,
    /// The sum of each row.
    pub(super) sums: *const i32,
    /// How many rows: 1 to [`TILE_ROWS`].
    pub(super) count: usize,
}

/// What a float tile reads and writes: `out[r][c] = Σ a[r][k] · b[k][c]`, 32 columns wide.
#[derive(Clone, Copy, Debug)]
pub(super) struct FloatTile {
    /// Rows of `a`.
    pub(super) a: *const f32,
    /// From one row of `a` to the next.
    pub(super) a_stride: usize,
    /// How many rows: 1 to [`FLOAT_ROWS`].
    pub(super) rows: usize,
    /// Rows of `b`, 32 numbers each.
    pub(super) b: *const f32,
    /// From one row of `b` to the next.
    pub(super) b_stride: usize,
    /// Numbers of a row of `a`, and rows of `b`.
    pub(super) depth: usize,
    /// Where the sums go.
    pub(super) out: *mut f32,
    /// From one row of `out` to the next.
    pub(super) out_stride: usize,
    /// Whether they are added to what is there.
    pub(super) adds: bool,
}

/// What makes floats of integer sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales<'a> {
    /// Of the row.
    pub(super) row: f32,
    /// Of each output.
    pub(super) outputs: &'a [f32],
    /// Added to each output.
    pub(super) bias: &'a [f32],
}

/// Functions for one set of instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernels {
    /// For people.
    pub(super) name: &'static str,
    /// Dot products of rows with up to [`TILE_PANELS`] panels: `depth / 4` groups of
    /// 16 outputs times 4 weights, each weight plus 128. The arguments are rows, weights, panels,
    /// depth (a multiple of 4) and the sums.
    ///
    /// # Safety
    ///
    /// `IntRows` must describe rows of `depth` numbers, none of them -128, and `weights` must lead
    /// to `panels` panels of `16 * depth` bytes, none of them 0.
    pub(super) int_tile: unsafe fn(IntRows, *const u8, usize, usize, &mut IntTile),
    /// See [`FloatTile`].
    ///
    /// # Safety
    ///
    /// The tile must describe memory that may be read, and for `out` written.
    pub(super) float_tile: unsafe fn(FloatTile),
    /// Floats of the sums of a row.
    pub(super) scale: unsafe fn(&[i32], Scales<'_>, &mut [f32]),
    /// Floats of the sums of a row, added to what is there.
    pub(super) scale_add: unsafe fn(&[i32], Scales<'_>, &mut [f32]),
    /// Layer norm of a row: input, weight, bias, output.
    #[allow(clippy::type_complexity, reason = "four slices, named above")]
    pub(super) norm: unsafe fn(&[f32], &[f32], &[f32], &mut [f32]),
    /// The row's exponentials relative to its maximum, after scaling; returns their sum.
    pub(super) softmax: unsafe fn(&mut [f32], f32) -> f32,
    /// The Gaussian error linear unit.
    pub(super) gelu: unsafe fn(&mut [f32]),
    /// 8-bit integers of a row; returns what a step stands for, and their sum.
    pub(super) quantise: unsafe fn(&[f32], &mut [i8]) -> (f32, i32),
    /// The dot product of two rows.
    pub(super) dot: unsafe fn(&[f32], &[f32]) -> f32,
    /// Adds a multiple of a row: factor, row, sum.
    pub(super) add_scaled: unsafe fn(f32, &[f32], &mut [f32]),
}

impl Kernels {
    /// The best that this processor has.
    pub(super) fn best() -> Kernels {
        *Kernels::all()
            .last()
            .expect("the portable one is always there")
    }

    /// All that this processor has, the best one last.
    pub(super) fn all() -> Vec<Kernels> {
        let mut all = vec![portable::KERNELS];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 {
                all.push(avx2::KERNELS);
            }
            if has_avx2 && is_x86_feature_detected!("avxvnni") {
                all.push(avx_vnni::KERNELS);
            }
            let has_avx512 = has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if has_avx512 && is_x86_feature_detected!("avx512vnni") {
                all.push(avx512::KERNELS);
            }
        }
        all
    }
}
