//! Facts that the stages report to the daemon task's inbox.

use std::time::Instant;

use wstream_wire::{Segment, Strategy};

use crate::fault::Fault;
use crate::filters::Filtered;
use crate::plugins::PluginState;

/// Most facts under way to the daemon; senders wait. The daemon only ever takes from it, so they
/// never wait long.
pub const EVENT_QUEUE: usize = 256;

/// What has happened. Session and utterance numbers tell late facts from current ones.
#[derive(Debug)]
pub enum Event {
    /// The source delivers, and its format is understood.
    CaptureOpened {
        /// Which session.
        session: u64,
        /// The microphone's name, for logs; empty for a feed.
        name: String,
    },
    /// The source could not be opened. Nothing else follows for this session.
    CaptureFailed {
        /// Which session.
        session: u64,
        /// Why.
        fault: Fault,
    },
    /// The microphone has gone, by a fault or because another is meant; the session goes on as soon
    /// as there is one. What was said into it has ended.
    MicrophoneLost {
        /// Which session.
        session: u64,
        /// `None`: another is meant from now on.
        fault: Option<Fault>,
    },
    /// There is a microphone again.
    MicrophoneFound {
        /// Which session.
        session: u64,
        /// What it is called.
        name: String,
    },
    /// A microphone is open although nobody listens, or no longer.
    StandsBy {
        /// Which standby.
        number: u64,
        /// What is open; empty: nothing.
        name: String,
    },
    /// The source is closed and every utterance of the session handed over; no `Started` follows.
    CaptureEnded {
        /// Which session.
        session: u64,
        /// The fault that ended it, if it was not asked to stop and did not reach its end.
        fault: Option<Fault>,
    },
    /// Speech began. Sent before the transcriber hears of the utterance.
    Started {
        /// Which utterance.
        utterance: u64,
        /// Which session.
        session: u64,
        /// Seconds of sound from the session's beginning to the utterance's first sample.
        at_s: f64,
    },
    /// The endpoint is confirmed. Sent before the transcriber hears of it.
    Ended {
        /// Which utterance.
        utterance: u64,
        /// Which session.
        session: u64,
        /// Seconds of sound from the session's beginning to the utterance's last sample.
        at_s: f64,
        /// Seconds of sound in the utterance.
        duration_s: f64,
        /// When.
        at: Instant,
    },
    /// Loudness of one frame. Sent only while the capture is told to watch it.
    Level {
        /// Root mean square, 0..1.
        rms: f64,
    },
    /// The text so far.
    Partial {
        /// Which utterance.
        utterance: u64,
        /// Only grows.
        committed: String,
        /// May change; has its own leading space.
        tentative: String,
        /// Seconds of the utterance that were heard.
        heard_s: f64,
        /// As the server says.
        processing_time_ms: f64,
    },
    /// An utterance's text.
    Final(Transcript),
    /// The server has cut a long utterance: its text up to there. The rest of its sound, also what
    /// its source still says of it under its number, is the utterance `next`, which begins with this.
    Cut {
        /// Of the utterance that ends.
        transcript: Transcript,
        /// Seconds of sound that it has.
        duration_s: f64,
        /// The number of what goes on.
        next: u64,
    },
    /// An utterance ends without text.
    Failed {
        /// Which utterance.
        utterance: u64,
        /// Why.
        fault: Fault,
    },
    /// The chain of filters has done what it was asked.
    Filtered(Filtered),
    /// A text has been typed.
    Typed {
        /// Whose.
        utterance: u64,
        /// By which driver.
        driver: &'static str,
        /// How many characters.
        characters: u32,
        /// Whether it was read back.
        verified: bool,
    },
    /// A text has not been typed, or not all of it.
    NotTyped {
        /// Whose.
        utterance: u64,
        /// Why, and how to get it.
        fault: Fault,
    },
    /// How the plugins of the configuration are now.
    Plugins(Vec<PluginState>),
    /// Something without an utterance, worth telling the user once.
    Trouble(Fault),
    /// How it stands with the server, whenever that has changed.
    Server(ServerStatus),
}

/// How it stands with the server, for who asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerStatus {
    /// Who serves: `local`, or a remote's name; another than the chosen one while its fallback
    /// serves.
    pub backend: String,
    /// The way there.
    pub state: ServerState,
    /// What is wrong, with it or with the one whose place it takes.
    pub fault: Option<Fault>,
    /// Utterances that failed and are kept for a retry.
    pub kept: u32,
    /// Seconds of sound in them.
    pub kept_s: f64,
}

/// The way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerState {
    /// Nothing is to be done.
    #[default]
    Idle,
    /// It is being connected, or loads its model.
    Connecting,
    /// It listens.
    Connected,
    /// It was lost and is tried again.
    Away,
    /// Trying again is of no use before something is changed.
    Refused,
}

/// An utterance's text with what is known of it.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// Which utterance.
    pub utterance: u64,
    /// Perhaps empty. Begins with everything that was committed.
    pub text: String,
    /// Times from the utterance's start; empty where the server tells none.
    pub segments: Vec<Segment>,
    /// ISO 639-1; empty where the server does not tell.
    pub language: String,
    /// As the server says.
    pub processing_time_ms: f64,
    /// 0..1; `None` where the server does not tell.
    pub confidence: Option<f64>,
    /// The strategy that was used.
    pub strategy: Strategy,
    /// `local`, or the remote's name.
    pub backend: String,
}
