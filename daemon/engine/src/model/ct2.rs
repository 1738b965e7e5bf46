//! Reading CTranslate2 models (`model.bin`), the form in which faster-whisper has Whisper.
//!
//! Enters: a file that a stranger made. Leaves: where each variable lies, and from that a
//! [`Checkpoint`]. The format is little-endian: version 6, the spec's name and revision, the
//! variables one behind the other, then aliases.

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::sync::Arc;

use super::checkpoint::{Checkpoint, CheckpointError, Element, Tensor};
use super::input::{Input, InputError, ReadAt};
use super::layout::{Dimensions, Part};

/// Why a file is no CTranslate2 Whisper model.
#[derive(Debug, thiserror::Error)]
pub enum Ct2Error {
    /// Cut off, or with lengths that cannot be.
    #[error("model.bin is damaged or no CTranslate2 model")]
    Input(#[from] InputError),
    /// Another version of the format.
    #[error(
        "model.bin is of version {0}, but only version 6 is understood: convert it again with a recent CTranslate2"
    )]
    Version(u32),
    /// A model of something else.
    #[error("model.bin is a {0} and no WhisperSpec: only Whisper models can be imported")]
    Spec(String),
    /// A name that is not text.
    #[error("model.bin has a name at byte {0} that is no text: the file is damaged")]
    Name(u64),
    /// Two variables of one name.
    #[error("model.bin has the variable {0} twice: the file is damaged")]
    Twice(String),
    /// A variable whose size is not that of its shape.
    #[error(
        "model.bin says that {name} has {bytes} bytes, which is not what its shape needs: the file is damaged"
    )]
    Size {
        /// The variable.
        name: String,
        /// What it claims.
        bytes: u32,
    },
    /// A quantisation that we do not undo.
    #[error(
        "model.bin stores {0} as 16-bit integers, which cannot be imported: convert the model to float16, float32 or int8"
    )]
    Int16(String),
    /// Bytes behind the end.
    #[error("model.bin has {0} bytes behind its end: the file is damaged")]
    Trailing(u64),
    /// The variables do not make a Whisper model.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A variable's place and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Rows first; empty for a single number.
    pub dims: Vec<usize>,
    /// The type's number in the file.
    pub kind: u8,
    /// Where its data begins.
    pub offset: u64,
    /// How long its data is.
    pub bytes: u32,
}

/// All variables of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index(pub HashMap<String, Variable>);

/// The version that CTranslate2 has written since 2022.
const VERSION: u32 = 6;

/// Dimensions of a variable; convolutions have 3.
const MAX_RANK: u8 = 8;

const INT8: u8 = 1;
const INT16: u8 = 2;
const INT32: u8 = 3;

/// Bytes of a number of each type, by its number in the file: float32, int8, int16, int32, float16,
/// bfloat16.
const TYPE_BYTES: [u64; 6] = [4, 1, 2, 4, 2, 2];

impl Index {
    /// Reads names, shapes and places; the numbers themselves are passed over.
    pub fn read<R: Read + Seek>(input: &mut Input<R>) -> Result<Self, Ct2Error> {
        let version = input.u32()?;
        if version != VERSION {
            return Err(Ct2Error::Version(version));
        }
        let spec = string(input)?;
        if spec != "WhisperSpec" {
            return Err(Ct2Error::Spec(spec));
        }
        let _revision = input.u32()?;
        let count = input.u32()?;
        // Not with this capacity: a damaged count must not take memory. Each variable takes bytes
        // of the file, so the loop ends with it.
        let mut variables = HashMap::new();
        for _ in 0..count {
            let name = string(input)?;
            let variable = variable(input, &name)?;
            if variables.insert(name.clone(), variable).is_some() {
                return Err(Ct2Error::Twice(name));
            }
        }
        let aliases = input.u32()?;
        for _ in 0..aliases {
            let alias = string(input)?;
            let name = string(input)?;
            // An alias of nothing concerns us only if it is needed, and then it is missing.
            if let Some(variable) = variables.get(&name).cloned() {
                variables.entry(alias).or_insert(variable);
            }
        }
        match input.left() {
            0 => Ok(Index(variables)),
            bytes => Err(Ct2Error::Trailing(bytes)),
        }
    }

