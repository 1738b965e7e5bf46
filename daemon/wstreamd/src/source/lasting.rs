//! A microphone for as long as somebody wants to listen: one that goes away is looked for until it
//! is back or another can take its place, and when another is meant from now on, that one is taken.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::microphone::{OpenMicrophone, Opened, Opening};
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
    next: Option<Opening>,
    /// That one, once it is heard.
    ready: Option<(OpenMicrophone, Opened)>,
    /// That one has taken the place, which is not told yet.
    replaced: Option<Opened>,
    /// It is not to be replaced now.
    is_held: bool,
    /// When it was opened last.
    since: Instant,
    pauses: Pauses,
}

impl LastingMicrophone {
    /// Opens the microphone that is meant and waits for its first sound; `None`: the interrupt was
    /// raised before it came. One that is not there to begin with is a fault.
    pub(crate) fn open(
        mut wanted: Wanted,
        interrupt: Arc<Interrupt>,
    ) -> Result<Option<(Self, Opened)>, Fault> {
        let opened = OpenMicrophone::open(&wanted, Arc::clone(&interrupt))?;
        Ok(opened.map(|(microphone, opened)| {
            // While a sound server starts again, ALSA would give the device itself: the server could
            // not open it then, and nobody else would hear or be heard.
            wanted.host = Some(opened.host.clone());
            let lasting = LastingMicrophone {
                wanted,
                interrupt,
                open: Some(microphone),
                next: None,
                ready: None,
                replaced: None,
                is_held: false,
                since: Instant::now(),
                pauses: Pauses::default(),
            };
            (lasting, opened)
        }))
    }

    /// Tries to open it until that works; `None`: the interrupt was raised.
    fn find(&mut self) -> Option<Opened> {
        loop {
            let until = Instant::now() + self.pauses.next();
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                if self.interrupt.is_raised() {
                    return None;
                }
                thread::park_timeout(left);
            }
            match OpenMicrophone::open(&self.wanted, Arc::clone(&self.interrupt)) {
                Ok(Some((microphone, opened))) => {
                    self.open = Some(microphone);
                    self.since = Instant::now();
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
        let is_due = self.open.as_ref().is_some_and(OpenMicrophone::is_moved);
        if is_due && self.next.is_none() && self.ready.is_none() {
            // One that cannot be opened is meant again in two seconds.
            self.next = Opening::begin(&self.wanted, Arc::clone(&self.interrupt)).ok();
        }
        let is_gone = self.open.as_ref().is_some_and(OpenMicrophone::is_gone);
        if self.is_held && !is_gone {
            return false;
        }
        if let Some((mut microphone, opened)) = self.ready.take() {
            // The one before has heard it too.
            microphone.skip();
            if let Some(before) = self.take_place(microphone, opened) {
                before.finish(into);
            }
            return true;
        }
        match self.next.as_mut().and_then(Opening::poll) {
            None => return false,
            Some(Ok(ready)) => self.ready = Some(ready),
            Some(Err(fault)) => {
                tracing::debug!(%fault, "the other microphone cannot be opened");
                if let Some(open) = self.open.as_ref().filter(|_| is_gone) {
                    open.give_up();
                }
            }
        }
        self.next = None;
        false
    }

    fn take_place(&mut self, microphone: OpenMicrophone, opened: Opened) -> Option<OpenMicrophone> {
        self.since = Instant::now();
        self.replaced = Some(opened);
        self.open.replace(microphone)
    }
}

impl Source for LastingMicrophone {
    fn read(&mut self, into: &mut Vec<i16>) -> Read {
        if let Some(opened) = self.replaced.take() {
            return Read::Found(opened);
        }
        let Some(open) = &mut self.open else {
            return self.find().map_or(Read::Interrupted, Read::Found);
        };
        let read = open.read(into);
        match read {
            Read::Fault(fault) => {
                self.pauses.lost(self.since.elapsed());
                self.open = None;
                self.next = None;
                if let Some((microphone, opened)) = self.ready.take() {
                    self.take_place(microphone, opened);
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
#[derive(Debug, Default)]
struct Pauses {
    tried: u32,
}

impl Pauses {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(1);
    /// What was open for so long has worked.
    const LASTING: Duration = Duration::from_secs(5);

    /// A microphone has failed that was open for so long.
    fn lost(&mut self, lasted: Duration) {
        if lasted >= Self::LASTING {
            self.tried = 0;
        }
    }

    fn next(&mut self) -> Duration {
        let pause = Self::SHORTEST * 2u32.pow(self.tried.min(8));
        self.tried = self.tried.saturating_add(1);
        pause.min(Self::LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pauses: &mut Pauses, times: usize) -> Vec<u128> {
        (0..times).map(|_| pauses.next().as_millis()).collect()
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
        pauses.lost(Pauses::LASTING);
        assert_eq!(taken(&mut pauses, 2), [100, 200]);
    }
}
