//! What a client asks for in its first bytes.
//!
//! Enters: bytes. Leaves: an upgrade, a question after our health, or why it is neither. Pure.

use std::net::IpAddr;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::http::header::{
    AUTHORIZATION, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use wstream_wire::path::PathError;
use wstream_wire::{Strategy, path, v2};

use super::answer::Answer;

/// The most that a request may have before its empty line. Proxies add a few hundred bytes.
pub const MOST_BYTES: usize = 16 * 1024;

/// Where our health is told.
const HEALTH_PATH: &str = "/healthz";

/// What a client asks for.
#[derive(Debug)]
pub enum Asked {
    /// A session.
    Session(Upgrade),
    /// Whether we are well; with a body or, for `HEAD`, without one.
    Health {
        /// Whether a body is wanted.
        body: bool,
    },
    /// Something else: this is the answer.
    Refused(Answer),
}

/// A WebSocket that is asked for.
#[derive(Debug)]
pub struct Upgrade {
    /// What the path says.
    pub strategy: Result<Strategy, PathError>,
    /// Whether version 2 is offered.
    pub is_v2: bool,
    /// What follows `Bearer` in the request; its text is no one's business.
    pub token: Option<Secret>,
    /// For whom the last proxy on the way says that it speaks.
    pub forwarded_for: Option<IpAddr>,
    /// The answer that completes the upgrade.
    pub response: Vec<u8>,
}

/// Bytes that are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret")
    }
}

/// Reads the request at the beginning of `bytes`: how long it is, and what it asks for. `None`: it
/// is not whole yet.
pub fn parse(bytes: &[u8]) -> Option<(usize, Asked)> {
    let refuse = |answer| Some((bytes.len(), Asked::Refused(answer)));
    match Request::try_parse(bytes) {
        Ok(Some((length, _))) if length > MOST_BYTES => refuse(Answer::TOO_LARGE),
        Ok(Some((length, request))) => Some((length, asked(&request))),
        Ok(None) if bytes.len() >= MOST_BYTES => refuse(Answer::TOO_LARGE),
        Ok(None) => None,
        Err(Error::Protocol(ProtocolError::WrongHttpVersion | ProtocolError::WrongHttpMethod)) => {
            Some((bytes.len(), probe(bytes)))
        }
        Err(_) => refuse(Answer::NO_REQUEST),
    }
}

/// A request in HTTP/1.0, which knows no upgrades, or with another method than `GET`; balancers ask
/// so after health.
fn probe(bytes: &[u8]) -> Asked {
    let line = bytes
        .split(|&b| b == b'\r' || b == b'\n')
        .find(|line| !line.is_empty());
    let mut words = line.unwrap_or_default().split(|&b| b == b' ');
    let body = match words.next() {
        Some(b"GET") => true,
        Some(b"HEAD") => false,
        _ => return Asked::Refused(Answer::WRONG_METHOD),
    };
    let path = words.next().unwrap_or_default();
    if path.split(|&b| b == b'?').next() == Some(HEALTH_PATH.as_bytes()) {
        Asked::Health { body }
    } else {
        Asked::Refused(Answer::NOT_FOUND)
    }
}

fn asked(request: &Request) -> Asked {
    let headers = request.headers();
    let is_upgrade = headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if is_upgrade {
        return upgrade(request);
    }
    let path = request.uri().path();
    if path == HEALTH_PATH {
        return Asked::Health { body: true };
    }
    Asked::Refused(match path::parse(path) {
        Ok(_) => Answer::NEEDS_UPGRADE,
        Err(_) => Answer::NOT_FOUND,
    })
}

