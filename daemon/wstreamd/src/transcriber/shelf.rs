//! Utterances that failed for want of a server, with their sound, in case the user asks for them
//! again. In memory only, bounded in length and in time. No input or output.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use wstream_wire::SAMPLE_RATE;

use super::kept::Kept;

/// What nobody has asked for within an hour is not wanted any more.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// See the module. Oldest first.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    kept: VecDeque<(Instant, Kept)>,
    /// What `kept` costs.
    samples: u64,
}

impl Shelf {
    /// Puts an utterance there, at the cost of the oldest beyond `limit_samples`.
    pub(super) fn put(&mut self, kept: Kept, limit_samples: u64, now: Instant) {
        self.samples += kept.cost();
        self.kept.push_back((now, kept));
        while self.samples > limit_samples && self.drop_oldest() {}
    }

    /// Takes everything off.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Kept> + use<> {
        self.samples = 0;
        std::mem::take(&mut self.kept).into_iter().map(|it| it.1)
    }

    /// When [`Shelf::expire`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.kept.front().map(|it| it.0 + KEPT_FOR)
    }

    /// Forgets what has been there for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.due().is_some_and(|due| due <= now) && self.drop_oldest() {}
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Seconds of sound.
    pub(super) fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(SAMPLE_RATE)
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, kept)) = self.kept.pop_front() else {
            return false;
        };
        self.samples -= kept.cost();
        true
    }
}
