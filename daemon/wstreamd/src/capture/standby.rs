//! A microphone that is open before anybody listens, so that a session has what was said while its
//! key was pressed. Of what is heard only the last moments are kept, in memory, until a session
//! begins with them.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::session;
use super::{Capture, CaptureRequest, Control, Running};
use crate::defect;
use crate::endpoint::RATE;
use crate::event::Event;
use crate::source::{LastingMicrophone, Opened, Read, Source, Wanted};
use crate::speech::Speech;

/// Sound from before a session that it begins with: a key takes 100 ms on its way down, and who is
/// quick speaks meanwhile. More would be words that were not meant.
const KEPT: Duration = Duration::from_millis(300);
const KEPT_SAMPLES: usize = (KEPT.as_millis() as usize) * (RATE as usize) / 1000;

/// How often a microphone that is not there is looked for while nobody waits for it.
const RETRY: Duration = Duration::from_secs(5);

/// A microphone in standby. Dropping it closes the microphone.
#[derive(Debug)]
pub struct Standby {
    /// `None`: its thread could not be started, or a session has it.
    running: Option<(Arc<Shared>, Thread)>,
}

#[derive(Debug)]
struct Shared {
    /// The session's, once one begins.
    control: Arc<Control>,
    stage: Mutex<Stage>,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// Nothing is heard: not yet, or for the time being.
    Deaf,
    /// A session can begin.
    Hears,
    /// One is to begin.
    Begins(Box<Begin>),
    /// Its thread takes none any more.
    Over,
}

/// What a session needs.
#[derive(Debug)]
struct Begin {
    request: CaptureRequest,
    to_transcriber: mpsc::Sender<Speech>,
    to_daemon: mpsc::Sender<Event>,
}

impl Standby {
    /// Opens the microphone that is meant, on a thread of its own; returns at once. Each time that
    /// one is heard, or no longer, the daemon is told with this number.
    pub fn open(wanted: Wanted, number: u64, to_daemon: mpsc::Sender<Event>) -> Self {
        let running = start(wanted, number, to_daemon)
            .inspect_err(|error| warn!(%error, "the microphone cannot be kept open"));
        Standby {
            running: running.ok(),
        }
    }

    /// Makes it a session, which begins with what was heard last. While nothing is heard, the
    /// request comes back, and the microphone is closed.
    pub fn begin(
        mut self,
        request: CaptureRequest,
        to_transcriber: mpsc::Sender<Speech>,
        to_daemon: mpsc::Sender<Event>,
    ) -> Result<Capture, Box<CaptureRequest>> {
        let Some((shared, _)) = &self.running else {
            return Err(Box::new(request));
        };
        {
            let mut stage = shared.stage();
            if !matches!(*stage, Stage::Hears) {
                return Err(Box::new(request));
            }
            *stage = Stage::Begins(Box::new(Begin {
                request,
                to_transcriber,
                to_daemon,
            }));
        }
        let running = self.running.take().map(|(shared, thread)| Running {
            control: Arc::clone(&shared.control),
            thread,
        });
        Ok(Capture { running })
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        if let Some((shared, thread)) = self.running.take() {
            shared.control.interrupt.raise();
            thread.unpark();
        }
    }
}

fn start(
    wanted: Wanted,
    number: u64,
    to_daemon: mpsc::Sender<Event>,
) -> io::Result<(Arc<Shared>, Thread)> {
    let shared = Arc::new(Shared {
        control: Arc::new(Control::new()?),
        stage: Mutex::new(Stage::Deaf),
    });
    let for_thread = Arc::clone(&shared);
    let thread = thread::Builder::new()
        .name("audio".to_owned())
        .spawn(move || {
            let tell = |name: String| {
                // Only a daemon that has ended does not take it.
                let _ = to_daemon.blocking_send(Event::StandsBy { number, name });
            };
            let over = Over(&for_thread);
            let begun = for_thread
                .find(&wanted, &tell)
                .and_then(|(microphone, opened)| for_thread.keep(microphone, opened, &tell));
            let Some((begin, primed, opened)) = begun else {
                return;
            };
            drop(over);
            session::run(
                begin.request,
                Some((Box::new(primed), Some(opened))),
                &for_thread.control,
                begin.to_transcriber,
                begin.to_daemon,
            );
        })?;
    Ok((shared, thread.thread().clone()))
}

