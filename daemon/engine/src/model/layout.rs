//! What a Whisper model consists of: its sizes, and from them every tensor's name and shape.
//!
//! Numbers in, names out; no files. Names are those of OpenAI's PyTorch checkpoints, which ggml
//! files keep; dimensions are in PyTorch's order, rows first.

/// The sizes that determine a model's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// Tokens, special ones included.
    pub vocab: u32,
    /// Positions that the encoder puts out; 1500 for 30 s.
    pub audio_ctx: u32,
    /// Width of the encoder.
    pub audio_state: u32,
    /// Attention heads of the encoder.
    pub audio_head: u32,
    /// Layers of the encoder.
    pub audio_layer: u32,
    /// Tokens that the decoder can look back on.
    pub text_ctx: u32,
    /// Width of the decoder.
    pub text_state: u32,
    /// Attention heads of the decoder.
    pub text_head: u32,
    /// Layers of the decoder.
    pub text_layer: u32,
    /// Mel bands.
    pub mels: u32,
}

/// Sizes that no Whisper model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {value} is not a Whisper model's: {expected}")]
pub struct DimensionsError {
    what: &'static str,
    value: u32,
    expected: &'static str,
}

impl Dimensions {
    /// The vocabulary of the English-only models; the others have more.
    pub const ENGLISH_VOCAB: u32 = 51_864;

    /// Refuses sizes that whisper.cpp does not survive, or with which it would take one token for
    /// another. It asserts some of this, but the assertions are compiled out.
    pub fn check(&self) -> Result<(), DimensionsError> {
        let error = |what, value, expected| DimensionsError {
            what,
            value,
            expected,
        };
        // 51,866 is large-v3's: one language more. The numbers of all special tokens follow
        // from it, so another vocabulary would be decoded to nonsense.
        if !(Self::ENGLISH_VOCAB..=51_866).contains(&self.vocab) {
            let expected = "it has 51864, 51865 or 51866 tokens";
            return Err(error("vocabulary", self.vocab, expected));
        }
        if self.mels != 80 && self.mels != 128 {
            return Err(error("number of mel bands", self.mels, "it has 80 or 128"));
        }
        if self.text_state != self.audio_state {
            let expected = "encoder and decoder are equally wide";
            return Err(error("decoder width", self.text_state, expected));
        }
        // The largest published values, with room for none: large is 1280 wide with 32 layers.
        for (what, value, most, expected) in [
            ("audio context", self.audio_ctx, 1500, "at most 1500"),
            ("text context", self.text_ctx, 448, "at most 448"),
            ("width", self.audio_state, 2048, "at most 2048"),
            ("encoder layers", self.audio_layer, 64, "at most 64"),
            ("decoder layers", self.text_layer, 64, "at most 64"),
        ] {
            if value == 0 || value > most {
                return Err(error(what, value, expected));
            }
        }
        for (what, heads) in [
            ("number of encoder heads", self.audio_head),
            ("number of decoder heads", self.text_head),
        ] {
            if heads == 0 || !self.audio_state.is_multiple_of(heads) {
                return Err(error(what, heads, "the width is a multiple of it"));
            }
        }
        // Quantised rows are blocks of 32 numbers.
        if !self.audio_state.is_multiple_of(32) {
            return Err(error("width", self.audio_state, "a multiple of 32"));
        }
        Ok(())
    }

    /// Whether the model knows other languages than English.
    pub fn is_multilingual(&self) -> bool {
        self.vocab != Self::ENGLISH_VOCAB
    }
}

/// How a tensor may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Biases, norms and positions: always float32.
    Plain,
    /// Convolutions: float16 unless the whole model is float32.
    Convolution,
    /// The big ones: in the model's own format.
    Matrix,
}

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As in OpenAI's checkpoints.
    pub name: String,
    /// Rows first.
    pub dims: Vec<usize>,
    /// How it may be stored.
    pub role: Role,
}

impl Part {
    /// How many numbers it has.
    pub fn values(&self) -> usize {
        self.dims.iter().product()
    }

    /// How many numbers a row has: quantised blocks do not reach over its end.
    pub fn row(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }
}