    /// The sizes that the variables' shapes tell.
    pub fn dimensions(&self, source: &dyn ReadAt) -> Result<Dimensions, Ct2Error> {
        let size = |name: &str, axis: usize| -> Result<u32, Ct2Error> {
            let variable = self.0.get(name);
            let size = variable.and_then(|variable| variable.dims.get(axis));
            size.and_then(|&size| u32::try_from(size).ok())
                .ok_or_else(|| missing(name))
        };
        let layers = |side: &str| -> u32 {
            let has = |layer: &u32| {
                let name = format!("{side}/layer_{layer}/ffn/linear_0/weight");
                self.0.contains_key(&name)
            };
            // One more than is accepted, so that the check sees what is too much.
            (0..65).take_while(has).count() as u32
        };
        let dimensions = Dimensions {
            vocab: size("decoder/embeddings/weight", 0)?,
            audio_ctx: size("encoder/position_encodings/encodings", 0)?,
            audio_state: size("encoder/position_encodings/encodings", 1)?,
            audio_head: self.heads("encoder/num_heads", source)?,
            audio_layer: layers("encoder"),
            text_ctx: size("decoder/position_encodings/encodings", 0)?,
            text_state: size("decoder/position_encodings/encodings", 1)?,
            text_head: self.heads("decoder/num_heads", source)?,
            text_layer: layers("decoder"),
            mels: size("encoder/conv1/weight", 1)?,
        };
        dimensions.check().map_err(CheckpointError::from)?;
        Ok(dimensions)
    }

