//! The formats that ggml stores numbers in: their names, their sizes, and writing three of them.
//!
//! Numbers in, bytes out; no files.

use half::f16;

use super::layout::Role;

/// How a model's big tensors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats: what the published models have unless their name says otherwise.
    F16,
    /// 4-bit blocks.
    Q4_0,
    /// 4-bit blocks with a minimum.
    Q4_1,
    /// 5-bit blocks.
    Q5_0,
    /// 5-bit blocks with a minimum.
    Q5_1,
    /// 8-bit blocks.
    Q8_0,
}

impl Format {
    /// Every format that is understood.
    pub const ALL: [Format; 7] = [
        Format::F32,
        Format::F16,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q8_0,
    ];

    /// The name that file names and users use.
    pub fn as_str(self) -> &'static str {
        self.constants().name
    }

    /// The number in a tensor's header (`enum ggml_type`).
    pub fn tensor_type(self) -> u32 {
        self.constants().tensor_type
    }

    /// The number in the file's header (`enum ggml_ftype`), without the quantisation version.
    pub fn file_type(self) -> u32 {
        self.constants().file_type
    }

    /// The format that a file's header names.
    pub fn from_file_type(file_type: u32) -> Option<Format> {
        Format::ALL
            .into_iter()
            .find(|format| format.file_type() == file_type)
    }

    /// Whether numbers are grouped in blocks with a common scale.
    pub fn is_quantised(self) -> bool {
        self.constants().block_values > 1
    }

    /// How a tensor of this role is stored in a model of this format.
    pub fn of_role(self, role: Role) -> Format {
        match (role, self) {
            (Role::Plain, _) | (_, Format::F32) => Format::F32,
            (Role::Convolution, _) => Format::F16,
            (Role::Matrix, format) => format,
        }
    }

    /// How many bytes `values` numbers take; `None` where they do not divide into blocks.
    pub fn bytes(self, values: usize) -> Option<u64> {
        let constants = self.constants();
        let whole = values.is_multiple_of(constants.block_values);
        whole.then(|| (values / constants.block_values) as u64 * constants.block_bytes)
    }

    fn constants(self) -> Constants {
        // Block sizes are those of ggml-common.h: an f16 scale, for `_1` an f16 minimum, for five
        // bits the 32 high bits, then the low bits.
        let (name, tensor_type, file_type, block_values, block_bytes) = match self {
            Format::F32 => ("f32", 0, 0, 1, 4),
            Format::F16 => ("f16", 1, 1, 1, 2),
            Format::Q4_0 => ("q4_0", 2, 2, 32, 2 + 16),
            Format::Q4_1 => ("q4_1", 3, 3, 32, 2 + 2 + 16),
            Format::Q5_0 => ("q5_0", 6, 8, 32, 2 + 4 + 16),
            Format::Q5_1 => ("q5_1", 7, 9, 32, 2 + 2 + 4 + 16),
            Format::Q8_0 => ("q8_0", 8, 7, 32, 2 + 32),
        };
        Constants {
            name,
            tensor_type,
            file_type,
            block_values,
            block_bytes,
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

struct Constants {
    name: &'static str,
    tensor_type: u32,
    file_type: u32,
    block_values: usize,
    block_bytes: u64,
}

/// Numbers in one of the formats that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Blocks of 32 bytes with a common 16-bit scale.
    Q8_0,
}

impl Encoding {
    /// The format's name and sizes.
    pub fn format(self) -> Format {
        match self {
            Encoding::F32 => Format::F32,
            Encoding::F16 => Format::F16,
            Encoding::Q8_0 => Format::Q8_0,
        }
    }

    /// How a tensor of this role is written in a model of this encoding.
    pub fn of_role(self, role: Role) -> Encoding {
        match (role, self) {
            (Role::Plain, _) | (_, Encoding::F32) => Encoding::F32,
            (Role::Convolution, _) => Encoding::F16,
            (Role::Matrix, encoding) => encoding,
        }
    }

    /// Appends `values` to `out`. For q8_0 they must be whole blocks, which rows of a checked
    /// model are.
    pub fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            Encoding::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Encoding::F16 => {
                out.extend(values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()));
            }
            Encoding::Q8_0 => {
                let (blocks, rest) = values.as_chunks::<Q8_0_VALUES>();
                assert!(rest.is_empty(), "rows are whole blocks");
                for block in blocks {
                    encode_q8_0(block, out);
                }
            }
        }
    }
}

