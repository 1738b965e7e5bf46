//! Whole files to text: the measure for what streaming reaches.
//!
//! Enters: paths. Leaves: one line per file, plain or JSON. Runs on the calling thread.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;
use wstream_wire::{SAMPLE_RATE, Segment};

use crate::decode::whole_file::{self, Search};
use crate::decode::{
    BackendChoice, DecodeError, Decoder, Effort, Language, LoadError, Model, Request, Run,
    UnknownLanguage, sound,
};
use crate::sound_file::{self, SoundFileError};

/// What to do with the files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model's file.
    pub model_path: PathBuf,
    /// What runs the model, where files are decoded as utterances.
    pub backend: BackendChoice,
    /// Beams; 1 is greedy.
    pub beam: usize,
    /// ISO 639-1 code, or `auto`.
    pub language: Option<String>,
    /// Threads to compute with.
    pub threads: usize,
    /// JSON lines rather than text.
    pub json: bool,
    /// Decode each file as the server decodes the final of an utterance.
    pub as_utterance: bool,
}

/// Why no file could be decoded.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// There is no model.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// The model does not know the language.
    #[error(transparent)]
    Language(#[from] UnknownLanguage),
    /// Decoding failed.
    #[error("decoding failed")]
    Decode(#[from] DecodeError),
    /// Nobody reads what is written.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a Path,
    text: String,
    segments: Vec<Segment>,
    language: &'static str,
    seconds: f64,
    decode_seconds: f64,
}

#[derive(Serialize)]
struct Failure<'a> {
    file: &'a Path,
    error: String,
}

/// Decodes `files` one after the other. Whether all of them could be read.
pub fn run(
    settings: &Settings,
    files: &[PathBuf],
    output: &mut impl Write,
) -> Result<bool, OfflineError> {
    // Whole files are decoded by whisper.cpp's own loop.
    let backend = if settings.as_utterance {
        settings.backend
    } else {
        BackendChoice::Whisper
    };
    let model = Arc::new(Model::load_for(&settings.model_path, backend)?);
    let language = model.language(settings.language.as_deref())?;
    let mut decoder = Decoder::new(model.clone())?;
    let mut all_read = true;
    for file in files {
        let line = match sound_file::read(file) {
            Ok(samples) => {
                let line = if settings.as_utterance {
                    utterance(&mut decoder, file, &samples, language, settings.threads)?
                } else {
                    whole(&model, file, &samples, language, settings)?
                };
                if settings.json {
                    to_json(&line)
                } else {
                    line.text
                }
            }
            Err(error) => {
                all_read = false;
                report(settings, file, error)
            }
        };
        writeln!(output, "{line}").map_err(OfflineError::Output)?;
        output.flush().map_err(OfflineError::Output)?;
    }
    Ok(all_read)
}

fn whole<'a>(
    model: &Model,
    file: &'a Path,
    samples: &[f32],
    language: Language,
    settings: &Settings,
) -> Result<Line<'a>, DecodeError> {
    let search = Search {
        beam: settings.beam,
        language,
        threads: settings.threads,
    };
    let transcript = whole_file::decode(model, samples, search)?;
    Ok(Line {
        file,
        text: transcript.text,
        segments: transcript.segments,
        language: transcript.language,
        seconds: samples.len() as f64 / f64::from(SAMPLE_RATE),
        decode_seconds: transcript.decode_seconds,
    })
}

/// The piece-by-piece decode of the server, without strategies.
fn utterance<'a>(
    decoder: &mut Decoder,
    file: &'a Path,
    samples: &[f32],
    language: Language,
    threads: usize,
) -> Result<Line<'a>, DecodeError> {
    let started = Instant::now();
    let abort = AtomicBool::new(false);
    let run = Run {
        threads,
        abort: &abort,
    };
    let seconds = |samples: usize| samples as f64 / f64::from(SAMPLE_RATE);
    let mut line = Line {
        file,
        text: String::new(),
        segments: Vec::new(),
        language: "",
        seconds: seconds(samples.len()),
        decode_seconds: 0.0,
    };
    let mut done = 0;
    while done < samples.len() {
        let rest = &samples[done..];
        let count = sound::cut(rest).unwrap_or(rest.len());
        let request = Request {
            samples: rest[..count].to_vec(),
            language,
            effort: Effort::Careful,
            ..Request::default()
        };
        let decoded = decoder.decode(&request, run)?;
        line.language = decoded.language;
        for stretch in decoded.stretches {
            crate::text::join(&mut line.text, &stretch.text);
            line.segments.push(Segment {
                start: seconds(done) + stretch.start,
                end: seconds(done) + stretch.end,
                text: stretch.text.trim().to_owned(),
            });
        }
        done += count;
    }
    line.decode_seconds = started.elapsed().as_secs_f64();
    Ok(line)
}

fn report(settings: &Settings, file: &Path, error: SoundFileError) -> String {
    let error = format!("{:#}", anyhow::Error::new(error));
    tracing::error!(file = %file.display(), "{error}");
    if settings.json {
        to_json(&Failure { file, error })
    } else {
        String::new()
    }
}

fn to_json(line: &impl Serialize) -> String {
    serde_json::to_string(line)
        .expect("a line has string keys; its path is the user's own argument")
}
