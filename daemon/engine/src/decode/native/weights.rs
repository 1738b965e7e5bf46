//! A model's weights in memory.
//!
//! Enters: a file that was found good. Leaves: packed layers, shared by all decoders and never
//! changed. One tensor at a time is read and packed, so that loading takes little more memory than
//! the packed weights.

use std::fs::File;
use std::io;
use std::path::Path;

use super::blocks;
use super::heads::{self, Head};
use super::kernels::Kernels;
use super::linear::{Linear, Precision};
use super::mel::Mel;
use crate::decode::file::{Contents, Place};
use crate::model::input::ReadAt;
use crate::model::quantize::Format;

/// Numbers of a head. Every published model has this many, and the kernels count on it.
pub(super) const HEAD: usize = 64;

/// Why a model is left to the other backend.
#[derive(Debug, thiserror::Error)]
pub(in crate::decode) enum NativeError {
    /// No published model is so.
    #[error("its heads are not {HEAD} wide")]
    Heads,
    /// The file changed or the disk failed between check and use.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// Everything that decoders share.
#[derive(Debug)]
pub(in crate::decode) struct Weights {
    pub(super) kernels: Kernels,
    pub(super) precision: Precision,
    /// Width of encoder and decoder.
    pub(super) width: usize,
    pub(super) heads: usize,
    /// Tokens.
    pub(super) vocabulary: usize,
    /// Places of the decoder.
    pub(super) places: usize,
    pub(super) mel: Mel,
    pub(super) conv1: Linear,
    pub(super) conv2: Linear,
    /// One row per position of the encoder.
    pub(super) positions: Vec<f32>,
    pub(super) encoder: Vec<Block>,
    pub(super) encoder_norm: Norm,
    /// One row per place of the decoder.
    pub(super) place_rows: Vec<f32>,
    pub(super) embedding: Linear,
    pub(super) decoder: Vec<DecoderBlock>,
    pub(super) decoder_norm: Norm,
    pub(super) alignment: Vec<Head>,
}

/// A layer of the encoder, or the part of the decoder's that is the same.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) attention_norm: Norm,
    /// Query, key and value.
    pub(super) qkv: Linear,
    pub(super) out: Linear,
    pub(super) mlp_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

#[derive(Debug)]
pub(super) struct DecoderBlock {
    pub(super) block: Block,
    pub(super) cross_norm: Norm,
    pub(super) cross_query: Linear,
    /// Key and value, of what the encoder puts out.
    pub(super) cross_kv: Linear,
    pub(super) cross_out: Linear,
}

#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Weights {
    /// Reads what `contents` says of the file at `path`; `name` is the model's.
    pub(in crate::decode) fn read(
        path: &Path,
        contents: &Contents,
        name: &str,
    ) -> Result<Weights, NativeError> {
        let kernels = Kernels::best();
        tracing::debug!(
            instructions = kernels.name,
            model = name,
            "packing the model"
        );
        Weights::read_as(path, contents, name, Precision::Int8, kernels)
    }

    /// As [`read`](Weights::read), with weights and instructions of choice.
    pub(super) fn read_as(
        path: &Path,
        contents: &Contents,
        name: &str,
        precision: Precision,
        kernels: Kernels,
    ) -> Result<Weights, NativeError> {
        let header = &contents.header;
        let width = header.n_text_state as usize;
        let heads = header.n_text_head as usize;
        if width != heads * HEAD || header.n_audio_head != header.n_text_head {
            return Err(NativeError::Heads);
        }
        let file = File::open(path)?;
        let reader = Reader {
            file: &file,
            contents,
            precision,
            width,
        };
        let encoder = (0..header.n_audio_layer)
            .map(|layer| reader.block(&format!("encoder.blocks.{layer}")))
            .collect::<io::Result<_>>()?;
        let decoder = (0..header.n_text_layer)
            .map(|layer| reader.decoder_block(&format!("decoder.blocks.{layer}")))
            .collect::<io::Result<_>>()?;
        Ok(Weights {
            kernels,
            precision,
            width,
            heads,
            vocabulary: header.n_vocab as usize,
            places: header.n_text_ctx as usize,
            mel: Mel::new(&contents.filters),
            conv1: reader.convolution("encoder.conv1", header.n_mels as usize)?,
            conv2: reader.convolution("encoder.conv2", width)?,
            positions: reader.values("encoder.positional_embedding")?,
            encoder,
            encoder_norm: reader.norm("encoder.ln_post")?,
            place_rows: reader.values("decoder.positional_embedding")?,
            embedding: reader.linear(&["decoder.token_embedding"], header.n_vocab as usize)?,
            decoder,
            decoder_norm: reader.norm("decoder.ln")?,
            alignment: heads::alignment_heads(header, name),
        })
    }
}

struct Reader<'a> {
    file: &'a File,
    contents: &'a Contents,
    precision: Precision,
    width: usize,
}

