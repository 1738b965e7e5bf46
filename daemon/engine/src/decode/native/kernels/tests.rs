//! Every table against naive arithmetic, on odd sizes.

use super::*;

/// Numbers without a pattern.
pub(in super::super) fn noise(count: usize, mut seed: u32) -> Vec<f32> {
    std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(count)
    .collect()
}

#[test]
fn integer_tiles_are_exact_up_to_the_largest_values() {
    for kernels in Kernels::all() {
        for (rows, panels, depth) in [(1, 1, 4), (1, 4, 240), (2, 3, 8), (5, 2, 64), (6, 4, 1536)] {
            for extreme in [false, true] {
                let byte = |value: f32| match extreme {
                    false => (value * 127.0) as i8,
                    true if value < 0.0 => -127,
                    true => 127,
                };
                let stride = depth + 4;
                let values: Vec<i8> = noise(rows * stride, 1).into_iter().map(byte).collect();
                let weights: Vec<i8> = noise(panels * PANEL * depth, 2)
                    .into_iter()
                    .map(byte)
                    .collect();
                let stored: Vec<u8> = weights
                    .iter()
                    .map(|&weight| (i32::from(weight) + 128) as u8)
                    .collect();
                let row = |row: usize| &values[row * stride..][..depth];
                let sums: Vec<i32> = (0..rows)
                    .map(|r| row(r).iter().map(|&v| i32::from(v)).sum())
                    .collect();
                let mut tile: IntTile = [[77; _]; _];
                let described = IntRows {
                    values: values.as_ptr(),
                    stride,
                    sums: sums.as_ptr(),
                    count: rows,
                };
                // SAFETY: this processor has the instructions, and the sizes are those above.
                unsafe {
                    (kernels.int_tile)(described, stored.as_ptr(), panels, depth, &mut tile);
                }
                for (r, found) in tile.iter().enumerate().take(rows) {
                    for (output, &found) in found.iter().enumerate().take(panels * PANEL) {
                        let (panel, lane) = (output / PANEL, output % PANEL);
                        let expected: i32 = (0..depth)
                            .map(|k| {
                                let at = panel * PANEL * depth + k / 4 * 64 + lane * 4 + k % 4;
                                i32::from(weights[at]) * i32::from(row(r)[k])
                            })
                            .sum();
                        let name = kernels.name;
                        assert_eq!(found, expected, "{name} {rows} {panels} {depth}");
                    }
                }
            }
        }
    }
}

#[test]
fn float_tiles_add_up() {
    for kernels in Kernels::all() {
        for rows in 1..=FLOAT_ROWS {
            for (depth, adds) in [(1, true), (7, false), (64, true), (200, false)] {
                let (a_stride, b_stride, out_stride) = (depth + 3, 40, 37);
                let a = noise(rows * a_stride, 3);
                let b = noise(depth * b_stride, 4);
                let before = noise(rows * out_stride, 5);
                let mut out = before.clone();
                let tile = FloatTile {
                    a: a.as_ptr(),
                    a_stride,
                    rows,
                    b: b.as_ptr(),
                    b_stride,
                    depth,
                    out: out.as_mut_ptr(),
                    out_stride,
                    adds,
                };
                // SAFETY: this processor has the instructions, and the sizes are those above.
                unsafe { (kernels.float_tile)(tile) };
                for (index, (&out, &before)) in out.iter().zip(&before).enumerate() {
                    let (row, column) = (index / out_stride, index % out_stride);
                    let mut expected = f64::from(before);
                    if column < FLOAT_COLUMNS {
                        expected *= f64::from(u8::from(adds));
                        for k in 0..depth {
                            expected += f64::from(a[row * a_stride + k])
                                * f64::from(b[k * b_stride + column]);
                        }
                    }
                    let error = (f64::from(out) - expected).abs();
                    assert!(error < 1e-4, "{} {rows} {depth}: {error}", kernels.name);
                }
            }
        }
    }
}

fn close(name: &str, found: &[f32], expected: impl Iterator<Item = f64>, most: f64) {
    for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= most,
            "{name}: {found} and not {expected} at {index}"
        );
    }
}

