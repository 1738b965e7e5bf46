//! Whether whisper.cpp can use a model: it is loaded, and decodes a second of sound.
//!
//! Enters: a file that [`super::ggml::inspect`] has looked through. Decodes on the calling thread
//! and on those that whisper.cpp starts.

use std::path::Path;

use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperError,
};
use wstream_wire::SAMPLE_RATE;

use crate::decode::cpu::{self, CpuUnsupported, Features};

use super::ggml::{GgmlError, Summary, inspect};

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// whisper.cpp would not run here.
    #[error(transparent)]
    Cpu(#[from] CpuUnsupported),
    /// It is damaged.
    #[error(transparent)]
    File(#[from] GgmlError),
    /// whisper.cpp refuses it.
    #[error(
        "the model cannot be loaded or does not decode: it is damaged or of a kind that whisper.cpp does not know"
    )]
    Whisper(#[from] WhisperError),
    /// It computes nonsense.
    #[error("the model loads, but computes no numbers: its weights are damaged")]
    NotFinite,
}

/// Enough sound for the decoder to run, little enough to be quick with a large model.
const SECONDS: usize = 1;

/// The shortest audio context with which the published models do not loop (measured).
const AUDIO_CTX: i32 = 512;

/// Looks through the model at `path`, loads it and decodes with it.
pub fn decodes(path: &Path) -> Result<Summary, CheckError> {
    cpu::check(Features::of_this_machine())?;
    let summary = inspect(path)?;
    // whisper.cpp writes to standard error unless it is told not to.
    whisper_rs::install_logging_hooks();
    let context = WhisperContext::new_with_params(path, WhisperContextParameters::default())?;
    let mut state = context.create_state()?;
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    // Half of the cores: an import is seldom all that a machine does, and waiting for a core that is
    // busy costs ten times the work.
    let threads = threads().div_ceil(2);
    params.set_n_threads(threads as i32);
    params.set_audio_ctx(AUDIO_CTX.min(summary.dimensions.audio_ctx as i32));
    params.set_language(Some("en"));
    params.set_print_progress(false);
    // A few tokens show as much as many.
    params.set_max_tokens(4);
    // One temperature: what is said is of no interest.
    params.set_temperature_inc(0.0);
    state.full(params, &hum(SECONDS))?;
    state.decode(&[context.token_sot()], 0, threads)?;
    match state.get_logits()?.iter().all(|logit| logit.is_finite()) {
        true => Ok(summary),
        false => Err(CheckError::NotFinite),
    }
}

/// Threads that decode: all cores, as the engine takes them while nothing else runs.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A quiet tone: silence could be gated away.
pub fn hum(seconds: usize) -> Vec<f32> {
    let step = 220.0 * std::f32::consts::TAU / SAMPLE_RATE as f32;
    (0..seconds * SAMPLE_RATE as usize)
        .map(|sample| (sample as f32 * step).sin() * 0.1)
        .collect()
}
