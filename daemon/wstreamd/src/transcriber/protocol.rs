//! What a transcription server is spoken to in: one state machine for each protocol, one instance
//! for each connection, without input or output and without a clock.
//!
//! Enters: [`Step`]s to tell the server, what the server sends, and the time. Leaves, in an
//! [`Output`]: frames for the socket and [`Answer`]s. A new protocol is a file here and a line in
//! [`PROTOCOLS`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;
use wstream_wire::v2::Committed;
use wstream_wire::{DecodeError, Segment};

use super::kept::Manner;

mod openai_realtime;
mod v1;
mod v2;
mod whisper_live;
mod whisperlivekit;
mod wstream;
mod wyoming;

mod single;
mod told;

/// Every protocol that `protocol` in `[remote.NAME]` can name; the first is the default, and what
/// our own engine speaks.
pub(super) const PROTOCOLS: &[Entry] = &[
    wstream::ENTRY,
    whisper_live::ENTRY,
    whisperlivekit::ENTRY,
    wyoming::ENTRY,
    openai_realtime::ENTRY,
];

/// A protocol's line in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// In the configuration and in logs.
    pub(super) name: &'static str,
    /// What its messages go over.
    pub(super) transport: Transport,
    /// The port where the URL names none; `None`: that of the scheme.
    pub(super) port: Option<u16>,
    /// How it is told a credential; `None`: it knows none.
    pub(super) credential: Option<Credential>,
    /// Whether it can find the ends of speech itself (`server_vad`).
    pub(super) server_vad: bool,
    /// What the WebSocket upgrade asks for; not used over a byte stream.
    pub(super) request: fn(&Asked) -> Request,
    /// Makes the state machine of a connection. The name is the subprotocol that the server has
    /// chosen; `None` comes back where it chose one that was not asked for.
    pub(super) new: Make,
}

/// Makes a protocol's state machine.
type Make = fn(&Asked, Option<&str>) -> Option<Box<dyn Protocol>>;

/// What messages go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// `ws://` or `wss://`.
    WebSocket,
    /// `tcp://`: bytes without any framing but the protocol's own.
    Stream,
}

/// Where a credential goes if the configuration does not say otherwise: a header, and what stands
/// in front of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Credential {
    /// The header's name, in lower case.
    pub(super) header: &'static str,
    /// With the space behind it.
    pub(super) scheme: &'static str,
}

impl Credential {
    /// What most servers take.
    pub(super) const BEARER: Credential = Credential {
        header: "authorization",
        scheme: "Bearer ",
    };
}

/// What a connection is wanted for: what a protocol may say of it before anything else.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// The configured URL's path, without a `/` at its end; perhaps empty.
    pub(super) path: String,
    /// The configured URL's query, without the `?`; perhaps empty.
    pub(super) query: String,
    /// The configured model; `None`: the server's own choice.
    pub(super) model: Option<String>,
    /// Whether the server is to find the ends of speech itself.
    pub(super) server_vad: bool,
    /// How the first utterance is to be transcribed.
    pub(super) manner: Manner,
}

impl Asked {
    /// Path and query for servers at `path` that take these parameters: what the configured URL
    /// says comes before both, and what is empty is left out.
    fn target(&self, path: &str, parameters: &[(&str, &str)]) -> String {
        let path = if self.path.is_empty() {
            path
        } else {
            &self.path
        };
        let given: Vec<&str> = self.query.split('&').filter(|it| !it.is_empty()).collect();
        let is_given = |name: &str| given.iter().any(|it| it.split('=').next() == Some(name));
        let own = (parameters.iter())
            .filter(|(name, value)| !value.is_empty() && !is_given(name))
            .map(|(name, value)| format!("{name}={value}"));
        let query: Vec<String> = own.chain(given.iter().map(|&it| it.to_owned())).collect();
        if query.is_empty() {
            return path.to_owned();
        }
        format!("{path}?{}", query.join("&"))
    }
}

/// What a WebSocket upgrade asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Request {
    /// Path and query.
    pub(super) target: String,
    /// Headers beside those of WebSocket and the credential; names in lower case.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Subprotocols on offer. A server that chooses none of them is connected again without an
    /// offer.
    pub(super) subprotocols: &'static [&'static str],
}

/// The protocol of this name.
pub(super) fn named(name: &str) -> Option<&'static Entry> {
    PROTOCOLS.iter().find(|entry| entry.name == name)
}

/// A protocol's state on one connection. Utterances are told one after the other, each in the
/// order of [`Step`], and each is owed one [`Answer::Final`] or [`Answer::Failed`], in the same
/// order, unless it was cancelled.
pub(super) trait Protocol: fmt::Debug + Send {
    /// The connection has been made. [`Answer::Ready`] must come now or from a message; nothing is
    /// told before it.
    fn opened(&mut self, out: &mut Output);

    /// Whether an utterance to be transcribed like this can begin on this connection now, or once
    /// the server is ready. When the answer is no and nothing that was told is owed any more,
    /// another connection is made.
    fn serves(&self, manner: &Manner) -> bool;

    /// Whether no utterance at all can begin any more, so that the connection is let go as soon as
    /// what was told is answered.
    fn is_spent(&self) -> bool {
        false
    }

    /// Tells the server. Only after [`Answer::Ready`], and only while the socket has room.
    fn tell(&mut self, step: &Step, out: &mut Output);

    /// Asks for a sign of life that decoding does not delay. False: there is no way to ask, and
    /// silence proves nothing.
    fn ping(&mut self, out: &mut Output) -> bool {
        out.frames.push_back(Frame::Ping);
        true
    }

