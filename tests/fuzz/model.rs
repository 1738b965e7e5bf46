//! Model files: CTranslate2, safetensors with its configuration and vocabulary, and ggml.
//!
//! The first byte chooses what the rest is.

#![no_main]

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use wstream_engine::model::input::{Input, ReadAt};
use wstream_engine::model::layout::{Dimensions, parts};
use wstream_engine::model::quantize::Encoding;
use wstream_engine::model::{ct2, ggml, safetensors, tokens};

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind % 6 {
        0 => read_ct2(bytes.to_vec()),
        1 => {
            // Behind a good beginning, so that variables are reached at once.
            let mut file = b"\x06\0\0\0\x0c\0WhisperSpec\0\x03\0\0\0".to_vec();
            file.extend(bytes);
            read_ct2(file);
        }
        2 => read_safetensors(bytes.to_vec()),
        3 => {
            let mut file = (bytes.len() as u64).to_le_bytes().to_vec();
            file.extend(bytes);
            file.extend([0; 64]);
            read_safetensors(file);
        }
        4 => read_ggml(bytes),
        _ => read_texts(bytes),
    }
});

fn input(bytes: &[u8]) -> Input<Cursor<&[u8]>> {
    Input::new(Cursor::new(bytes), bytes.len() as u64)
}

fn read_ct2(file: Vec<u8>) {
    let Ok(index) = ct2::Index::read(&mut input(&file)) else {
        return;
    };
    for variable in index.0.values() {
        assert!(variable.offset + u64::from(variable.bytes) <= file.len() as u64);
    }
    let source: Arc<dyn ReadAt> = Arc::new(file);
    if let Ok(checkpoint) = index.checkpoint(&source, Vec::new()) {
        for tensor in checkpoint.tensors.values() {
            let mut numbers = vec![0.0; tensor.values()];
            tensor.read(0, &mut numbers).expect("its place was checked");
        }
    }
}

fn read_safetensors(file: Vec<u8>) {
    let Ok(header) = safetensors::Header::read(&mut input(&file)) else {
        return;
    };
    let source: Arc<dyn ReadAt> = Arc::new(file);
    for name in header.entries.keys() {
        if let Some(tensor) = header.tensor(name, &source) {
            let mut numbers = vec![0.0; tensor.values()];
            tensor.read(0, &mut numbers).expect("its place was checked");
        }
    }
}

/// The bytes are changes to a good file: three for a place, one for what stands there.
fn read_ggml(changes: &[u8]) {
    let (mut file, headers) = MODEL.clone();
    for change in changes.as_chunks::<4>().0 {
        let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
        file[headers[place % headers.len()]] = change[3];
    }
    if let Ok(summary) = ggml::inspect_input(&mut input(&file)) {
        summary.dimensions.check().expect("it was checked");
    }
    // The same bytes as a file of their own.
    let _ = ggml::inspect_input(&mut input(changes));
}

/// A good file, and the places in it that are no numbers of tensors.
static MODEL: LazyLock<(Vec<u8>, Vec<usize>)> = LazyLock::new(|| {
    let dimensions = Dimensions {
        vocab: Dimensions::ENGLISH_VOCAB,
        audio_ctx: 4,
        audio_state: 32,
        audio_head: 1,
        audio_layer: 1,
        text_ctx: 4,
        text_state: 32,
        text_head: 1,
        text_layer: 1,
        mels: 80,
    };
    let words = [b"a".to_vec(), Vec::new(), b"bc".to_vec()];
    let mut file = Vec::new();
    let mut headers = Vec::new();
    let memory = "writing to memory does not fail";
    ggml::write_header(&dimensions, &words, Encoding::Q8_0, &mut file).expect(memory);
    headers.extend(0..file.len());
    for part in parts(&dimensions) {
        let stored = Encoding::Q8_0.of_role(part.role);
        let start = file.len();
        ggml::write_tensor_header(&part, stored, &mut file).expect(memory);
        headers.extend(start..file.len());
        stored.encode(&vec![0.0; part.values()], &mut file);
    }
    ggml::inspect_input(&mut input(&file)).expect("the file is good");
    (file, headers)
});

fn read_texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(Ok(dimensions)) = safetensors::dimensions(text) {
        let _ = parts(&dimensions);
    }
    let dimensions = Dimensions {
        vocab: Dimensions::ENGLISH_VOCAB,
        audio_ctx: 1500,
        audio_state: 384,
        audio_head: 6,
        audio_layer: 4,
        text_ctx: 448,
        text_state: 384,
        text_head: 6,
        text_layer: 4,
        mels: 80,
    };
    let _ = tokens::from_lines(text, &dimensions);
    let _ = tokens::from_array(text, &dimensions);
    let _ = tokens::from_numbers(text, &dimensions);
    let _ = tokens::from_tokenizer(text, &dimensions);
}
