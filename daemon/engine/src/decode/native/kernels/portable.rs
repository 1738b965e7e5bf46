//! Plain loops for processors without any of the others, and the measure that those are tested by.
//! On 64-bit ARM the compiler makes NEON of them, which every such processor has.

use super::{
    FLOAT_COLUMNS, FLOAT_ROWS, FloatTile, IntRows, IntTile, Kernels, PANEL, TILE_PANELS, ops,
};

/// The table of plain loops.
pub(super) const KERNELS: Kernels = Kernels {
    name: "portable",
    int_tile,
    float_tile,
    scale: ops::scale,
    scale_add: ops::scale_add,
    norm: ops::norm,
    softmax: ops::softmax,
    gelu: ops::gelu,
    quantise: ops::quantise,
    dot: ops::dot,
    add_scaled: ops::add_scaled,
};

/// # Safety
///
/// See [`Kernels::int_tile`].
unsafe fn int_tile(
    rows: IntRows,
    weights: *const u8,
    panels: usize,
    depth: usize,
    sums: &mut IntTile,
) {
    debug_assert!(panels <= TILE_PANELS);
    for (row, sums) in sums.iter_mut().enumerate().take(rows.count) {
        // SAFETY: the caller describes rows of `depth` numbers.
        let values =
            unsafe { std::slice::from_raw_parts(rows.values.add(row * rows.stride), depth) };
        for panel in 0..panels {
            // SAFETY: the caller promises so many panels of this size.
            let weights = unsafe {
                std::slice::from_raw_parts(weights.add(panel * depth * PANEL), depth * PANEL)
            };
            let mut lanes = [0_i32; PANEL];
            let (fours, _) = values.as_chunks::<4>();
            let (groups, _) = weights.as_chunks::<{ 4 * PANEL }>();
            for (four, group) in fours.iter().zip(groups) {
                for (lane, weights) in lanes.iter_mut().zip(group.as_chunks::<4>().0) {
                    for (&weight, &value) in weights.iter().zip(four) {
                        *lane += (i32::from(weight) - 128) * i32::from(value);
                    }
                }
            }
            sums[panel * PANEL..][..PANEL].copy_from_slice(&lanes);
        }
    }
}

/// # Safety
///
/// See [`Kernels::float_tile`].
unsafe fn float_tile(tile: FloatTile) {
    debug_assert!(tile.rows <= FLOAT_ROWS);
    for row in 0..tile.rows {
        // SAFETY: the caller describes rows of this length.
        let a = unsafe { std::slice::from_raw_parts(tile.a.add(row * tile.a_stride), tile.depth) };
        // SAFETY: as above; nobody else has this memory now.
        let out = unsafe {
            std::slice::from_raw_parts_mut(tile.out.add(row * tile.out_stride), FLOAT_COLUMNS)
        };
        let mut lanes = [0.0; FLOAT_COLUMNS];
        if tile.adds {
            lanes.copy_from_slice(out);
        }
        for (k, &factor) in a.iter().enumerate() {
            // SAFETY: the caller describes `depth` rows of 32 numbers.
            let b =
                unsafe { std::slice::from_raw_parts(tile.b.add(k * tile.b_stride), FLOAT_COLUMNS) };
            for (lane, &value) in lanes.iter_mut().zip(b) {
                *lane += factor * value;
            }
        }
        out.copy_from_slice(&lanes);
    }
}
