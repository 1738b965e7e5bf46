//! What WhisperLive sends.

use serde::Deserialize;
use serde_json::Value;
use wstream_wire::Segment;

use crate::transcriber::protocol::NotUnderstood;

/// Everything that it sends.
#[derive(Deserialize)]
pub(super) struct Message {
    /// `WAIT`, `ERROR` or `WARNING`.
    pub(super) status: Option<String>,
    /// Its reason, or what happens to the connection.
    #[serde(default)]
    pub(super) message: Value,
    /// The language that was recognised.
    pub(super) language: Option<String>,
    /// The text.
    pub(super) segments: Option<Vec<Piece>>,
}

/// A segment.
#[derive(Deserialize)]
pub(super) struct Piece {
    start: Time,
    end: Time,
    text: String,
    /// Whether it will not change.
    #[serde(default)]
    pub(super) completed: bool,
}

/// Seconds; a string in what it sends today.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Number(f64),
}

impl Piece {
    /// What it says, and when.
    pub(super) fn segment(self) -> Result<Segment, NotUnderstood> {
        Ok(Segment {
            start: self.start.seconds()?,
            end: self.end.seconds()?,
            text: self.text,
        })
    }
}

impl Time {
    fn seconds(self) -> Result<f64, NotUnderstood> {
        let seconds = match self {
            Time::Text(text) => text.trim().parse().unwrap_or(f64::NAN),
            Time::Number(seconds) => seconds,
        };
        if seconds.is_finite() && seconds >= 0.0 {
            return Ok(seconds);
        }
        Err(NotUnderstood::Other("a segment without a time".to_owned()))
    }
}
