//! Checks a ggml Whisper file before anything computes with it, and says where its parts are.
//!
//! Enters: a path. Leaves: the header, the small parts and the places of the tensors, or why the
//! file cannot be used. Runs on whichever thread loads the model.
//!
//! whisper.cpp trusts its input: a length in a damaged file makes it allocate that much, and the
//! C++ exception that follows would end the process at the language's border. So everything that
//! it will read is walked here first: header, filters, vocabulary, and every tensor's name, type,
//! shape and place, up to the last byte of the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Why a file is no usable model.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("no such file")]
    Missing,
    /// It cannot be read.
    #[error("cannot be read")]
    Io(#[source] std::io::Error),
    /// It does not start as a ggml file does.
    #[error("is no Whisper model in ggml format")]
    Foreign,
    /// It ends too early.
    #[error("is cut off")]
    Truncated,
    /// It says something that no Whisper model says.
    #[error("is damaged ({0})")]
    Damaged(String),
}

/// What a model file's header says, as far as anyone needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tokens; 51865 and more mean a multilingual model.
    pub n_vocab: u64,
    /// Encoder positions, 1500.
    pub n_audio_ctx: u64,
    /// Width of the encoder.
    pub n_audio_state: u64,
    /// Attention heads of the encoder.
    pub n_audio_head: u64,
    /// Layers of the encoder.
    pub n_audio_layer: u64,
    /// Decoder positions, 448.
    pub n_text_ctx: u64,
    /// Width of the decoder.
    pub n_text_state: u64,
    /// Attention heads of the decoder.
    pub n_text_head: u64,
    /// Layers of the decoder.
    pub n_text_layer: u64,
    /// Mel bands: 80, or 128 from large-v3 on.
    pub n_mels: u64,
    /// How the large tensors are stored.
    pub ftype: u32,
}

/// Places of the decoder, in every Whisper model.
pub(super) const TEXT_CONTEXT: u64 = 448;

/// `ggml` read as a little-endian number.
const MAGIC: u32 = 0x6767_6d6c;

/// Quantisation versions are stored as `version * 1000 + type` (`GGML_QNT_VERSION_FACTOR`).
const FTYPE_FACTOR: u32 = 1000;

/// A tensor type of ggml: number, values in a block, bytes of a block (`ggml-common.h`).
const TYPES: [(u32, u64, u64); 7] = [
    (0, 1, 4),   // F32
    (1, 1, 2),   // F16
    (2, 32, 18), // Q4_0
    (3, 32, 20), // Q4_1
    (6, 32, 22), // Q5_0
    (7, 32, 24), // Q5_1
    (8, 32, 34), // Q8_0
];

/// File types (`enum ggml_ftype`) and the tensor type that each stands for.
const FTYPES: [(u32, u32); 7] = [(0, 0), (1, 1), (2, 2), (3, 3), (8, 6), (9, 7), (7, 8)];

/// What is in a file that was found good.
#[derive(Debug)]
pub(super) struct Contents {
    /// The sizes.
    pub(super) header: Header,
    /// The mel filter bank, one row of 201 weights per band.
    pub(super) filters: Vec<f32>,
    /// The bytes of each token that the file spells out.
    pub(super) tokens: Vec<Vec<u8>>,
    /// Where each tensor is.
    pub(super) tensors: BTreeMap<String, Place>,
}

/// A tensor's place in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The first byte of its numbers.
    pub(super) offset: u64,
    /// How its numbers are stored, as ggml counts (`enum ggml_type`).
    pub(super) type_number: u32,
    /// The fastest dimension first.
    pub(super) shape: [u64; 3],
}

/// Walks the whole file. Steps over the tensors' data, so it takes milliseconds.
pub fn check(path: &Path) -> Result<Header, FileError> {
    contents(path).map(|contents| contents.header)
}

/// Walks the whole file as [`check`] does, and keeps what it sees.
pub(super) fn contents(path: &Path) -> Result<Contents, FileError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => FileError::Missing,
        _ => FileError::Io(error),
    })?;
    let metadata = file.metadata().map_err(FileError::Io)?;
    if !metadata.is_file() {
        return Err(FileError::Foreign);
    }
    walk(BufReader::new(file), metadata.len())
}

fn walk(reader: impl Read + Seek, length: u64) -> Result<Contents, FileError> {
    let mut input = Input {
        reader,
        position: 0,
        length,
    };
    if length < 4 || input.u32()? != MAGIC {
        return Err(FileError::Foreign);
    }
    let header = read_header(&mut input)?;
    Ok(Contents {
        filters: read_filters(&mut input, &header)?,
        tokens: read_vocabulary(&mut input, &header)?,
        tensors: read_tensors(&mut input, &header)?,
        header,
    })
}

