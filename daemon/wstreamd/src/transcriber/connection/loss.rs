//! How a connection was lost, from what the libraries and the server say.

use std::io;
use std::time::{Duration, SystemTime};

use tokio_tungstenite::tungstenite::error::{Error, ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::http::header::RETRY_AFTER;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::fault::Fault;
use crate::transcriber::outage::LossKind;
use crate::transcriber::protocol::Closed;

/// Why there is no connection any more, or none at all.
#[derive(Debug)]
pub(in crate::transcriber) enum Loss {
    /// To be tried again.
    Lost {
        /// How.
        kind: LossKind,
        /// What the user is told; ends a sentence that begins with the server.
        reason: String,
        /// When the server asks to come again.
        after: Option<Duration>,
    },
    /// Trying again is of no use before something is changed.
    Fatal(Fault),
    /// The server chooses none of the subprotocols; it is to be connected without an offer.
    Unchosen,
    /// The connection has done what it was for.
    Over,
}

impl Loss {
    /// It broke, or nothing answers.
    pub(in crate::transcriber) fn broken(reason: impl Into<String>) -> Self {
        Loss::lost(LossKind::Broken, reason)
    }

    /// To be tried again in our own time.
    pub(in crate::transcriber) fn lost(kind: LossKind, reason: impl Into<String>) -> Self {
        Loss::Lost {
            kind,
            reason: reason.into(),
            after: None,
        }
    }

    pub(super) fn io(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            return Loss::lost(LossKind::Refused, "nothing listens at its address");
        }
        Loss::broken(error.to_string())
    }
}

/// What a WebSocket close means.
pub(super) fn farewell(frame: Option<&CloseFrame>) -> (Closed, Loss) {
    match frame {
        Some(frame) if frame.code == CloseCode::Policy => {
            let reason = format!("it says {:?}", frame.reason.as_str());
            (Closed::Broken, Loss::lost(LossKind::Refused, reason))
        }
        Some(frame) => {
            let loss = Loss::broken(format!("it closed with code {}", u16::from(frame.code)));
            match frame.code {
                CloseCode::Normal | CloseCode::Status => (Closed::Orderly, loss),
                _ => (Closed::Broken, loss),
            }
        }
        None => (Closed::Orderly, Loss::broken("it closed the connection")),
    }
}

/// When a server asks to come again: so many seconds, or a date.
fn retry_after<T>(response: &Response<T>) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    at.duration_since(SystemTime::now()).ok()
}

fn garbled(error: impl std::fmt::Display) -> Loss {
    let reason = format!("it does not keep to WebSocket: {error}");
    Loss::lost(LossKind::Garbled, reason)
}

/// What an error of the WebSocket library means.
pub(super) fn classify(error: Error) -> Loss {
    let refused = |reason: String| Loss::lost(LossKind::Refused, reason);
    match error {
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol,
        )) => Loss::Unchosen,
        Error::Http(response) => {
            let status = response.status();
            let reason = format!("it answers with HTTP {status}");
            match status.as_u16() {
                401 | 403 | 407 => {
                    let reason = format!("{reason}: check its secret (token_file)");
                    Loss::lost(LossKind::Denied, reason)
                }
                // They ask to come again later.
                408 | 429 | 500.. => Loss::Lost {
                    kind: LossKind::Broken,
                    reason,
                    after: retry_after(&response),
                },
                _ => refused(reason),
            }
        }
        Error::Io(error) => Loss::io(error),
        Error::Protocol(
            error @ (ProtocolError::ResetWithoutClosingHandshake
            | ProtocolError::HandshakeIncomplete),
        ) => Loss::broken(error.to_string()),
        Error::Protocol(error) => garbled(error),
        error @ (Error::Capacity(_) | Error::Utf8(_) | Error::HttpFormat(_)) => garbled(error),
        error => Loss::broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_ask_for_time() {
        let after = |value: &str| {
            let response = Response::builder().header(RETRY_AFTER, value).body(());
            retry_after(&response.unwrap()).map(|after| after.as_secs())
        };
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            // In the past, in each of HTTP's notations.
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 1994", None),
        ] {
            assert_eq!(after(value), seconds, "{value}");
        }
        let later = SystemTime::now() + Duration::from_secs(1000);
        let seconds = after(&httpdate::fmt_http_date(later)).unwrap();
        assert!((900..=1000).contains(&seconds), "{seconds}");
    }

    #[test]
    fn what_a_status_means() {
        for (status, kind) in [
            (401, LossKind::Denied),
            (403, LossKind::Denied),
            (404, LossKind::Refused),
            (429, LossKind::Broken),
            (503, LossKind::Broken),
        ] {
            let response = Response::builder().status(status).body(None).unwrap();
            let Loss::Lost { kind: is, .. } = classify(Error::Http(Box::new(response))) else {
                panic!("{status} is a loss");
            };
            assert_eq!(is, kind, "{status}");
        }
    }
}
