//! AVX2 with FMA: every x86 processor from about 2015 on.
//!
//! There is no product of bytes that sums up without loss: `maddubs` saturates at 16 bits. With
//! both factors within ±127 and the sign moved from one to the other, a pair comes to at most
//! 2 · 127 · 127 = 32,258, which fits.

use std::arch::x86_64::*;

use super::{FLOAT_COLUMNS, FloatTile, IntRows, IntTile, Kernels, PANEL, Scales, ops};

ops::table!("avx2", "avx2,fma,bmi2", int_tile, float_tile);

/// # Safety
///
/// See [`Kernels::int_tile`].
#[target_feature(enable = "avx2,fma")]
unsafe fn int_tile(
    rows: IntRows,
    weights: *const u8,
    panels: usize,
    depth: usize,
    sums: &mut IntTile,
) {
    for panel in 0..panels {
        let mut row = 0;
        while row < rows.count {
            let count = (rows.count - row).min(3);
            // SAFETY: some of the rows, and one of the panels, that the caller promises.
            unsafe {
                let some = IntRows {
                    values: rows.values.add(row * rows.stride),
                    sums: rows.sums.add(row),
                    count,
                    ..rows
                };
                let weights = weights.add(panel * depth * PANEL);
                let sums = &mut sums[row..];
                match count {
                    3 => int_panel_of::<3>(some, weights, depth, panel * PANEL, sums),
                    2 => int_panel_of::<2>(some, weights, depth, panel * PANEL, sums),
                    _ => int_panel_of::<1>(some, weights, depth, panel * PANEL, sums),
                }
            }
            row += count;
        }
    }
}

/// # Safety
///
/// See [`Kernels::int_tile`]; one panel.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn int_panel_of<const ROWS: usize>(
    rows: IntRows,
    weights: *const u8,
    depth: usize,
    column: usize,
    sums: &mut [[i32; 4 * PANEL]],
) {
    // SAFETY: the caller promises `ROWS` rows and a panel of `depth` numbers, and room in `sums`.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let shift = _mm256_set1_epi8(-128);
        let mut lanes = [[_mm256_setzero_si256(); 2]; ROWS];
        for group in 0..depth / 4 {
            let at = weights.add(group * 4 * PANEL);
            // Minus 128, which for bytes is the highest bit turned over.
            let left = _mm256_xor_si256(_mm256_loadu_si256(at.cast()), shift);
            let right = _mm256_xor_si256(_mm256_loadu_si256(at.add(32).cast()), shift);
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let four = rows.values.add(row * rows.stride + group * 4);
                let four = _mm256_set1_epi32(four.cast::<i32>().read_unaligned());
                let size = _mm256_abs_epi8(four);
                for (lane, weight) in lanes.iter_mut().zip([left, right]) {
                    let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(weight, four));
                    *lane = _mm256_add_epi32(*lane, _mm256_madd_epi16(pairs, ones));
                }
            }
        }
        for (lanes, sums) in lanes.iter().zip(sums) {
            let out = sums[column..column + PANEL].as_mut_ptr();
            _mm256_storeu_si256(out.cast(), lanes[0]);
            _mm256_storeu_si256(out.add(8).cast(), lanes[1]);
        }
    }
}

/// # Safety
///
/// See [`Kernels::float_tile`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn float_tile(tile: FloatTile) {
    // Sixteen registers hold six rows of two.
    for column in (0..FLOAT_COLUMNS).step_by(16) {
        let mut row = 0;
        while row < tile.rows {
            let rows = match tile.rows - row {
                // Four and four are faster than six and two.
                8 => 4,
                rest => rest.min(6),
            };
            // SAFETY: a part of what the caller describes.
            unsafe {
                let part = FloatTile {
                    a: tile.a.add(row * tile.a_stride),
                    rows,
                    b: tile.b.add(column),
                    out: tile.out.add(row * tile.out_stride + column),
                    ..tile
                };
                match rows {
                    6 => float_part::<6>(part),
                    5 => float_part::<5>(part),
                    4 => float_part::<4>(part),
                    3 => float_part::<3>(part),
                    2 => float_part::<2>(part),
                    _ => float_part::<1>(part),
                }
            }
            row += rows;
        }
    }
}

/// # Safety
///
/// See [`Kernels::float_tile`]; 16 columns.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn float_part<const ROWS: usize>(tile: FloatTile) {
    // SAFETY: the caller describes `ROWS` rows of `depth` numbers and `depth` rows of 16.
    unsafe {
        let mut lanes = [[_mm256_setzero_ps(); 2]; ROWS];
        if tile.adds {
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let out = tile.out.add(row * tile.out_stride);
                *lanes = [_mm256_loadu_ps(out), _mm256_loadu_ps(out.add(8))];
            }
        }
        for k in 0..tile.depth {
            let b = tile.b.add(k * tile.b_stride);
            let (left, right) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let a = _mm256_set1_ps(*tile.a.add(row * tile.a_stride + k));
                lanes[0] = _mm256_fmadd_ps(a, left, lanes[0]);
                lanes[1] = _mm256_fmadd_ps(a, right, lanes[1]);
            }
        }
        for (row, lanes) in lanes.into_iter().enumerate() {
            for (half, lane) in lanes.into_iter().enumerate() {
                let out = tile.out.add(row * tile.out_stride + 8 * half);
                _mm256_storeu_ps(out, lane);
            }
        }
    }
}
