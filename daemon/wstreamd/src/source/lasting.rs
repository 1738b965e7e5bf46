//! A microphone for as long as somebody wants to listen: one that goes away is looked for until it
//! is back or another can take its place, and when another is meant from now on, that one is taken.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::changes::{Bell, Changes};
use super::devices::SAYS_CHANGES;
use super::microphone::{OPENING, OpenMicrophone, Opened, Opening};
use super::{Interrupt, Read, Source};
use crate::fault::Fault;

/// Which microphone is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `pulseaudio`, `pipewire` or `alsa`; `None`: the first that runs, in this order.
    pub host: Option<String>,
    /// An identifier, or a part of a name; `None`: the system's default.
    pub device: Option<String>,
    /// Whether the default does while the device is not there.
    pub fallback: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct LastingMicrophone {
    wanted: Wanted,
    interrupt: Arc<Interrupt>,
    /// `None`: it went away.
    open: Option<OpenMicrophone>,
    /// The one that is meant from now on, beside it.
    next: Next,
    bell: Arc<Bell>,
    /// Rings it, where the server says what changes.
    changes: Option<Changes>,
    /// It is not to be replaced now.
    is_held: bool,
    /// When it was opened last.
    since: Instant,
    pauses: Pauses,
}

/// How far the microphone is that is to take another's place.
#[derive(Debug, Default)]
enum Next {
    /// None is.
    #[default]
    Nobody,
    Opening(Opening),
    /// It is heard. What the one before delivers once more is of the same time.
    Heard(Box<(OpenMicrophone, Opened)>),
    /// It has the place, which is not told yet.
    Seated(Opened),
}

impl LastingMicrophone {
    /// Opens the microphone that is meant and waits for its first sound; `None`: the interrupt was
    /// raised before it came. One that is not there to begin with is a fault.
    pub(crate) fn open(
        mut wanted: Wanted,
        interrupt: Arc<Interrupt>,
    ) -> Result<Option<(Self, Opened)>, Fault> {
        let bell = Bell::new();
        let opened = OpenMicrophone::open(&wanted, Arc::clone(&interrupt), OPENING, &bell)?;
        Ok(opened.map(|(microphone, opened)| {
            // While a sound server starts again, ALSA would give the device itself: the server could
            // not open it then, and nobody else would hear or be heard.
            wanted.host = Some(opened.host.clone());
            let mut lasting = LastingMicrophone {
                wanted,
                interrupt,
                open: Some(microphone),
                next: Next::Nobody,
                bell,
                changes: None,
                is_held: false,
                since: Instant::now(),
                pauses: Pauses::default(),
            };
            lasting.attend();
            (lasting, opened)
        }))
    }

    /// Has the server say what changes, unless it does already.
    fn attend(&mut self) {
        let says = self.wanted.host.as_deref() == Some(SAYS_CHANGES);
        if says && self.changes.as_ref().is_none_or(Changes::is_over) {
            // Without that, everything is only noticed later.
            self.changes = Changes::watch(Arc::clone(&self.bell)).ok();
        }
    }

    /// Waits before the next attempt, at most until the server says that something has changed,
    /// unless that happens all the time. Returns how long the attempt may take; `None`: the
    /// interrupt was raised.
    fn pause(&mut self) -> Option<Duration> {
        let (pause, patience) = self.pauses.next();
        let mut is_told = false;
        let raised = self.interrupt.sleep(pause, || {
            is_told = !self.pauses.is_restless && self.bell.take();
            is_told
        });
        if is_told {
            self.pauses.again();
        }
        (!raised).then_some(patience)
    }

    /// Tries to open it until that works; `None`: the interrupt was raised.
    fn find(&mut self) -> Option<Opened> {
        loop {
            self.attend();
            let patience = self.pause()?;
            let interrupt = Arc::clone(&self.interrupt);
            match OpenMicrophone::open(&self.wanted, interrupt, patience, &self.bell) {
                Ok(Some((microphone, opened))) => {
                    self.open = Some(microphone);
                    self.since = Instant::now();
                    self.attend();
                    return Some(opened);
                }
                Ok(None) => return None,
                Err(fault) => tracing::debug!(%fault, "the microphone is not back yet"),
            }
        }
    }
}

