//! Reading Hugging Face's Whisper folders: `config.json`, and `model.safetensors` in one file or in
//! several with an index.
//!
//! Enters: files that a stranger made. Leaves: a [`Checkpoint`]. A safetensors file is a length
//! (u64), a JSON header with each tensor's type, shape and place, then the numbers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::checkpoint::{Checkpoint, CheckpointError, Element, Tensor};
use super::input::{Input, InputError, ReadAt, read_text};
use super::layout::{Dimensions, Part};

/// Why a folder is no Whisper model of Hugging Face's kind.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `config.json` or the index is not what it should be.
    #[error("{} is not the JSON that a Whisper model has", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A model of something else.
    #[error("config.json describes a {0} model: only Whisper models can be imported")]
    Foreign(String),
    /// The index names a file that is not in the folder.
    #[error("the index names the file {0:?}, which is not a plain name: the folder is damaged")]
    Shard(String),
    /// The file is cut off or has impossible lengths.
    #[error("{} is damaged or no safetensors file", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: HeaderError,
    },
    /// The tensors do not make a Whisper model.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why a file's header cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Cut off.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A header of a size that no Whisper model has.
    #[error("its header of {0} bytes is more than a model's can be")]
    TooLong(u64),
    /// Not JSON, or of another shape.
    #[error("its header is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// A tensor that does not lie in the file, or is of another size than its shape.
    #[error("its tensor {0} does not lie where the header says")]
    Place(String),
}

/// Bytes of a header; large-v3's has 160 KB.
const MAX_HEADER: u64 = 16 << 20;

/// Bytes of `config.json`, which has 2 KB, and of an index, which has 130 KB for large-v3.
const MAX_JSON: u64 = 4 << 20;

/// The type and place of a tensor.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Entry {
    /// Such as `F16`.
    pub dtype: String,
    /// Rows first.
    pub shape: Vec<usize>,
    /// From and to, counted from behind the header.
    pub data_offsets: (u64, u64),
}

/// The header of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the numbers begin.
    pub data: u64,
    /// By name.
    pub entries: HashMap<String, Entry>,
}

impl Header {
    /// Reads and checks a header.
    pub fn read<R: Read + Seek>(input: &mut Input<R>) -> Result<Self, HeaderError> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(rename = "__metadata__", default)]
            _metadata: serde::de::IgnoredAny,
            #[serde(flatten)]
            entries: HashMap<String, Entry>,
        }
        let (low, high) = (input.u32()?, input.u32()?);
        let length = u64::from(high) << 32 | u64::from(low);
        if length > MAX_HEADER {
            return Err(HeaderError::TooLong(length));
        }
        let json = input.bytes(length)?;
        let raw: Raw = serde_json::from_slice(&json).map_err(HeaderError::Json)?;
        let header = Header {
            data: input.at(),
            entries: raw.entries,
        };
        for (name, entry) in &header.entries {
            let (from, to) = entry.data_offsets;
            // A type that we do not know has a place, but no size that we could check.
            let expected = match element(&entry.dtype) {
                Some(element) => entry
                    .shape
                    .iter()
                    .try_fold(element.bytes() as u64, |n, &dim| n.checked_mul(dim as u64)),
                None => to.checked_sub(from),
            };
            if to > input.left() || expected.is_none() || to.checked_sub(from) != expected {
                return Err(HeaderError::Place(name.clone()));
            }
        }
        Ok(header)
    }

    /// The tensor called `name`; `None` if there is none of a type that we read.
    pub fn tensor(&self, name: &str, source: &Arc<dyn ReadAt>) -> Option<Tensor> {
        let entry = self.entries.get(name)?;
        Some(Tensor {
            source: Arc::clone(source),
            offset: self.data + entry.data_offsets.0,
            dims: entry.shape.clone(),
            element: element(&entry.dtype)?,
            scales: None,
        })
    }
}

fn element(dtype: &str) -> Option<Element> {
    match dtype {
        "F32" => Some(Element::F32),
        "F16" => Some(Element::F16),
        "BF16" => Some(Element::Bf16),
        _ => None,
    }
}

