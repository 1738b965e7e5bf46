//! A client's session: what it has said, what it is owed. No sockets, no model, no clock.
//!
//! Enters: messages, outcomes of decodes, the time. Leaves: [`Action`]s. A session is driven by its
//! connection's task and has at most one decode under way, so that each utterance sees the final
//! of the one before it.

mod utterance;
pub mod v1;
pub mod v2;

use std::time::{Duration, Instant};

use wstream_wire::SAMPLE_RATE;

use crate::decode::{Effort, Request};
use crate::scheduler::{Kind, Outcome};

/// What the connection is to do.
#[derive(Debug)]
pub enum Action {
    /// Send a text message.
    Send(String),
    /// Have something decoded.
    Decode {
        /// The session's number for it.
        job: u64,
        /// How urgent it is.
        kind: Kind,
        /// What.
        request: Request,
    },
    /// The job has newer sound, if it still waits.
    Refresh {
        /// Which.
        job: u64,
        /// What it is to decode now.
        request: Request,
    },
    /// The job is a final now.
    Promote {
        /// Which.
        job: u64,
    },
    /// The job's outcome is not wanted any more.
    Abort {
        /// Which.
        job: u64,
    },
}

/// A version's rules, seen from the connection.
pub trait Session: Send {
    /// A text message came.
    fn text(&mut self, text: &str, now: Instant) -> Vec<Action>;

    /// A binary message came.
    fn binary(&mut self, bytes: &[u8], now: Instant) -> Vec<Action>;

    /// A decode has ended.
    fn outcome(&mut self, outcome: Outcome, now: Instant) -> Vec<Action>;

    /// Whether so much sound waits that no more should be read for now.
    fn is_full(&self) -> bool;

    /// Samples that have had no final; those that were settled ahead of it are among them.
    fn unanswered_samples(&self) -> usize;

    /// Whether finals of utterances that have ended are still to come.
    fn owes_finals(&self) -> bool;

    /// What to say when the server ends.
    fn farewell(&self) -> Option<String>;
}

/// Most sound of a session that waits to be decoded: five minutes, 19 MB. When it is full the
/// connection is not read, so that a client that is faster than the decoder waits.
pub const MOST_WAITING_SAMPLES: usize = 300 * SAMPLE_RATE as usize;

/// Most utterances of a session without a final; then it is not read either. However short they
/// are, each may carry as much text as a message holds.
pub const MOST_UTTERANCES: usize = 64;

/// Messages of unknown type that are logged; a client could send millions.
const MOST_COMPLAINTS: u8 = 3;

/// Tells the log of messages that are ignored, as long as that is news.
#[derive(Debug, Default)]
struct Complaints(u8);

impl Complaints {
    fn unknown_type(&mut self, name: &str) {
        if self.0 < MOST_COMPLAINTS {
            self.0 += 1;
            tracing::warn!(%name, "ignored a message of unknown type");
        }
    }
}

/// The decode that a session has under way.
#[derive(Clone, Copy, Debug)]
struct Running {
    job: u64,
    kind: Kind,
    /// When its sound was taken; partials that wait are refreshed from here.
    since: Instant,
    /// Samples of the utterance that it decodes, for pieces and finals.
    samples: usize,
}

/// Numbers a session's decodes and remembers the one under way.
#[derive(Debug, Default)]
struct Desk {
    last_job: u64,
    running: Option<Running>,
}

impl Desk {
    fn start(&mut self, kind: Kind, samples: usize, request: Request, now: Instant) -> Action {
        self.last_job += 1;
        self.running = Some(Running {
            job: self.last_job,
            kind,
            since: now,
            samples,
        });
        Action::Decode {
            job: self.last_job,
            kind,
            request,
        }
    }

    fn runs(&self, kind: Kind) -> bool {
        self.running.is_some_and(|running| running.kind == kind)
    }

    /// Gives up the decode under way, if it is of one of `kinds`.
    fn abort(&mut self, kinds: &[Kind]) -> Option<Action> {
        let running = self
            .running
            .take_if(|running| kinds.contains(&running.kind))?;
        Some(Action::Abort { job: running.job })
    }

    /// The decode that `job` names, if it is still wanted.
    fn finish(&mut self, job: u64) -> Option<Running> {
        self.running.take_if(|running| running.job == job)
    }

    /// Whether a partial waits whose sound is older than `interval`; its sound counts as new then.
    fn refreshes(&mut self, interval: Duration, now: Instant) -> Option<u64> {
        let running = self.running.as_mut()?;
        if running.kind != Kind::Partial || now.duration_since(running.since) < interval {
            return None;
        }
        running.since = now;
        Some(running.job)
    }
}

/// How hard to try at each kind of decode. A piece stays in the final, so it is one.
fn effort(kind: Kind) -> Effort {
    match kind {
        Kind::Partial => Effort::Quick,
        Kind::Piece | Kind::Speculative | Kind::Final => Effort::Careful,
    }
}
