//! The decoder with a real model: the same sound gives the same text, damaged files are refused.
//!
//! Needs `tiny.en` among the installed models; without it each test says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code: a panic is the report, and a skipped test says so"
)]

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wstream_engine::decode::file::{self, FileError};
use wstream_engine::decode::{
    BackendChoice, DecodeError, Decoder, Effort, LoadError, Model, Prompt, Request, Run,
    UnknownLanguage,
};
use wstream_engine::sound_file::{self, SoundFileError};
use wstream_wire::files;

fn model_path() -> Option<PathBuf> {
    let path = files::models_dir().map(|dir| files::model_path(&dir, "tiny.en"));
    let path = path.filter(|path| path.is_file());
    if path.is_none() {
        println!("skipped: no model tiny.en is installed");
    }
    path
}

/// Files of the corpus; empty where it is missing.
fn corpus(names: &[&str]) -> Vec<Vec<f32>> {
    let shared = std::env::var_os("WSTREAM_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let dir = shared.join("speech/dev");
    if !dir.is_dir() {
        println!("skipped: no corpus");
        return Vec::new();
    }
    names
        .iter()
        .map(|name| sound_file::read(&dir.join(name)).unwrap())
        .collect()
}

static NEVER: AtomicBool = AtomicBool::new(false);

#[test]
fn the_same_sound_gives_the_same_text_whatever_was_decoded_before() {
    for backend in [BackendChoice::Native, BackendChoice::Whisper] {
        the_same_sound_gives_the_same_text(backend);
    }
}

fn the_same_sound_gives_the_same_text(backend: BackendChoice) {
    let Some(path) = model_path() else { return };
    let sounds = corpus(&[
        "librispeech/1688-142285-0002.flac",
        "librispeech/1688-142285-0000.flac",
        "nonspeech-keyboard/cherrymx-black-abs.flac",
    ]);
    let requests: Vec<Request> = sounds
        .into_iter()
        .zip([Effort::Careful, Effort::Quick, Effort::Careful])
        .map(|(samples, effort)| Request {
            samples,
            effort,
            prompt: Some(Prompt {
                vocabulary: Default::default(),
                text: "Margaret said, Mr. Hale.".to_owned(),
                most_tokens: 64,
            }),
            ..Request::default()
        })
        .collect();
    let model = Arc::new(Model::load_for(&path, backend).unwrap());
    let run = |threads| Run {
        threads,
        abort: &NEVER,
    };
    // Each in a decoder of its own, then all in one, in another order and with other threads.
    let alone: Vec<_> = requests
        .iter()
        .map(|request| {
            let mut decoder = Decoder::new(model.clone()).unwrap();
            decoder.decode(request, run(1)).unwrap()
        })
        .collect();
    let mut decoder = Decoder::new(model).unwrap();
    for index in (0..requests.len()).rev().chain(0..requests.len()) {
        let again = decoder
            .decode(&requests[index], run(1 + index % 2))
            .unwrap();
        assert_eq!(again, alone[index]);
    }
    if let [sentence, ..] = alone.as_slice() {
        let text: String = sentence.stretches.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(text.trim(), "You don't mean that you thought me so silly.");
    }
}

#[test]
fn odd_sound_is_survived() {
    for backend in [BackendChoice::Native, BackendChoice::Whisper] {
        odd_sound_is_survived_by(backend);
    }
}

fn odd_sound_is_survived_by(backend: BackendChoice) {
    let Some(path) = model_path() else { return };
    let model = Model::load_for(&path, backend).unwrap();
    let mut decoder = Decoder::new(Arc::new(model)).unwrap();
    let run = Run {
        threads: 1,
        abort: &NEVER,
    };
    let noise = |count: usize, loudness: f32| -> Vec<f32> {
        let mut seed = 1_u32;
        std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed as f32 / u32::MAX as f32 - 0.5) * 2.0 * loudness
        })
        .take(count)
        .collect()
    };
    for samples in [
        vec![],
        vec![0.5],
        noise(480, 0.1),
        vec![0.0; 16_000],
        vec![1.0; 16_000],
        noise(16_000, 1e30),
        noise(16_000, 1e-3),
    ] {
        let count = samples.len();
        let request = Request {
            samples,
            ..Request::default()
        };
        let decoded = decoder.decode(&request, run).unwrap();
        let seconds = count as f64 / 16_000.0;
        for stretch in &decoded.stretches {
            assert!(0.0 <= stretch.start && stretch.start <= stretch.end && stretch.end <= seconds);
        }
    }
    // A prompt of everything that a tokeniser may stumble over.
    let text = format!(
        "{} \0 \u{1F600} 广州市 {}",
        "x".repeat(5000),
        "\u{301}".repeat(50)
    );
    let request = Request {
        samples: noise(16_000, 0.1),
        prompt: Some(Prompt {
            vocabulary: Default::default(),
            text,
            most_tokens: usize::MAX,
        }),
        ..Request::default()
    };
    decoder.decode(&request, run).unwrap();
}

#[test]
fn a_raised_flag_stops_a_decode() {
    for backend in [BackendChoice::Native, BackendChoice::Whisper] {
        a_raised_flag_stops(backend);
    }
}

