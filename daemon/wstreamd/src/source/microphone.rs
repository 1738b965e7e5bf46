//! A microphone, through one of the sound servers that cpal knows.
//!
//! The server's callback copies into a ring and wakes the audio thread; the stream itself is owned
//! by a helper thread, because opening and closing one may hang with its server. That thread sleeps
//! while the microphone is open, and is left behind if it hangs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use cpal::ErrorKind;
use rtrb::Consumer;
use tracing::warn;

use super::changes::Bell;
use super::devices::{Now, explain, look, unresponsive};
use super::lasting::Wanted;
use super::resample::Resampler;
use super::stream::{self, Running, Shared};
use super::{Interrupt, Read, Source};
use crate::fault::{Fault, FaultKind};

/// Opening takes 5 to 300 ms, with a Bluetooth headset that must first change its profile some
/// seconds. So long it may take the server, and so long again the first sound.
pub(super) const OPENING: Duration = Duration::from_secs(10);

/// Without sound for so long the microphone is lost: a server that dies need not say so. The
/// longest pause that was seen on a healthy one was 1.5 s.
const SILENT: Duration = Duration::from_secs(3);

/// The same for a microphone that the server does not list any more: it may have put another one in
/// its place, whose sound comes two seconds late at first.
const GONE: Duration = Duration::from_millis(2_200);

/// Closing takes milliseconds, or for ever when the server has died.
const CLOSING: Duration = Duration::from_secs(1);

/// How often it is looked whether another microphone is meant, should the server say nothing of it:
/// some milliseconds of work for us and the server, and only while the microphone is open.
const LOOK: Duration = Duration::from_secs(2);

/// Helpers that open at once: the one that is needed, and those that hang with a server that has
/// stopped. More would only pile up, since it is tried every second. One that hangs in closing has
/// no place here: ALSA never returns from that when its server has died, and somebody whose server
/// dies often must not be without a microphone for it.
const OPENERS: usize = 4;
static OPENING_NOW: AtomicUsize = AtomicUsize::new(0);

/// The longest sleep while listening, should a wake-up be missed.
const NAP: Duration = Duration::from_millis(500);

/// An open microphone.
#[derive(Debug)]
pub(crate) struct OpenMicrophone {
    name: String,
    sound: Consumer<f32>,
    shared: Arc<Shared>,
    interrupt: Arc<Interrupt>,
    resampler: Resampler,
    /// What came out of the ring last.
    mono: Vec<f32>,
    /// Frames known to be lost.
    lost: u64,
    /// Callbacks seen, and when the last of them was.
    heard: (u64, Instant),
    helper: Helper,
}

/// The thread that owns the stream.
#[derive(Debug)]
struct Helper {
    tasks: mpsc::Sender<Task>,
    /// Disconnected when the stream is closed.
    closed: mpsc::Receiver<()>,
}

/// What a helper does while the stream is open.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// See whether another microphone is meant.
    Look,
    /// Close the stream, and end.
    Close,
}

/// What is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// What people call it.
    pub(crate) name: String,
    /// The one that was meant, in whose place this is.
    pub(crate) instead_of: Option<String>,
    /// The sound system through which it came.
    pub(super) host: String,
}

/// A microphone that is being opened.
#[derive(Debug)]
pub(super) struct Opening {
    shared: Arc<Shared>,
    interrupt: Arc<Interrupt>,
    /// Until it is open.
    helper: Option<Helper>,
    answer: mpsc::Receiver<Result<Running, Fault>>,
    /// The stream runs, and its first sound is waited for.
    running: Option<Running>,
    /// When this stage began, and how long each may take.
    since: Instant,
    patience: Duration,
}

impl Opening {
    /// Has the microphone opened that is meant. The thread that calls this is the one that hears.
    pub(super) fn begin(
        wanted: &Wanted,
        interrupt: Arc<Interrupt>,
        patience: Duration,
        bell: &Bell,
    ) -> Result<Self, Fault> {
        let shared = Shared::of_this_thread();
        let (helper, answer) = Helper::start(wanted.clone(), Arc::clone(&shared), patience)?;
        bell.add(helper.tasks.clone());
        Ok(Opening {
            shared,
            interrupt,
            helper: Some(helper),
            answer,
            running: None,
            since: Instant::now(),
            patience,
        })
    }

