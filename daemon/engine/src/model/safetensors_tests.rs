use std::io::Cursor;

use half::bf16;
use proptest::prelude::*;

use super::super::fixtures::{self, Numbers, config, hugging_face, safetensors_file};
use super::super::ggml::write;
use super::super::quantize::Encoding;
use super::*;

fn header(bytes: &[u8]) -> Result<Header, HeaderError> {
    Header::read(&mut Input::new(Cursor::new(bytes), bytes.len() as u64))
}

/// A file with this header and so many bytes behind it.
fn file(json: &str, data: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

fn ggml(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut out = Vec::new();
    write(checkpoint, Encoding::F16, &mut out).unwrap();
    out
}

fn open(dir: &Path) -> Result<Checkpoint, SafetensorsError> {
    Folder::open(dir)?.checkpoint(fixtures::checkpoint().words)
}

#[test]
fn a_folder_converts_to_the_same_file_as_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config()).unwrap();
    let tensors = hugging_face();
    std::fs::write(dir.path().join(SINGLE), safetensors_file(&tensors)).unwrap();
    let expected = ggml(&fixtures::checkpoint());
    assert!(ggml(&open(dir.path()).unwrap()) == expected);

    // A bare WhisperModel has no prefix.
    let bare: HashMap<String, Numbers> = tensors
        .iter()
        .map(|(name, numbers)| (name.replacen("model.", "", 1), numbers.clone()))
        .collect();
    std::fs::write(dir.path().join(SINGLE), safetensors_file(&bare)).unwrap();
    assert!(ggml(&open(dir.path()).unwrap()) == expected);

    // In two files with an index.
    std::fs::remove_file(dir.path().join(SINGLE)).unwrap();
    let mut map = HashMap::new();
    for (file, is_encoder) in [("one.safetensors", true), ("two.safetensors", false)] {
        let shard: HashMap<String, Numbers> = tensors
            .iter()
            .filter(|(name, _)| name.starts_with("model.encoder") == is_encoder)
            .map(|(name, numbers)| (name.clone(), numbers.clone()))
            .collect();
        map.extend(shard.keys().map(|name| (name.clone(), file)));
        std::fs::write(dir.path().join(file), safetensors_file(&shard)).unwrap();
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    std::fs::write(dir.path().join(INDEX), index.to_string()).unwrap();
    assert!(ggml(&open(dir.path()).unwrap()) == expected);

    std::fs::remove_file(dir.path().join("two.safetensors")).unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("two.safetensors cannot be read"), "{error}");

    let index = r#"{"weight_map": {"a": "../../etc/passwd"}}"#;
    std::fs::write(dir.path().join(INDEX), index).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, SafetensorsError::Shard(_)), "{error}");
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let tensors = hugging_face();
    std::fs::write(dir.path().join(SINGLE), safetensors_file(&tensors)).unwrap();
    for (config, expected) in [
        (None, "config.json cannot be read"),
        (Some("{".to_owned()), "config.json is not the JSON"),
        (Some("{}".to_owned()), "describes a nameless model"),
        (
            Some(r#"{"model_type":"llama"}"#.to_owned()),
            "describes a llama model",
        ),
        (
            Some(r#"{"model_type":"whisper"}"#.to_owned()),
            "config.json is not the JSON",
        ),
        (
            Some(config().replace("51864", "50000")),
            "vocabulary of 50000",
        ),
        (
            Some(config().replace(r#""decoder_layers":2"#, r#""decoder_layers":3"#)),
            "model.decoder.layers.2",
        ),
        (
            Some(config().replace(r#""d_model":32"#, r#""d_model":64"#)),
            "is 8 × 32 and not 8 × 64",
        ),
    ] {
        let path = dir.path().join("config.json");
        match &config {
            Some(config) => std::fs::write(path, config).unwrap(),
            None => assert!(!path.exists()),
        }
        let error = open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{config:?}: {error}");
    }
}

#[test]
fn every_type_is_read_and_others_are_not() {
    let json = r#"{
        "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        "b": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [4, 6]}
    }"#;
    let mut file = file(json, 6);
    let length = file.len();
    file[length - 6..length - 2].copy_from_slice(&[0x80, 0x3f, 0, 0xc0]);
    let header = header(&file).unwrap();
    let source: Arc<dyn ReadAt> = Arc::new(file);
    let mut values = [0.0; 2];
    header
        .tensor("a", &source)
        .unwrap()
        .read(0, &mut values)
        .unwrap();
    assert_eq!(values, [bf16::ONE.to_f32(), -2.0]);
    assert!(header.tensor("b", &source).is_none());
    assert!(header.tensor("c", &source).is_none());
}

#[test]
fn headers_that_lie_are_refused() {
    let entry = |shape: &str, offsets: &str| {
        format!(r#"{{"a": {{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}}}"#)
    };
    for (what, file) in [
        ("nothing", Vec::new()),
        ("only a length", vec![0; 7]),
        ("a length of all memory", vec![0xff; 64]),
        ("a length beyond the end", file("{}", 0)[..9].to_vec()),
        ("no JSON", file("model", 0)),
        ("a list", file("[]", 0)),
        ("beyond the end", file(&entry("[2]", "[0, 8]"), 7)),
        ("backwards", file(&entry("[1]", "[8, 4]"), 8)),
        (
            "another size than its shape",
            file(&entry("[3]", "[0, 8]"), 8),
        ),
        (
            "a shape that overflows",
            file(&entry("[4294967296, 4294967296, 4]", "[0, 8]"), 8),
        ),
        ("a negative shape", file(&entry("[-1]", "[0, 8]"), 8)),
        ("fractions", file(&entry("[1.5]", "[0, 6]"), 8)),
        (
            "huge offsets",
            file(
                &entry("[1]", "[18446744073709551612, 18446744073709551615]"),
                8,
            ),
        ),
    ] {
        assert!(header(&file).is_err(), "{what}");
    }
    assert!(header(&file(&entry("[2]", "[0, 8]"), 8)).is_ok());
}

proptest! {
    #[test]
    fn a_tensor_never_lies_outside_the_file(
        shape in prop::collection::vec(0_usize..4, 0..4),
        from in 0_u64..64,
        length in 0_u64..256,
        data in 0_usize..256,
    ) {
        let json = serde_json::json!({
            "a": { "dtype": "F32", "shape": shape, "data_offsets": [from, from + length] },
        });
        let file = file(&json.to_string(), data);
        let fits = from + length <= data as u64;
        let matches = shape.iter().product::<usize>() as u64 * 4 == length;
        let found = header(&file);
        prop_assert_eq!(found.is_ok(), fits && matches);
        if let Ok(found) = found {
            let tensor = found.tensor("a", &(Arc::new(file) as Arc<dyn ReadAt>)).unwrap();
            let mut values = vec![0.0; tensor.values()];
            prop_assert!(tensor.read(0, &mut values).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = header(&bytes);
        let _ = header(&file(&String::from_utf8_lossy(&bytes), 16));
    }
}
