//! whisper.cpp's model files: looking into one, and writing one.
//!
//! Enters: a file that a stranger made, or a [`Checkpoint`]. Leaves: a [`Summary`], or bytes.
//! A file is looked through from end to end before whisper.cpp gets it, because whisper.cpp trusts
//! what it reads: it copies dimensions into an array of four without counting them, and goes on at
//! the end of a file that was cut off.

use std::collections::HashMap;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, shape};
use super::input::{Input, InputError};
use super::layout::{Dimensions, DimensionsError, Part, parts};
use super::mel::{BINS, filter_bank};
use super::quantize::{Encoding, Format};

/// Why a file is no model.
#[derive(Debug, thiserror::Error)]
pub enum GgmlError {
    /// It cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is cut off, or has lengths that cannot be.
    #[error("the file is damaged: get the model again")]
    Input(#[from] InputError),
    /// It is something else.
    #[error("the file is {0} and no Whisper model in ggml's format")]
    Foreign(&'static str),
    /// Sizes that no Whisper model has.
    #[error("the file is no Whisper model, or damaged")]
    Dimensions(#[from] DimensionsError),
    /// Numbers stored in a way that we do not know.
    #[error("the model is stored in a format (number {0}) that is not understood")]
    Format(u32),
    /// Anything else that is not as it must be.
    #[error("the file is damaged ({0}): get the model again")]
    Damaged(String),
}

/// What a file's contents say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The model's sizes.
    pub dimensions: Dimensions,
    /// How its big tensors are stored.
    pub format: Format,
    /// The file's size.
    pub bytes: u64,
}

/// "ggml" as a little-endian number.
const MAGIC: u32 = 0x6767_6d6c;

/// ggml's header says which way of quantising was used as thousands of the file type.
const QUANTISATION_FACTOR: u32 = 1000;

/// The one that has been in use since May 2023 (`GGML_QNT_VERSION`).
const QUANTISATION_VERSION: u32 = 2;

/// Bytes of a token; the longest in Whisper's vocabulary has 128.
const MAX_WORD: u32 = 1024;

/// Bytes of a tensor's name; the longest has 41.
const MAX_NAME: u32 = 128;

/// Looks through the file at `path`; everything but the numbers is checked.
pub fn inspect(path: &Path) -> Result<Summary, GgmlError> {
    let mut input = Input::open(path).map_err(|source| GgmlError::Open {
        path: path.to_owned(),
        source,
    })?;
    inspect_input(&mut input)
}

/// Looks through a file that is open.
pub fn inspect_input<R: Read + Seek>(input: &mut Input<R>) -> Result<Summary, GgmlError> {
    let bytes = input.left();
    let magic = input.u32()?;
    if magic != MAGIC {
        return Err(GgmlError::Foreign(foreign(magic)));
    }
    let dimensions = Dimensions {
        vocab: input.u32()?,
        audio_ctx: input.u32()?,
        audio_state: input.u32()?,
        audio_head: input.u32()?,
        audio_layer: input.u32()?,
        text_ctx: input.u32()?,
        text_state: input.u32()?,
        text_head: input.u32()?,
        text_layer: input.u32()?,
        mels: input.u32()?,
    };
    dimensions.check()?;
    let file_type = input.u32()?;
    let format = Format::from_file_type(file_type % QUANTISATION_FACTOR)
        .ok_or(GgmlError::Format(file_type))?;
    if format.is_quantised() && file_type / QUANTISATION_FACTOR != QUANTISATION_VERSION {
        return Err(GgmlError::Format(file_type));
    }

    let (mels, bins) = (input.u32()?, input.u32()?);
    if (mels, bins) != (dimensions.mels, BINS as u32) {
        return Err(damaged("its filter bank has another size"));
    }
    input.skip(u64::from(mels) * u64::from(bins) * 4)?;

    let words = input.count("a vocabulary", dimensions.vocab)?;
    for _ in 0..words {
        let length = input.count("a token", MAX_WORD)?;
        input.skip(length.into())?;
    }
    inspect_tensors(input, &dimensions, format)?;
    Ok(Summary {
        dimensions,
        format,
        bytes,
    })
}

fn inspect_tensors<R: Read + Seek>(
    input: &mut Input<R>,
    dimensions: &Dimensions,
    format: Format,
) -> Result<(), GgmlError> {
    let mut missing: HashMap<String, Part> = parts(dimensions)
        .into_iter()
        .map(|part| (part.name.clone(), part))
        .collect();
    while input.left() > 0 {
        let rank = input.count("a rank", 4)?;
        let length = input.count("a name", MAX_NAME)?;
        let tensor_type = input.u32()?;
        let mut dims = Vec::new();
        for _ in 0..rank {
            dims.push(input.u32()? as usize);
        }
        // The file has the fastest dimension first.
        dims.reverse();
        let name = String::from_utf8_lossy(&input.bytes(length.into())?).into_owned();
        let part = missing
            .remove(&name)
            .ok_or_else(|| damaged(&format!("it has a tensor {name:?} that does not belong")))?;
        if dims != part.dims {
            let (found, expected) = (shape(&dims), shape(&part.dims));
            return Err(damaged(&format!("{name} is {found} and not {expected}")));
        }
        let stored = format.of_role(part.role);
        if tensor_type != stored.tensor_type() {
            return Err(damaged(&format!("{name} is not stored as {stored}")));
        }
        let bytes = stored.bytes(part.row()).map(|row| row * rows(&part));
        let bytes = bytes.ok_or_else(|| damaged(&format!("rows of {name} are not whole")))?;
        input.skip(bytes)?;
    }
    match missing.keys().next() {
        Some(name) => Err(damaged(&format!("{name} is missing"))),
        None => Ok(()),
    }
}

fn rows(part: &Part) -> u64 {
    (part.values() / part.row().max(1)) as u64
}

fn damaged(what: &str) -> GgmlError {
    GgmlError::Damaged(what.to_owned())
}

/// What a file that is no model may be instead, by its first four bytes.
fn foreign(magic: u32) -> &'static str {
    match &magic.to_le_bytes() {
        b"GGUF" => "a GGUF file",
        b"PK\x03\x04" => "a PyTorch checkpoint or an archive",
        b"<!DO" | b"<htm" | b"<HTM" => "a web page",
        b"vers" => "a Git LFS pointer, not the model itself,",
        b"RIFF" | b"fLaC" => "a recording",
        _ => "of another kind",
    }
}

/// The size of the file that [`write`] makes, to know beforehand whether it fits.
pub fn size(dimensions: &Dimensions, words: &[Vec<u8>], format: Format) -> u64 {
    let header = 12 * 4 + 2 * 4 + 4 * u64::from(dimensions.mels) * BINS as u64 + 4;
    let words: u64 = words.iter().map(|word| 4 + word.len() as u64).sum();
    let tensors: u64 = parts(dimensions)
        .iter()
        .map(|part| {
            let stored = format.of_role(part.role);
            // Rows of checked dimensions are whole blocks.
            let row = stored.bytes(part.row()).unwrap_or(0);
            (3 * 4 + 4 * part.dims.len() + part.name.len()) as u64 + row * rows(part)
        })
        .sum();
    header + words + tensors
}

/// Why a model was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The checkpoint's numbers cannot be read.
    #[error("the tensor {name} cannot be read")]
    Read {
        /// As OpenAI calls it.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A number that is none.
    #[error("the tensor {0} has numbers that are infinite or none: the model is damaged")]
    NotFinite(String),
    /// The file cannot be written.
    #[error("the converted model cannot be written")]
    Write(#[from] io::Error),
}

/// Numbers that are held at a time: 4 MB, which keeps the memory of converting a model of any
/// size at about 10 MB.
const PIECE: usize = 1 << 20;

/// Writes `checkpoint` to `out`, its big tensors as `encoding`.
pub fn write(
    checkpoint: &Checkpoint,
    encoding: Encoding,
    out: &mut impl Write,
) -> Result<(), WriteError> {
    write_header(&checkpoint.dimensions, &checkpoint.words, encoding, out)?;
    let mut values = Vec::new();
    let mut bytes = Vec::new();
    for part in parts(&checkpoint.dimensions) {
        // `Checkpoint::collect` has put every part there, in its shape.
        let Some(tensor) = checkpoint.tensors.get(&part.name) else {
            let source = io::ErrorKind::NotFound.into();
            let name = part.name;
            return Err(WriteError::Read { name, source });
        };
        let stored = encoding.of_role(part.role);
        write_tensor_header(&part, stored, out)?;
        let piece = (PIECE / part.row().max(1)).max(1) * part.row();
        let mut first = 0;
        while first < part.values() {
            values.resize(piece.min(part.values() - first), 0.0);
            tensor
                .read(first, &mut values)
                .map_err(|source| WriteError::Read {
                    name: part.name.clone(),
                    source,
                })?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err(WriteError::NotFinite(part.name));
            }
            bytes.clear();
            stored.encode(&values, &mut bytes);
            out.write_all(&bytes)?;
            first += values.len();
        }
    }
    Ok(())
}

/// Writes everything in front of the tensors.
pub fn write_header(
    dimensions: &Dimensions,
    words: &[Vec<u8>],
    encoding: Encoding,
    out: &mut impl Write,
) -> io::Result<()> {
    let format = encoding.format();
    let version = match format.is_quantised() {
        true => QUANTISATION_VERSION * QUANTISATION_FACTOR,
        false => 0,
    };
    for number in [
        MAGIC,
        dimensions.vocab,
        dimensions.audio_ctx,
        dimensions.audio_state,
        dimensions.audio_head,
        dimensions.audio_layer,
        dimensions.text_ctx,
        dimensions.text_state,
        dimensions.text_head,
        dimensions.text_layer,
        dimensions.mels,
        version + format.file_type(),
        dimensions.mels,
        BINS as u32,
    ] {
        out.write_all(&number.to_le_bytes())?;
    }
    for weight in filter_bank(dimensions.mels as usize) {
        out.write_all(&weight.to_le_bytes())?;
    }
    out.write_all(&(words.len() as u32).to_le_bytes())?;
    for word in words {
        out.write_all(&(word.len() as u32).to_le_bytes())?;
        out.write_all(word)?;
    }
    Ok(())
}

/// Writes what is in front of a tensor's numbers.
pub fn write_tensor_header(part: &Part, stored: Encoding, out: &mut impl Write) -> io::Result<()> {
    let numbers = [
        part.dims.len() as u32,
        part.name.len() as u32,
        stored.format().tensor_type(),
    ];
    // The fastest dimension first.
    let dims = part.dims.iter().rev().map(|&dim| dim as u32);
    for number in numbers.into_iter().chain(dims) {
        out.write_all(&number.to_le_bytes())?;
    }
    out.write_all(part.name.as_bytes())
}

#[cfg(test)]
#[path = "ggml_tests.rs"]
mod tests;