#[test]
fn norm_softmax_gelu_and_the_rest() {
    for kernels in Kernels::all() {
        for count in [1, 15, 16, 17, 384, 1500] {
            let values = noise(count, count as u32);
            let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&v| v.into()).collect() };
            let exact = wide(&values);
            let mean = exact.iter().sum::<f64>() / count as f64;
            let variance = exact.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64;
            let (weight, bias) = (noise(count, 8), noise(count, 9));
            let mut out = vec![0.0; count];
            // SAFETY: here and below, this processor has the instructions.
            unsafe { (kernels.norm)(&values, &weight, &bias, &mut out) };
            let normed = (0..count).map(|i| {
                let unit = (exact[i] - mean) / (variance + 1e-5).sqrt();
                unit * f64::from(weight[i]) + f64::from(bias[i])
            });
            close("norm", &out, normed, 1e-4);

            let mut out: Vec<f32> = values.iter().map(|v| v * 100.0).collect();
            // SAFETY: as above.
            let sum = unsafe { (kernels.softmax)(&mut out, 0.5) };
            let maximum = exact.iter().copied().fold(f64::MIN, f64::max);
            let powers: Vec<f64> = exact.iter().map(|v| ((v - maximum) * 50.0).exp()).collect();
            close("sum", &[sum], [powers.iter().sum()].into_iter(), 1e-3);
            close("softmax", &out, powers.into_iter(), 1e-5);

            let mut out: Vec<f32> = values.iter().map(|v| v * 6.0).collect();
            // SAFETY: as above.
            unsafe { (kernels.gelu)(&mut out) };
            let gelus = values.iter().map(|v| reference_gelu(f64::from(*v * 6.0)));
            close("gelu", &out, gelus, 2e-6);

            let mut bytes = vec![0; count];
            // SAFETY: as above.
            let (step, sum) = unsafe { (kernels.quantise)(&values, &mut bytes) };
            assert_eq!(sum, bytes.iter().map(|&b| i32::from(b)).sum::<i32>());
            let back: Vec<f32> = bytes.iter().map(|&b| f32::from(b) * step).collect();
            close(
                "quantise",
                &back,
                exact.iter().copied(),
                f64::from(step) * 0.5001,
            );

            // SAFETY: as above.
            let dot = unsafe { (kernels.dot)(&values, &weight) };
            let expected = exact.iter().zip(wide(&weight)).map(|(a, b)| a * b).sum();
            close("dot", &[dot], [expected].into_iter(), 1e-3);
            let mut out = bias.clone();
            // SAFETY: as above.
            unsafe { (kernels.add_scaled)(-2.5, &values, &mut out) };
            let sums = (0..count).map(|i| f64::from(bias[i]) - 2.5 * exact[i]);
            close("add_scaled", &out, sums, 1e-5);

            let integers: Vec<i32> = values.iter().map(|v| (v * 1e5) as i32).collect();
            let scales = Scales {
                row: 0.01,
                outputs: &weight,
                bias: &bias,
            };
            let scaled = |i: usize| {
                let factor = f64::from(0.01_f32) * f64::from(weight[i]);
                f64::from(integers[i]) * factor + f64::from(bias[i])
            };
            let mut out = vec![1.0; count];
            // SAFETY: as above.
            unsafe { (kernels.scale)(&integers, scales, &mut out) };
            close("scale", &out, (0..count).map(scaled), 1e-3);
            let mut out = vec![1.0; count];
            // SAFETY: as above.
            unsafe { (kernels.scale_add)(&integers, scales, &mut out) };
            close("scale_add", &out, (0..count).map(|i| 1.0 + scaled(i)), 1e-3);
        }
    }
}

#[test]
fn what_is_no_number_does_no_harm() {
    for kernels in Kernels::all() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.0] {
            let values = vec![bad; 33];
            let mut bytes = vec![0; 33];
            // SAFETY: this processor has the instructions.
            let (_, sum) = unsafe { (kernels.quantise)(&values, &mut bytes) };
            assert_eq!(sum, bytes.iter().map(|&b| i32::from(b)).sum::<i32>());
            assert!(bytes.iter().all(|&byte| byte != i8::MIN));
        }
    }
}

/// With the error function's series, which converges for all that is asked here.
fn reference_gelu(x: f64) -> f64 {
    let z = x / std::f64::consts::SQRT_2;
    let (mut term, mut sum) = (z, z);
    for n in 1..200 {
        let n = f64::from(n);
        term *= -z * z / n;
        sum += term / (2.0 * n + 1.0);
    }
    x * 0.5 * (1.0 + sum * 2.0 / std::f64::consts::PI.sqrt())
}
