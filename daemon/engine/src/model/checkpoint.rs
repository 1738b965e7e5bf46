//! A Whisper checkpoint of any origin: its sizes, its vocabulary, and tensors under OpenAI's names.
//!
//! The readers of the formats ([`super::ct2`], [`super::safetensors`]) make one; the writer reads
//! its numbers piece by piece, so that a model of 3 GB needs some megabytes of memory.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use half::{bf16, f16};

use super::input::ReadAt;
use super::layout::{Dimensions, DimensionsError, Part, parts};

/// A model that can be converted.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its sizes, checked.
    pub dimensions: Dimensions,
    /// The bytes of each token, in order; special tokens are not among them.
    pub words: Vec<Vec<u8>>,
    /// Every tensor of [`parts`], of the shape that it says.
    pub tensors: HashMap<String, Tensor>,
}

/// Why a checkpoint's tensors do not make a Whisper model.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Sizes that no Whisper model has.
    #[error(transparent)]
    Dimensions(#[from] DimensionsError),
    /// A tensor is missing.
    #[error("the tensor {name} is missing: this is no complete Whisper model")]
    Missing {
        /// As the format calls it.
        name: String,
    },
    /// A tensor is of another shape than the model's sizes ask for.
    #[error("the tensor {name} is {found} and not {expected}: this is no Whisper model")]
    Shape {
        /// As the format calls it.
        name: String,
        /// Its dimensions.
        found: String,
        /// What they should be.
        expected: String,
    },
}

impl Checkpoint {
    /// Collects the tensors of a model of `dimensions`; `find` gets each part and answers with what
    /// the format calls it, and the tensor if there is one.
    pub fn collect(
        dimensions: Dimensions,
        words: Vec<Vec<u8>>,
        mut find: impl FnMut(&Part) -> (String, Option<Tensor>),
    ) -> Result<Self, CheckpointError> {
        dimensions.check()?;
        let mut tensors = HashMap::new();
        for part in parts(&dimensions) {
            let (name, tensor) = find(&part);
            let tensor = tensor.ok_or_else(|| CheckpointError::Missing { name: name.clone() })?;
            // A bias of n × 1 is stored as n in every checkpoint.
            let squeezed = |dims: &[usize]| -> Vec<usize> {
                dims.iter().copied().filter(|&size| size != 1).collect()
            };
            if squeezed(&tensor.dims) != squeezed(&part.dims) {
                return Err(CheckpointError::Shape {
                    name,
                    found: shape(&tensor.dims),
                    expected: shape(&part.dims),
                });
            }
            tensors.insert(part.name, tensor);
        }
        Ok(Checkpoint {
            dimensions,
            words,
            tensors,
        })
    }
}

/// `384 × 80 × 3`, for messages.
pub fn shape(dims: &[usize]) -> String {
    let sizes: Vec<String> = dims.iter().map(usize::to_string).collect();
    match sizes.is_empty() {
        true => "a single number".to_owned(),
        false => sizes.join(" × "),
    }
}

/// How a number is stored in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// IEEE 16-bit float.
    F16,
    /// The upper half of a 32-bit float.
    Bf16,
    /// 8-bit integer, to be divided by its row's scale.
    I8,
}

impl Element {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 | Element::Bf16 => 2,
            Element::I8 => 1,
        }
    }
}

/// Where a tensor's numbers lie. Made only after its place was checked to be inside the file.
#[derive(Clone)]
pub struct Tensor {
    /// The file that has them.
    pub source: Arc<dyn ReadAt>,
    /// The first one's place in it.
    pub offset: u64,
    /// Rows first.
    pub dims: Vec<usize>,
    /// How each is stored.
    pub element: Element,
    /// For [`Element::I8`]: what each row was multiplied by.
    pub scales: Option<Arc<[f32]>>,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tensor")
            .field("offset", &self.offset)
            .field("dims", &self.dims)
            .field("element", &self.element)
            .finish_non_exhaustive()
    }
}

impl Tensor {
    /// How many numbers it has.
    pub fn values(&self) -> usize {
        self.dims.iter().product()
    }

