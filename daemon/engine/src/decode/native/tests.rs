//! Real models: what our arithmetic makes of sound beside what whisper.cpp makes of it.
//!
//! Each test needs an installed model, and says so and passes where it is missing.

#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::kernels::{Kernels, noise};
use super::linear::Precision;
use super::*;
use crate::decode::model::{BackendChoice, Model};
use crate::decode::{file, sound};

static NEVER: AtomicBool = AtomicBool::new(false);

fn run(threads: usize) -> Run<'static> {
    Run {
        threads,
        abort: &NEVER,
    }
}

/// The models of the catalogue that are installed here and small enough for a test.
fn models() -> Vec<(&'static str, PathBuf)> {
    let dir = wstream_wire::files::models_dir();
    let mut found = Vec::new();
    for name in ["tiny.en", "base"] {
        let path = dir
            .as_ref()
            .map(|dir| wstream_wire::files::model_path(dir, name));
        match path.filter(|path| path.is_file()) {
            Some(path) => found.push((name, path)),
            None => println!("skipped: no model {name} is installed"),
        }
    }
    found
}

fn native(
    name: &str,
    path: &std::path::Path,
    precision: Precision,
    kernels: Kernels,
) -> NativeBackend {
    let contents = file::contents(path).unwrap();
    let weights = Weights::read_as(path, &contents, name, precision, kernels).unwrap();
    NativeBackend::new(Arc::new(weights))
}

/// Something like vowels with pauses, and some noise: 4 seconds.
fn sound_of(seed: u32) -> Vec<f32> {
    let pitch = 90.0 + 20.0 * seed as f32;
    noise(64_000, seed + 1)
        .into_iter()
        .enumerate()
        .map(|(i, noise)| {
            let t = i as f32 / 16_000.0;
            let voice: f32 = (1..20)
                .map(|harmonic| {
                    let hz = pitch * harmonic as f32;
                    let formant = 500.0 + 300.0 * (t * 3.0 + seed as f32).sin();
                    (t * hz * std::f32::consts::TAU).sin()
                        / (1.0 + ((hz - formant) / 200.0).powi(2))
                })
                .sum();
            0.1 * voice * (t * 9.0).sin().max(0.0) + 0.003 * noise
        })
        .collect()
}

/// Three recordings where the corpus is, and three made ones.
fn sounds() -> Vec<Vec<f32>> {
    let shared = std::env::var_os("WSTREAM_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let names = ["1688-142285-0001", "1688-142285-0002", "1688-142285-0003"];
    let recorded = names.iter().filter_map(|name| {
        let path = shared.join(format!("speech/dev/librispeech/{name}.flac"));
        crate::sound_file::read(&path).ok()
    });
    recorded.chain((0..3).map(sound_of)).collect()
}

/// Tokens that start an answer with times, for English.
fn beginning(model: &Model) -> Vec<i32> {
    let vocabulary = &model.vocabulary;
    let mut tokens = vec![vocabulary.start];
    if let Some(&english) = vocabulary.languages.first() {
        tokens.extend([english, vocabulary.transcribe]);
    }
    tokens.push(vocabulary.first_timestamp);
    tokens
}

fn likeliest(scores: &[f32]) -> i32 {
    let best = scores
        .iter()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.unwrap().0 as i32
}

/// How far two lists of scores are apart, without what is common to all of them, which no choice
/// depends on: root mean square over the standard deviation.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut error, mut size) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        error += (a - mean_a - b + mean_b).powi(2);
        size += (a - mean_a).powi(2);
    }
    (error / size).sqrt()
}

/// The distances of a backend's scores from another's along a greedy text of the latter, and the
/// places where their choices differ although the latter was not in doubt.
fn compare(
    reference: &mut dyn Backend,
    other: &mut dyn Backend,
    beginning: &[i32],
) -> (f32, usize) {
    let mut tokens = beginning.to_vec();
    let mut past = 0;
    let (mut largest, mut differing) = (0.0_f32, 0);
    for _ in 0..30 {
        reference.feed(&tokens, past, run(1)).unwrap();
        other.feed(&tokens, past, run(2)).unwrap();
        past += tokens.len();
        let (expected, found) = (reference.scores(), other.scores());
        largest = largest.max(distance(expected, found));
        let best = likeliest(expected);
        let chosen = likeliest(found);
        if chosen != best && expected[best as usize] - expected[chosen as usize] > 0.5 {
            differing += 1;
        }
        tokens = vec![best];
    }
    (largest, differing)
}

#[test]
fn floats_agree_with_whisper_cpp() {
    for (name, path) in models() {
        let model = Model::load_for(&path, BackendChoice::Whisper).unwrap();
        let mut whisper = model.backend().unwrap();
        let mut ours = native(name, &path, Precision::Float, Kernels::best());
        for (index, samples) in sounds().iter().enumerate() {
            let positions = sound::audio_context(samples.len());
            whisper.encode(samples, positions, run(1)).unwrap();
            ours.encode(samples, positions, run(2)).unwrap();
            let (distance, differing) = compare(whisper.as_mut(), &mut ours, &beginning(&model));
            println!("{name}, sound {index}: floats are {distance} apart");
            // whisper.cpp rounds to 16 bits on the way, and has GELU from a table of such.
            assert!(distance < 0.02, "{name}, sound {index}: {distance}");
            assert_eq!(differing, 0, "{name}, sound {index}");
        }
    }
}

