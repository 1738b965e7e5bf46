//! The client of a transcription server: sound out, text in, and everything that must happen so
//! that no word is lost in between.
//!
//! Enters: [`Speech`] from the audio thread, [`ToTranscriber`] from the daemon. Leaves: [`Event`]s.
//! Runs as one task; the engine child, when the backend is local, is its property.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wstream_wire::Strategy;

use crate::event::Event;
use crate::speech::Speech;

/// What the transcriber works with, as configured and as switched at run time. Strategy and
/// language count from the next utterance on, the backend and the model at once.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscriberSettings {
    /// Who transcribes, unless a session asks for another.
    pub backend: String,
    /// The remotes that are configured, by name.
    pub remotes: Vec<Remote>,
    /// What is given to the model from the utterance before.
    pub strategy: Strategy,
    /// ISO 639-1 code or `auto`.
    pub language: String,
    /// The local engine.
    pub engine: EngineSettings,
    /// Most sound kept of utterances without a final; beyond it the oldest fails.
    pub unanswered_limit: Duration,
}

/// A server of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// As the configuration and the bus call it.
    pub name: String,
    /// `ws://HOST:PORT`, with or without a path.
    pub url: String,
}

/// How the local engine is started.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// The program `wstream-engine`.
    pub program: PathBuf,
    /// The model's file.
    pub model_path: PathBuf,
    /// Threads for decoding; `None`: the engine decides.
    pub threads: Option<u32>,
    /// Milliseconds between partials.
    pub partial_interval_ms: u32,
    /// How long the engine is kept without anything to do.
    pub unload_after: Duration,
}

/// Commands from the daemon.
#[derive(Debug)]
pub enum ToTranscriber {
    /// New settings; what is under way goes on as it was asked for.
    Configure(Box<TranscriberSettings>),
    /// Speech is likely soon: connect, or start the engine.
    Warm,
    /// Forget every utterance up to and including this session's, also those that come late.
    Cancel {
        /// The session.
        session: u64,
    },
    /// End: the engine is stopped and waited for, then the sender is answered.
    Shutdown(oneshot::Sender<()>),
}

/// Runs until [`ToTranscriber::Shutdown`] or until both channels have closed.
pub async fn run(
    settings: TranscriberSettings,
    from_audio: mpsc::Receiver<Speech>,
    from_daemon: mpsc::Receiver<ToTranscriber>,
    to_daemon: mpsc::Sender<Event>,
) {
    let _ = (settings, from_audio, from_daemon, to_daemon);
    todo!()
}
