//! A session's sound: source, frames, voice activity, endpoints, on a thread `audio` of its own.
//!
//! Enters: a source. Leaves: [`Speech`] for the transcriber, [`Event`]s for the daemon.

mod hearing;
mod session;
mod standby;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

use tokio::sync::mpsc;
use tracing::error;

use crate::endpoint::EndpointSettings;
use crate::event::Event;
use crate::fault::{Fault, FaultKind};
use crate::source::{Interrupt, Wanted};
use crate::speech::{SessionOptions, Speech};
use crate::vad::{Detector, VadMode};

pub use standby::Standby;

/// What to capture.
#[derive(Debug)]
pub struct CaptureRequest {
    /// The session's number, repeated in every event.
    pub session: u64,
    /// Where the sound comes from.
    pub source: SourceRequest,
    /// Voice activity detection and endpointing.
    pub settings: CaptureSettings,
    /// What the session's caller asked for; handed on with each utterance.
    pub options: Arc<SessionOptions>,
    /// The number of the next utterance; shared by all sessions, so that numbers never restart.
    pub next_utterance: Arc<AtomicU64>,
}

/// Where the sound comes from.
#[derive(Debug)]
pub enum SourceRequest {
    /// A microphone.
    Microphone(Wanted),
    /// A descriptor.
    Feed {
        /// File, pipe or socket, read from where it stands.
        sound: OwnedFd,
        /// How its bytes are to be understood.
        format: FeedFormat,
        /// Whether to hold the pace of speech.
        realtime: bool,
    },
}

/// How a feed's bytes are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedFormat {
    /// WAV or FLAC, told by the first bytes.
    Auto,
    /// Signed 16-bit little-endian samples, interleaved.
    S16le {
        /// Samples per second.
        rate: u32,
        /// Interleaved channels.
        channels: u16,
    },
    /// 32-bit little-endian float samples (-1..1), interleaved.
    F32le {
        /// Samples per second.
        rate: u32,
        /// Interleaved channels.
        channels: u16,
    },
}

/// Voice activity detection and endpointing, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureSettings {
    /// Who tells voice from other sound.
    pub detector: Detector,
    /// How readily sound passes for voice.
    pub vad: VadMode,
    /// When utterances begin and end.
    pub endpoint: EndpointSettings,
    /// Seconds without speech after which a microphone's session ends; 0: never.
    pub auto_stop_s: u32,
}

/// A session's sound under way. Dropping it abandons it.
#[derive(Debug)]
pub struct Capture {
    /// `None`: it could not even be started.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    control: Arc<Control>,
    /// To wake the audio thread when it waits for room or for time to pass.
    thread: Thread,
}

/// What the audio thread is told while it runs.
#[derive(Debug)]
struct Control {
    /// Raised to stop.
    interrupt: Arc<Interrupt>,
    /// Whether an open utterance is given up when it stops.
    abandon: AtomicBool,
    watch_level: AtomicBool,
}

impl Control {
    fn new() -> io::Result<Self> {
        Ok(Control {
            interrupt: Arc::new(Interrupt::new()?),
            abandon: AtomicBool::new(false),
            watch_level: AtomicBool::new(false),
        })
    }
}

/// Opens the source and starts taking sound, on a thread of its own; returns at once. The first
/// event is `CaptureOpened` or `CaptureFailed`, or `CaptureEnded` when it is stopped before either.
pub fn open(
    request: CaptureRequest,
    to_transcriber: mpsc::Sender<Speech>,
    to_daemon: mpsc::Sender<Event>,
) -> Capture {
    let session = request.session;
    let started = start(request, to_transcriber, to_daemon.clone());
    if let Err(cause) = &started {
        let fault = Fault::new(
            FaultKind::Failed,
            format!("listening cannot start: {cause}; close some programs and try again"),
        );
        // Nothing may wait here, and there is no thread to wait on.
        if to_daemon
            .try_send(Event::CaptureFailed { session, fault })
            .is_err()
        {
            error!(session, %cause, "no room to report that listening cannot start");
        }
    }
    Capture {
        running: started.ok(),
    }
}

fn start(
    request: CaptureRequest,
    to_transcriber: mpsc::Sender<Speech>,
    to_daemon: mpsc::Sender<Event>,
) -> io::Result<Running> {
    let control = Arc::new(Control::new()?);
    let for_thread = Arc::clone(&control);
    let thread = thread::Builder::new()
        .name("audio".to_owned())
        .spawn(move || session::run(request, None, &for_thread, to_transcriber, to_daemon))?;
    Ok(Running {
        control,
        thread: thread.thread().clone(),
    })
}

impl Capture {
    /// Closes the source; an open utterance ends here with its sound so far. `CaptureEnded`
    /// follows.
    pub fn stop(&self) {
        if let Some(running) = &self.running {
            running.control.interrupt.raise();
            running.thread.unpark();
        }
    }

    /// Closes the source and gives up an open utterance. `CaptureEnded` follows.
    pub fn abandon(&self) {
        if let Some(running) = &self.running {
            running.control.abandon.store(true, Ordering::SeqCst);
        }
        self.stop();
    }

    /// Whether to send `Level` for each frame.
    pub fn watch_level(&self, watch: bool) {
        if let Some(running) = &self.running {
            running.control.watch_level.store(watch, Ordering::Relaxed);
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.abandon();
    }
}

#[cfg(test)]
mod tests;