fn read_header(input: &mut Input<impl Read + Seek>) -> Result<Header, FileError> {
    let mut next = |name: &str, allowed: std::ops::RangeInclusive<u64>| {
        let value = u64::from(input.u32()?);
        if allowed.contains(&value) {
            Ok(value)
        } else {
            Err(FileError::Damaged(format!("{name} is {value}")))
        }
    };
    // The ranges hold every Whisper model that was published, distilled ones included, with room.
    let n_vocab = next("n_vocab", 51_864..=51_866)?;
    let n_audio_ctx = next("n_audio_ctx", 1500..=1500)?;
    let n_audio_state = next("n_audio_state", 128..=2560)?;
    let n_audio_head = next("n_audio_head", 1..=64)?;
    let n_audio_layer = next("n_audio_layer", 1..=64)?;
    let n_text_ctx = next("n_text_ctx", TEXT_CONTEXT..=TEXT_CONTEXT)?;
    let n_text_state = next("n_text_state", 128..=2560)?;
    let n_text_head = next("n_text_head", 1..=64)?;
    let n_text_layer = next("n_text_layer", 1..=64)?;
    let n_mels = next("n_mels", 80..=128)?;
    let ftype = next("ftype", 0..=9999)? as u32;
    if n_audio_state != n_text_state
        || !n_audio_state.is_multiple_of(n_audio_head)
        || !n_text_state.is_multiple_of(n_text_head)
    {
        return Err(FileError::Damaged("widths do not fit".to_owned()));
    }
    // whisper.cpp looks up a name by this number and throws where there is none.
    if ![4, 6, 12, 24, 32].contains(&n_audio_layer) {
        return Err(FileError::Damaged(format!(
            "n_audio_layer is {n_audio_layer}"
        )));
    }
    if !FTYPES
        .iter()
        .any(|&(number, _)| number == ftype % FTYPE_FACTOR)
    {
        return Err(FileError::Damaged(format!("ftype is {ftype}")));
    }
    Ok(Header {
        n_vocab,
        n_audio_ctx,
        n_audio_state,
        n_audio_head,
        n_audio_layer,
        n_text_ctx,
        n_text_state,
        n_text_head,
        n_text_layer,
        n_mels,
        ftype,
    })
}

fn read_filters(
    input: &mut Input<impl Read + Seek>,
    header: &Header,
) -> Result<Vec<f32>, FileError> {
    let (n_mels, n_fft) = (u64::from(input.u32()?), u64::from(input.u32()?));
    // 201: half of Whisper's 400-sample transform, and the middle.
    if n_mels != header.n_mels || n_fft != 201 {
        return Err(FileError::Damaged(format!("filters of {n_mels} x {n_fft}")));
    }
    let bytes = input.bytes((n_mels * n_fft * 4) as usize)?;
    let (numbers, _) = bytes.as_chunks();
    Ok(numbers
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect())
}

fn read_vocabulary(
    input: &mut Input<impl Read + Seek>,
    header: &Header,
) -> Result<Vec<Vec<u8>>, FileError> {
    let n_tokens = u64::from(input.u32()?);
    if n_tokens > header.n_vocab || n_tokens < 50_256 {
        return Err(FileError::Damaged(format!("{n_tokens} tokens")));
    }
    let mut tokens = Vec::new();
    for _ in 0..n_tokens {
        let length = u64::from(input.u32()?);
        // GPT-2's longest token has 128 bytes.
        if length > 1024 {
            return Err(FileError::Damaged(format!("a token of {length} bytes")));
        }
        tokens.push(input.bytes(length as usize)?);
    }
    Ok(tokens)
}

fn read_tensors(
    input: &mut Input<impl Read + Seek>,
    header: &Header,
) -> Result<BTreeMap<String, Place>, FileError> {
    let mut expected = expected_tensors(header);
    let mut places = BTreeMap::new();
    while input.position < input.length {
        let (n_dims, name_length, type_number) = (input.u32()?, input.u32()?, input.u32()?);
        if !(1..=3).contains(&n_dims) || !(1..=64).contains(&name_length) {
            return Err(FileError::Damaged("a tensor without shape".to_owned()));
        }
        let mut shape = [1; 3];
        for size in shape.iter_mut().take(n_dims as usize) {
            *size = u64::from(input.u32()?);
        }
        let name = input.bytes(name_length as usize)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let Some(tensor) = expected.remove(&name) else {
            return Err(FileError::Damaged(format!("unexpected tensor {name:?}")));
        };
        if tensor.shape != shape || tensor.type_number != type_number {
            return Err(FileError::Damaged(format!(
                "{name} is {shape:?} of type {type_number}"
            )));
        }
        let place = Place {
            offset: input.position,
            type_number,
            shape,
        };
        input.skip(tensor.bytes()?)?;
        places.insert(name, place);
    }
    match expected.keys().next() {
        None => Ok(places),
        // The file ends between two tensors.
        Some(_) => Err(FileError::Truncated),
    }
}

struct Tensor {
    shape: [u64; 3],
    type_number: u32,
}

