//! One key for both ways of dictating: a tap starts or stops, and while it is held it is
//! push-to-talk. [`HeldKey`] decides and has no input or output.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use wstream_api as api;

use super::{Command, Daemon};
use crate::fault::Fault;
use crate::speech::SessionOptions;

/// A key that repeats is let go and pressed again for every repetition, about every 40 ms, and
/// programs that tell us of both are started in any order. Let go is what stays so for this long.
const GRACE: Duration = Duration::from_millis(150);

/// A key that is held repeats within this, unless it does not repeat at all: then a press behind it
/// is a new one, and that it was let go in between was lost.
const SILENT: Duration = Duration::from_secs(1);

/// What a press means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressed {
    /// Listening begins.
    Start,
    /// Listening ends.
    Stop,
    /// The key repeats.
    Nothing,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct HeldKey {
    /// `None`: up.
    down: Option<Down>,
    /// Counts what is heard of it, so that a look that is late is known.
    heard: u64,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    /// When something was heard of it last.
    last: Instant,
    /// When it was let go, if that stays so.
    let_go: Option<Instant>,
    /// The press has started listening.
    started: bool,
}

impl HeldKey {
    fn press(&mut self, now: Instant, is_listening: bool) -> Pressed {
        self.heard += 1;
        if let Some(down) = &mut self.down
            && now - down.last < SILENT
        {
            (down.last, down.let_go) = (now, None);
            return Pressed::Nothing;
        }
        self.down = Some(Down {
            since: now,
            last: now,
            let_go: None,
            started: !is_listening,
        });
        match is_listening {
            true => Pressed::Stop,
            false => Pressed::Start,
        }
    }

    /// The number with which [`HeldKey::look`] is to be asked after [`GRACE`].
    fn release(&mut self, now: Instant) -> u64 {
        self.heard += 1;
        if let Some(down) = &mut self.down {
            (down.last, down.let_go) = (now, Some(now));
        }
        self.heard
    }

    /// Whether the key was let go for good, and was held so long that listening ends with that.
    fn look(&mut self, heard: u64, hold: Duration) -> bool {
        if heard != self.heard {
            return false;
        }
        let down = self.down.take_if(|down| down.let_go.is_some());
        down.is_some_and(|down| {
            let held = down.let_go.map(|let_go| let_go - down.since);
            down.started && held.is_some_and(|held| held >= hold)
        })
    }
}

impl Daemon {
    pub(super) fn press(
        &mut self,
        options: SessionOptions,
        reply: oneshot::Sender<Result<&'static str, Fault>>,
    ) {
        let is_listening = self.listens_to_microphone();
        match self.key.press(Instant::now(), is_listening) {
            Pressed::Start | Pressed::Stop => self.toggle(options, reply),
            Pressed::Nothing => drop(reply.send(Ok(self.state()))),
        }
    }

    pub(super) fn release(&mut self) {
        let heard = self.key.release(Instant::now());
        let to_self = self.to_self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GRACE).await;
            // The daemon may have ended.
            if let Some(to_self) = to_self.upgrade() {
                let _ = to_self.send(Command::KeyIsUp { heard }).await;
            }
        });
    }

    pub(super) fn key_is_up(&mut self, heard: u64) {
        let hold = Duration::from_millis(self.settings.config().session.hold_ms.into());
        if self.key.look(heard, hold) && self.listens_to_microphone() {
            tracing::debug!(state = api::STATE_FINISHING, "the key was let go");
            self.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_millis(400);

    /// Presses and releases at these milliseconds, and whether listening ends with the last.
    fn held(events: &[(u64, bool)]) -> (Vec<Pressed>, bool) {
        let mut key = HeldKey::default();
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut pressed = Vec::new();
        let mut ends = false;
        for (index, &(ms, down)) in events.iter().enumerate() {
            if down {
                pressed.push(key.press(at(ms), false));
                continue;
            }
            let heard = key.release(at(ms));
            let next = events.get(index + 1).map(|(ms, _)| *ms);
            if next.is_none_or(|next| at(next) >= at(ms) + GRACE) {
                ends |= key.look(heard, HOLD);
            }
        }
        (pressed, ends)
    }

    #[test]
    fn a_tap_leaves_listening_on_and_a_hold_ends_it() {
        assert_eq!(
            held(&[(0, true), (80, false)]),
            (vec![Pressed::Start], false)
        );
        assert_eq!(
            held(&[(0, true), (900, false)]),
            (vec![Pressed::Start], true)
        );
    }

    #[test]
    fn a_key_that_repeats_is_held() {
        for reversed in [false, true] {
            let mut events = vec![(0, true)];
            for repeat in 0..50 {
                let ms = 660 + repeat * 40;
                events.push((ms, reversed));
                events.push((ms + 2, !reversed));
            }
            events.push((3000, false));
            let (pressed, ends) = held(&events);
            assert_eq!(pressed[0], Pressed::Start);
            assert!(pressed[1..].iter().all(|it| *it == Pressed::Nothing));
            assert!(ends, "{reversed}");
        }
    }

    #[test]
    fn a_repeating_press_without_releases_is_held_as_well() {
        let mut events: Vec<(u64, bool)> = (0..40).map(|it| (it * 50, true)).collect();
        events.push((2000, false));
        let (pressed, ends) = held(&events);
        assert_eq!(pressed[0], Pressed::Start);
        assert!(pressed[1..].iter().all(|it| *it == Pressed::Nothing));
        assert!(ends);
    }

    #[test]
    fn a_release_that_was_lost_does_not_lock_the_key() {
        let mut key = HeldKey::default();
        let began = Instant::now();
        assert_eq!(key.press(began, false), Pressed::Start);
        let later = began + Duration::from_secs(20);
        assert_eq!(key.press(later, true), Pressed::Stop);
        let heard = key.release(later + Duration::from_millis(900));
        assert!(!key.look(heard, HOLD), "what the press has ended is over");
        assert_eq!(
            key.press(later + Duration::from_secs(3), false),
            Pressed::Start
        );
    }

    #[test]
    fn a_release_without_a_press_is_nothing() {
        let mut key = HeldKey::default();
        let heard = key.release(Instant::now());
        assert!(!key.look(heard, HOLD));
    }
}
