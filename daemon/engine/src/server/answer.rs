//! Answers in plain HTTP, for those who get no WebSocket.
//!
//! Enters: what happened. Leaves: bytes. Pure.

use std::time::Duration;

/// A whole answer, behind which the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    reason: &'static str,
    /// Lines that belong to this status.
    header: String,
    /// JSON for programs, else a sentence.
    body: String,
}

impl Answer {
    /// What came is not a request.
    pub const NO_REQUEST: Answer = Answer::plain(400, "Bad Request");
    /// The request is larger than [`super::request::MOST_BYTES`].
    pub const TOO_LARGE: Answer = Answer::plain(431, "Request Header Fields Too Large");
    /// Neither `GET` nor `HEAD`.
    pub const WRONG_METHOD: Answer = Answer::plain(405, "Method Not Allowed");
    /// Nothing is served at this path.
    pub const NOT_FOUND: Answer = Answer::plain(404, "Not Found");
    /// A session needs a WebSocket of version 13.
    pub const NEEDS_UPGRADE: Answer = Answer::plain(426, "Upgrade Required");
    /// No request came in time.
    pub const TOO_SLOW: Answer = Answer::plain(408, "Request Timeout");
    /// No token, or a wrong one.
    pub const NO_TOKEN: Answer = Answer::plain(401, "Unauthorized");

    const fn plain(status: u16, reason: &'static str) -> Answer {
        Answer {
            status,
            reason,
            header: String::new(),
            body: String::new(),
        }
    }

    /// Too many wrong tokens came from there; the next is looked at in `wait`.
    pub fn too_many(wait: Duration) -> Answer {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Answer {
            header: format!("Retry-After: {seconds}\r\n"),
            ..Answer::plain(429, "Too Many Requests")
        }
    }

    /// We are well. A server that ends listens no more.
    pub fn health(health: &Health<'_>, with_body: bool) -> Answer {
        let body = serde_json::json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "model": health.model,
            "sessions": health.sessions,
            "max_sessions": health.most_sessions,
        });
        Answer {
            header: "Content-Type: application/json\r\nCache-Control: no-store\r\n".to_owned(),
            body: if with_body {
                format!("{body}\n")
            } else {
                String::new()
            },
            ..Answer::plain(200, "OK")
        }
    }

    /// The answer as it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let Answer {
            status,
            reason,
            header,
            body,
        } = self;
        let extra = match status {
            401 => "WWW-Authenticate: Bearer\r\n",
            405 => "Allow: GET, HEAD\r\n",
            426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            _ => "",
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status} {reason}\r\nConnection: close\r\n{extra}{header}\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// What whoever balances load wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Health<'a> {
    /// The model's name.
    pub model: &'a str,
    /// How many sessions there are.
    pub sessions: usize,
    /// How many there may be.
    pub most_sessions: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole() {
        let text = |answer: Answer| String::from_utf8(answer.bytes()).unwrap();
        let missing = text(Answer::NO_TOKEN);
        assert!(
            missing.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
            "{missing}"
        );
        assert!(
            missing.contains("\r\nWWW-Authenticate: Bearer\r\n"),
            "{missing}"
        );
        assert!(
            missing.ends_with("\r\nContent-Length: 0\r\n\r\n"),
            "{missing}"
        );
        let slow = text(Answer::too_many(Duration::from_millis(9001)));
        assert!(slow.contains("\r\nRetry-After: 10\r\n"), "{slow}");
        let health = Health {
            model: "tiny.en",
            sessions: 1,
            most_sessions: 2,
        };
        let well = text(Answer::health(&health, true));
        let (head, body) = well.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&body["status"], &body["sessions"]),
            (&"ok".into(), &1.into())
        );
        assert!(text(Answer::health(&health, false)).ends_with("\r\n\r\n"));
    }
}
