//! What comes in from the bus and what goes out to it.

use std::os::fd::OwnedFd;

use tokio::sync::oneshot;
use wstream_wire::Segment;

use super::presence::Change;
use crate::capture::FeedFormat;
use crate::config::{Config, Key};
use crate::event::ServerStatus;
use crate::fault::Fault;
use crate::filters::Wanted;
use crate::speech::SessionOptions;

/// What the daemon is asked to do. Replies are dropped when the daemon ends.
#[derive(Debug)]
pub enum Command {
    /// Open the microphone; answered when it is open.
    Start {
        /// For this session only.
        options: SessionOptions,
        /// The session's number.
        reply: oneshot::Sender<Result<u64, Fault>>,
    },
    /// Take no more sound; what is owed still comes.
    Stop {
        /// Answered at once.
        reply: oneshot::Sender<()>,
    },
    /// Start, or stop.
    Toggle {
        /// For this session only.
        options: SessionOptions,
        /// The state after it.
        reply: oneshot::Sender<Result<&'static str, Fault>>,
    },
    /// The key that is for both ways of dictating was pressed, or repeats.
    Press {
        /// For the session that begins, if one does.
        options: SessionOptions,
        /// The state after it.
        reply: oneshot::Sender<Result<&'static str, Fault>>,
    },
    /// It was let go, unless it only repeats.
    Release,
    /// It was let go a while ago; `heard` says behind what.
    KeyIsUp {
        /// As [`super::key::HeldKey`] counts.
        heard: u64,
    },
    /// The screen was locked, the machine goes to sleep, or the opposite.
    Presence(Change),
    /// Take no more sound and forget what is owed.
    Cancel {
        /// Answered at once.
        reply: oneshot::Sender<()>,
    },
    /// Take sound from a descriptor; answered when its format is understood.
    Feed(FeedRequest, oneshot::Sender<Result<u64, Fault>>),
    /// Switch something, and keep the choice.
    Set {
        /// What.
        key: Key,
        /// To what.
        value: String,
        /// Whether it was possible.
        reply: oneshot::Sender<Result<(), Fault>>,
    },
    /// Transcribe what has failed for want of a server and is kept.
    Retry {
        /// The session's number; 0: nothing is kept.
        reply: oneshot::Sender<u64>,
    },
    /// The last finals.
    Recent {
        /// At most so many.
        count: u32,
        /// Oldest first.
        reply: oneshot::Sender<Vec<FinalText>>,
    },
    /// Take away again what was typed last.
    Undo {
        /// How many characters that were.
        reply: oneshot::Sender<Result<u32, Fault>>,
    },
    /// Type a recent final once more.
    Retype {
        /// Whose; 0: the last one's.
        utterance: u64,
        /// Whether it was typed.
        reply: oneshot::Sender<Result<(), Fault>>,
    },
    /// `Level` signals are wanted, or no more.
    WatchLevel {
        /// Unique bus name.
        caller: String,
        /// Wanted.
        watch: bool,
    },
    /// Finals are to pass through a caller's object.
    AddFilter(Wanted, oneshot::Sender<Result<(), Fault>>),
    /// And no more.
    RemoveFilter {
        /// Unique bus name.
        caller: String,
        /// Its object.
        path: String,
        /// Whether it was there.
        reply: oneshot::Sender<Result<(), Fault>>,
    },
    /// The plugins and the filters.
    Plugins {
        /// Those of the configuration first.
        reply: oneshot::Sender<Vec<PluginEntry>>,
    },
    /// A caller that has something here has left the bus.
    CallerLeft {
        /// Unique bus name.
        caller: String,
    },
    /// A new configuration, already checked.
    Reload(Box<Config>),
    /// Something to tell the user that no stage reports.
    Trouble(Fault),
    /// End: stop, deliver what is owed, then answer.
    Shutdown {
        /// Whether it is by a defect, so that a daemon that is started again goes on listening.
        by_defect: bool,
        /// Answered last.
        done: oneshot::Sender<()>,
    },
    /// There is no more time to wait for what is owed.
    GiveUp,
}

