//! AVX-512 with its vector neural network instructions: Intel from Ice Lake on (servers, and
//! laptops of 2019 to 2021), AMD from Zen 4 on.

use std::arch::x86_64::*;

use super::{FloatTile, IntRows, IntTile, Kernels, PANEL, Scales, ops};

ops::table!(
    "avx512-vnni",
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,bmi2",
    int_tile,
    float_tile
);

/// # Safety
///
/// See [`Kernels::int_tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
unsafe fn int_tile(
    rows: IntRows,
    weights: *const u8,
    panels: usize,
    depth: usize,
    sums: &mut IntTile,
) {
    // SAFETY: what the caller promises is handed on.
    unsafe {
        match (rows.count, panels) {
            (1, 4) => int_tile_of::<1, 4>(rows, weights, depth, sums),
            (2, 4) => int_tile_of::<2, 4>(rows, weights, depth, sums),
            (3, 4) => int_tile_of::<3, 4>(rows, weights, depth, sums),
            (4, 4) => int_tile_of::<4, 4>(rows, weights, depth, sums),
            (5, 4) => int_tile_of::<5, 4>(rows, weights, depth, sums),
            (6, 4) => int_tile_of::<6, 4>(rows, weights, depth, sums),
            _ => {
                for panel in 0..panels {
                    let weights = weights.add(panel * depth * PANEL);
                    int_panel(rows, weights, depth, panel * PANEL, sums);
                }
            }
        }
    }
}

/// # Safety
///
/// See [`Kernels::int_tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
#[inline]
unsafe fn int_tile_of<const ROWS: usize, const PANELS: usize>(
    rows: IntRows,
    weights: *const u8,
    depth: usize,
    sums: &mut IntTile,
) {
    // SAFETY: the caller promises `ROWS` rows and `PANELS` panels of `depth` numbers, and the tile
    // has room for them.
    unsafe {
        let mut lanes = [[_mm512_setzero_si512(); PANELS]; ROWS];
        for (row, lanes) in lanes.iter_mut().enumerate() {
            // The weights are 128 too large.
            *lanes = [_mm512_set1_epi32(-128 * *rows.sums.add(row)); PANELS];
        }
        let panel_bytes = depth * PANEL;
        for group in 0..depth / 4 {
            let mut loaded = [_mm512_setzero_si512(); PANELS];
            for (panel, loaded) in loaded.iter_mut().enumerate() {
                let at = weights.add(panel * panel_bytes + group * 4 * PANEL);
                *loaded = _mm512_loadu_si512(at.cast());
            }
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let four = rows.values.add(row * rows.stride + group * 4);
                let four = _mm512_set1_epi32(four.cast::<i32>().read_unaligned());
                for (lane, &loaded) in lanes.iter_mut().zip(&loaded) {
                    *lane = _mm512_dpbusd_epi32(*lane, loaded, four);
                }
            }
        }
        for (lanes, sums) in lanes.iter().zip(sums) {
            for (panel, &lane) in lanes.iter().enumerate() {
                _mm512_storeu_si512(sums.as_mut_ptr().add(panel * PANEL).cast(), lane);
            }
        }
    }
}

/// One panel, for what is left over.
///
/// # Safety
///
/// See [`Kernels::int_tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
unsafe fn int_panel(
    rows: IntRows,
    weights: *const u8,
    depth: usize,
    column: usize,
    sums: &mut IntTile,
) {
    for (row, sums) in sums.iter_mut().enumerate().take(rows.count) {
        let mut tile: IntTile = [[0; _]; _];
        // SAFETY: one of the rows, and one of the panels, that the caller promises.
        unsafe {
            let one = IntRows {
                values: rows.values.add(row * rows.stride),
                sums: rows.sums.add(row),
                count: 1,
                ..rows
            };
            int_tile_of::<1, 1>(one, weights, depth, &mut tile);
        }
        sums[column..column + PANEL].copy_from_slice(&tile[0][..PANEL]);
    }
}

/// # Safety
///
/// See [`Kernels::float_tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
unsafe fn float_tile(tile: FloatTile) {
    // SAFETY: what the caller promises is handed on.
    unsafe {
        match tile.rows {
            8 => float_tile_of::<8>(tile),
            4..8 => {
                float_tile_of::<4>(tile);
                float_tile(FloatTile {
                    a: tile.a.add(4 * tile.a_stride),
                    rows: tile.rows - 4,
                    out: tile.out.add(4 * tile.out_stride),
                    ..tile
                });
            }
            3 => float_tile_of::<3>(tile),
            2 => float_tile_of::<2>(tile),
            1 => float_tile_of::<1>(tile),
            _ => {}
        }
    }
}

/// # Safety
///
/// See [`Kernels::float_tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
#[inline]
unsafe fn float_tile_of<const ROWS: usize>(tile: FloatTile) {
    // SAFETY: the caller describes `ROWS` rows of `depth` numbers and `depth` rows of 32.
    unsafe {
        let mut lanes = [[_mm512_setzero_ps(); 2]; ROWS];
        if tile.adds {
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let out = tile.out.add(row * tile.out_stride);
                *lanes = [_mm512_loadu_ps(out), _mm512_loadu_ps(out.add(16))];
            }
        }
        for k in 0..tile.depth {
            let b = tile.b.add(k * tile.b_stride);
            let (left, right) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*tile.a.add(row * tile.a_stride + k));
                lanes[0] = _mm512_fmadd_ps(a, left, lanes[0]);
                lanes[1] = _mm512_fmadd_ps(a, right, lanes[1]);
            }
        }
        for (row, lanes) in lanes.into_iter().enumerate() {
            for (half, lane) in lanes.into_iter().enumerate() {
                let out = tile.out.add(row * tile.out_stride + 16 * half);
                _mm512_storeu_ps(out, lane);
            }
        }
    }
}