fn upgrade(request: &Request) -> Asked {
    let headers = request.headers();
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version != "13") {
        return Asked::Refused(Answer::NEEDS_UPGRADE);
    }
    let Ok(mut response) = create_response(request) else {
        return Asked::Refused(Answer::NO_REQUEST);
    };
    let is_v2 = words(headers, &SEC_WEBSOCKET_PROTOCOL).any(|offer| offer == v2::SUBPROTOCOL);
    if is_v2 {
        let chosen = HeaderValue::from_static(v2::SUBPROTOCOL);
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    let mut written = Vec::new();
    if write_response(&mut written, &response).is_err() {
        return Asked::Refused(Answer::NO_REQUEST);
    }
    Asked::Session(Upgrade {
        strategy: path::parse(request.uri().path()),
        is_v2,
        token: headers.get(AUTHORIZATION).and_then(bearer),
        forwarded_for: words(headers, &HeaderName::from_static("x-forwarded-for"))
            .last()
            .and_then(|address| address.parse().ok()),
        response: written,
    })
}

/// What stands between the commas of all headers of that name.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn bearer(value: &HeaderValue) -> Option<Secret> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| Secret(token.trim_ascii().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn session(more: &str) -> Upgrade {
        let text = format!("GET /ws/transcribe/context HTTP/1.1\r\n{UPGRADE}{more}\r\nrest");
        let (length, asked) = parse(text.as_bytes()).unwrap();
        assert_eq!(&text[length..], "rest");
        match asked {
            Asked::Session(upgrade) => upgrade,
            other => panic!("{other:?}"),
        }
    }

    fn status(text: &str) -> u16 {
        match parse(text.as_bytes()) {
            Some((_, Asked::Refused(answer))) => answer.status,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn an_upgrade_says_who_and_what() {
        let plain = session("");
        assert_eq!(plain.strategy, Ok(Strategy::Context));
        assert!(!plain.is_v2 && plain.token.is_none() && plain.forwarded_for.is_none());
        let response = String::from_utf8(plain.response).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert!(
            response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{response}"
        );
        assert!(!response.contains("wstream"), "{response}");
        let full = session(
            "Sec-WebSocket-Protocol: chat, wstream.v2\r\nAuthorization: bearer  abc=\r\n\
             X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n",
        );
        assert!(full.is_v2);
        assert_eq!(full.token.as_ref().map(Secret::bytes), Some(&b"abc="[..]));
        assert_eq!(full.forwarded_for, Some(IpAddr::from([192, 0, 2, 7])));
        assert!(
            String::from_utf8(full.response.clone())
                .unwrap()
                .contains("wstream.v2")
        );
        assert!(!format!("{full:?}").contains("abc"));
        assert_eq!(session("Authorization: Basic abc\r\n").token, None);
    }

    #[test]
    fn what_is_no_upgrade_is_answered() {
        let health = parse(b"GET /healthz?x HTTP/1.0\r\n\r\n");
        assert!(matches!(health, Some((_, Asked::Health { body: true }))));
        let health = parse(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(matches!(health, Some((_, Asked::Health { body: false }))));
        let version = UPGRADE.replace("13", "8");
        let key = UPGRADE.replace("dGhl", "");
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), 404),
            ("GET / HTTP/1.0\r\n\r\n".to_owned(), 404),
            ("OPTIONS / HTTP/1.0\r\n\r\n".to_owned(), 405),
            ("GET /ws/transcribe/prompt HTTP/1.1\r\n\r\n".to_owned(), 426),
            ("POST /healthz HTTP/1.1\r\n\r\n".to_owned(), 405),
            (
                format!("GET /ws/transcribe/prompt HTTP/1.1\r\n{version}\r\n"),
                426,
            ),
            (
                format!("GET /ws/transcribe/prompt HTTP/1.1\r\n{key}\r\n"),
                400,
            ),
            (
                format!("POST /ws/transcribe/prompt HTTP/1.1\r\n{UPGRADE}\r\n"),
                405,
            ),
            ("\u{16}\u{3}\u{1}".to_owned(), 400),
            ("HELO x\r\n\r\n".to_owned(), 400),
            (format!("GET /{}", "x".repeat(MOST_BYTES)), 431),
            (
                format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(MOST_BYTES)),
                431,
            ),
        ] {
            assert_eq!(status(&text), expected, "{}", &text[..text.len().min(80)]);
        }
        assert!(parse(b"").is_none());
        assert!(parse(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").is_none());
    }
}