    /// Takes what the server sends. An error means that the server cannot be understood and that
    /// an answer may have been lost.
    fn receive(&mut self, received: Received<'_>, out: &mut Output) -> Result<(), NotUnderstood>;

    /// The server has closed the connection; this is the last call. Answers are still taken. True:
    /// that is how this protocol ends, and everything that was told has its answer.
    fn closed(&mut self, how: Closed, out: &mut Output) -> bool {
        let _ = (how, out);
        false
    }

    /// When [`Protocol::overdue`] is to be called: a final that only a server's silence ends, a
    /// keep-alive. Asked for again after every other call; `None`: nothing is waited for.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// The time has come.
    fn overdue(&mut self, out: &mut Output) {
        let _ = out;
    }

    /// We close; what is put out is sent if there is still room.
    fn farewell(&mut self, out: &mut Output) {
        let _ = out;
    }
}

/// What comes from a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Received<'a> {
    /// A WebSocket text message.
    Text(&'a str),
    /// A WebSocket binary message, or the next bytes of a stream: any number, cut anywhere.
    Binary(&'a [u8]),
    /// The answer to [`Frame::Ping`].
    Pong,
}

/// How a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// With a farewell: a WebSocket close that is no complaint, or the end of a stream.
    Orderly,
    /// Broken off, or with a complaint.
    Broken,
}

/// A server that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotUnderstood {
    /// One of our own messages.
    #[error(transparent)]
    Wire(#[from] DecodeError),
    /// What is wrong, without any dictated text.
    #[error("{0}")]
    Other(String),
}

/// A JSON message of a server of others'.
fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, NotUnderstood> {
    Ok(serde_json::from_str(text).map_err(DecodeError::Json)?)
}

/// What the server is to be told. For one utterance: `Begin`, sound and pauses in the order of
/// time, `End`; `Cancel` at any time after `Begin`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// An utterance begins.
    Begin(Opening),
    /// Its next samples.
    Sound {
        /// Which utterance.
        utterance: u64,
        /// 16 kHz mono.
        samples: Arc<[i16]>,
    },
    /// Silence has begun.
    Pause {
        /// Which utterance.
        utterance: u64,
        /// Samples from the utterance's start.
        sample: u64,
    },
    /// It was no end.
    Resume {
        /// Which utterance.
        utterance: u64,
    },
    /// All sound has been told.
    End {
        /// Which utterance.
        utterance: u64,
    },
    /// The final is not wanted.
    Cancel {
        /// Which utterance.
        utterance: u64,
    },
}

/// How an utterance begins on a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Opening {
    /// Which utterance.
    pub(super) utterance: u64,
    /// How it is to be transcribed.
    pub(super) manner: Manner,
    /// The previous final, where the server cannot remember it; empty: it is to forget.
    pub(super) previous: Option<String>,
    /// The end of the previous utterance's sound, with `previous`.
    pub(super) context: Arc<[i16]>,
    /// What has been published as committed, on an earlier connection.
    pub(super) committed: Option<Committed>,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// It listens.
    Ready {
        /// The model's name, where it is told.
        model: String,
        /// Most samples that it takes before it has answered them.
        window_samples: u64,
    },
    /// The text so far.
    Partial {
        /// Which utterance.
        utterance: u64,
        /// Never taken back on this connection.
        committed: String,
        /// Samples that `committed` covers; 0: not known.
        committed_sample: u64,
        /// May change.
        tentative: String,
        /// Samples that were heard, where it is told.
        heard_samples: Option<u64>,
        /// As the server says.
        processing_time_ms: f64,
    },
    /// An utterance's text.
    Final(Said),
    /// An utterance ends without text.
    Failed {
        /// Which utterance.
        utterance: u64,
        /// See `wstream_wire::v2::codes`.
        code: String,
        /// A sentence.
        message: String,
    },
    /// Something else is wrong.
    Error {
        /// See `wstream_wire::v2::codes`.
        code: String,
        /// A sentence.
        message: String,
    },
    /// The server does not want us, and will not before something is changed: a credential, a
    /// model, a limit of the account.
    Refused {
        /// What it says.
        message: String,
    },
    /// The server has no room for us now.
    Later {
        /// What it says.
        message: String,
        /// When to come again, where it is told.
        after: Option<Duration>,
    },
}

/// An utterance's text, or behind a cut that of a part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    /// Which utterance.
    pub(super) utterance: u64,
    /// Without surrounding white space.
    pub(super) text: String,
    /// Times from the utterance's start.
    pub(super) segments: Vec<Segment>,
    /// ISO 639-1; empty where it is not told.
    pub(super) language: String,
    /// Samples from the utterance's start to where the text ends, where it is told.
    pub(super) end_sample: Option<u64>,
    /// As the server says.
    pub(super) processing_time_ms: f64,
    /// 0..1, where it is told.
    pub(super) confidence: Option<f64>,
    /// Whether the utterance goes on behind `end_sample`.
    pub(super) more: bool,
}

/// What is to go over the socket.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    /// Text; over a stream its bytes.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// WebSocket's own ping; nothing over a stream.
    Ping,
}

/// What a state machine wants done, and what it may know. Both queues are emptied before the next
/// step is taken, so they hold what one step or one message makes.
#[derive(Debug)]
pub(super) struct Output {
    /// The time of this call.
    pub(super) now: Instant,
    /// For the socket.
    pub(super) frames: VecDeque<Frame>,
    /// For the transcriber.
    pub(super) answers: VecDeque<Answer>,
}

impl Output {
    /// Nothing to do yet.
    pub(super) fn new(now: Instant) -> Self {
        Output {
            now,
            frames: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    fn text(&mut self, text: String) {
        self.frames.push_back(Frame::Text(text));
    }
}
