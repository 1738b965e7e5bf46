//! What a transcription server is spoken to in: one state machine for each protocol, one instance
//! for each connection, without input or output.
//!
//! Enters: [`Step`]s to tell the server and what the server sends. Leaves, in an [`Output`]:
//! frames for the socket and [`Answer`]s. A new protocol is a file here and a line in
//! [`PROTOCOLS`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use wstream_wire::v2::Committed;
use wstream_wire::{DecodeError, Segment, Strategy};

use super::kept::Manner;

mod v1;
mod v2;

/// Every protocol, in the order in which they are offered. The one without a subprotocol is what a
/// server speaks that chooses none.
pub(super) const PROTOCOLS: &[Entry] = &[v2::ENTRY, v1::ENTRY];

/// A protocol's line in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// For logs.
    pub(super) name: &'static str,
    /// What is offered in `Sec-WebSocket-Protocol`; `None`: what is spoken where none is chosen.
    pub(super) subprotocol: Option<&'static str>,
    /// Makes the state machine of a connection whose path names this strategy.
    pub(super) new: fn(Strategy) -> Box<dyn Protocol>,
}

/// The protocol that a server has chosen by naming `subprotocol`, or by naming none.
pub(super) fn chosen(subprotocol: Option<&str>) -> Option<Entry> {
    let is_chosen = |entry: &&Entry| entry.subprotocol == subprotocol;
    PROTOCOLS.iter().find(is_chosen).copied()
}

/// A protocol's state on one connection.
pub(super) trait Protocol: fmt::Debug + Send {
    /// The connection has been made.
    fn opened(&mut self, out: &mut Output);

    /// Whether an utterance of this strategy can be told on this connection.
    fn serves(&self, strategy: Strategy) -> bool;

    /// Tells the server. Only after [`Answer::Ready`].
    fn tell(&mut self, step: &Step, out: &mut Output);

    /// Asks for a sign of life that decoding does not delay.
    fn ping(&mut self, out: &mut Output);

    /// Takes a text message of the server's. An error means that the server cannot be understood and
    /// that an answer may have been lost.
    fn receive(&mut self, text: &str, out: &mut Output) -> Result<(), DecodeError>;
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
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// WebSocket's own ping.
    Ping,
}

/// What a state machine wants done. Both queues are emptied before the next step is taken, so
/// they hold what one step or one message makes.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// For the socket.
    pub(super) frames: VecDeque<Frame>,
    /// For the transcriber.
    pub(super) answers: VecDeque<Answer>,
}

impl Output {
    fn text(&mut self, text: String) {
        self.frames.push_back(Frame::Text(text));
    }
}
