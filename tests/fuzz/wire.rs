//! Messages of both protocol versions, from either side, and the endpoint's path.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wstream_wire::{path, v1, v2};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(samples) = v2::decode_sound(bytes) {
        assert_eq!(v2::encode_sound(&samples), bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(strategy) = path::parse(text) {
        assert_eq!(path::parse(&path::of(strategy)), Ok(strategy));
    }
    // What was understood is understood again after it was written. Numbers are compared as text:
    // a float that JSON cannot hold exactly may move once, and then stands still.
    if let Ok(message) = v1::decode_server(text) {
        let written = v1::encode_server(&message);
        let again = v1::decode_server(&written).expect("our own message");
        assert_eq!(v1::encode_server(&again), written);
    }
    if let Ok(v1::ClientMessage::AudioFrame(samples)) = v1::decode_client(text) {
        let written = v1::encode_f32_frame(samples.iter().copied());
        let again = v1::decode_client(&written).expect("our own message");
        assert_eq!(again, v1::ClientMessage::AudioFrame(samples));
    }
    if let Ok(message) = v2::decode_client(text) {
        let again = v2::decode_client(&v2::encode_client(&message)).expect("our own message");
        assert_eq!(again, message);
    }
    if let Ok(message) = v2::decode_server(text) {
        let written = v2::encode_server(&message);
        let again = v2::decode_server(&written).expect("our own message");
        assert_eq!(v2::encode_server(&again), written);
    }
});