/// Every tensor of a model of these (checked) dimensions.
pub fn parts(dimensions: &Dimensions) -> Vec<Part> {
    let size = |value: u32| value as usize;
    let (audio, text) = (size(dimensions.audio_state), size(dimensions.text_state));
    let mut parts = Parts(Vec::new());
    let encoder_positions = vec![size(dimensions.audio_ctx), audio];
    parts.add(
        "encoder.positional_embedding",
        encoder_positions,
        Role::Plain,
    );
    for (name, inputs) in [("conv1", size(dimensions.mels)), ("conv2", audio)] {
        let weight = vec![audio, inputs, 3];
        parts.add(&format!("encoder.{name}.weight"), weight, Role::Convolution);
        parts.add(&format!("encoder.{name}.bias"), vec![audio, 1], Role::Plain);
    }
    for layer in 0..dimensions.audio_layer {
        parts.block(&format!("encoder.blocks.{layer}"), audio, &["attn"]);
    }
    parts.norm("encoder.ln_post", audio);

    let decoder_positions = vec![size(dimensions.text_ctx), text];
    parts.add(
        "decoder.positional_embedding",
        decoder_positions,
        Role::Plain,
    );
    let embedding = vec![size(dimensions.vocab), text];
    parts.add("decoder.token_embedding.weight", embedding, Role::Matrix);
    for layer in 0..dimensions.text_layer {
        let name = format!("decoder.blocks.{layer}");
        parts.block(&name, text, &["attn", "cross_attn"]);
    }
    parts.norm("decoder.ln", text);
    parts.0
}

struct Parts(Vec<Part>);

impl Parts {
    fn add(&mut self, name: &str, dims: Vec<usize>, role: Role) {
        let name = name.to_owned();
        self.0.push(Part { name, dims, role });
    }

    fn norm(&mut self, name: &str, width: usize) {
        for field in ["weight", "bias"] {
            self.add(&format!("{name}.{field}"), vec![width], Role::Plain);
        }
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        let weight = vec![outputs, inputs];
        self.add(&format!("{name}.weight"), weight, Role::Matrix);
        self.add(&format!("{name}.bias"), vec![outputs], Role::Plain);
    }

    fn block(&mut self, name: &str, width: usize, attentions: &[&str]) {
        for attention in attentions {
            self.norm(&format!("{name}.{attention}_ln"), width);
            for projection in ["query", "value", "out"] {
                self.linear(&format!("{name}.{attention}.{projection}"), width, width);
            }
            // A key has no bias: softmax would take it out again.
            let key = format!("{name}.{attention}.key.weight");
            self.add(&key, vec![width, width], Role::Matrix);
        }
        self.norm(&format!("{name}.mlp_ln"), width);
        self.linear(&format!("{name}.mlp.0"), 4 * width, width);
        self.linear(&format!("{name}.mlp.2"), width, 4 * width);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The sizes of the published models.
    pub(crate) fn published(name: &str) -> Dimensions {
        let (state, layers) = match name.split(['.', '-']).next().unwrap() {
            "tiny" => (384, 4),
            "base" => (512, 6),
            "small" => (768, 12),
            "medium" => (1024, 24),
            "large" => (1280, 32),
            other => panic!("no such model: {other}"),
        };
        let v3 = name.starts_with("large-v3");
        Dimensions {
            vocab: match (name.contains(".en"), v3) {
                (true, _) => 51_864,
                (false, false) => 51_865,
                (false, true) => 51_866,
            },
            audio_ctx: 1500,
            audio_state: state,
            audio_head: state / 64,
            audio_layer: layers,
            text_ctx: 448,
            text_state: state,
            text_head: state / 64,
            text_layer: if name.contains("turbo") { 4 } else { layers },
            mels: if v3 { 128 } else { 80 },
        }
    }

    #[test]
    fn a_model_has_as_many_tensors_as_whisper_cpp_counts() {
        for name in ["tiny.en", "base", "large-v3", "large-v3-turbo"] {
            let dimensions = published(name);
            dimensions.check().unwrap();
            let parts = parts(&dimensions);
            // 7 in front of and behind the encoder's layers and 4 of the decoder's.
            let expected = 11 + 15 * dimensions.audio_layer + 24 * dimensions.text_layer;
            assert_eq!(parts.len(), expected as usize, "{name}");
            let names: std::collections::HashSet<_> = parts.iter().map(|p| &p.name).collect();
            assert_eq!(names.len(), parts.len(), "{name}: a name twice");
        }
    }

    #[test]
    fn dimensions_that_are_no_whisper_models_are_refused() {
        let good = published("base");
        type Change = fn(&mut Dimensions);
        let cases: [(&str, Change); 11] = [
            ("vocabulary", |d| d.vocab = 51_863),
            ("vocabulary", |d| d.vocab = 32_000),
            ("mel bands", |d| d.mels = 81),
            ("decoder width", |d| d.text_state = 384),
            ("audio context", |d| d.audio_ctx = 0),
            ("audio context", |d| d.audio_ctx = 1_000_000),
            ("text context", |d| d.text_ctx = 449),
            ("encoder layers", |d| d.audio_layer = u32::MAX),
            ("decoder layers", |d| d.text_layer = 0),
            ("encoder heads", |d| d.audio_head = 0),
            ("decoder heads", |d| d.text_head = 7),
        ];
        for (what, change) in cases {
            let mut bad = good;
            change(&mut bad);
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(what), "{what}: {error}");
        }
    }
}