/// The sizes that `config.json` tells.
pub fn dimensions(config: &str) -> Result<Result<Dimensions, SafetensorsError>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(default)]
        model_type: String,
    }
    #[derive(Deserialize)]
    struct Config {
        vocab_size: u32,
        num_mel_bins: u32,
        d_model: u32,
        encoder_layers: u32,
        encoder_attention_heads: u32,
        decoder_layers: u32,
        decoder_attention_heads: u32,
        max_source_positions: u32,
        max_target_positions: u32,
    }
    let kind: Kind = serde_json::from_str(config)?;
    if kind.model_type != "whisper" {
        let name = match kind.model_type.is_empty() {
            true => "nameless".to_owned(),
            false => kind.model_type,
        };
        return Ok(Err(SafetensorsError::Foreign(name)));
    }
    let config: Config = serde_json::from_str(config)?;
    let dimensions = Dimensions {
        vocab: config.vocab_size,
        audio_ctx: config.max_source_positions,
        audio_state: config.d_model,
        audio_head: config.encoder_attention_heads,
        audio_layer: config.encoder_layers,
        text_ctx: config.max_target_positions,
        text_state: config.d_model,
        text_head: config.decoder_attention_heads,
        text_layer: config.decoder_layers,
        mels: config.num_mel_bins,
    };
    let checked = dimensions.check().map_err(CheckpointError::from);
    Ok(checked.map(|()| dimensions).map_err(Into::into))
}

/// A folder with its files open.
pub struct Folder {
    /// From its `config.json`, checked.
    pub dimensions: Dimensions,
    shards: Vec<(Header, Arc<dyn ReadAt>)>,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder")
            .field("dimensions", &self.dimensions)
            .field("shards", &self.shards.len())
            .finish()
    }
}

impl Folder {
    /// Opens the folder at `dir`.
    pub fn open(dir: &Path) -> Result<Self, SafetensorsError> {
        let path = dir.join("config.json");
        let config = text(&path)?;
        let dimensions =
            dimensions(&config).map_err(|source| SafetensorsError::Json { path, source })??;
        let shards = files(dir)?
            .iter()
            .map(|path| open_shard(path))
            .collect::<Result<_, _>>()?;
        Ok(Folder { dimensions, shards })
    }

    /// Makes a checkpoint of it; `words` is the vocabulary.
    pub fn checkpoint(&self, words: Vec<Vec<u8>>) -> Result<Checkpoint, SafetensorsError> {
        let checkpoint = Checkpoint::collect(self.dimensions, words, |part| {
            let name = hugging_face_name(part);
            // A bare WhisperModel is saved without the prefix.
            let bare = name.trim_start_matches("model.").to_owned();
            let tensor = self.shards.iter().find_map(|(header, source)| {
                header
                    .tensor(&name, source)
                    .or_else(|| header.tensor(&bare, source))
            });
            (name, tensor)
        });
        Ok(checkpoint?)
    }
}

/// Whether `dir` looks like a folder of this kind.
pub fn is_folder(dir: &Path) -> bool {
    dir.join(SINGLE).is_file() || dir.join(INDEX).is_file()
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn files(dir: &Path) -> Result<Vec<PathBuf>, SafetensorsError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    if dir.join(SINGLE).is_file() {
        return Ok(vec![dir.join(SINGLE)]);
    }
    let path = dir.join(INDEX);
    let index: Index = serde_json::from_str(&text(&path)?)
        .map_err(|source| SafetensorsError::Json { path, source })?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    // The folder is a stranger's: it must not make us read other files.
    let outside = |name: &&String| name.contains(['/', '\0']) || name.starts_with('.');
    if let Some(name) = names.iter().find(outside) {
        return Err(SafetensorsError::Shard(name.clone()));
    }
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

fn open_shard(path: &Path) -> Result<(Header, Arc<dyn ReadAt>), SafetensorsError> {
    let read = |source| SafetensorsError::Read {
        path: path.to_owned(),
        source,
    };
    let header = |source| SafetensorsError::Header {
        path: path.to_owned(),
        source,
    };
    let mut input = Input::open(path).map_err(read)?;
    let found = Header::read(&mut input).map_err(header)?;
    Ok((found, Arc::new(File::open(path).map_err(read)?)))
}

fn text(path: &Path) -> Result<String, SafetensorsError> {
    read_text(path, MAX_JSON).map_err(|source| SafetensorsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// What transformers calls a part: `model.encoder.layers.3.self_attn.q_proj.weight`.
fn hugging_face_name(part: &Part) -> String {
    let mut name = String::from("model");
    for piece in part.name.split('.') {
        name.push('.');
        name.push_str(match piece {
            "blocks" => "layers",
            "positional_embedding" => "embed_positions.weight",
            "token_embedding" => "embed_tokens",
            "ln_post" | "ln" => "layer_norm",
            "attn" => "self_attn",
            "attn_ln" => "self_attn_layer_norm",
            "cross_attn" => "encoder_attn",
            "cross_attn_ln" => "encoder_attn_layer_norm",
            "query" => "q_proj",
            "key" => "k_proj",
            "value" => "v_proj",
            "out" => "out_proj",
            "mlp_ln" => "final_layer_norm",
            piece => piece,
        });
    }
    // The only place where a number is not a layer's.
    name.replace(".mlp.0.", ".fc1.").replace(".mlp.2.", ".fc2.")
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
