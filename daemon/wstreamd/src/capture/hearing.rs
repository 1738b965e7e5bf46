//! Whether what a microphone delivers can be understood at all. No input or output.

use crate::endpoint::{FRAME, FRAME_MS};

/// How long nothing but zeros may come before that is said: nobody waits so long before the first
/// word, and a microphone that is on always gives some noise.
const MUTE: u32 = 5_000 / FRAME_MS;

/// A frame is too loud when so many of its samples are at the end of the scale: a shout touches it,
/// a gain that is too high stays there.
const CLIPPED: usize = FRAME / 20;
/// So many such frames within [`WINDOW`] of them are said: half a second out of ten.
const MANY: u32 = 500 / FRAME_MS;
const WINDOW: u32 = 10_000 / FRAME_MS;

/// What is wrong with the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Nothing but zeros since the microphone was opened.
    Mute,
    /// Cut off at the ends of the scale.
    Clipped,
}

/// Watches a microphone's frames. Each thing is said once.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Frames of zeros since it was opened; `None`: something else has come.
    zeros: Option<u32>,
    /// Frames, and clipped ones among them, since the window began.
    frames: u32,
    clipped: u32,
    said_clipped: bool,
}

impl Hearing {
    /// A microphone has been opened.
    pub(super) fn opened(&mut self) {
        self.zeros = Some(0);
    }

    pub(super) fn push(&mut self, frame: &[i16; FRAME]) -> Option<Wrong> {
        if let Some(zeros) = &mut self.zeros {
            if frame.iter().any(|&sample| sample != 0) {
                self.zeros = None;
            } else {
                *zeros += 1;
                if *zeros == MUTE {
                    return Some(Wrong::Mute);
                }
            }
        }
        if self.said_clipped {
            return None;
        }
        if self.frames == WINDOW {
            (self.frames, self.clipped) = (0, 0);
        }
        self.frames += 1;
        let ends = [i16::MIN, -i16::MAX, i16::MAX];
        let count = frame.iter().filter(|sample| ends.contains(sample)).count();
        self.clipped += u32::from(count >= CLIPPED);
        self.said_clipped = self.clipped == MANY;
        self.said_clipped.then_some(Wrong::Clipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(hearing: &mut Hearing, frame: [i16; FRAME], times: u32) -> Vec<Wrong> {
        (0..times).filter_map(|_| hearing.push(&frame)).collect()
    }

    #[test]
    fn zeros_from_the_beginning_are_said_once() {
        let mut hearing = Hearing::default();
        hearing.opened();
        assert_eq!(said(&mut hearing, [0; FRAME], MUTE - 1), []);
        assert_eq!(said(&mut hearing, [0; FRAME], 10 * MUTE), [Wrong::Mute]);
        hearing.opened();
        let mut quiet = [0; FRAME];
        quiet[7] = -1;
        assert_eq!(said(&mut hearing, quiet, 1), []);
        // A pause of a microphone that takes noise away.
        assert_eq!(said(&mut hearing, [0; FRAME], 10 * MUTE), []);
    }

    #[test]
    fn a_gain_that_is_too_high_is_said_once() {
        let mut hearing = Hearing::default();
        assert_eq!(said(&mut hearing, [20_000; FRAME], 10 * WINDOW), []);
        let mut loud = [i16::MAX; FRAME];
        loud[..FRAME - CLIPPED].fill(9);
        // A shout now and then.
        for _ in 0..20 {
            assert_eq!(said(&mut hearing, loud, MANY / 2), []);
            assert_eq!(said(&mut hearing, [100; FRAME], WINDOW), []);
        }
        assert_eq!(said(&mut hearing, loud, 10 * WINDOW), [Wrong::Clipped]);
    }
}