impl Tensor {
    fn bytes(&self) -> Result<u64, FileError> {
        let (_, values, bytes) = TYPES
            .into_iter()
            .find(|&(number, ..)| number == self.type_number)
            .expect("the table of file types names only types of this table");
        if !self.shape[0].is_multiple_of(values) {
            return Err(FileError::Damaged("a row of part of a block".to_owned()));
        }
        Ok(self.shape.iter().product::<u64>() / values * bytes)
    }
}

/// Every tensor that whisper.cpp asks for, by name, as `whisper_model_load` creates them.
fn expected_tensors(header: &Header) -> BTreeMap<String, Tensor> {
    const F32: u32 = 0;
    const F16: u32 = 1;
    let (_, large) = FTYPES
        .into_iter()
        .find(|&(number, _)| number == header.ftype % FTYPE_FACTOR)
        .expect("the header's file type has been checked against this table");
    let convolution = if large == F32 { F32 } else { F16 };
    let state = header.n_audio_state;
    let mut tensors = BTreeMap::new();
    let mut add = |name: String, type_number: u32, shape: [u64; 3]| {
        tensors.insert(name, Tensor { shape, type_number });
    };
    let part = |part: &str, name: &str| format!("{part}.{name}");

    add(
        part("encoder", "positional_embedding"),
        F32,
        [state, header.n_audio_ctx, 1],
    );
    add(
        part("encoder", "conv1.weight"),
        convolution,
        [3, header.n_mels, state],
    );
    add(part("encoder", "conv1.bias"), F32, [1, state, 1]);
    add(
        part("encoder", "conv2.weight"),
        convolution,
        [3, state, state],
    );
    add(part("encoder", "conv2.bias"), F32, [1, state, 1]);
    add(part("encoder", "ln_post.weight"), F32, [state, 1, 1]);
    add(part("encoder", "ln_post.bias"), F32, [state, 1, 1]);
    add(
        part("decoder", "positional_embedding"),
        F32,
        [state, header.n_text_ctx, 1],
    );
    add(
        part("decoder", "token_embedding.weight"),
        large,
        [state, header.n_vocab, 1],
    );
    add(part("decoder", "ln.weight"), F32, [state, 1, 1]);
    add(part("decoder", "ln.bias"), F32, [state, 1, 1]);

    let mut layer = |name: String, attentions: &[&str]| {
        add(format!("{name}.mlp_ln.weight"), F32, [state, 1, 1]);
        add(format!("{name}.mlp_ln.bias"), F32, [state, 1, 1]);
        add(format!("{name}.mlp.0.weight"), large, [state, 4 * state, 1]);
        add(format!("{name}.mlp.0.bias"), F32, [4 * state, 1, 1]);
        add(format!("{name}.mlp.2.weight"), large, [4 * state, state, 1]);
        add(format!("{name}.mlp.2.bias"), F32, [state, 1, 1]);
        for attention in attentions {
            let name = format!("{name}.{attention}");
            add(format!("{name}_ln.weight"), F32, [state, 1, 1]);
            add(format!("{name}_ln.bias"), F32, [state, 1, 1]);
            for matrix in ["query", "key", "value", "out"] {
                add(format!("{name}.{matrix}.weight"), large, [state, state, 1]);
                if matrix != "key" {
                    add(format!("{name}.{matrix}.bias"), F32, [state, 1, 1]);
                }
            }
        }
    };
    for i in 0..header.n_audio_layer {
        layer(format!("encoder.blocks.{i}"), &["attn"]);
    }
    for i in 0..header.n_text_layer {
        layer(format!("decoder.blocks.{i}"), &["attn", "cross_attn"]);
    }
    tensors
}

/// The file with the place in it, so that no step leads past its end.
struct Input<R> {
    reader: R,
    position: u64,
    length: u64,
}

impl<R: Read + Seek> Input<R> {
    fn u32(&mut self) -> Result<u32, FileError> {
        let bytes = self.bytes(4)?;
        Ok(u32::from_le_bytes(
            bytes.try_into().expect("four bytes were asked for"),
        ))
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, FileError> {
        self.claim(count as u64)?;
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).map_err(FileError::Io)?;
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> Result<(), FileError> {
        self.claim(count)?;
        if count <= 1024 {
            // Within the reader's buffer mostly; a seek would throw the buffer away.
            std::io::copy(&mut self.reader.by_ref().take(count), &mut std::io::sink())
                .map_err(FileError::Io)?;
        } else {
            self.reader
                .seek(SeekFrom::Start(self.position))
                .map_err(FileError::Io)?;
        }
        Ok(())
    }

    fn claim(&mut self, count: u64) -> Result<(), FileError> {
        self.position = self
            .position
            .checked_add(count)
            .filter(|&position| position <= self.length)
            .ok_or(FileError::Truncated)?;
        Ok(())
    }
}