fn a_raised_flag_stops(backend: BackendChoice) {
    let Some(path) = model_path() else { return };
    let model = Model::load_for(&path, backend).unwrap();
    let mut decoder = Decoder::new(Arc::new(model)).unwrap();
    let abort = AtomicBool::new(true);
    let request = Request {
        samples: (0..16_000)
            .map(|i| if i % 100 < 50 { 0.1 } else { -0.1 })
            .collect(),
        ..Request::default()
    };
    let run = Run {
        threads: 1,
        abort: &abort,
    };
    let result = decoder.decode(&request, run);
    assert!(matches!(result, Err(DecodeError::Aborted)), "{result:?}");
}

#[test]
fn languages_are_checked_against_the_model() {
    let Some(path) = model_path() else { return };
    let model = Model::load(&path).unwrap();
    for good in [None, Some("auto"), Some("en")] {
        assert!(model.language(good).is_ok(), "{good:?}");
    }
    for bad in ["xx", "EN", "e\0n", "en-US"] {
        let error = model.language(Some(bad)).unwrap_err();
        assert!(matches!(error, UnknownLanguage::Code(_)), "{bad:?}");
    }
    let error = model.language(Some("de")).unwrap_err();
    assert!(error.to_string().contains("knows English only"), "{error}");
}

#[test]
fn a_damaged_model_file_is_refused_before_it_is_loaded() {
    let Some(path) = model_path() else { return };
    assert!(file::check(&path).is_ok());
    let mut whole = Vec::new();
    std::fs::File::open(&path)
        .unwrap()
        .read_to_end(&mut whole)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("ggml-copy.bin");
    std::fs::write(&copy, &whole).unwrap();
    let check = |change: &dyn Fn(&mut std::fs::File)| {
        let mut file = std::fs::File::options().write(true).open(&copy).unwrap();
        file.set_len(whole.len() as u64).unwrap();
        file.write_all(&whole[..4 * 1024 * 1024]).unwrap();
        change(&mut file);
        file::check(&copy)
    };
    // Every number of the header, and the lengths behind it.
    for position in (0..48).step_by(4).chain([48, 52, 48 + 8 + 80 * 201 * 4]) {
        for value in [0_u32, 1 << 20, u32::MAX] {
            let result = check(&|file| {
                file.seek(SeekFrom::Start(position)).unwrap();
                file.write_all(&value.to_le_bytes()).unwrap();
            });
            // 0 as file type stands for float32 and is caught by the tensors.
            assert!(result.is_err(), "{position} = {value}");
        }
    }
    let result = check(&|file| {
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(b"more").unwrap();
    });
    assert!(result.is_err(), "{result:?}");
    // From the longest to the shortest: what is cut off is not written again.
    for length in [
        whole.len() as u64 - 1,
        40_000_000,
        900_000,
        64_500,
        64_000,
        48,
        47,
        4,
        3,
        0,
    ] {
        let result = check(&|file| file.set_len(length).unwrap());
        let refused = matches!(result, Err(FileError::Truncated | FileError::Foreign));
        assert!(refused, "{length}: {result:?}");
    }
}

#[test]
fn files_that_are_no_models_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &Path| Model::load(path).unwrap_err();
    assert!(matches!(
        load(&dir.path().join("ggml-x.bin")),
        LoadError::Missing { .. }
    ));
    assert!(matches!(load(dir.path()), LoadError::Invalid { .. }));
    let text = dir.path().join("ggml-text.bin");
    std::fs::write(&text, "hello").unwrap();
    let error = load(&text);
    assert!(matches!(error, LoadError::Invalid { .. }));
    assert!(
        error.to_string().ends_with("`wstreamctl model pull text`"),
        "{error}"
    );
}

#[test]
fn sound_files_of_other_kinds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wav = |rate: u32, channels: u16, data: &[u8]| {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(b"RIFF");
        bytes.extend_from_slice(&(36 + data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(b"WAVEfmt ");
        bytes.extend_from_slice(&16_u32.to_le_bytes());
        bytes.extend_from_slice(&1_u16.to_le_bytes());
        bytes.extend_from_slice(&channels.to_le_bytes());
        bytes.extend_from_slice(&rate.to_le_bytes());
        bytes.extend_from_slice(&(rate * u32::from(channels) * 2).to_le_bytes());
        bytes.extend_from_slice(&(channels * 2).to_le_bytes());
        bytes.extend_from_slice(&16_u16.to_le_bytes());
        bytes.extend_from_slice(b"data");
        bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(data);
        let path = dir.path().join("sound.wav");
        std::fs::write(&path, bytes).unwrap();
        sound_file::read(&path)
    };
    let half = 16_384_i16.to_le_bytes();
    assert_eq!(wav(16_000, 1, &half.repeat(3)).unwrap(), [0.5; 3]);
    let stereo = [half, [0, 0]].concat();
    assert_eq!(wav(16_000, 2, &stereo.repeat(3)).unwrap(), [0.25; 3]);
    assert!(matches!(
        wav(8000, 1, &half),
        Err(SoundFileError::Rate(8000))
    ));
    assert!(wav(16_000, 1, &[]).is_err());
    let text = dir.path().join("text.wav");
    std::fs::write(&text, "hello").unwrap();
    assert!(matches!(
        sound_file::read(&text),
        Err(SoundFileError::Format(_))
    ));
    let missing = dir.path().join("missing.wav");
    assert!(matches!(
        sound_file::read(&missing),
        Err(SoundFileError::Open(_))
    ));
}
