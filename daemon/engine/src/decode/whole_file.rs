//! Decoding as OpenAI's program does it: the whole sound, all encoder positions, beam search, and
//! other temperatures where a result is doubtful. Slow, and the measure for everything else.
//!
//! Enters: samples of any length. Leaves: text with times. Runs on the calling thread, each time
//! in a fresh state, since whisper.cpp's search depends on what its random numbers did before.

use std::time::Instant;

use whisper_rs::{FullParams, SamplingStrategy};
use wstream_wire::{SAMPLE_RATE, Segment};

use super::{DecodeError, LEAST_SAMPLES, Language, Model};

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Beams; 1 is greedy.
    pub beam: usize,
    /// The language that is spoken.
    pub language: Language,
    /// Threads to compute with.
    pub threads: usize,
}

/// A decoded file.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The words, without surrounding white space.
    pub text: String,
    /// With times from the start of the file.
    pub segments: Vec<Segment>,
    /// ISO 639-1 code.
    pub language: &'static str,
    /// How long it took.
    pub decode_seconds: f64,
}

/// Decodes `samples`.
pub fn decode(model: &Model, samples: &[f32], search: Search) -> Result<Transcript, DecodeError> {
    let started = Instant::now();
    let mut samples = samples.to_vec();
    let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
    samples.resize(samples.len().max(LEAST_SAMPLES), 0.0);

    let mut params = FullParams::new(if search.beam > 1 {
        SamplingStrategy::BeamSearch {
            beam_size: search.beam as i32,
            patience: -1.0,
        }
    } else {
        SamplingStrategy::Greedy { best_of: 5 }
    });
    params.set_n_threads(search.threads as i32);
    params.set_print_progress(false);
    params.set_print_special(false);
    params.set_print_realtime(false);
    params.set_print_timestamps(false);
    params.set_suppress_blank(true);
    params.set_suppress_nst(true);
    // OpenAI's fallback; entropy is whisper.cpp's measure in place of the compression ratio.
    params.set_temperature(0.0);
    params.set_temperature_inc(0.2);
    params.set_entropy_thold(2.4);
    params.set_logprob_thold(-1.0);
    params.set_no_speech_thold(0.6);
    // The wrapper leaks the code's few bytes; once per file does no harm.
    let code = match search.language {
        Language::Known(number) => whisper_rs::get_lang_str(number).unwrap_or("en"),
        Language::Auto if model.is_multilingual() => "auto",
        Language::Auto => "en",
    };
    params.set_language(Some(code));

    let mut state = model.context()?.create_state()?;
    state.full(params, &samples)?;

    let mut text = String::new();
    let mut segments = Vec::new();
    for segment in state.as_iter() {
        let words = String::from_utf8_lossy(segment.to_bytes()?).into_owned();
        text.push_str(&words);
        // whisper.cpp counts in hundredths of a second.
        let start = (segment.start_timestamp() as f64 / 100.0).clamp(0.0, seconds);
        let end = (segment.end_timestamp() as f64 / 100.0).clamp(start, seconds);
        segments.push(Segment {
            start,
            end,
            text: words.trim().to_owned(),
        });
    }
    let detected = model
        .is_multilingual()
        .then(|| state.full_lang_id_from_state());
    Ok(Transcript {
        text: text.trim().to_owned(),
        segments,
        language: model.language_code(search.language, detected),
        decode_seconds: started.elapsed().as_secs_f64(),
    })
}