/// Values in a block of q8_0 (`QK8_0` in ggml).
const Q8_0_VALUES: usize = 32;

fn encode_q8_0(block: &[f32; Q8_0_VALUES], out: &mut Vec<u8>) {
    let largest = block
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = largest / 127.0;
    // The scale is stored rounded to 16 bits, but ggml divides by the exact one.
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    out.extend(f16::from_f32(scale).to_le_bytes());
    out.extend(block.iter().map(|value| {
        let quantised = (value * inverse).round() as i8;
        quantised as u8
    }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_q8_0(bytes: &[u8]) -> Vec<f32> {
        bytes
            .chunks_exact(34)
            .flat_map(|block| {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                block[2..]
                    .iter()
                    .map(move |&byte| f32::from(byte as i8) * scale)
            })
            .collect()
    }

    #[test]
    fn a_block_as_ggml_writes_it() {
        let mut block = [0.0_f32; 32];
        block[..6].copy_from_slice(&[127.0, -127.0, 1.0, 0.5, -0.5, 0.4]);
        let mut bytes = Vec::new();
        Encoding::Q8_0.encode(&block, &mut bytes);
        assert_eq!(bytes.len(), 34);
        assert_eq!(bytes[..2], f16::ONE.to_le_bytes());
        // roundf rounds half away from zero.
        let quantised: Vec<i8> = bytes[2..8].iter().map(|&byte| byte as i8).collect();
        assert_eq!(quantised, [127, -127, 1, 1, -1, 0]);

        bytes.clear();
        Encoding::Q8_0.encode(&[0.0; 32], &mut bytes);
        assert_eq!(bytes, [0; 34], "a block of zeros has no scale to divide by");
    }

    #[test]
    fn sizes() {
        for (format, values, bytes) in [
            (Format::F32, 3, Some(12)),
            (Format::F16, 3, Some(6)),
            (Format::Q5_0, 64, Some(44)),
            (Format::Q5_1, 64, Some(48)),
            (Format::Q8_0, 64, Some(68)),
            (Format::Q8_0, 65, None),
        ] {
            assert_eq!(format.bytes(values), bytes, "{format}");
        }
        for format in Format::ALL {
            assert_eq!(Format::from_file_type(format.file_type()), Some(format));
        }
        assert_eq!(Format::from_file_type(999), None);
    }

    /// What ggml itself makes of the numbers.
    fn ggml_q8_0(values: &[f32]) -> Vec<u8> {
        use whisper_rs::whisper_rs_sys::{ggml_quantize_chunk, ggml_type_GGML_TYPE_Q8_0};
        let mut bytes = vec![0; values.len() / 32 * 34];
        // SAFETY: one row of `values.len()` numbers is read, and its blocks are written, for which
        // there is room; this format needs no importance matrix.
        let written = unsafe {
            ggml_quantize_chunk(
                ggml_type_GGML_TYPE_Q8_0,
                values.as_ptr(),
                bytes.as_mut_ptr().cast(),
                0,
                1,
                values.len() as i64,
                std::ptr::null(),
            )
        };
        assert_eq!(written, bytes.len());
        bytes
    }

    proptest! {
        #[test]
        fn q8_0_is_what_ggml_makes_of_it(
            values in prop::collection::vec(-4.0_f32..4.0, 64..=64),
        ) {
            let mut bytes = Vec::new();
            Encoding::Q8_0.encode(&values, &mut bytes);
            prop_assert_eq!(bytes, ggml_q8_0(&values));
        }

        #[test]
        fn q8_0_is_off_by_at_most_half_a_step(
            values in prop::collection::vec(-4.0_f32..4.0, 32..=32),
        ) {
            let mut bytes = Vec::new();
            Encoding::Q8_0.encode(&values, &mut bytes);
            let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            // Half a step, and what rounding the scale to 16 bits adds over 127 steps.
            let allowed = largest / 127.0 * 0.5 + largest / 1024.0;
            for (value, decoded) in values.iter().zip(decode_q8_0(&bytes)) {
                prop_assert!((value - decoded).abs() <= allowed, "{value} became {decoded}");
            }
        }
    }
}
