//! When the next partial is worth its time.
//!
//! Enters: what decodes have cost, how much sound is new. Leaves: yes or no. Pure.

use std::time::{Duration, Instant};

use wstream_wire::SAMPLE_RATE;

/// Words come three times a second; partials that follow faster show nothing new.
const LEAST_INTERVAL: Duration = Duration::from_millis(280);

/// A decode may take this part of the time until the next: the rest is left to finals, to other
/// sessions and to other programs.
const DUTY: f64 = 0.4;

/// New sound without which two decodes that agree prove nothing: 200 ms.
const LEAST_NEW_SAMPLES: usize = SAMPLE_RATE as usize / 5;

/// How much the newest cost counts in the running mean.
const NEWEST: f64 = 0.3;

/// The pace of a session's partials.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// What the user wants at least between two.
    interval: Duration,
    /// Running mean of what partials took, waiting for a free core included.
    cost: Duration,
}

impl Pace {
    /// Never faster than one partial in `interval`.
    pub(super) fn new(interval: Duration) -> Pace {
        Pace {
            interval: interval.max(LEAST_INTERVAL),
            cost: Duration::ZERO,
        }
    }

    /// The shortest time between two partials.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// A partial took so long.
    pub(super) fn took(&mut self, cost: Duration) {
        self.cost = if self.cost.is_zero() {
            cost
        } else {
            self.cost.mul_f64(1.0 - NEWEST) + cost.mul_f64(NEWEST)
        };
    }

    /// Whether another one is due, `new_samples` after what the last one heard; it began at `last`.
    /// Twice as often while nothing `is_shown`: a first guess that was no good is soon made again.
    pub(super) fn is_due(
        &self,
        last: Option<Instant>,
        new_samples: usize,
        is_shown: bool,
        now: Instant,
    ) -> bool {
        let part = if is_shown { 1 } else { 2 };
        let wait = (self.interval / part).max(self.cost.div_f64(DUTY));
        new_samples >= LEAST_NEW_SAMPLES / part as usize
            && last.is_none_or(|last| now.saturating_duration_since(last) >= wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_follows_the_cost() {
        let mut pace = Pace::new(Duration::ZERO);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(pace.is_due(None, 16_000, true, at(0)));
        assert!(!pace.is_due(None, 3_199, true, at(0)));
        assert!(!pace.is_due(Some(start), 16_000, true, at(279)));
        assert!(pace.is_due(Some(start), 3_200, true, at(280)));
        assert!(!pace.is_due(Some(start), 1_600, false, at(139)));
        assert!(pace.is_due(Some(start), 1_600, false, at(140)));
        pace.took(Duration::from_millis(400));
        assert!(!pace.is_due(Some(start), 16_000, true, at(999)));
        assert!(pace.is_due(Some(start), 16_000, true, at(1000)));
        for _ in 0..40 {
            pace.took(Duration::from_millis(50));
        }
        assert!(pace.is_due(Some(start), 16_000, true, at(280)));
        let slow = Pace::new(Duration::from_millis(500));
        assert!(!slow.is_due(Some(start), 16_000, true, at(499)));
    }
}
