//! A small Whisper model in all forms, for tests: the same numbers under OpenAI's names, in a
//! CTranslate2 file and in a safetensors file, whose names are written out here by hand.

use std::collections::HashMap;
use std::sync::Arc;

use half::f16;

use super::checkpoint::{Checkpoint, Element, Tensor};
use super::layout::{Dimensions, parts};
use super::tokens::{WORDS, from_lines};

/// The smallest model that passes for Whisper.
pub(crate) const MINI: Dimensions = Dimensions {
    vocab: 51_864,
    audio_ctx: 8,
    audio_state: 32,
    audio_head: 2,
    audio_layer: 1,
    text_ctx: 8,
    text_state: 32,
    text_head: 2,
    text_layer: 2,
    mels: 80,
};

/// Numbers of a tensor: its dimensions and values that 16 bits hold exactly.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// The model's numbers under OpenAI's names.
pub(crate) fn numbers() -> HashMap<String, Numbers> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 24) as f32 - 128.0) / 256.0
    };
    parts(&MINI)
        .into_iter()
        .map(|part| {
            let values = (0..part.values()).map(|_| next()).collect();
            (
                part.name,
                Numbers {
                    dims: part.dims,
                    values,
                },
            )
        })
        .collect()
}

/// The vocabulary as a `vocabulary.txt`.
pub(crate) fn vocabulary() -> String {
    let tokens: Vec<String> = (0..MINI.vocab).map(|number| format!("Ġ{number}")).collect();
    assert!(tokens.len() > WORDS);
    tokens.join("\n")
}

/// The model as a reader should give it.
pub(crate) fn checkpoint() -> Checkpoint {
    let numbers = numbers();
    let words = from_lines(&vocabulary(), &MINI).unwrap();
    Checkpoint::collect(MINI, words, |part| {
        let Numbers { dims, values } = &numbers[&part.name];
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = Tensor {
            source: Arc::new(bytes),
            offset: 0,
            dims: dims.clone(),
            element: Element::F32,
            scales: None,
        };
        (part.name.clone(), Some(tensor))
    })
    .unwrap()
}

/// A variable of a CTranslate2 file.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) dims: Vec<u32>,
    pub(crate) kind: u8,
    pub(crate) data: Vec<u8>,
}

/// The model as variables of a CTranslate2 file, weights as float16.
pub(crate) fn ct2_variables() -> Vec<Variable> {
    let numbers = numbers();
    let mut variables = Vec::new();
    let mut add = |name: String, sources: &[String]| {
        let found = sources.iter().map(|source| match numbers.get(source) {
            Some(numbers) => numbers.clone(),
            // A key has no bias; the stacked variable has zeros there.
            None => Numbers {
                dims: vec![32],
                values: vec![0.0; 32],
            },
        });
        let found: Vec<Numbers> = found.collect();
        let mut dims: Vec<u32> = found[0].dims.iter().map(|&dim| dim as u32).collect();
        dims[0] = found.iter().map(|numbers| numbers.dims[0] as u32).sum();
        if name.starts_with("encoder/conv") && name.ends_with("bias") {
            dims.truncate(1);
        }
        let values = found.iter().flat_map(|numbers| &numbers.values);
        let data = values
            .flat_map(|&v| f16::from_f32(v).to_le_bytes())
            .collect();
        variables.push(Variable {
            name,
            dims,
            kind: 4,
            data,
        });
    };
    let one = |name: &str| vec![name.to_owned()];
    add(
        "encoder/position_encodings/encodings".into(),
        &one("encoder.positional_embedding"),
    );
    add(
        "decoder/position_encodings/encodings".into(),
        &one("decoder.positional_embedding"),
    );
    add(
        "decoder/embeddings/weight".into(),
        &one("decoder.token_embedding.weight"),
    );
    for (norm, source) in [("encoder", "encoder.ln_post"), ("decoder", "decoder.ln")] {
        add(
            format!("{norm}/layer_norm/gamma"),
            &one(&format!("{source}.weight")),
        );
        add(
            format!("{norm}/layer_norm/beta"),
            &one(&format!("{source}.bias")),
        );
    }
    for field in ["weight", "bias"] {
        for conv in ["conv1", "conv2"] {
            add(
                format!("encoder/{conv}/{field}"),
                &one(&format!("encoder.{conv}.{field}")),
            );
        }
        for (side, layers) in [("encoder", 1), ("decoder", 2)] {
            for layer in 0..layers {
                let to = format!("{side}/layer_{layer}");
                let from = format!("{side}.blocks.{layer}");
                let mut linear = |module: &str, sources: &[&str]| {
                    let sources: Vec<String> = sources
                        .iter()
                        .map(|source| format!("{from}.{source}.{field}"))
                        .collect();
                    add(format!("{to}/{module}/{field}"), &sources);
                };
                linear(
                    "self_attention/linear_0",
                    &["attn.query", "attn.key", "attn.value"],
                );
                linear("self_attention/linear_1", &["attn.out"]);
                linear("ffn/linear_0", &["mlp.0"]);
                linear("ffn/linear_1", &["mlp.2"]);
                if side == "decoder" {
                    linear("attention/linear_0", &["cross_attn.query"]);
                    linear(
                        "attention/linear_1",
                        &["cross_attn.key", "cross_attn.value"],
                    );
                    linear("attention/linear_2", &["cross_attn.out"]);
                }
                let norm_field = if field == "weight" { "gamma" } else { "beta" };
                let mut norm = |module: &str, source: &str| {
                    let name = format!("{to}/{module}/layer_norm/{norm_field}");
                    add(name, &[format!("{from}.{source}.{field}")]);
                };
                norm("self_attention", "attn_ln");
                norm("ffn", "mlp_ln");
                if side == "decoder" {
                    norm("attention", "cross_attn_ln");
                }
            }
        }
    }
    for side in ["encoder", "decoder"] {
        let name = format!("{side}/num_heads");
        let data = 2_u16.to_le_bytes().to_vec();
        variables.push(Variable {
            name,
            dims: Vec::new(),
            kind: 2,
            data,
        });
    }
    variables
}

