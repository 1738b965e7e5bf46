//! A model's weights in memory.
//!
//! Enters: a file that was found good. Leaves: packed layers, shared by all decoders and never
//! changed. One tensor at a time is read and packed, so that loading takes little more memory than
//! the packed weights.
//!
//! A row of inputs shares one scale, so that a single large input costs all others their
//! precision. Behind a norm that can be helped at no cost (SmoothQuant, arXiv 2211.10438): dividing
//! an input by some number and multiplying its weights by it changes nothing, and the division is
//! done by the norm's own weight and bias. The number is the root of how large the input may be by
//! how large its weights are.

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
    /// What to divide the embedding's columns by to have them as they were.
    pub(super) embedding_columns: Vec<f32>,
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
        let audio_layers = 0..header.n_audio_layer;
        let text_layers = 0..header.n_text_layer;
        let encoder = audio_layers
            .map(|layer| reader.block(&format!("encoder.blocks.{layer}")))
            .collect::<io::Result<_>>()?;
        let kv_names: Vec<[String; 2]> = text_layers
            .clone()
            .map(|layer| {
                ["key", "value"].map(|part| format!("decoder.blocks.{layer}.cross_attn.{part}"))
            })
            .collect();
        let kv_names: Vec<Vec<&str>> = kv_names
            .iter()
            .map(|names| names.iter().map(String::as_str).collect())
            .collect();
        let mut encoder_norm = reader.norm("encoder.ln_post")?;
        let columns = reader.smooth(&mut encoder_norm, &kv_names.concat(), width)?;
        let decoder = text_layers
            .zip(&kv_names)
            .map(|(layer, kv_names)| {
                let cross_kv = reader.linear(kv_names, width, Some(&columns))?;
                reader.decoder_block(&format!("decoder.blocks.{layer}"), cross_kv)
            })
            .collect::<io::Result<_>>()?;
        let vocabulary = header.n_vocab as usize;
        let mut decoder_norm = reader.norm("decoder.ln")?;
        let embedding = ["decoder.token_embedding"];
        let embedding_columns = reader.smooth(&mut decoder_norm, &embedding, vocabulary)?;
        Ok(Weights {
            kernels,
            precision,
            width,
            heads,
            vocabulary,
            places: header.n_text_ctx as usize,
            mel: Mel::new(&contents.filters),
            conv1: reader.convolution("encoder.conv1", header.n_mels as usize)?,
            conv2: reader.convolution("encoder.conv2", width)?,
            positions: reader.values("encoder.positional_embedding")?,
            encoder,
            encoder_norm,
            place_rows: reader.values("decoder.positional_embedding")?,
            embedding: reader.linear(&embedding, vocabulary, Some(&embedding_columns))?,
            embedding_columns,
            decoder,
            decoder_norm,
            alignment: heads::alignment_heads(header, name),
        })
    }
}

/// Rows that are read at a time: some megabytes.
const PIECE: usize = 2048;

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

    /// Evens out what a norm puts out (see above) for the layers behind it, each with `outputs`
    /// outputs. Returns what to multiply the columns of their weights by.
    fn smooth(&self, norm: &mut Norm, names: &[&str], outputs: usize) -> io::Result<Vec<f32>> {
        // Of a normal distribution one in a thousand is larger.
        const DEVIATIONS: f32 = 3.0;
        let width = norm.weight.len();
        let mut largest = vec![0.0_f32; width];
        for name in names {
            let place = self.place(&format!("{name}.weight"));
            for first in (0..outputs).step_by(PIECE) {
                let count = PIECE.min(outputs - first);
                for row in self.rows(place, width, first, count)?.chunks_exact(width) {
                    for (largest, weight) in largest.iter_mut().zip(row) {
                        *largest = largest.max(weight.abs());
                    }
                }
            }
        }
        let mut columns = Vec::with_capacity(width);
        for (index, largest) in largest.into_iter().enumerate() {
            let (weight, bias) = (&mut norm.weight[index], &mut norm.bias[index]);
            let input = DEVIATIONS * weight.abs() + bias.abs();
            let column = (input / largest).sqrt();
            // Without an input or a weight it does not matter.
            let column = if column.is_normal() { column } else { 1.0 };
            *weight /= column;
            *bias /= column;
            columns.push(column);
        }
        Ok(columns)
    }

    /// Layers with the same input as one, each with `outputs` outputs. Where a bias is missing it
    /// is zero. The `columns` of the weights are multiplied by the numbers of that name.
    fn linear(
        &self,
        names: &[&str],
        outputs: usize,
        columns: Option<&[f32]>,
    ) -> io::Result<Linear> {
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
            for (out, column) in out.iter_mut().zip(columns.unwrap_or_default()) {
                *out *= column;
            }
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
        let parts = ["attn.query", "attn.key", "attn.value"].map(part);
        let qkv = parts.each_ref().map(String::as_str);
        let mut attention_norm = self.norm(&part("attn_ln"))?;
        let columns = self.smooth(&mut attention_norm, &qkv, width)?;
        let mut mlp_norm = self.norm(&part("mlp_ln"))?;
        let up = part("mlp.0");
        let mlp_columns = self.smooth(&mut mlp_norm, &[&up], 4 * width)?;
        Ok(Block {
            attention_norm,
            qkv: self.linear(&qkv, width, Some(&columns))?,
            out: self.linear(&[&part("attn.out")], width, None)?,
            mlp_norm,
            up: self.linear(&[&up], 4 * width, Some(&mlp_columns))?,
            down: self.linear(&[&part("mlp.2")], width, None)?,
        })
    }

    fn decoder_block(&self, name: &str, cross_kv: Linear) -> io::Result<DecoderBlock> {
        let part = |part: &str| format!("{name}.cross_attn{part}");
        let query = part(".query");
        let mut cross_norm = self.norm(&part("_ln"))?;
        let columns = self.smooth(&mut cross_norm, &[&query], self.width)?;
        Ok(DecoderBlock {
            block: self.block(name)?,
            cross_norm,
            cross_query: self.linear(&[&query], self.width, Some(&columns))?,
            cross_kv,
            cross_out: self.linear(&[&part(".out")], self.width, None)?,
        })
    }
}
