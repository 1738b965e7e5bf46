//! How long a server may stay away, and when to try again. No input or output.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

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

/// A connection that held for this long ends an outage even if nothing was said on it.
const STABLE_FOR: Duration = Duration::from_secs(30);

/// How a connection ended, or did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LossKind {
    /// It broke, or nothing answers.
    Broken,
    /// The server, or its machine, does not want us.
    Refused,
    /// The engine ended before it was ready.
    NotStarted,
    /// It lives, but a final does not come.
    Unanswered,
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
    since: Option<Instant>,
    attempts: u32,
    failed_starts: u32,
    reached: bool,
    told: bool,
}

impl Outage {
    /// A connection was lost whose server gave signs of life for `held`, or an attempt has failed.
    pub(super) fn lost(
        &mut self,
        kind: LossKind,
        held: Option<Duration>,
        now: Instant,
        is_local: bool,
    ) -> Verdict {
        let held_well = held.is_some_and(|held| held >= STABLE_FOR);
        if held_well && kind != LossKind::Unanswered {
            *self = Outage::default();
        }
        let since = *self.since.get_or_insert(now);
        self.reached |= held.is_some();
        self.failed_starts = match kind {
            LossKind::NotStarted => self.failed_starts + 1,
            _ => 0,
        };
        let limit = match kind {
            LossKind::Refused => REFUSED_FOR,
            _ => LOST_FOR,
        };
        if now - since >= limit || self.failed_starts >= FAILED_STARTS {
            let reached = self.reached;
            // The user has been told; the next utterance gets as long again.
            *self = Outage {
                told: self.told,
                ..Outage::default()
            };
            return Verdict::GiveUp { reached };
        }
        let pause = pause(self.attempts);
        self.attempts += 1;
        Verdict::Retry(if is_local { pause } else { jittered(pause) })
    }

    /// The server has answered, or the user has changed something: the outage is over.
    pub(super) fn over(&mut self) {
        *self = Outage::default();
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
