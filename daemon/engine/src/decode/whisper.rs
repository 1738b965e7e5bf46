//! The backend around whisper.cpp.
//!
//! Enters: sound and tokens, as [`Backend`] says. Leaves: whisper.cpp's scores. Runs on the thread
//! that decodes, and on threads that whisper.cpp starts for each call.
//!
//! whisper.cpp's own loop (`whisper_full`) reports no usable no-speech probability, samples at
//! random where it searches, and pays for language detection with a second pass of the encoder;
//! so only its encoder and its single step are used here.

use std::ffi::c_void;

use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperError, WhisperState, WhisperSysContext,
    WhisperSysState,
};

use super::backend::{Backend, check};
use super::{DecodeError, Run};

/// Up to this width (tiny and base) a single token is too little work to share: a second thread
/// saves a millisecond, and costs ten where another program takes its core.
const NARROW: i32 = 512;

/// One of whisper.cpp's states: making it costs hundreds of megabytes of allocation.
#[derive(Debug)]
pub(super) struct WhisperBackend {
    state: WhisperState,
    /// What makes `whisper_full` listen only.
    listening: FullParams<'static, 'static>,
    /// Whether a single token is too little for more than one thread.
    is_narrow: bool,
    /// Copied out, because the wrapper shows them only as a result.
    scores: Vec<f32>,
}

impl WhisperBackend {
    /// Allocates a state; `listening` are the [`listening_params`] of the model.
    pub(super) fn new(
        context: &WhisperContext,
        listening: &FullParams<'static, 'static>,
    ) -> Result<WhisperBackend, WhisperError> {
        Ok(WhisperBackend {
            state: context.create_state()?,
            listening: listening.clone(),
            is_narrow: context.model_n_text_state() <= NARROW,
            scores: Vec::with_capacity(context.n_vocab() as usize),
        })
    }
}

/// Parameters that make `whisper_full` compute the spectrogram, take over the number of encoder
/// positions, and stop before the encoder. There is no other way to set that number. Made once per
/// model: each making leaks.
pub(super) fn listening_params() -> FullParams<'static, 'static> {
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    params.set_print_progress(false);
    params.set_no_context(true);
    // SAFETY: the callback takes no user data and only returns a constant.
    unsafe { params.set_start_encoder_callback(Some(stop_before_encoder)) };
    params
}

unsafe extern "C" fn stop_before_encoder(
    _: *mut WhisperSysContext,
    _: *mut WhisperSysState,
    _: *mut c_void,
) -> bool {
    false
}

impl Backend for WhisperBackend {
    fn encode(&mut self, samples: &[f32], positions: i32, run: Run<'_>) -> Result<(), DecodeError> {
        self.scores.clear();
        let mut params = self.listening.clone();
        params.set_audio_ctx(positions);
        params.set_n_threads(run.threads as i32);
        self.state.full(params, samples)?;
        self.state.encode(0, run.threads)?;
        check(run)
    }

    fn feed(&mut self, tokens: &[i32], past: usize, run: Run<'_>) -> Result<(), DecodeError> {
        check(run)?;
        let Some((&last, rest)) = tokens.split_last() else {
            return Ok(());
        };
        // The wrapper shows only the scores of a call's first token, so that the last one, whose
        // scores are asked for, gets a call of its own.
        if !rest.is_empty() {
            let threads = if self.is_narrow && rest.len() == 1 {
                1
            } else {
                run.threads
            };
            self.state.decode(rest, past, threads)?;
            check(run)?;
        }
        let threads = if self.is_narrow { 1 } else { run.threads };
        self.state.decode(&[last], past + rest.len(), threads)?;
        self.scores.clear();
        self.scores.extend_from_slice(self.state.get_logits()?);
        Ok(())
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// whisper.cpp shows its attention only in a second pass, which ends the process on some
    /// sounds (asserts in its time warping).
    fn attended(&self, _: usize) -> Option<f32> {
        None
    }
}
