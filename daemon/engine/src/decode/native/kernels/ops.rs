//! Elementwise arithmetic, written once; each set of instructions compiles it for itself.
//!
//! Loops run over lanes of [`LANES`] numbers, which the compiler turns into registers of whatever
//! width there is. Everything is inlined into functions that carry the instructions' names.

use super::Scales;

/// Numbers that are summed side by side.
const LANES: usize = 16;

/// `1.5 · 2^23`: a float of this size has no fraction, so that adding it rounds, and leaves the
/// integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// e^x for x ≤ 0, within 2 units in the last place; 0 below -87.
///
/// 2^n e^r with |r| ≤ ln 2 / 2, and for e^r the polynomial of Cephes (`expf.c`).
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.max(-87.0);
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.000_000_3e-1;
    let e = p * r * r + r + 1.0;
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { e * power }
}

/// x Φ(x), with Abramowitz and Stegun's 7.1.26 for the error function (within 1.5e-7).
#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152_1;
    p = p * t + 1.421_413_8;
    p = p * t - 0.284_496_72;
    p = p * t + 0.254_829_6;
    // Half of what lies beyond |x|.
    let tail = 0.5 * p * t * exp(-z * z);
    let phi = if x < 0.0 { tail } else { 1.0 - tail };
    x * phi
}

#[inline(always)]
fn fold<const N: usize>(lanes: [f32; N], join: impl Fn(f32, f32) -> f32) -> f32 {
    lanes.into_iter().reduce(join).unwrap_or_default()
}

/// The sum over all numbers of a function of each.
#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += of(chunk[lane]);
        }
    }
    fold(lanes, |a, b| a + b) + rest.iter().map(|&value| of(value)).sum::<f32>()
}

#[inline(always)]
pub(super) fn norm(input: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    // PyTorch's, which Whisper was trained with.
    const EPSILON: f32 = 1e-5;
    let count = input.len() as f32;
    let mean = sum(input, |value| value) / count;
    let variance = sum(input, |value| (value - mean) * (value - mean)) / count;
    let inverse = 1.0 / (variance + EPSILON).sqrt();
    for (((out, &value), &weight), &bias) in out.iter_mut().zip(input).zip(weight).zip(bias) {
        *out = (value - mean) * inverse * weight + bias;
    }
}

#[inline(always)]
pub(super) fn softmax(scores: &mut [f32], scale: f32) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] {
                chunk[lane]
            } else {
                lanes[lane]
            };
        }
    }
    let maximum = rest.iter().copied().fold(fold(lanes, f32::max), f32::max);
    let mut sums = [0.0; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            chunk[lane] = exp((chunk[lane] - maximum) * scale);
            sums[lane] += chunk[lane];
        }
    }
    let mut total = fold(sums, |a, b| a + b);
    for score in rest {
        *score = exp((*score - maximum) * scale);
        total += *score;
    }
    total
}

#[inline(always)]
pub(super) fn gelu(values: &mut [f32]) {
    for value in values {
        *value = gelu_of(*value);
    }
}

#[inline(always)]
pub(super) fn quantise(values: &[f32], out: &mut [i8]) -> (f32, i32) {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            let size = chunk[lane].abs();
            lanes[lane] = if size > lanes[lane] {
                size
            } else {
                lanes[lane]
            };
        }
    }
    let largest = rest
        .iter()
        .map(|v| v.abs())
        .fold(fold(lanes, f32::max), f32::max);
    // Sound of absurd loudness may overflow on its way; it gets no text, but does no harm.
    if !(largest > f32::MIN_POSITIVE && largest < f32::MAX) {
        out.fill(0);
        return (0.0, 0);
    }
    let inverse = 127.0 / largest;
    let mut sum = 0;
    for (out, &value) in out.iter_mut().zip(values) {
        let bits = (value * inverse + ROUND).to_bits();
        // -128 can only come of what is no number.
        let integer = (bits as i8).max(-127);
        *out = integer;
        sum += i32::from(integer);
    }
    (largest / 127.0, sum)
}

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>();
    fold(lanes, |a, b| a + b) + rest
}

#[inline(always)]
pub(super) fn add_scaled(factor: f32, row: &[f32], sum: &mut [f32]) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += factor * value;
    }
}

#[inline(always)]
pub(super) fn scale(sums: &[i32], scales: Scales<'_>, out: &mut [f32]) {
    let outputs = scales.outputs.iter().zip(scales.bias);
    for ((out, &sum), (&scale, &bias)) in out.iter_mut().zip(sums).zip(outputs) {
        *out = sum as f32 * (scales.row * scale) + bias;
    }
}

#[inline(always)]
pub(super) fn scale_add(sums: &[i32], scales: Scales<'_>, out: &mut [f32]) {
    let outputs = scales.outputs.iter().zip(scales.bias);
    for ((out, &sum), (&scale, &bias)) in out.iter_mut().zip(sums).zip(outputs) {
        *out += sum as f32 * (scales.row * scale) + bias;
    }
}

/// Compiles the functions above for the instructions `$features`, and makes the table of them.
#[cfg(target_arch = "x86_64")]
macro_rules! table {
    ($name:literal, $features:literal, $int_tile:path, $float_tile:path) => {
        /// The table of these instructions. Whoever takes it has asked the processor for them.
        pub(super) const KERNELS: Kernels = {
            #[target_feature(enable = $features)]
            fn scale(sums: &[i32], scales: Scales<'_>, out: &mut [f32]) {
                ops::scale(sums, scales, out);
            }
            #[target_feature(enable = $features)]
            fn scale_add(sums: &[i32], scales: Scales<'_>, out: &mut [f32]) {
                ops::scale_add(sums, scales, out);
            }
            #[target_feature(enable = $features)]
            fn norm(input: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
                ops::norm(input, weight, bias, out);
            }
            #[target_feature(enable = $features)]
            fn softmax(scores: &mut [f32], scale: f32) -> f32 {
                ops::softmax(scores, scale)
            }
            #[target_feature(enable = $features)]
            fn gelu(values: &mut [f32]) {
                ops::gelu(values);
            }
            #[target_feature(enable = $features)]
            fn quantise(values: &[f32], out: &mut [i8]) -> (f32, i32) {
                ops::quantise(values, out)
            }
            #[target_feature(enable = $features)]
            fn dot(a: &[f32], b: &[f32]) -> f32 {
                ops::dot(a, b)
            }
            #[target_feature(enable = $features)]
            fn add_scaled(factor: f32, row: &[f32], sum: &mut [f32]) {
                ops::add_scaled(factor, row, sum);
            }
            Kernels {
                name: $name,
                int_tile: $int_tile,
                float_tile: $float_tile,
                scale,
                scale_add,
                norm,
                softmax,
                gelu,
                quantise,
                dot,
                add_scaled,
            }
        };
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use table;
