//! The client of a transcription server: sound out, text in, and everything that must happen so
//! that no word is lost in between.
//!
//! Enters: [`Speech`] from the audio thread, [`ToTranscriber`] from the daemon. Leaves: [`Event`]s.
//! Runs as one task; the engine child, when the backend is local, is its property.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wstream_wire::Strategy;

pub use self::credential::TokenFrom;
pub use self::remote::{BadRemote, DEFAULT_PROTOCOL, Fallback, Remote};
use self::work::Work;
use crate::event::Event;
use crate::speech::{SessionOptions, Speech};

mod answers;
mod fallback;
mod retry;
mod route;
mod sentences;
mod work;

mod link;
mod outage;
mod probe;
mod standing;
mod target;

mod connection;
mod local;
mod protocol;

mod credential;
mod remote;

mod kept;
mod outbox;
mod shelf;
mod shown;
mod unanswered;

#[cfg(test)]
mod tests;

/// What the transcriber works with, as configured and as switched at run time. Strategy, languages
/// and vocabulary count from the next utterance on, the backend and the model at once.
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
    /// Which languages `auto` may find; empty: any.
    pub languages: Arc<[String]>,
    /// Words to expect.
    pub vocabulary: Arc<[String]>,
    /// The local engine.
    pub engine: EngineSettings,
    /// Most sound kept of utterances without a final; beyond it the oldest fails.
    pub unanswered_limit: Duration,
    /// Most sound kept of utterances that failed for want of a server; beyond it the oldest is
    /// forgotten.
    pub retry_limit: Duration,
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
    /// How much other programs go first, as nice(1) counts it.
    pub nice: u32,
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
    Warm {
        /// What its session asks for: another backend, perhaps.
        options: Arc<SessionOptions>,
    },
    /// Forget every utterance up to and including this session's, also those that come late.
    Cancel {
        /// The session.
        session: u64,
    },
    /// Transcribe what has failed for want of a server and is kept, as utterances of this session.
    Retry {
        /// The session; it ends when they have.
        session: u64,
    },
    /// End: the engine is stopped and waited for, then the sender is answered.
    Shutdown(oneshot::Sender<()>),
}

/// Runs until [`ToTranscriber::Shutdown`] or until both channels have closed. `next_utterance` is
/// the counter of those who capture: what goes on behind a cut takes its number from it too.
pub async fn run(
    settings: TranscriberSettings,
    next_utterance: Arc<AtomicU64>,
    mut from_audio: mpsc::Receiver<Speech>,
    mut from_daemon: mpsc::Receiver<ToTranscriber>,
    to_daemon: mpsc::Sender<Event>,
) {
    let mut work = Work::new(settings, next_utterance);
    let (mut audio_open, mut daemon_open) = (true, true);
    while audio_open || daemon_open {
        work.settle(Instant::now());
        let deadline = work.deadline();
        // In this order: sound must not wait for anything, and a timer that has run out while we
        // were busy must not overrule what has arrived in the meantime.
        tokio::select! {
            biased;
            command = from_daemon.recv(), if daemon_open => match command {
                Some(ToTranscriber::Configure(settings)) => work.configure(*settings),
                Some(ToTranscriber::Warm { options }) => work.warm(options),
                Some(ToTranscriber::Cancel { session }) => work.cancel(session),
                Some(ToTranscriber::Retry { session }) => work.retry(session),
                Some(ToTranscriber::Shutdown(done)) => {
                    work.end().await;
                    // The daemon may have stopped waiting.
                    let _ = done.send(());
                    return;
                }
                None => daemon_open = false,
            },
            speech = from_audio.recv(), if audio_open && work.takes_speech() => match speech {
                Some(speech) => work.speech(speech),
                None => audio_open = false,
            },
            permit = to_daemon.reserve(), if work.has_event() => match permit {
                Ok(permit) => {
                    // To a daemon that is behind, a partial would be old news.
                    let is_behind = to_daemon.capacity() < to_daemon.max_capacity() / 2;
                    if let Some(event) = work.take_event()
                        && !(is_behind && matches!(event, Event::Partial { .. }))
                    {
                        permit.send(event);
                    }
                }
                Err(_) => work.forget_events(),
            },
            moved = poll_fn(|cx| work.poll(cx)) => work.moved(moved, Instant::now()),
            () = until(deadline), if deadline.is_some() => work.overdue(Instant::now()),
        }
    }
    work.end().await;
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