    /// Makes a checkpoint of it; `words` is the vocabulary.
    pub fn checkpoint(
        &self,
        source: &Arc<dyn ReadAt>,
        words: Vec<Vec<u8>>,
    ) -> Result<Checkpoint, Ct2Error> {
        let dimensions = self.dimensions(source.as_ref())?;
        let mut failure = None;
        let checkpoint = Checkpoint::collect(dimensions, words, |part| {
            let (name, index, count) = ct2_name(part);
            let found = self.0.get(&name).and_then(|variable| {
                self.tensor(&name, variable, source)
                    .map_err(|error| failure.get_or_insert(error))
                    .ok()
            });
            let tensor = found.and_then(|tensor| tensor.rows(index, count));
            (name, tensor)
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(checkpoint?),
        }
    }

    fn tensor(
        &self,
        name: &str,
        variable: &Variable,
        source: &Arc<dyn ReadAt>,
    ) -> Result<Tensor, Ct2Error> {
        let element = match variable.kind {
            0 => Element::F32,
            INT8 => Element::I8,
            4 => Element::F16,
            5 => Element::Bf16,
            _ => return Err(Ct2Error::Int16(name.to_owned())),
        };
        let scales = match element {
            Element::I8 => Some(self.scales(name, variable, source)?),
            _ => None,
        };
        Ok(Tensor {
            source: Arc::clone(source),
            offset: variable.offset,
            dims: variable.dims.clone(),
            element,
            scales,
        })
    }

    /// An 8-bit weight has one float32 scale for each row.
    fn scales(
        &self,
        name: &str,
        weight: &Variable,
        source: &Arc<dyn ReadAt>,
    ) -> Result<Arc<[f32]>, Ct2Error> {
        let scale_name = format!("{name}_scale");
        let rows = weight.dims.first().copied().unwrap_or(0);
        let variable = self.0.get(&scale_name);
        let variable = variable
            .filter(|scale| scale.kind == 0 && scale.dims.iter().product::<usize>() == rows)
            .ok_or_else(|| missing(&scale_name))?;
        let tensor = Tensor {
            source: Arc::clone(source),
            offset: variable.offset,
            dims: vec![rows],
            element: Element::F32,
            scales: None,
        };
        let mut scales = vec![0.0; rows];
        tensor.read(0, &mut scales).map_err(InputError::Io)?;
        Ok(scales.into())
    }

    fn heads(&self, name: &str, source: &dyn ReadAt) -> Result<u32, Ct2Error> {
        let variable = self.0.get(name).filter(|variable| variable.dims.is_empty());
        let variable = variable.ok_or_else(|| missing(name))?;
        let mut bytes = [0; 4];
        let length = match variable.kind {
            INT8 => 1,
            INT16 => 2,
            INT32 => 4,
            _ => return Err(missing(name)),
        };
        source
            .read_exact_at(&mut bytes[..length], variable.offset)
            .map_err(InputError::Io)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

fn missing(name: &str) -> Ct2Error {
    let name = name.to_owned();
    CheckpointError::Missing { name }.into()
}

/// A length that counts the final NUL, then the bytes.
fn string<R: Read + Seek>(input: &mut Input<R>) -> Result<String, Ct2Error> {
    let at = input.at();
    let length = input.u16()?;
    let mut bytes = input.bytes(length.into())?;
    if bytes.pop() != Some(0) {
        return Err(Ct2Error::Name(at));
    }
    String::from_utf8(bytes).map_err(|_| Ct2Error::Name(at))
}

fn variable<R: Read + Seek>(input: &mut Input<R>, name: &str) -> Result<Variable, Ct2Error> {
    let at = input.at();
    let rank = input.u8()?;
    if rank > MAX_RANK {
        return Err(Ct2Error::Input(InputError::TooMuch {
            what: "a rank",
            value: rank.into(),
            most: MAX_RANK.into(),
            at,
        }));
    }
    let mut dims = Vec::with_capacity(rank.into());
    for _ in 0..rank {
        dims.push(input.u32()? as usize);
    }
    let kind = input.u8()?;
    let bytes = input.u32()?;
    let offset = input.at();
    input.skip(bytes.into())?;
    let expected = TYPE_BYTES.get(usize::from(kind)).and_then(|size| {
        dims.iter()
            .try_fold(*size, |bytes, &dim| bytes.checked_mul(dim as u64))
    });
    if expected != Some(bytes.into()) {
        return Err(Ct2Error::Size {
            name: name.to_owned(),
            bytes,
        });
    }
    Ok(Variable {
        dims,
        kind,
        offset,
        bytes,
    })
}

/// The variable that holds a part, and which of how many groups of its rows: query, key and value
/// of self attention are one variable, and so are key and value of cross attention.
fn ct2_name(part: &Part) -> (String, usize, usize) {
    let name = part.name.as_str();
    match name {
        "encoder.positional_embedding" => return whole("encoder/position_encodings/encodings"),
        "decoder.positional_embedding" => return whole("decoder/position_encodings/encodings"),
        "decoder.token_embedding.weight" => return whole("decoder/embeddings/weight"),
        _ => {}
    }
    let (module, field) = name.rsplit_once('.').unwrap_or((name, ""));
    // CTranslate2 calls the fields of a norm gamma and beta.
    let norm_field = if field == "weight" { "gamma" } else { "beta" };
    match module {
        "encoder.ln_post" => return whole(&format!("encoder/layer_norm/{norm_field}")),
        "decoder.ln" => return whole(&format!("decoder/layer_norm/{norm_field}")),
        _ => {}
    }
    let Some((side, layer, block)) = split_block(module) else {
        return whole(&name.replace('.', "/"));
    };
    let at = |module: &str, field: &str| format!("{side}/layer_{layer}/{module}/{field}");
    let (linear, index, count) = match block {
        "attn_ln" => return whole(&at("self_attention/layer_norm", norm_field)),
        "cross_attn_ln" => return whole(&at("attention/layer_norm", norm_field)),
        "mlp_ln" => return whole(&at("ffn/layer_norm", norm_field)),
        "attn.query" => ("self_attention/linear_0", 0, 3),
        "attn.key" => ("self_attention/linear_0", 1, 3),
        "attn.value" => ("self_attention/linear_0", 2, 3),
        "attn.out" => ("self_attention/linear_1", 0, 1),
        "cross_attn.query" => ("attention/linear_0", 0, 1),
        "cross_attn.key" => ("attention/linear_1", 0, 2),
        "cross_attn.value" => ("attention/linear_1", 1, 2),
        "cross_attn.out" => ("attention/linear_2", 0, 1),
        "mlp.0" => ("ffn/linear_0", 0, 1),
        _ => ("ffn/linear_1", 0, 1),
    };
    (at(linear, field), index, count)
}

fn whole(name: &str) -> (String, usize, usize) {
    (name.to_owned(), 0, 1)
}

/// `encoder.blocks.3.attn.query` as (`encoder`, `3`, `attn.query`).
fn split_block(module: &str) -> Option<(&str, &str, &str)> {
    let (side, rest) = module.split_once(".blocks.")?;
    let (layer, block) = rest.split_once('.')?;
    Some((side, layer, block))
}

#[cfg(test)]
#[path = "ct2_tests.rs"]
mod tests;
