//! What the audio thread hands to the transcriber: utterances, as they are heard.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use wstream_typing::Session;
use wstream_wire::Strategy;

use crate::typist::When;

/// Most messages of [`Speech`] under way to the transcriber: 30 s of frames.
/// Full: a feed waits; a microphone's utterance fails with `SoundLost`, said aloud.
pub const SPEECH_QUEUE: usize = 1000;

/// A piece of an utterance. For one utterance: `Begin`, then `Sound`, `Pause` and `Resume` in the
/// order of time, then `End` or `Abort`. Utterances do not overlap.
#[derive(Debug)]
pub enum Speech {
    /// Speech began. The pre-roll follows as the first `Sound`.
    Begin(Utterance),
    /// The next samples: 16 kHz mono, any number of them, usually a frame of 480.
    Sound {
        /// Which utterance.
        utterance: u64,
        /// The samples; shared with what is kept for replay.
        samples: Arc<[i16]>,
    },
    /// The first unvoiced frame after voice: the end may have come.
    Pause {
        /// Which utterance.
        utterance: u64,
        /// Samples from the utterance's start to where the silence began.
        sample: u64,
    },
    /// Voice again before the hangover had passed.
    Resume {
        /// Which utterance.
        utterance: u64,
    },
    /// The end is confirmed; all sound has been handed over.
    End {
        /// Which utterance.
        utterance: u64,
        /// When the end was confirmed; the final's latency counts from here.
        at: Instant,
    },
    /// The utterance is given up: abandoned, or its sound has a hole. The daemon has been told why.
    Abort {
        /// Which utterance.
        utterance: u64,
    },
}

/// An utterance's name and how to transcribe it.
#[derive(Clone, Debug)]
pub struct Utterance {
    /// Never used again while the daemon runs; each is greater than those before.
    pub utterance: u64,
    /// The session that it belongs to.
    pub session: u64,
    /// Whether the sound comes at the pace of speech and cannot wait (a microphone), so that only
    /// the limit on unanswered sound holds it up; otherwise (a feed) the reader waits for room.
    pub live: bool,
    /// What the session's caller asked for.
    pub options: Arc<SessionOptions>,
    /// Samples from its start that a server has answered already by cutting it. Written by the
    /// transcriber, read by the audio thread: what is answered makes an utterance no longer.
    pub answered_samples: Arc<AtomicU64>,
}

/// What one session asks for differently from the daemon's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Instead of the daemon's strategy.
    pub strategy: Option<Strategy>,
    /// Instead of the daemon's backend: `local` or a remote's name, known to be configured.
    pub backend: Option<String>,
    /// Instead of the daemon's language: ISO 639-1 or `auto`.
    pub language: Option<String>,
    /// Instead of the daemon's: which languages `auto` may find; empty: any.
    pub languages: Option<Arc<[String]>>,
    /// Instead of the daemon's: words to expect.
    pub vocabulary: Option<Arc<[String]>>,
    /// When its texts are typed, instead of what counts for its kind of session.
    pub typing: Option<When>,
    /// The desktop of whoever asked for it.
    pub desktop: Option<Session>,
    /// Whether its texts are none of those that are asked for afterwards.
    pub is_forgotten: bool,
}
