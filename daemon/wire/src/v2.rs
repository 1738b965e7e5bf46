//! Version 2: commands as JSON text, sound as binary messages of little-endian 16-bit samples.
//!
//! The rules, in order of time:
//! 1. The client asks for [`SUBPROTOCOL`] in the upgrade. A server that does not choose it speaks
//!    version 1.
//! 2. The server sends [`ServerMessage::Ready`] when its model is loaded. A client sends nothing
//!    before that.
//! 3. Each utterance is [`ClientMessage::Begin`], binary sound, [`ClientMessage::End`]. Utterances
//!    follow each other without waiting for finals; their numbers rise.
//! 4. Every utterance that has begun gets exactly one [`ServerMessage::Final`] or an
//!    [`ServerMessage::Error`] that names it, in the order in which they began, unless the client
//!    cancels it. Where [`Begin::cuts`] allows it, finals with [`Final::more`] may come before.
//! 5. A client keeps at most [`ServerMessage::Ready::window_samples`] of sound unanswered by
//!    finals, save that it may always finish the utterance it is in.

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::v1::{message_type, to_json, unknown_type};
use crate::{DecodeError, Segment, Strategy};

/// What the client names in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "wstream.v2";

/// Most languages, and most words to expect, that are taken out of a message; the rest of a longer
/// list is dropped. More than the thousand words that our server takes, so that it can say so.
pub const MOST_STRINGS: usize = 1024;

/// What a client sends as text. Sound goes as binary messages, see [`encode_sound`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// An utterance begins; the binary messages that follow are its sound.
    Begin(Begin),
    /// Silence began at `sample`, but the utterance may go on: a server may decode the final now.
    Pause {
        /// Which utterance.
        utterance: u64,
        /// Samples from the utterance's start to where the silence began.
        sample: u64,
    },
    /// Speech went on after a [`ClientMessage::Pause`].
    Resume {
        /// Which utterance.
        utterance: u64,
    },
    /// The utterance is over and its sound complete; answer with a final.
    End {
        /// Which utterance.
        utterance: u64,
    },
    /// The utterance's final is not wanted any more. No answer.
    Cancel {
        /// Which utterance.
        utterance: u64,
    },
    /// Answered with [`ServerMessage::Pong`] of the same `id`, ahead of any decoding.
    Ping {
        /// Chosen by the client.
        id: u64,
    },
}

/// How an utterance is to be transcribed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// Chosen by the client; each is greater than the one before it on this connection.
    pub utterance: u64,
    /// The path names only the first value.
    pub strategy: Strategy,
    /// ISO 639-1 code, or `auto`, also when missing: let the model tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Where the model tells the language, it is one of these; empty: any. Codes that the model
    /// does not know are ignored, all of them if it knows none.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "few_strings"
    )]
    pub languages: Vec<String>,
    /// Words to expect; a server without use for them ignores them.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "few_strings"
    )]
    pub vocabulary: Vec<String>,
    /// The previous utterance's final, given again after a reconnect. Missing: what this connection
    /// remembers counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// What the client has already shown as committed, after a reconnect: the final begins with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Committed>,
    /// This many of the samples that follow are not the utterance's but the end of the previous
    /// one's, given again after a reconnect. All sample numbers count from behind them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub context_samples: u64,
    /// Whether the server may cut the utterance with a [`Final::more`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub cuts: bool,
}

/// Text that is never taken back, and the sound that it covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Ends at the end of a word.
    pub text: String,
    /// Samples from the utterance's start; 0: not known, decoding begins at the start.
    pub sample: u64,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The model is loaded; first message of every connection.
    Ready {
        /// 2.
        protocol: u32,
        /// The model's name, such as `tiny.en`.
        model: String,
        /// The server's version.
        version: String,
        /// Whether the model knows other languages than English.
        multilingual: bool,
        /// Most samples that may be unanswered by finals.
        window_samples: u64,
    },
    /// The text so far.
    Partial {
        /// Which utterance.
        utterance: u64,
        /// Never taken back: grows, and the final begins with it. Behind a [`Final::more`] it
        /// begins anew.
        committed: String,
        /// Samples from the utterance's start that `committed` covers; 0: not known.
        #[serde(default, skip_serializing_if = "is_zero")]
        committed_sample: u64,
        /// May change; carries its own leading space.
        tentative: String,
        /// Samples from the utterance's start that this decode has heard.
        sample: u64,
        /// Milliseconds that decoding took.
        processing_time_ms: f64,
    },
    /// The utterance's text.
    Final(Final),
    /// Something could not be done; with `utterance`, that one ends by it.
    Error {
        /// See [`codes`].
        code: String,
        /// A sentence: what was wrong.
        message: String,
        /// The utterance that ends without a final.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        utterance: Option<u64>,
    },
    /// Answer to a [`ClientMessage::Ping`].
    Pong {
        /// The ping's.
        id: u64,
    },
}