impl Reader<'_> {
    fn place(&self, name: &str) -> Place {
        self.contents.tensors[name]
    }

    /// Rows `first` to `first + count` of a tensor whose rows have `width` numbers.
    fn rows(&self, place: Place, width: usize, first: usize, count: usize) -> io::Result<Vec<f32>> {
        let row_bytes = Format::ALL
            .into_iter()
            .find(|format| format.tensor_type() == place.type_number)
            .and_then(|format| format.bytes(width))
            .expect("the file was checked for types that are known, and for whole blocks");
        let mut bytes = vec![0; row_bytes as usize * count];
        let offset = place.offset + row_bytes * first as u64;
        ReadAt::read_exact_at(self.file, &mut bytes, offset)?;
        let mut values = Vec::with_capacity(width * count);
        blocks::decode(place.type_number, &bytes, &mut values);
        Ok(values)
    }

    /// The whole of a small tensor.
    fn values(&self, name: &str) -> io::Result<Vec<f32>> {
        let place = self.place(name);
        let [row, rows, planes] = place.shape;
        self.rows(place, row as usize, 0, (rows * planes) as usize)
    }

    fn norm(&self, name: &str) -> io::Result<Norm> {
        Ok(Norm {
            weight: self.values(&format!("{name}.weight"))?,
            bias: self.values(&format!("{name}.bias"))?,
        })
    }

    /// Layers with the same input as one, each with `outputs` outputs. Where a bias is missing it
    /// is zero.
    fn linear(&self, names: &[&str], outputs: usize) -> io::Result<Linear> {
        // As many rows as make a piece of some megabytes.
        const PIECE: usize = 2048;
        let mut bias = Vec::new();
        let mut places = Vec::new();
        for name in names {
            let bias_name = format!("{name}.bias");
            if self.contents.tensors.contains_key(&bias_name) {
                bias.append(&mut self.values(&bias_name)?);
            } else {
                bias.resize(bias.len() + outputs, 0.0);
            }
            places.push(self.place(&format!("{name}.weight")));
        }
        let inputs = places[0].shape[0] as usize;
        let mut piece = Vec::new();
        let mut failure = None;
        let all = outputs * names.len();
        let linear = Linear::pack(self.precision, inputs, all, bias, |output, out| {
            let (which, row) = (output / outputs, output % outputs);
            if row.is_multiple_of(PIECE) {
                let count = PIECE.min(outputs - row);
                match self.rows(places[which], inputs, row, count) {
                    Ok(rows) => piece = rows,
                    Err(error) => {
                        piece = vec![0.0; inputs * count];
                        failure = Some(error);
                    }
                }
            }
            out.copy_from_slice(&piece[row % PIECE * inputs..][..inputs]);
        });
        match failure {
            None => Ok(linear),
            Some(error) => Err(error),
        }
    }

    /// A convolution over three neighbours, as a layer whose input is their rows one behind the
    /// other. Its weights stay floats: they are few, and all that is heard goes through them.
    fn convolution(&self, name: &str, inputs: usize) -> io::Result<Linear> {
        const NEIGHBOURS: usize = 3;
        let weights = self.values(&format!("{name}.weight"))?;
        let bias = self.values(&format!("{name}.bias"))?;
        let row_width = NEIGHBOURS * inputs;
        Ok(Linear::pack(
            Precision::Float,
            row_width,
            self.width,
            bias,
            |output, out| {
                let row = &weights[output * row_width..][..row_width];
                for (index, &weight) in row.iter().enumerate() {
                    out[index % NEIGHBOURS * inputs + index / NEIGHBOURS] = weight;
                }
            },
        ))
    }

    fn block(&self, name: &str) -> io::Result<Block> {
        let width = self.width;
        let part = |part: &str| format!("{name}.{part}");
        let (query, key, value) = (part("attn.query"), part("attn.key"), part("attn.value"));
        Ok(Block {
            attention_norm: self.norm(&part("attn_ln"))?,
            qkv: self.linear(&[&query, &key, &value], width)?,
            out: self.linear(&[&part("attn.out")], width)?,
            mlp_norm: self.norm(&part("mlp_ln"))?,
            up: self.linear(&[&part("mlp.0")], 4 * width)?,
            down: self.linear(&[&part("mlp.2")], width)?,
        })
    }

    fn decoder_block(&self, name: &str) -> io::Result<DecoderBlock> {
        let width = self.width;
        let part = |part: &str| format!("{name}.cross_attn{part}");
        let (key, value) = (part(".key"), part(".value"));
        Ok(DecoderBlock {
            block: self.block(name)?,
            cross_norm: self.norm(&part("_ln"))?,
            cross_query: self.linear(&[&part(".query")], width)?,
            cross_kv: self.linear(&[&key, &value], width)?,
            cross_out: self.linear(&[&part(".out")], width)?,
        })
    }
}
