use std::io::Cursor;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::fixtures::{MINI, checkpoint};
use super::super::quantize::Encoding;
use super::*;

fn written(encoding: Encoding) -> Vec<u8> {
    let mut file = Vec::new();
    write(&checkpoint(), encoding, &mut file).unwrap();
    file
}

/// Written once: it has 4 MB, and every property looks at it hundreds of times.
static MODEL: LazyLock<Vec<u8>> = LazyLock::new(|| written(Encoding::F16));

/// Where the tensors begin.
static TENSORS: LazyLock<usize> = LazyLock::new(|| {
    let mut header = Vec::new();
    write_header(&MINI, &checkpoint().words, Encoding::F16, &mut header).unwrap();
    header.len()
});

fn inspect_bytes(bytes: &[u8]) -> Result<Summary, GgmlError> {
    inspect_input(&mut Input::new(Cursor::new(bytes), bytes.len() as u64))
}

#[test]
fn what_is_written_is_found_again() {
    for encoding in [Encoding::F32, Encoding::F16, Encoding::Q8_0] {
        let file = written(encoding);
        let summary = inspect_bytes(&file).unwrap();
        assert_eq!(summary.dimensions, MINI);
        assert_eq!(summary.format, encoding.format());
        assert_eq!(summary.bytes, file.len() as u64);
        let words = checkpoint().words;
        assert_eq!(size(&MINI, &words, encoding.format()), file.len() as u64);
    }
}

#[test]
fn numbers_that_are_none_are_not_written() {
    let mut checkpoint = checkpoint();
    let tensor = checkpoint.tensors.get_mut("decoder.ln.bias").unwrap();
    tensor.source = std::sync::Arc::new([f32::NAN; 32].map(f32::to_le_bytes).concat());
    let error = write(&checkpoint, Encoding::F16, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, WriteError::NotFinite(name) if name == "decoder.ln.bias"));
}

#[test]
fn what_is_wrong_is_said() {
    let changed = |place: usize, bytes: &[u8]| {
        let mut file = MODEL.clone();
        file[place..place + bytes.len()].copy_from_slice(bytes);
        file
    };
    let first = *TENSORS;
    for (what, file, expected) in [
        ("nothing", Vec::new(), "damaged"),
        (
            "a web page",
            b"<!DOCTYPE html><html>".to_vec(),
            "a web page",
        ),
        ("GGUF", changed(0, b"GGUF"), "a GGUF file"),
        (
            "an LFS pointer",
            b"version https://git-lfs".to_vec(),
            "Git LFS pointer",
        ),
        (
            "a truncated one",
            MODEL[..MODEL.len() - 1].to_vec(),
            "damaged",
        ),
        ("one without tensors", MODEL[..first].to_vec(), "is missing"),
        (
            "one with a tensor twice",
            [&MODEL[..], &MODEL[first..]].concat(),
            "does not belong",
        ),
        (
            "another vocabulary",
            changed(4, &50_000_u32.to_le_bytes()),
            "no Whisper model",
        ),
        (
            "an unknown format",
            changed(44, &99_u32.to_le_bytes()),
            "number 99",
        ),
        (
            "an old quantisation",
            changed(44, &1007_u32.to_le_bytes()),
            "number 1007",
        ),
        (
            "another format",
            changed(44, &0_u32.to_le_bytes()),
            "is not stored as f32",
        ),
        (
            "another filter bank",
            changed(48, &81_u32.to_le_bytes()),
            "filter bank",
        ),
        (
            "a rank of 5",
            changed(first, &5_u32.to_le_bytes()),
            "damaged",
        ),
        ("a name of 4 GB", changed(first + 4, &[0xff; 4]), "damaged"),
        (
            "a tensor of another type",
            changed(first + 8, &[1]),
            "is not stored as f32",
        ),
        (
            "a tensor of another shape",
            changed(first + 12, &[33]),
            "is 8 × 33 and not 8 × 32",
        ),
        (
            "a tensor of another name",
            changed(first + 20, b"x"),
            "does not belong",
        ),
    ] {
        let error = super::super::chain(&inspect_bytes(&file).expect_err(what));
        assert!(error.contains(expected), "{what}: {error}");
    }
}

proptest! {
    #[test]
    fn no_model_that_is_cut_off_is_taken(cut in any::<prop::sample::Index>()) {
        prop_assert!(inspect_bytes(&MODEL[..cut.index(MODEL.len())]).is_err());
    }

    #[test]
    fn a_damaged_header_is_survived(
        changes in prop::collection::vec((0..60_usize, any::<u8>()), 1..4),
        tensors in prop::collection::vec((0..60_usize, any::<u8>()), 0..4),
    ) {
        let mut file = MODEL.clone();
        for (place, byte) in changes {
            file[place] = byte;
        }
        for (place, byte) in tensors {
            file[*TENSORS + place] = byte;
        }
        // Only a change that changes nothing leaves a model; what is taken is checked.
        if let Ok(summary) = inspect_bytes(&file) {
            prop_assert!(summary.dimensions.check().is_ok());
            prop_assert_eq!(size_of_tensors(&summary), (file.len() - *TENSORS) as u64);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = inspect_bytes(&bytes);
        // Behind a good header, too.
        let file = [&MODEL[..*TENSORS], &bytes].concat();
        prop_assert!(inspect_bytes(&file).is_err());
    }
}

fn size_of_tensors(summary: &Summary) -> u64 {
    let header = 14 * 4 + 4 * u64::from(summary.dimensions.mels) * BINS as u64 + 4;
    size(&summary.dimensions, &[], summary.format) - header
}
