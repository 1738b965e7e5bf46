//! What a client of the engine sends before it has a session: its request, its token; and the file
//! that tokens are in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wstream_engine::server::request::{self, Asked};
use wstream_engine::server::tokens::Tokens;

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), upgrade(bytes)] {
        let Some((length, asked)) = request::parse(&bytes) else {
            assert!(bytes.len() < request::MOST_BYTES);
            continue;
        };
        assert!(length <= bytes.len());
        match asked {
            Asked::Session(upgrade) => {
                // What is whole was not whole a byte before.
                assert!(request::parse(&bytes[..length - 1]).is_none());
                assert!(upgrade.response.starts_with(b"HTTP/1.1 101 "));
                assert!(upgrade.response.ends_with(b"\r\n\r\n"));
                let heads = upgrade.response.split(|&b| b == b'\n').count();
                assert!(heads <= 7, "a client's bytes make no header of ours");
                if let Some(token) = upgrade.token {
                    assert!(!tokens("0123456789abcdef").admit(token.bytes()));
                }
            }
            Asked::Refused(answer) => assert!(answer.bytes().ends_with(b"\r\n\r\n")),
            Asked::Health { .. } => {}
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(tokens) = Tokens::parse(text) {
        for line in text.lines().map(str::trim) {
            let is_token = !line.is_empty() && !line.starts_with('#');
            assert_eq!(tokens.admit(line.as_bytes()), is_token);
        }
    }
});

/// A good request with `bytes` among its headers, so that these are reached at once.
fn upgrade(bytes: &[u8]) -> Vec<u8> {
    let mut request = b"GET /ws/transcribe/prompt HTTP/1.1\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        .to_vec();
    request.extend(bytes);
    request.extend(b"\r\n\r\n");
    request
}

fn tokens(text: &str) -> Tokens {
    Tokens::parse(text).expect("a good token")
}
