//! A model in memory.
//!
//! Enters: a file's path. Leaves: the weights, shared by all decoders, with what is known of its
//! tokens and languages. Loaded on one thread, then only read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use whisper_rs::{FullParams, WhisperContext, WhisperContextParameters, WhisperError};

use super::backend::Backend;
use super::cpu::{self, CpuUnsupported};
use super::file::{self, FileError};
use super::native::{NativeBackend, Weights};
use super::vocabulary::Vocabulary;
use super::whisper::{self, WhisperBackend};
use super::word::{self, Word};
use super::{DecodeError, Prompt, Token};

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The processor cannot run it.
    #[error(transparent)]
    Cpu(#[from] CpuUnsupported),
    /// There is no such file.
    #[error("model {name} is not installed: get it with `wstreamctl model pull {name}`")]
    Missing {
        /// The model's name.
        name: String,
    },
    /// There is a file, but it is no model.
    #[error(
        "model file {} {cause}: remove it and get the model again with `wstreamctl model pull {name}`",
        path.display()
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The model's name.
        name: String,
        /// What is wrong with it; part of the sentence, since the advice follows it.
        cause: FileError,
    },
    /// whisper.cpp refuses a file that looks right; mostly for want of memory.
    #[error("model {name} cannot be loaded: is there memory enough for it?")]
    Whisper {
        /// The model's name.
        name: String,
        /// What whisper.cpp said.
        #[source]
        cause: WhisperError,
    },
}

/// The language that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// The model tells.
    #[default]
    Auto,
    /// whisper.cpp's number.
    Known(i32),
}

/// A language that the model does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownLanguage {
    /// No language of Whisper's.
    #[error("unknown language {0:?}: use a two-letter code such as en or de, or auto")]
    Code(String),
    /// A model for English alone.
    #[error("model {model} knows English only: choose a multilingual model, such as base")]
    EnglishOnly {
        /// The model's name.
        model: String,
    },
}

/// What runs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendChoice {
    /// Our own arithmetic; a model that it cannot run goes to whisper.cpp.
    #[default]
    Native,
    /// whisper.cpp.
    Whisper,
}

/// Chooses what runs models where no option does.
pub const BACKEND_VARIABLE: &str = "WSTREAM_ENGINE_BACKEND";

impl BackendChoice {
    /// What the environment says, else the default.
    pub fn from_environment() -> BackendChoice {
        let Some(value) = std::env::var_os(BACKEND_VARIABLE) else {
            return BackendChoice::default();
        };
        let choice = value
            .to_str()
            .map(|value| clap::ValueEnum::from_str(value, false));
        match choice {
            Some(Ok(choice)) => choice,
            _ => {
                tracing::warn!("{BACKEND_VARIABLE} is neither native nor whisper: it is ignored");
                BackendChoice::default()
            }
        }
    }
}

/// The weights and what belongs to them.
#[derive(Debug)]
pub struct Model {
    pub(super) vocabulary: Vocabulary,
    weights: Loaded,
    /// whisper.cpp's, where it was asked for.
    context: OnceLock<WhisperContext>,
    path: PathBuf,
    name: String,
}

#[derive(Debug)]
enum Loaded {
    Native(Arc<Weights>),
    /// They are in the context; what is here is a template: making one anew for each decode would
    /// leak.
    Whisper(Box<FullParams<'static, 'static>>),
}

/// More prompt than this is never tokenised: 224 tokens of text are less than 2 KiB.
const MOST_PROMPT_BYTES: usize = 4096;

/// Most tokens of the words to expect: about twenty names. Longer lists make a small model write
/// them where nobody said them, and leave no room for what was said before.
const MOST_VOCABULARY_TOKENS: usize = 96;

impl Model {
    /// As [`load_for`](Model::load_for), with what the environment says.
    pub fn load(path: &Path) -> Result<Model, LoadError> {
        Model::load_for(path, BackendChoice::from_environment())
    }

    /// Checks the processor, then the file, then loads it for a backend.
    pub fn load_for(path: &Path, choice: BackendChoice) -> Result<Model, LoadError> {
        cpu::check(cpu::Features::of_this_machine())?;
        let name = model_name(path);
        let contents = file::contents(path).map_err(|cause| match cause {
            FileError::Missing => LoadError::Missing { name: name.clone() },
            cause => LoadError::Invalid {
                path: path.to_owned(),
                name: name.clone(),
                cause,
            },
        })?;
        let native = match choice {
            BackendChoice::Native => match Weights::read(path, &contents, &name) {
                Ok(weights) => Some(Loaded::Native(Arc::new(weights))),
                Err(error) => {
                    tracing::debug!(%error, model = name, "whisper.cpp takes this model");
                    None
                }
            },
            BackendChoice::Whisper => None,
        };
        let is_native = native.is_some();
        let model = Model {
            vocabulary: Vocabulary::new(contents.header.n_vocab as usize, contents.tokens),
            weights: native
                .unwrap_or_else(|| Loaded::Whisper(Box::new(whisper::listening_params()))),
            context: OnceLock::new(),
            path: path.to_owned(),
            name,
        };
        if !is_native {
            model.context().map_err(|cause| LoadError::Whisper {
                name: model.name.clone(),
                cause,
            })?;
        }
        Ok(model)
    }

