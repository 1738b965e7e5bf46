//! AVX2 with the vector neural network instructions in 256 bits: Intel's laptops and desktops
//! since Alder Lake (2021), AMD from Zen 5 on.

use std::arch::x86_64::*;

use super::avx2::float_tile;
use super::{IntRows, IntTile, Kernels, PANEL, Scales, ops};

ops::table!("avx-vnni", "avx2,fma,bmi2,avxvnni", int_tile, float_tile);

/// # Safety
///
/// See [`Kernels::int_tile`].
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn int_tile(
    rows: IntRows,
    weights: *const u8,
    panels: usize,
    depth: usize,
    sums: &mut IntTile,
) {
    for panel in 0..panels {
        // SAFETY: one of the panels that the caller promises.
        unsafe {
            let weights = weights.add(panel * depth * PANEL);
            let column = panel * PANEL;
            match rows.count {
                6 => int_panel_of::<6>(rows, weights, depth, column, sums),
                5 => int_panel_of::<5>(rows, weights, depth, column, sums),
                4 => int_panel_of::<4>(rows, weights, depth, column, sums),
                3 => int_panel_of::<3>(rows, weights, depth, column, sums),
                2 => int_panel_of::<2>(rows, weights, depth, column, sums),
                _ => int_panel_of::<1>(rows, weights, depth, column, sums),
            }
        }
    }
}

/// # Safety
///
/// See [`Kernels::int_tile`]; one panel.
#[target_feature(enable = "avx2,fma,avxvnni")]
#[inline]
unsafe fn int_panel_of<const ROWS: usize>(
    rows: IntRows,
    weights: *const u8,
    depth: usize,
    column: usize,
    sums: &mut IntTile,
) {
    // SAFETY: the caller promises `ROWS` rows and a panel of `depth` numbers, and the tile has
    // room for them.
    unsafe {
        let mut lanes = [[_mm256_setzero_si256(); 2]; ROWS];
        for (row, lanes) in lanes.iter_mut().enumerate() {
            // The weights are 128 too large.
            *lanes = [_mm256_set1_epi32(-128 * *rows.sums.add(row)); 2];
        }
        for group in 0..depth / 4 {
            let at = weights.add(group * 4 * PANEL);
            let left = _mm256_loadu_si256(at.cast());
            let right = _mm256_loadu_si256(at.add(32).cast());
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let four = rows.values.add(row * rows.stride + group * 4);
                let four = _mm256_set1_epi32(four.cast::<i32>().read_unaligned());
                lanes[0] = _mm256_dpbusd_avx_epi32(lanes[0], left, four);
                lanes[1] = _mm256_dpbusd_avx_epi32(lanes[1], right, four);
            }
        }
        for (lanes, sums) in lanes.iter().zip(sums) {
            let out = sums[column..column + PANEL].as_mut_ptr();
            _mm256_storeu_si256(out.cast(), lanes[0]);
            _mm256_storeu_si256(out.add(8).cast(), lanes[1]);
        }
    }
}