    /// The `index`th of `count` equal groups of rows; `None` if the rows do not divide so.
    pub fn rows(&self, index: usize, count: usize) -> Option<Tensor> {
        let rows = *self.dims.first()?;
        if count == 0 || index >= count || !rows.is_multiple_of(count) {
            return None;
        }
        let group = rows / count;
        let mut dims = self.dims.clone();
        dims[0] = group;
        let values = dims.iter().product::<usize>();
        let skipped = (index * values * self.element.bytes()) as u64;
        Some(Tensor {
            source: Arc::clone(&self.source),
            offset: self.offset + skipped,
            dims,
            element: self.element,
            scales: self
                .scales
                .as_ref()
                .map(|scales| scales[index * group..(index + 1) * group].into()),
        })
    }

    /// Reads the numbers from the `first` on into `out`.
    pub fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()> {
        let size = self.element.bytes();
        let mut bytes = vec![0; out.len() * size];
        self.source
            .read_exact_at(&mut bytes, self.offset + (first * size) as u64)?;
        match self.element {
            Element::F32 => {
                let (numbers, _) = bytes.as_chunks::<4>();
                fill(out, numbers, |&bytes| f32::from_le_bytes(bytes));
            }
            Element::F16 => {
                let (numbers, _) = bytes.as_chunks::<2>();
                fill(out, numbers, |&bytes| f16::from_le_bytes(bytes).to_f32());
            }
            Element::Bf16 => {
                let (numbers, _) = bytes.as_chunks::<2>();
                fill(out, numbers, |&bytes| bf16::from_le_bytes(bytes).to_f32());
            }
            Element::I8 => {
                fill(out, &bytes, |&byte| f32::from(byte as i8));
                self.unscale(first, out);
            }
        }
        Ok(())
    }

    fn unscale(&self, first: usize, out: &mut [f32]) {
        let Some(scales) = &self.scales else { return };
        let row = self.values() / scales.len().max(1);
        for (index, value) in out.iter_mut().enumerate() {
            *value /= scales[(first + index) / row.max(1)];
        }
    }
}

fn fill<T>(out: &mut [f32], numbers: &[T], decode: impl Fn(&T) -> f32) {
    for (value, number) in out.iter_mut().zip(numbers) {
        *value = decode(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(bytes: Vec<u8>, dims: &[usize], element: Element) -> Tensor {
        Tensor {
            source: Arc::new(bytes),
            offset: 0,
            dims: dims.to_vec(),
            element,
            scales: None,
        }
    }

    #[test]
    fn every_element_reads_as_the_number_that_was_stored() {
        let numbers = [0.0_f32, 1.0, -2.5, 0.125];
        let f32s = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let f16s = numbers.iter().flat_map(|&n| f16::from_f32(n).to_le_bytes());
        let bf16s = numbers
            .iter()
            .flat_map(|&n| bf16::from_f32(n).to_le_bytes());
        for tensor in [
            tensor(f32s, &[2, 2], Element::F32),
            tensor(f16s.collect(), &[2, 2], Element::F16),
            tensor(bf16s.collect(), &[2, 2], Element::Bf16),
        ] {
            let mut out = [9.0; 4];
            tensor.read(0, &mut out).unwrap();
            assert_eq!(out, numbers, "{tensor:?}");
            let mut last = [9.0; 2];
            tensor.rows(1, 2).unwrap().read(0, &mut last).unwrap();
            assert_eq!(last, numbers[2..], "{tensor:?}");
        }
    }

    #[test]
    fn eight_bit_rows_are_divided_by_their_own_scale() {
        let mut tensor = tensor(vec![2, 4, 253, 127], &[2, 2], Element::I8);
        tensor.scales = Some([2.0, 10.0].into());
        let mut out = [0.0; 4];
        tensor.read(0, &mut out).unwrap();
        assert_eq!(out, [1.0, 2.0, -0.3, 12.7]);
        let mut last = [0.0; 1];
        tensor.rows(1, 2).unwrap().read(1, &mut last).unwrap();
        assert_eq!(last, [12.7]);
    }

    #[test]
    fn rows_that_do_not_divide() {
        let tensor = tensor(vec![0; 12], &[3], Element::F32);
        assert!(tensor.rows(0, 2).is_none());
        assert!(tensor.rows(3, 3).is_none());
        assert!(tensor.rows(0, 0).is_none());
        assert_eq!(tensor.rows(2, 3).unwrap().offset, 8);
    }
}