    /// whisper.cpp's weights, loaded when first asked for.
    pub(super) fn context(&self) -> Result<&WhisperContext, WhisperError> {
        if let Some(context) = self.context.get() {
            return Ok(context);
        }
        whisper_rs::install_logging_hooks();
        // The default has flash attention off, which must stay so: with fewer encoder positions
        // than all, whisper.cpp 1.8 lets it read what earlier calls left behind.
        let parameters = WhisperContextParameters::default();
        let context = WhisperContext::new_with_params(&self.path, parameters)?;
        Ok(self.context.get_or_init(|| context))
    }

    /// What runs this model for one decoder.
    pub(super) fn backend(&self) -> Result<Box<dyn Backend>, DecodeError> {
        Ok(match &self.weights {
            Loaded::Native(weights) => Box::new(NativeBackend::new(weights.clone())),
            Loaded::Whisper(listening) => {
                Box::new(WhisperBackend::new(self.context()?, listening)?)
            }
        })
    }

    /// Whether the threads of one decode wait for each other by spinning, so that one of them
    /// without a core costs all of them their time.
    pub fn spins(&self) -> bool {
        matches!(self.weights, Loaded::Whisper(_))
    }

    /// Such as `tiny.en`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it knows other languages than English.
    pub fn is_multilingual(&self) -> bool {
        !self.vocabulary.languages.is_empty()
    }

    /// What `code` means to this model; missing and `auto` mean that the model is to tell.
    pub fn language(&self, code: Option<&str>) -> Result<Language, UnknownLanguage> {
        let code = match code {
            None | Some("auto" | "") => return Ok(Language::Auto),
            Some(code) => code,
        };
        let unknown = || UnknownLanguage::Code(code.to_owned());
        // The C string that the look-up makes may hold no NUL; codes are letters anyway.
        if !code.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(unknown());
        }
        let number = whisper_rs::get_lang_id(code).ok_or_else(unknown)?;
        if !self.is_multilingual() {
            return if code == "en" || code == "english" {
                Ok(Language::Auto)
            } else {
                Err(UnknownLanguage::EnglishOnly {
                    model: self.name.clone(),
                })
            };
        }
        // Models before large-v3 know one language fewer than whisper.cpp's table.
        if number as usize >= self.vocabulary.languages.len() {
            return Err(unknown());
        }
        Ok(Language::Known(number))
    }

    /// The code of the language that was `asked` for or `detected`.
    pub(super) fn language_code(&self, asked: Language, detected: Option<i32>) -> &'static str {
        let number = match (asked, detected) {
            (Language::Known(number), _) | (Language::Auto, Some(number)) => number,
            (Language::Auto, None) if self.is_multilingual() => return "",
            (Language::Auto, None) => return "en",
        };
        whisper_rs::get_lang_str(number).unwrap_or_default()
    }

    /// The prompt as tokens: the words to expect, then the end of what was said.
    pub(super) fn prompt_tokens(&self, prompt: Option<&Prompt>) -> Vec<i32> {
        let Some(prompt) = prompt else {
            return Vec::new();
        };
        // Half the model's context is for the prompt and the token in front of it.
        let limit = file::TEXT_CONTEXT as usize / 2 - 1;
        let mut tokens = Vec::new();
        for (index, word) in prompt.vocabulary.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let more = self.tokens(&format!("{separator} {}", word.trim()));
            if tokens.len() + more.len() >= MOST_VOCABULARY_TOKENS {
                break;
            }
            tokens.extend(more);
        }
        if !tokens.is_empty() {
            tokens.extend(self.tokens("."));
        }
        let mut text = prompt.text.trim();
        if text.len() > MOST_PROMPT_BYTES {
            text = crate::text::last_bytes(text, MOST_PROMPT_BYTES);
        }
        if !text.is_empty() {
            // Whisper's words carry the space in front of them.
            let said = self.tokens(&format!(" {text}"));
            let room = prompt.most_tokens.min(limit - tokens.len());
            tokens.extend_from_slice(&said[said.len().saturating_sub(room)..]);
        }
        tokens
    }

    /// Text as words that can be forced on a decoder; `None` where the model's tokens do not make
    /// exactly this text. Their times are spread over `seconds`.
    pub fn words(&self, text: &str, seconds: f64) -> Option<Vec<Word>> {
        let ids = self.tokens(text);
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|&id| self.vocabulary.bytes(id))
            .copied()
            .collect();
        if bytes != text.as_bytes() {
            return None;
        }
        let tokens: Vec<Token> = ids.iter().map(|&id| Token { id, logprob: 0.0 }).collect();
        let step = seconds / tokens.len().max(1) as f64;
        let times: Vec<f64> = (0..=tokens.len())
            .map(|index| index as f64 * step)
            .collect();
        Some(word::split(&tokens, &times, &self.vocabulary))
    }

    /// Empty where there is none for `text`.
    fn tokens(&self, text: &str) -> Vec<i32> {
        self.vocabulary.tokens(&text.replace('\0', ""))
    }
}

/// What a model's file is called, for people.
fn model_name(path: &Path) -> String {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    match wstream_wire::files::model_name(&file_name) {
        Some(name) => name.to_owned(),
        None => file_name.into_owned(),
    }
}