    /// The microphone, once its first sound has come; `None`: not yet.
    pub(super) fn poll(&mut self) -> Option<Result<(OpenMicrophone, Opened), Fault>> {
        let late = || self.since.elapsed() >= self.patience;
        let Some(running) = &self.running else {
            match self.answer.try_recv() {
                Ok(Ok(running)) => {
                    self.running = Some(running);
                    self.since = Instant::now();
                    return self.poll();
                }
                Ok(Err(fault)) => return Some(Err(fault)),
                Err(mpsc::TryRecvError::Empty) if !late() => return None,
                Err(_) => return Some(Err(unresponsive())),
            }
        };
        let name = &running.opened.name;
        if let Some(error) = self.shared.error.get() {
            return Some(Err(explain(error, name)));
        }
        if self.shared.callbacks.load(Ordering::Acquire) == 0 {
            return late().then(|| {
                Err(Fault::new(
                    FaultKind::NoMicrophone,
                    format!(
                        "the microphone {name} gives no sound; see that it is not switched off, or choose another"
                    ),
                ))
            });
        }
        let resampler = match Resampler::new(running.rate) {
            Ok(resampler) => resampler,
            Err(error) => {
                return Some(Err(Fault::new(
                    FaultKind::Failed,
                    format!("the microphone {name} does not work ({error}); choose another"),
                )));
            }
        };
        let (running, helper) = self.running.take().zip(self.helper.take())?;
        let microphone = OpenMicrophone {
            name: running.opened.name.clone(),
            sound: running.sound,
            shared: Arc::clone(&self.shared),
            interrupt: Arc::clone(&self.interrupt),
            resampler,
            mono: Vec::new(),
            lost: 0,
            heard: (0, Instant::now()),
            helper,
        };
        Some(Ok((microphone, running.opened)))
    }

    /// Waits for it; `None`: the interrupt was raised before.
    fn wait(mut self) -> Result<Option<(OpenMicrophone, Opened)>, Fault> {
        loop {
            if self.interrupt.is_raised() {
                return Ok(None);
            }
            if let Some(opened) = self.poll() {
                return opened.map(Some);
            }
            thread::park_timeout(NAP);
        }
    }
}

impl OpenMicrophone {
    /// Opens the microphone that is meant and waits for its first sound; `None`: the interrupt was
    /// raised before it came.
    pub(super) fn open(
        wanted: &Wanted,
        interrupt: Arc<Interrupt>,
        patience: Duration,
        bell: &Bell,
    ) -> Result<Option<(Self, Opened)>, Fault> {
        Opening::begin(wanted, interrupt, patience, bell)?.wait()
    }

    /// Takes it that another is meant, which is said every two seconds while it is so.
    pub(super) fn take_moved(&self) -> bool {
        self.shared.moved.swap(false, Ordering::AcqRel)
    }

    /// Whether the server does not list this one any more, though it may go on with something else
    /// in its place.
    pub(super) fn is_gone(&self) -> bool {
        self.shared.gone.load(Ordering::Acquire)
    }

    /// Nothing is there to take its place: what the server goes on with is not a microphone.
    pub(super) fn give_up(&self) {
        self.shared
            .note(cpal::Error::new(ErrorKind::DeviceNotAvailable));
    }

    /// Forgets what has come so far.
    pub(super) fn skip(&mut self) {
        if let Ok(chunk) = self.sound.read_chunk(self.sound.slots()) {
            chunk.commit_all();
        }
        // Nobody misses what found no room meanwhile.
        self.lost = self.shared.lost.load(Ordering::Acquire);
    }

    /// The last of its sound.
    pub(super) fn finish(mut self, into: &mut Vec<i16>) {
        self.resampler.finish(into);
    }

    /// The fault of a microphone that has failed or fallen silent.
    fn failure(&mut self) -> Option<Fault> {
        let lost = |why: &str| {
            Fault::new(
                FaultKind::MicrophoneLost,
                format!(
                    "the microphone {} was lost ({why}); listening goes on when it is back, or when another is chosen",
                    self.name
                ),
            )
        };
        if let Some(error) = self.shared.error.get() {
            return Some(lost(&error.to_string()));
        }
        let callbacks = self.shared.callbacks.load(Ordering::Acquire);
        if callbacks != self.heard.0 {
            self.heard = (callbacks, Instant::now());
        } else if self.heard.1.elapsed() >= self.patience() {
            return Some(lost("no more sound comes from it"));
        }
        None
    }