#[test]
fn integers_agree_with_floats() {
    for (name, path) in models() {
        let model = Model::load_for(&path, BackendChoice::Native).unwrap();
        let mut floats = native(name, &path, Precision::Float, Kernels::best());
        let mut integers = native(name, &path, Precision::Int8, Kernels::best());
        for (index, samples) in sounds().iter().enumerate() {
            let positions = sound::audio_context(samples.len());
            floats.encode(samples, positions, run(2)).unwrap();
            integers.encode(samples, positions, run(1)).unwrap();
            let (distance, differing) = compare(&mut floats, &mut integers, &beginning(&model));
            println!("{name}, sound {index}: integers are {distance} apart, {differing} choices");
            // Half a step of 127 in each factor is 0.2 % of the largest; over the layers that
            // comes to some percent.
            assert!(distance < 0.25, "{name}, sound {index}: {distance}");
            assert!(differing <= 1, "{name}, sound {index}: {differing}");
        }
    }
}

#[test]
fn every_set_of_instructions_gives_the_same_scores() {
    let Some((name, path)) = models().into_iter().next() else {
        return;
    };
    let samples = sound_of(1);
    let mut expected: Option<Vec<f32>> = None;
    for kernels in Kernels::all() {
        // As floats: where integers are rounded, the smallest difference may become a whole step.
        // That integers are summed up exactly is tested with the kernels.
        let mut backend = native(name, &path, Precision::Float, kernels);
        backend.encode(&samples, 448, run(2)).unwrap();
        backend
            .feed(&[50_257, 50_363, 400, 401], 0, run(1))
            .unwrap();
        let scores = backend.scores().to_vec();
        let expected = expected.get_or_insert_with(|| scores.clone());
        let distance = distance(expected, &scores);
        assert!(distance < 1e-3, "{}: {distance}", kernels.name);
    }
}

#[test]
fn threads_earlier_calls_and_pieces_change_nothing() {
    let Some((name, path)) = models().into_iter().next() else {
        return;
    };
    let mut backend = native(name, &path, Precision::Int8, Kernels::best());
    let tokens: Vec<i32> = (0..70).map(|i| 300 + 7 * i).collect();
    let samples = sound_of(2);
    backend.encode(&samples, 512, run(1)).unwrap();
    backend.feed(&tokens, 0, run(1)).unwrap();
    let expected = backend.scores().to_vec();
    assert_eq!(expected.len(), backend.weights.vocabulary);
    // Other sound, more positions, another text.
    backend.encode(&sound_of(3), 1500, run(3)).unwrap();
    backend.feed(&[1, 2, 3], 0, run(2)).unwrap();
    backend.encode(&samples, 512, run(2)).unwrap();
    backend.feed(&tokens[..50], 0, run(2)).unwrap();
    backend.feed(&[9, 8, 7], 40, run(1)).unwrap();
    backend.feed(&tokens[40..], 40, run(3)).unwrap();
    assert!(
        backend.scores() == expected,
        "the same numbers to the last bit"
    );
}

#[test]
fn beams_are_what_single_texts_are() {
    let Some((name, path)) = models().into_iter().next() else {
        return;
    };
    let mut backend = native(name, &path, Precision::Int8, Kernels::best());
    backend.encode(&sound_of(2), 512, run(1)).unwrap();
    let start = [50_257, 50_363];
    let mut single = |text: &[i32]| {
        backend.feed(&[&start, text].concat(), 0, run(1)).unwrap();
        backend.scores().to_vec()
    };
    let expected = [&[10, 21, 30], &[11, 22, 31], &[11, 23, 32]].map(|text| single(text));
    backend.feed(&start, 0, run(1)).unwrap();
    backend.feed_beams(&[0, 0], &[10, 11], 2, run(1)).unwrap();
    backend
        .feed_beams(&[0, 1, 1], &[21, 22, 23], 3, run(2))
        .unwrap();
    backend
        .feed_beams(&[0, 1, 2], &[30, 31, 32], 4, run(1))
        .unwrap();
    for (index, expected) in expected.iter().enumerate() {
        assert!(backend.beam_scores(index) == expected, "beam {index}");
    }
    // The best one goes on alone.
    backend.feed_beams(&[2], &[40], 5, run(1)).unwrap();
    let alone = backend.beam_scores(0).to_vec();
    backend
        .feed(&[50_257, 50_363, 11, 23, 32, 40], 0, run(1))
        .unwrap();
    assert!(backend.scores() == alone);
}

#[test]
fn the_place_that_a_word_attended_moves_on_with_the_words() {
    let Some((name, path)) = models().into_iter().next() else {
        return;
    };
    let shared = std::env::var_os("WSTREAM_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let recording = shared.join("speech/dev/librispeech/1688-142285-0002.flac");
    let Ok(samples) = crate::sound_file::read(&recording) else {
        println!("skipped: no corpus");
        return;
    };
    let model = Model::load_for(&path, BackendChoice::Native).unwrap();
    let mut backend = native(name, &path, Precision::Int8, Kernels::best());
    backend.encode(&samples, 512, run(1)).unwrap();
    assert_eq!(backend.attended(0), None);
    let start = beginning(&model);
    let text = model
        .vocabulary
        .tokens(" You don't mean that you thought me so silly.");
    backend
        .feed(&[start.clone(), text.clone()].concat(), 0, run(1))
        .unwrap();
    let places: Vec<f32> = (start.len()..start.len() + text.len())
        .map(|place| backend.attended(place).unwrap())
        .collect();
    // 2.8 s of sound; from one word to the next it goes on, and from end to end over most of it.
    let forward = places.windows(2).filter(|pair| pair[0] <= pair[1]).count();
    assert!(forward + 2 >= places.len() - 1, "{places:?}");
    assert!(
        places[0] < 45.0 && places[places.len() - 2] > 70.0,
        "{places:?}"
    );
    assert!(places.iter().all(|&place| place < 142.0), "{places:?}");
}
