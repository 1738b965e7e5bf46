//! How long a server may stay away, and when to try again. No input or output.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Fault;

/// The first pause; the second attempt comes at once.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: long enough to leave a server in trouble alone, short enough that the user
/// does not notice it beside the trouble itself.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A server that refuses for this long will not change its mind by itself; a restart takes less.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// A server that cannot be reached for this long: a network comes back sooner or not at all, and
/// who dictates has stopped waiting.
const LOST_FOR: Duration = Duration::from_secs(120);

/// An engine that ends this often in a row before it is ready does not start.
const FAILED_STARTS: u32 = 3;

/// A server that denies us this often in a row, by our secret or its certificate, will go on doing
/// so; once may have been its restart. Few enough not to be taken for guessing.
const DENIALS: u32 = 2;

/// A server that says this often what cannot be understood speaks another protocol.
const GARBLED: u32 = 3;

/// A connection that held for this long ends an outage even if nothing was said on it.
const STABLE_FOR: Duration = Duration::from_secs(30);

/// How a connection ended, or did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LossKind {
    /// It broke, or nothing answers.
    Broken,
    /// The server, or its machine, does not want us.
    Refused,
    /// The server does not accept our secret, or we do not accept its certificate.
    Denied,
    /// It says what cannot be understood.
    Garbled,
    /// The engine ended before it was ready.
    NotStarted,
    /// It lives, but a final does not come.
    Unanswered,
}

impl LossKind {
    /// Whether the next attempt would end in the same way.
    pub(super) fn is_permanent(self) -> bool {
        matches!(self, LossKind::Denied | LossKind::Garbled)
    }
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Connect again after this pause.
    Retry(Duration),
    /// Stop trying; what is owed has failed.
    GiveUp {
        /// Whether the server was there in between, so that it may be the oldest utterance alone
        /// that it cannot answer.
        reached: bool,
    },
}

/// The time without a server that answers.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// When the last sign of life came before it.
    since: Option<Instant>,
    /// When it was noticed: what its length is judged by.
    noticed: Option<Instant>,
    attempts: u32,
    failed_starts: u32,
    denials: u32,
    garbled: u32,
    reached: bool,
    told: bool,
    /// What the user is told of it.
    fault: Option<Fault>,
}

/// How a connection was lost, or an attempt failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    /// How.
    pub(super) kind: LossKind,
    /// For how long the server gave signs of life; `None`: it never was ready.
    pub(super) held: Option<Duration>,
    /// When the attempt began, or when the last sign of life came.
    pub(super) since: Instant,
    /// When the server asks to come again.
    pub(super) after: Option<Duration>,
    /// Whether it is our own engine, which no other client waits for.
    pub(super) is_local: bool,
}

impl Outage {
    /// A connection was lost, or an attempt has failed.
    pub(super) fn lost(&mut self, lost: Lost, now: Instant) -> Verdict {
        let Lost { kind, held, .. } = lost;
        let held_well = held.is_some_and(|held| held >= STABLE_FOR);
        if held_well && kind != LossKind::Unanswered {
            *self = Outage::default();
        }
        self.since.get_or_insert(lost.since);
        let noticed = *self.noticed.get_or_insert(now);
        self.reached |= held.is_some();
        let count = |kind: LossKind, before: u32| if lost.kind == kind { before + 1 } else { 0 };
        self.failed_starts = count(LossKind::NotStarted, self.failed_starts);
        self.denials = count(LossKind::Denied, self.denials);
        self.garbled += u32::from(kind == LossKind::Garbled);
        let limit = match kind {
            LossKind::Refused => REFUSED_FOR,
            _ => LOST_FOR,
        };
        let pause = pause(self.attempts);
        let pause = match kind.is_permanent() {
            // At once would only be the same again.
            true => pause.max(FIRST_PAUSE),
            false => pause,
        };
        let pause = if lost.is_local {
            pause
        } else {
            jittered(pause)
        };
        let pause = pause.max(lost.after.unwrap_or_default());
        // A server that asks for more time than it is given need not be asked again.
        let asked = lost.after.unwrap_or_default();
        if (now + asked).saturating_duration_since(noticed) >= limit
            || self.failed_starts >= FAILED_STARTS
            || self.denials >= DENIALS
            || self.garbled >= GARBLED
        {
            let reached = self.reached;
            // The user has been told; the next utterance gets as long again.
            *self = Outage {
                told: self.told,
                fault: self.fault.take(),
                ..Outage::default()
            };
            return Verdict::GiveUp { reached };
        }
        self.attempts += 1;
        Verdict::Retry(pause)
    }

    /// Since when there has been no server that answers; `None`: there is no outage.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The server has answered, or the user has changed something: the outage is over.
    pub(super) fn over(&mut self) {
        *self = Outage::default();
    }

    /// What is to be said of it.
    pub(super) fn explain(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// What is to be said of it; it stays until the outage is over.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// True the first time in an outage: the user is told once.
    pub(super) fn tell(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }
}

fn pause(attempts: u32) -> Duration {
    match attempts {
        0 => Duration::ZERO,
        // 2^6 quarters of a second is beyond the longest pause.
        n => (FIRST_PAUSE * 2_u32.pow((n - 1).min(6))).min(LONGEST_PAUSE),
    }
}

/// Between three quarters and five quarters of `pause`, so that the clients of a server that comes
/// back do not all come at once.
fn jittered(pause: Duration) -> Duration {
    // The standard library seeds its hash maps at random; no more than that is needed here.
    let random = RandomState::new().hash_one(()) % 1000;
    pause * (750 + random as u32 / 2) / 1000
}