/// An utterance's text; perhaps empty, when nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Final {
    /// Which utterance.
    pub utterance: u64,
    /// The words, without surrounding white space.
    pub text: String,
    /// Times from the utterance's start.
    pub segments: Vec<Segment>,
    /// ISO 639-1 code, given or detected.
    pub language: String,
    /// Samples from the utterance's start to where this final ends.
    pub sample: u64,
    /// Milliseconds that decoding took.
    pub processing_time_ms: f64,
    /// Mean probability of the text's tokens, 0..1; 0 where there is no text.
    pub confidence: f64,
    /// Whether the server has cut a long utterance at `sample`: it goes on behind it under the same
    /// number, with partials and finals of their own that hold only what follows. All samples and
    /// times keep counting from the utterance's start. The last final has it false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
}

/// Error codes of [`ServerMessage::Error`].
pub mod codes {
    /// The message could not be understood; the session goes on.
    pub const BAD_MESSAGE: &str = "bad-message";
    /// A message out of order, such as sound outside an utterance; the session goes on.
    pub const PROTOCOL: &str = "protocol";
    /// The language is not one that the model knows.
    pub const BAD_LANGUAGE: &str = "bad-language";
    /// Decoding failed.
    pub const DECODE: &str = "decode";
    /// `begin` came with more context or more words to expect than the server takes.
    pub const LIMIT: &str = "limit";
    /// `begin` came while more sound was unanswered than the announced window holds.
    pub const TOO_FAST: &str = "too-fast";
    /// More sound has had no final than the server lets wait; the connection ends.
    pub const UNANSWERED: &str = "unanswered";
    /// A message was larger than the server takes; the connection ends.
    pub const MESSAGE_SIZE: &str = "message-size";
    /// The connection has lasted as long as the server lets one last; it ends, connect again.
    pub const SESSION_LENGTH: &str = "session-length";
    /// The client has sent nothing for long; the connection ends, connect again when needed.
    pub const IDLE: &str = "idle";
    /// The server has as many sessions as it takes; the connection ends, try again later.
    pub const BUSY: &str = "busy";
    /// There is no file of the model that the server was started with; the connection ends.
    pub const MODEL_MISSING: &str = "model-missing";
    /// The model's file is damaged or no model; the connection ends.
    pub const MODEL_INVALID: &str = "model-invalid";
    /// The server's processor cannot run the model; the connection ends.
    pub const CPU_UNSUPPORTED: &str = "cpu-unsupported";
    /// The server is ending; connect again.
    pub const GOING_AWAY: &str = "going-away";
}

/// Encodes samples as the payload of a binary message.
pub fn encode_sound(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

/// Decodes a binary message's payload.
pub fn decode_sound(bytes: &[u8]) -> Result<Vec<i16>, DecodeError> {
    let (samples, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(DecodeError::OddLength {
            bytes: bytes.len(),
            sample_bytes: 2,
        });
    }
    Ok(samples.iter().map(|&b| i16::from_le_bytes(b)).collect())
}

/// Encodes a client's message.
pub fn encode_client(message: &ClientMessage) -> String {
    to_json(message)
}

/// Decodes a client's text message. Fields that it adds are ignored, and nothing of them is kept.
pub fn decode_client(text: &str) -> Result<ClientMessage, DecodeError> {
    #[derive(Deserialize)]
    struct Named {
        utterance: u64,
    }
    #[derive(Deserialize)]
    struct Pause {
        utterance: u64,
        sample: u64,
    }
    #[derive(Deserialize)]
    struct Ping {
        id: u64,
    }
    Ok(match message_type(text)?.as_ref() {
        "begin" => ClientMessage::Begin(fields(text)?),
        "pause" => {
            let Pause { utterance, sample } = fields(text)?;
            ClientMessage::Pause { utterance, sample }
        }
        "resume" => {
            let Named { utterance } = fields(text)?;
            ClientMessage::Resume { utterance }
        }
        "end" => {
            let Named { utterance } = fields(text)?;
            ClientMessage::End { utterance }
        }
        "cancel" => {
            let Named { utterance } = fields(text)?;
            ClientMessage::Cancel { utterance }
        }
        "ping" => {
            let Ping { id } = fields(text)?;
            ClientMessage::Ping { id }
        }
        other => return Err(unknown_type(other)),
    })
}

/// Encodes a server's message.
pub fn encode_server(message: &ServerMessage) -> String {
    to_json(message)
}

/// Decodes a server's text message. Fields that it adds are ignored.
pub fn decode_server(text: &str) -> Result<ServerMessage, DecodeError> {
    match message_type(text)?.as_ref() {
        "ready" | "partial" | "final" | "error" | "pong" => fields(text),
        other => Err(unknown_type(other)),
    }
}

fn fields<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(DecodeError::Json)
}

/// Strings as far as anybody's limit goes: a message of ten megabytes could hold millions of empty
/// ones, each of which would take more memory than message.
fn few_strings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a list of strings")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut strings = Vec::new();
            while strings.len() < MOST_STRINGS {
                let Some(string) = list.next_element()? else {
                    return Ok(strings);
                };
                strings.push(string);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(strings)
        }
    }
    deserializer.deserialize_seq(Few)
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}
