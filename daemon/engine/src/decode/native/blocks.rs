//! From ggml's formats to floats.
//!
//! Enters: bytes of whole blocks. Leaves: their values. Pure. The layouts are those of
//! `ggml-common.h`: a block has 32 values, an f16 scale, for the types that end in 1 an f16
//! minimum, for five bits the 32 high bits, and then the low bits, of which the first 16 values
//! have the lower halves of the bytes.

use half::f16;

use crate::model::quantize::Format;

/// Values of a block.
const VALUES: usize = 32;

/// Appends the values of `bytes`, which are stored as ggml's type `type_number`.
pub(super) fn decode(type_number: u32, bytes: &[u8], values: &mut Vec<f32>) {
    let format = Format::ALL
        .into_iter()
        .find(|format| format.tensor_type() == type_number)
        .expect("the file was checked for types that are known");
    let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
    match format {
        Format::F32 => {
            let (numbers, _) = bytes.as_chunks();
            values.extend(numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        }
        Format::F16 => {
            let (numbers, _) = bytes.as_chunks();
            values.extend(numbers.iter().map(|&b| f16::from_le_bytes(b).to_f32()));
        }
        Format::Q8_0 => {
            for block in bytes.chunks_exact(34) {
                let scale = half(block);
                values.extend(block[2..].iter().map(|&q| scale * f32::from(q as i8)));
            }
        }
        Format::Q4_0 => {
            for block in bytes.chunks_exact(18) {
                let (scale, low) = (half(block), &block[2..]);
                values.extend(nibbles(low).map(|q| scale * (f32::from(q) - 8.0)));
            }
        }
        Format::Q4_1 => {
            for block in bytes.chunks_exact(20) {
                let (scale, least, low) = (half(block), half(&block[2..]), &block[4..]);
                values.extend(nibbles(low).map(|q| scale * f32::from(q) + least));
            }
        }
        Format::Q5_0 => {
            for block in bytes.chunks_exact(22) {
                let scale = half(block);
                let fives = fives(&block[2..6], &block[6..]);
                values.extend(fives.map(|q| scale * (f32::from(q) - 16.0)));
            }
        }
        Format::Q5_1 => {
            for block in bytes.chunks_exact(24) {
                let (scale, least) = (half(block), half(&block[2..]));
                let fives = fives(&block[4..8], &block[8..]);
                values.extend(fives.map(|q| scale * f32::from(q) + least));
            }
        }
    }
}

/// The four-bit numbers of 16 bytes.
fn nibbles(low: &[u8]) -> impl Iterator<Item = u8> {
    let first = low.iter().map(|byte| byte & 15);
    first.chain(low.iter().map(|byte| byte >> 4))
}

/// The five-bit numbers of 4 and 16 bytes.
fn fives(high: &[u8], low: &[u8]) -> impl Iterator<Item = u8> {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    nibbles(low)
        .enumerate()
        .map(move |(index, low)| low | ((high >> index & 1) << 4) as u8)
        .take(VALUES)
}

#[cfg(test)]
mod tests {
    use whisper_rs::whisper_rs_sys as ggml;

    use super::*;

    /// Every format that ggml writes is read to what was written, within a step of it.
    #[test]
    fn blocks_that_ggml_wrote_are_read() {
        let row: Vec<f32> = (0..64)
            .map(|i| ((i * 37 % 64) as f32 - 20.0) / 16.0)
            .collect();
        for (kind, bits) in [
            (ggml::ggml_type_GGML_TYPE_Q4_0, 4),
            (ggml::ggml_type_GGML_TYPE_Q4_1, 4),
            (ggml::ggml_type_GGML_TYPE_Q5_0, 5),
            (ggml::ggml_type_GGML_TYPE_Q5_1, 5),
            (ggml::ggml_type_GGML_TYPE_Q8_0, 8),
        ] {
            let mut bytes = vec![0; 1024];
            // SAFETY: one row of 64 numbers is read, and its two blocks find room.
            let length = unsafe {
                ggml::ggml_quantize_chunk(
                    kind,
                    row.as_ptr(),
                    bytes.as_mut_ptr().cast(),
                    0,
                    1,
                    64,
                    std::ptr::null(),
                )
            };
            let mut values = Vec::new();
            decode(kind, &bytes[..length], &mut values);
            assert_eq!(values.len(), 64);
            // The span is 4; a step is that by the number of steps, and a little for f16.
            let step = 4.2 / f32::from((1_u16 << bits) - 1) + 0.01;
            for (value, wanted) in values.iter().zip(&row) {
                assert!((value - wanted).abs() <= step, "{kind}: {value} {wanted}");
            }
        }
    }

    #[test]
    fn plain_numbers_are_read() {
        let mut values = Vec::new();
        decode(0, &1.5_f32.to_le_bytes(), &mut values);
        decode(1, &f16::from_f32(-2.0).to_le_bytes(), &mut values);
        assert_eq!(values, [1.5, -2.0]);
    }
}