    fn patience(&self) -> Duration {
        if self.is_gone() { GONE } else { SILENT }
    }

    /// Takes what is in the ring. Returns whether sound was lost behind it.
    fn drain(&mut self) -> bool {
        // First, so that sound that is lost between this and the draining counts next time.
        let lost = self.shared.lost.load(Ordering::Acquire);
        self.mono.clear();
        if let Ok(chunk) = self.sound.read_chunk(self.sound.slots()) {
            let (first, second) = chunk.as_slices();
            self.mono.extend_from_slice(first);
            self.mono.extend_from_slice(second);
            chunk.commit_all();
        }
        let hole = lost > self.lost;
        if hole {
            warn!(
                frames = lost - self.lost,
                "the audio thread was late, sound was lost"
            );
        }
        self.lost = lost;
        hole
    }
}

impl Source for OpenMicrophone {
    fn read(&mut self, into: &mut Vec<i16>) -> Read {
        loop {
            let interrupted = self.interrupt.is_raised();
            let fault = self.failure();
            if self.drain() {
                // The ring was full when sound was lost: what it held is of before the hole.
                into.clear();
                return Read::Hole;
            }
            self.resampler.push(&self.mono, into);
            if interrupted || fault.is_some() {
                self.resampler.finish(into);
                return match fault {
                    Some(fault) if !interrupted => Read::Fault(fault),
                    _ => Read::Interrupted,
                };
            }
            if !self.mono.is_empty() {
                return Read::More;
            }
            thread::park_timeout(NAP);
        }
    }
}

impl Drop for OpenMicrophone {
    fn drop(&mut self) {
        self.helper.close();
        let overruns = self.shared.overruns.load(Ordering::Relaxed);
        if overruns > 0 {
            warn!(microphone = %self.name, overruns, "the sound server lost sound");
        }
    }
}

impl Helper {
    /// Starts the thread, which opens the microphone and says so, waking the audio thread.
    fn start(
        wanted: Wanted,
        shared: Arc<Shared>,
        patience: Duration,
    ) -> Result<(Self, mpsc::Receiver<Result<Running, Fault>>), Fault> {
        let place = Place::take().ok_or_else(unresponsive)?;
        let (answer, opening) = mpsc::channel();
        let (tasks, each) = mpsc::channel();
        let (still_open, closed) = mpsc::channel::<()>();
        thread::Builder::new()
            .name("microphone".to_owned())
            .spawn(move || {
                let (open, told) = match stream::open(&wanted, &shared, patience) {
                    Ok((open, running)) => (Some(open), Ok(running)),
                    Err(fault) => (None, Err(fault)),
                };
                drop(place);
                // Nobody may be waiting any more; then the other channel is closed too.
                let _ = answer.send(told);
                shared.audio.unpark();
                while let Ok(Task::Look) | Err(mpsc::RecvTimeoutError::Timeout) =
                    each.recv_timeout(LOOK)
                {
                    let Some((_, found)) = &open else { continue };
                    match look(found, wanted.device.as_deref()) {
                        Now::Same => {}
                        Now::Gone => {
                            shared.gone.store(true, Ordering::Release);
                            shared.moved.store(true, Ordering::Release);
                        }
                        Now::Another => shared.moved.store(true, Ordering::Release),
                    }
                }
                drop(open);
                drop(still_open);
            })
            .map_err(|error| {
                Fault::new(
                    FaultKind::Failed,
                    format!("the microphone cannot be opened: {error}; close some programs and try again"),
                )
            })?;
        let helper = Helper { tasks, closed };
        Ok((helper, opening))
    }

    /// Closes the stream; returns when it is closed, or cannot be.
    fn close(&self) {
        self.ask_to_close();
        // Nothing is ever sent, so it is either closed or late.
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.closed.recv_timeout(CLOSING) {
            warn!("the sound server does not let go of the microphone, its thread is left behind");
        }
    }
}

impl Helper {
    fn ask_to_close(&self) {
        // It may have ended.
        let _ = self.tasks.send(Task::Close);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.ask_to_close();
    }
}

/// One of the [`OPENERS`].
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let taken = OPENING_NOW.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |opening| {
            (opening < OPENERS).then_some(opening + 1)
        });
        taken.ok().map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPENING_NOW.fetch_sub(1, Ordering::Relaxed);
    }
}
