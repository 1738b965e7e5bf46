//! A session's sound: source, frames, voice activity, endpoints, on a thread `audio` of its own.
//!
//! Enters: a source. Leaves: [`Speech`] for the transcriber, [`Event`]s for the daemon.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;

use crate::event::Event;
use crate::speech::{SessionOptions, Speech};

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
    Microphone {
        /// `pulseaudio`, `pipewire` or `alsa`; `None`: the first that runs, in this order.
        host: Option<String>,
        /// An identifier, or a part of a name; `None`: the system's default.
        device: Option<String>,
    },
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
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureSettings {
    // H3 fills this in.
}

/// A session's sound under way. Dropping it abandons it.
#[derive(Debug)]
pub struct Capture {}

/// Opens the source and starts taking sound, on a thread of its own; returns at once. The first
/// event is `CaptureOpened` or `CaptureFailed`.
pub fn open(
    request: CaptureRequest,
    to_transcriber: mpsc::Sender<Speech>,
    to_daemon: mpsc::Sender<Event>,
) -> Capture {
    let _ = (request, to_transcriber, to_daemon);
    todo!()
}

impl Capture {
    /// Closes the source; an open utterance ends here with its sound so far. `CaptureEnded`
    /// follows.
    pub fn stop(&self) {
        todo!()
    }

    /// Closes the source and gives up an open utterance. `CaptureEnded` follows.
    pub fn abandon(&self) {
        todo!()
    }

    /// Whether to send `Level` for each frame.
    pub fn watch_level(&self, watch: bool) {
        let _ = watch;
        todo!()
    }
}