/// `Feed`, as it came from the bus.
#[derive(Debug)]
pub struct FeedRequest {
    /// The sound.
    pub sound: OwnedFd,
    /// How to read it.
    pub format: FeedFormat,
    /// At the pace of speech.
    pub realtime: bool,
    /// For this session only.
    pub options: SessionOptions,
    /// Unique bus name; the session ends when it leaves.
    pub caller: String,
}

/// A final with its details, as the signal carries it and as it is kept.
#[derive(Clone, Debug, Default)]
pub struct FinalText {
    /// Which utterance.
    pub utterance: u64,
    /// Which session.
    pub session: u64,
    /// After filters.
    pub text: String,
    /// Before filters.
    pub raw: String,
    /// That filters want pressed behind the text.
    pub keys: Vec<String>,
    /// ISO 639-1; empty: unknown.
    pub language: String,
    /// Times from the utterance's start.
    pub segments: Vec<Segment>,
    /// Seconds of sound.
    pub duration_s: f64,
    /// As the server says.
    pub processing_time_ms: f64,
    /// From `Ended` to here.
    pub latency_ms: f64,
    /// 0..1; `None`: unknown.
    pub confidence: Option<f64>,
    /// The strategy's name.
    pub strategy: String,
    /// The backend's name.
    pub backend: String,
    /// Whether a long utterance was cut here, and goes on as the one that starts next.
    pub continues: bool,
}

/// An entry of the property `Plugins`.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginEntry {
    /// In the configuration, or of the process.
    pub name: String,
    /// As on the bus.
    pub state: &'static str,
    /// The process.
    pub pid: Option<u32>,
    /// For those of the configuration: how often started again.
    pub restarts: Option<u32>,
    /// For those with filters.
    pub filters: Option<FilterTimes>,
}

/// How a plugin's filters have done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilterTimes {
    /// How many there are.
    pub filters: u32,
    /// How often they were asked.
    pub calls: u64,
    /// How often they were passed over.
    pub skipped: u64,
    /// Milliseconds to an answer.
    pub mean_ms: f64,
    /// Of the slowest.
    pub max_ms: f64,
}

/// What the bus is told, in this order.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "the fields are those of the bus signals, see wstream_api"
)]
pub enum Signal {
    Started {
        utterance: u64,
        session: u64,
        source: &'static str,
        at_s: f64,
    },
    Ended {
        utterance: u64,
        session: u64,
        at_s: f64,
        duration_s: f64,
    },
    Final(Box<FinalText>),
    Failed {
        utterance: u64,
        session: u64,
        fault: Fault,
    },
    Cancelled {
        utterance: u64,
    },
    SessionEnded {
        session: u64,
        utterances: u64,
        fault: Option<Fault>,
    },
    Delivered {
        utterance: u64,
        driver: &'static str,
        characters: u32,
        verified: bool,
    },
    Trouble {
        fault: Fault,
    },
    Level {
        rms: f64,
    },
    /// A property has another value now.
    Changed(Property),
}

/// Properties that tell of their changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as on the bus")]
pub enum Property {
    State,
    Strategy,
    Backend,
    Model,
    Language,
    Microphone,
    OpenMicrophone,
    Typing,
    Backends,
    Plugins,
    Server,
}

/// What property reads are answered with, without asking the daemon task.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "named as on the bus")]
pub struct Published {
    pub state: &'static str,
    pub strategy: String,
    pub backend: String,
    pub model: String,
    pub language: String,
    pub microphone: String,
    pub open_microphone: String,
    pub typing: &'static str,
    pub backends: Vec<String>,
    pub server: ServerStatus,
    /// Which host to ask for microphones; empty: the first one running.
    pub host: String,
}

impl Published {
    /// The properties that differ from `before`.
    pub fn differences(&self, before: &Published) -> Vec<Property> {
        [
            (Property::State, self.state != before.state),
            (Property::Strategy, self.strategy != before.strategy),
            (Property::Backend, self.backend != before.backend),
            (Property::Model, self.model != before.model),
            (Property::Language, self.language != before.language),
            (Property::Microphone, self.microphone != before.microphone),
            (Property::Typing, self.typing != before.typing),
            (Property::Backends, self.backends != before.backends),
            (Property::Server, self.server != before.server),
        ]
        .into_iter()
        .filter_map(|(property, differs)| differs.then_some(property))
        .collect()
    }
}