impl LastingMicrophone {
    /// Opens the microphone that is meant from now on beside the one that is open, and puts it in its
    /// place once it is heard and the one before has delivered since: a server may hand sound over
    /// two seconds late, and what came before the new one's first is in the old one's last. So no
    /// word is lost between both. Whether that was now.
    fn replace(&mut self, into: &mut Vec<i16>) -> bool {
        let Some(open) = &self.open else { return false };
        if open.take_moved() && matches!(self.next, Next::Nobody) {
            // One that cannot be opened is meant again in two seconds.
            let interrupt = Arc::clone(&self.interrupt);
            let opening = Opening::begin(&self.wanted, interrupt, OPENING, &self.bell);
            self.next = opening.map_or(Next::Nobody, Next::Opening);
        }
        let is_gone = open.is_gone();
        if self.is_held && !is_gone {
            return false;
        }
        self.next = match mem::take(&mut self.next) {
            Next::Heard(heard) => {
                let (mut microphone, opened) = *heard;
                // The one before has heard it too.
                microphone.skip();
                if let Some(before) = self.seat(microphone, opened) {
                    before.finish(into);
                }
                return true;
            }
            Next::Opening(mut opening) => match opening.poll() {
                None => Next::Opening(opening),
                Some(Ok(heard)) => Next::Heard(Box::new(heard)),
                Some(Err(fault)) => {
                    tracing::debug!(%fault, "the other microphone cannot be opened");
                    if is_gone {
                        open.give_up();
                    }
                    Next::Nobody
                }
            },
            next => next,
        };
        false
    }

    /// Gives it the place, and returns whose that was.
    fn seat(&mut self, microphone: OpenMicrophone, opened: Opened) -> Option<OpenMicrophone> {
        self.since = Instant::now();
        self.next = Next::Seated(opened);
        self.open.replace(microphone)
    }
}

impl Source for LastingMicrophone {
    fn read(&mut self, into: &mut Vec<i16>) -> Read {
        self.next = match mem::take(&mut self.next) {
            Next::Seated(opened) => return Read::Found(opened),
            next => next,
        };
        let Some(open) = &mut self.open else {
            return self.find().map_or(Read::Interrupted, Read::Found);
        };
        let read = open.read(into);
        match read {
            Read::Fault(fault) => {
                self.pauses.lost(self.since.elapsed());
                self.open = None;
                if let Next::Heard(heard) = mem::take(&mut self.next) {
                    let (microphone, opened) = *heard;
                    self.seat(microphone, opened);
                }
                Read::Lost(Some(fault))
            }
            Read::More if self.replace(into) => Read::Lost(None),
            read => read,
        }
    }

    fn hold(&mut self, is_spoken: bool) {
        self.is_held = is_spoken;
    }
}

/// Pauses before each attempt. A device that is plugged in is there for its user within the longest
/// of them; and a sound server that starts needs some time itself. They go on growing while what is
/// opened does not last: a bad plug would otherwise be told ten times a second.
///
/// A server that has just started may take a stream and never begin it. So the first attempts are
/// given up early, and each may take longer than the one before.
#[derive(Debug, Default)]
struct Pauses {
    tried: u32,
    /// What was open last has not lasted.
    is_restless: bool,
}

impl Pauses {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(1);
    /// What was open for so long has worked.
    const LASTING: Duration = Duration::from_secs(5);
    /// How long the first attempt may take.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// A microphone has failed that was open for so long.
    fn lost(&mut self, lasted: Duration) {
        self.is_restless = lasted < Self::LASTING;
        if !self.is_restless {
            self.tried = 0;
        }
    }

    /// There is reason to hope.
    fn again(&mut self) {
        self.tried = 0;
    }

    /// The pause, and how long the attempt behind it may take.
    fn next(&mut self) -> (Duration, Duration) {
        let grown = 2u32.pow(self.tried.min(8));
        self.tried = self.tried.saturating_add(1);
        (
            Self::LONGEST.min(Self::SHORTEST * grown),
            OPENING.min(Self::PATIENCE * grown),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pauses: &mut Pauses, times: usize) -> Vec<u128> {
        let pauses = (0..times).map(|_| pauses.next().0.as_millis());
        pauses.collect()
    }

    #[test]
    fn attempts_get_more_time_from_one_to_the_next() {
        let mut pauses = Pauses::default();
        let each = [(); 5].map(|()| pauses.next().1.as_secs());
        assert_eq!(each, [2, 4, 8, 10, 10]);
    }

    #[test]
    fn pauses_grow_to_a_second() {
        let mut pauses = Pauses::default();
        assert_eq!(taken(&mut pauses, 5), [100, 200, 400, 800, 1000]);
        assert_eq!(taken(&mut pauses, 40).last(), Some(&1000));
    }

    #[test]
    fn what_does_not_last_is_tried_ever_more_slowly() {
        let mut pauses = Pauses::default();
        let mut each = Vec::new();
        for _ in 0..6 {
            each.extend(taken(&mut pauses, 1));
            pauses.lost(Duration::from_millis(300));
        }
        assert_eq!(each, [100, 200, 400, 800, 1000, 1000]);
        assert!(
            pauses.is_restless,
            "nor is it tried at once when it is told"
        );
        pauses.lost(Pauses::LASTING);
        assert!(!pauses.is_restless);
        assert_eq!(taken(&mut pauses, 2), [100, 200]);
    }
}
