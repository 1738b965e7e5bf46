//! Version 1: JSON text messages, sound as base64 of little-endian float32.
//!
//! Fixed: clients and servers in other languages speak it unchanged.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::{DecodeError, SAMPLE_RATE, Segment};

/// What a client sends.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// One frame, sent the moment that it is captured; usually 480 samples in -1..1.
    AudioFrame(Vec<f32>),
    /// The client's voice activity detection saw the end of speech.
    VadEnd,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The text so far; replaces the partial before it.
    Partial {
        /// The words, without surrounding white space.
        text: String,
        /// Milliseconds that decoding took.
        processing_time_ms: f64,
    },
    /// The text of everything since the last final.
    Final {
        /// The words, without surrounding white space.
        text: String,
        /// Times from the start of the utterance.
        #[serde(default)]
        segments: Vec<Segment>,
        /// ISO 639-1 code.
        #[serde(default)]
        language: Option<String>,
        /// Milliseconds that decoding took.
        #[serde(default)]
        processing_time_ms: f64,
    },
    /// A message could not be used; the connection goes on. Our addition: servers in the wild
    /// drop the connection instead.
    Error {
        /// What was wrong with it.
        message: String,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum RawClientMessage<'a> {
    AudioFrame { audio: &'a str, sample_rate: u32 },
    VadEnd,
}

/// Encodes one frame of 16-bit samples as an `audio_frame` message.
pub fn encode_frame(samples: &[i16]) -> String {
    encode_f32_frame(samples.iter().map(|&s| crate::sample_to_f32(s)))
}

/// Encodes one frame of float samples (-1..1) as an `audio_frame` message.
pub fn encode_f32_frame(samples: impl IntoIterator<Item = f32>) -> String {
    let bytes: Vec<u8> = samples.into_iter().flat_map(f32::to_le_bytes).collect();
    let audio = BASE64.encode(bytes);
    to_json(&RawClientMessage::AudioFrame {
        audio: &audio,
        sample_rate: SAMPLE_RATE,
    })
}

/// Encodes a `vad_end` message.
pub fn encode_vad_end() -> String {
    to_json(&RawClientMessage::VadEnd)
}

/// Decodes a client's text message.
pub fn decode_client(text: &str) -> Result<ClientMessage, DecodeError> {
    match message_type(text)?.as_ref() {
        "audio_frame" => {
            #[derive(Deserialize)]
            struct AudioFrame<'a> {
                #[serde(borrow)]
                audio: Cow<'a, str>,
                #[serde(default = "default_rate")]
                sample_rate: u32,
            }
            let frame: AudioFrame<'_> = serde_json::from_str(text).map_err(DecodeError::Json)?;
            if frame.sample_rate != SAMPLE_RATE {
                return Err(DecodeError::SampleRate(frame.sample_rate));
            }
            decode_samples(&frame.audio).map(ClientMessage::AudioFrame)
        }
        "vad_end" => Ok(ClientMessage::VadEnd),
        other => Err(unknown_type(other)),
    }
}

/// Encodes a server's message.
pub fn encode_server(message: &ServerMessage) -> String {
    to_json(message)
}

/// Decodes a server's text message. Fields that it adds are ignored.
pub fn decode_server(text: &str) -> Result<ServerMessage, DecodeError> {
    match message_type(text)?.as_ref() {
        "partial" | "final" | "error" => serde_json::from_str(text).map_err(DecodeError::Json),
        other => Err(unknown_type(other)),
    }
}

fn decode_samples(audio: &str) -> Result<Vec<f32>, DecodeError> {
    let bytes = BASE64.decode(audio).map_err(DecodeError::Base64)?;
    let (samples, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(DecodeError::OddLength {
            bytes: bytes.len(),
            sample_bytes: 4,
        });
    }
    let samples: Vec<f32> = samples.iter().map(|&b| f32::from_le_bytes(b)).collect();
    match samples.iter().position(|sample| !sample.is_finite()) {
        Some(index) => Err(DecodeError::NotFinite(index)),
        None => Ok(samples),
    }
}

fn default_rate() -> u32 {
    SAMPLE_RATE
}

/// The `type` of a message; receivers look at it before anything else, so that an unknown type
/// with unknown fields is "unknown" and not "malformed". Nothing else is kept: a message of
/// [`crate::MAX_MESSAGE_BYTES`] as a tree of values would take thirty times as much memory.
pub(crate) fn message_type(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        name: Cow<'a, str>,
    }
    // An array would pass for an object with its fields in order.
    if !text.trim_start().starts_with('{') {
        return Err(DecodeError::Json(serde::de::Error::custom(
            "a message is an object with a string `type`",
        )));
    }
    let typed: Typed<'_> = serde_json::from_str(text).map_err(DecodeError::Json)?;
    Ok(typed.name)
}

/// Nobody's types have longer names; what goes on is not worth a place in a log.
const MOST_NAME_CHARS: usize = 64;

pub(crate) fn unknown_type(name: &str) -> DecodeError {
    DecodeError::UnknownType(name.chars().take(MOST_NAME_CHARS).collect())
}

pub(crate) fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("our messages have string keys and no failing parts")
}