impl Shared {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the microphone, however long it takes until there is one; `None`: nobody wants it any
    /// more.
    fn find(&self, wanted: &Wanted, tell: &dyn Fn(String)) -> Option<(LastingMicrophone, Opened)> {
        let interrupt = &self.control.interrupt;
        loop {
            match LastingMicrophone::open(wanted.clone(), Arc::clone(interrupt)) {
                Ok(None) => return None,
                Ok(Some((microphone, opened))) => {
                    debug!(microphone = %opened.name, "kept open");
                    tell(opened.name.clone());
                    return Some((microphone, opened));
                }
                Err(fault) => debug!(%fault, "no microphone to keep open"),
            }
            if interrupt.sleep(RETRY, || false) {
                return None;
            }
        }
    }

    /// Hears until a session begins; `None`: nobody wants one any more.
    fn keep(
        &self,
        mut microphone: LastingMicrophone,
        mut opened: Opened,
        tell: &dyn Fn(String),
    ) -> Option<(Box<Begin>, Primed, Opened)> {
        let mut recent = Vec::with_capacity(2 * KEPT_SAMPLES);
        *self.stage() = Stage::Hears;
        loop {
            let read = microphone.read(&mut recent);
            {
                let mut stage = self.stage();
                let before = mem::replace(&mut *stage, Stage::Over);
                if let Stage::Begins(begin) = before {
                    let first = Some((only_last(recent), read));
                    return Some((begin, Primed { first, microphone }, opened));
                }
                *stage = match &read {
                    Read::Lost(_) => Stage::Deaf,
                    Read::Found(_) => Stage::Hears,
                    Read::More | Read::Hole => before,
                    Read::Interrupted | Read::End | Read::Fault(_) => return None,
                };
            }
            match read {
                Read::Lost(fault) => {
                    recent.clear();
                    debug!(?fault, "the microphone that was kept open is gone");
                    tell(String::new());
                }
                Read::Found(found) => {
                    tell(found.name.clone());
                    opened = found;
                }
                _ => recent = only_last(recent),
            }
        }
    }
}

/// The end of what was heard.
fn only_last(mut recent: Vec<i16>) -> Vec<i16> {
    let older = recent.len().saturating_sub(KEPT_SAMPLES);
    recent.drain(..older);
    recent
}

/// Whoever puts a session behind this is not heard: says so, also when the thread unwinds.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if let Stage::Begins(begin) = mem::replace(&mut *self.0.stage(), Stage::Over) {
            // Only a daemon that has ended does not take it.
            let _ = begin.to_daemon.blocking_send(Event::CaptureFailed {
                session: begin.request.session,
                fault: defect::listening(),
            });
        }
    }
}

/// A microphone that begins with what it has heard already.
struct Primed {
    first: Option<(Vec<i16>, Read)>,
    microphone: LastingMicrophone,
}

impl Source for Primed {
    fn read(&mut self, into: &mut Vec<i16>) -> Read {
        match self.first.take() {
            Some((sound, read)) => {
                into.extend_from_slice(&sound);
                read
            }
            None => self.microphone.read(into),
        }
    }

    fn hold(&mut self, is_spoken: bool) {
        self.microphone.hold(is_spoken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_moments_are_kept() {
        let sound: Vec<i16> = (0..i16::MAX).collect();
        let kept = only_last(sound.clone());
        assert_eq!(kept, sound[sound.len() - KEPT_SAMPLES..]);
        assert_eq!(only_last(vec![1, 2]), [1, 2]);
    }
}
