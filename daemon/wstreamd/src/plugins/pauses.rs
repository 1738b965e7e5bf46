//! How long to wait before a program that has ended is started again. No clock of its own.

use std::time::Duration;

/// Before the first restart.
const FIRST: Duration = Duration::from_secs(1);

/// Before the tenth and all that follow: a program that never stays up costs nothing then.
const LONGEST: Duration = Duration::from_secs(600);

/// A program that has run for so long is taken to be well.
const WELL: Duration = Duration::from_secs(60);

/// Ends in a row after which the user is told.
const TELL_AFTER: u32 = 3;

/// The pauses between the starts of one program, each twice as long as the one before.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    ends: u32,
}

impl Pauses {
    /// The program has ended after so long a time: wait for that long.
    pub(super) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= WELL {
            self.ends = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.ends.min(16)).min(LONGEST);
        self.ends = self.ends.saturating_add(1);
        pause
    }

    /// Whether this is the end in the row that the user is to hear of.
    pub(super) fn is_worth_telling(&self) -> bool {
        self.ends == TELL_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_begin_anew_behind_a_good_run() {
        let mut pauses = Pauses::default();
        let quick = Duration::from_millis(5);
        let seconds: Vec<u64> = (0..12).map(|_| pauses.after(quick).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(pauses.after(WELL), FIRST);
        assert_eq!(pauses.after(quick), FIRST * 2);
        for _ in 0..100 {
            pauses.after(quick);
        }
        assert_eq!(pauses.after(quick), LONGEST);
    }

    #[test]
    fn the_user_hears_of_it_once_in_a_row() {
        let mut pauses = Pauses::default();
        let told: Vec<bool> = (0..6)
            .map(|_| {
                pauses.after(Duration::ZERO);
                pauses.is_worth_telling()
            })
            .collect();
        assert_eq!(told, [false, false, true, false, false, false]);
    }
}
