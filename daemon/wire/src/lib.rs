//! The streaming protocol between a client with sound and a transcription server: its messages.
//!
//! No sockets, no model, no threads: bytes in, values out, and back.
//! [`v1`] is the protocol that existing clients and servers speak; [`v2`] is ours, chosen by the
//! WebSocket subprotocol [`v2::SUBPROTOCOL`]. `PROTOCOL.md` beside this crate describes both.
//!
//! Sound is always mono at [`SAMPLE_RATE`] in frames of [`FRAME_SAMPLES`].

use serde::{Deserialize, Serialize};

pub mod files;
pub mod language;
pub mod path;
pub mod v1;
pub mod v2;

/// Samples per second of all sound that crosses this protocol; Whisper's own rate.
pub const SAMPLE_RATE: u32 = 16_000;

/// Samples in a frame: 30 ms, the longest frame that the WebRTC voice activity detector takes.
pub const FRAME_SAMPLES: usize = 480;

/// The largest message either side accepts, in bytes; version 1 clients rely on 10 MiB.
pub const MAX_MESSAGE_BYTES: usize = 10 * 1024 * 1024;

/// The port that version 1 clients expect a server on.
pub const DEFAULT_PORT: u16 = 8765;

/// Sound of the previous utterance that the `context` and `hybrid` strategies put in front: 1 s.
pub const CONTEXT_SAMPLES: usize = SAMPLE_RATE as usize;

/// What is given to the model from the utterance before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The previous final, as the model's initial prompt.
    #[default]
    Prompt,
    /// The last second of the previous utterance's sound, in front of this one's.
    Context,
    /// Both.
    Hybrid,
}

impl Strategy {
    /// Every strategy, in the order in which they are shown.
    pub const ALL: [Strategy; 3] = [Strategy::Prompt, Strategy::Context, Strategy::Hybrid];

    /// The name on the wire, on the bus and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Prompt => "prompt",
            Strategy::Context => "context",
            Strategy::Hybrid => "hybrid",
        }
    }

    /// Whether the previous final goes to the model as its prompt.
    pub fn uses_prompt(self) -> bool {
        matches!(self, Strategy::Prompt | Strategy::Hybrid)
    }

    /// Whether the previous utterance's last second goes in front of the sound.
    pub fn uses_context(self) -> bool {
        matches!(self, Strategy::Context | Strategy::Hybrid)
    }
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A strategy's name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy {0:?}: use prompt, context or hybrid")]
pub struct UnknownStrategy(pub String);

impl std::str::FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Strategy::ALL
            .into_iter()
            .find(|strategy| strategy.as_str() == name)
            .ok_or_else(|| UnknownStrategy(name.to_owned()))
    }
}

/// A stretch of a final's text with its place in the utterance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Seconds from the start of the utterance.
    pub start: f64,
    /// Seconds from the start of the utterance; never before `start`.
    pub end: f64,
    /// The words, without surrounding white space.
    pub text: String,
}

/// Why bytes from the other side are no message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or JSON of another shape than the message's type asks for.
    #[error("malformed message")]
    Json(#[source] serde_json::Error),
    /// The `audio` field is not base64.
    #[error("audio is not base64")]
    Base64(#[source] base64::DecodeError),
    /// The bytes do not divide into whole samples.
    #[error("sound of {bytes} bytes is no whole number of {sample_bytes}-byte samples")]
    OddLength {
        /// Bytes that arrived.
        bytes: usize,
        /// Bytes of one sample.
        sample_bytes: usize,
    },
    /// A sample rate other than [`SAMPLE_RATE`].
    #[error("sample rate {0} is not 16000")]
    SampleRate(u32),
    /// A sample is NaN or infinite.
    #[error("sample {0} is not a finite number")]
    NotFinite(usize),
    /// Valid JSON of a type that this version does not know; receivers log and go on.
    #[error("unknown message type {0:?}")]
    UnknownType(String),
}

/// Turns a float sample (-1..1) into 16 bits, clipping what is beyond.
pub fn sample_to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

/// Turns a 16-bit sample into a float (-1..1); exact.
pub fn sample_to_f32(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}