/// A CTranslate2 file with these variables.
pub(crate) fn ct2_file(variables: &[Variable]) -> Vec<u8> {
    let mut file = 6_u32.to_le_bytes().to_vec();
    let string = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u16 + 1).to_le_bytes());
        file.extend(text.as_bytes());
        file.push(0);
    };
    string(&mut file, "WhisperSpec");
    file.extend(3_u32.to_le_bytes());
    file.extend((variables.len() as u32).to_le_bytes());
    for variable in variables {
        string(&mut file, &variable.name);
        file.push(variable.dims.len() as u8);
        file.extend(variable.dims.iter().flat_map(|dim| dim.to_le_bytes()));
        file.push(variable.kind);
        file.extend((variable.data.len() as u32).to_le_bytes());
        file.extend(&variable.data);
    }
    file.extend(1_u32.to_le_bytes());
    string(&mut file, "decoder/projection/weight");
    string(&mut file, "decoder/embeddings/weight");
    file
}

/// The model's tensors under transformers' names.
pub(crate) fn hugging_face() -> HashMap<String, Numbers> {
    let layer = |name: &str| {
        let mut name = name.to_owned();
        for (from, to) in [
            (".attn.", ".self_attn."),
            (".cross_attn.", ".encoder_attn."),
            (".attn_ln.", ".self_attn_layer_norm."),
            (".cross_attn_ln.", ".encoder_attn_layer_norm."),
            (".mlp_ln.", ".final_layer_norm."),
            (".mlp.0.", ".fc1."),
            (".mlp.2.", ".fc2."),
            (".query.", ".q_proj."),
            (".key.", ".k_proj."),
            (".value.", ".v_proj."),
            (".out.", ".out_proj."),
            (".blocks.", ".layers."),
            (
                "encoder.positional_embedding",
                "encoder.embed_positions.weight",
            ),
            (
                "decoder.positional_embedding",
                "decoder.embed_positions.weight",
            ),
            ("decoder.token_embedding.", "decoder.embed_tokens."),
            ("encoder.ln_post.", "encoder.layer_norm."),
            ("decoder.ln.", "decoder.layer_norm."),
        ] {
            name = name.replace(from, to);
        }
        format!("model.{name}")
    };
    numbers()
        .into_iter()
        .map(|(name, mut numbers)| {
            // PyTorch's bias of a convolution has one dimension.
            if name.starts_with("encoder.conv") && name.ends_with("bias") {
                numbers.dims.truncate(1);
            }
            (layer(&name), numbers)
        })
        .collect()
}

/// A safetensors file with these tensors, as float32.
pub(crate) fn safetensors_file(tensors: &HashMap<String, Numbers>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!({ "format": "pt" }));
    let mut data = Vec::new();
    for (name, numbers) in tensors {
        let from = data.len();
        data.extend(numbers.values.iter().flat_map(|v| v.to_le_bytes()));
        header.insert(
            name.clone(),
            serde_json::json!({
                "dtype": "F32", "shape": numbers.dims, "data_offsets": [from, data.len()],
            }),
        );
    }
    let json = serde_json::Value::Object(header).to_string();
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.as_bytes());
    file.extend(data);
    file
}

/// `config.json` of the model.
pub(crate) fn config() -> String {
    serde_json::json!({
        "model_type": "whisper", "vocab_size": 51_864, "num_mel_bins": 80, "d_model": 32,
        "encoder_layers": 1, "encoder_attention_heads": 2, "decoder_layers": 2,
        "decoder_attention_heads": 2, "max_source_positions": 8, "max_target_positions": 8,
    })
    .to_string()
}
