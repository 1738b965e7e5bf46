//! What this program was built with, and where its models are.
//!
//! Enters: a model's name. Leaves: paths and versions. Runs on the main thread.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wstream_wire::files;

/// A model cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum ModelNameError {
    /// Not a name, and no path either.
    #[error("{0:?} is no model: give a file, or a name such as tiny.en")]
    NoName(String),
    /// There is no home to look in.
    #[error("no folder to look for models in: set HOME or WSTREAM_MODELS_DIR")]
    NoFolder,
}

/// The file of `model`: itself if it looks like a path, else the installed model of that name.
/// Whether it is there is not looked at.
pub fn model_path(model: &str) -> Result<PathBuf, ModelNameError> {
    if model.contains('/') || model.ends_with(".bin") {
        return Ok(PathBuf::from(model));
    }
    if !files::is_model_name(model) {
        return Err(ModelNameError::NoName(model.to_owned()));
    }
    let dir = files::models_dir().ok_or(ModelNameError::NoFolder)?;
    Ok(files::model_path(Path::new(&dir), model))
}

/// Writes versions, and what whisper.cpp was compiled to use.
pub fn print_info(output: &mut impl Write) -> io::Result<()> {
    writeln!(output, "wstream-engine {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(output, "whisper.cpp {}", whisper_rs::get_whisper_version())?;
    writeln!(output, "{}", whisper_rs::print_system_info().trim())
}
