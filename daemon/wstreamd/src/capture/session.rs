//! The audio thread: pulls sound from the source, cuts it into frames, and hands over what the
//! endpointer makes of them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{debug, error};

use super::hearing::{Hearing, Wrong};
use super::{CaptureRequest, Control, SourceRequest};
use crate::defect;
use crate::endpoint::{Action, Endpointer, FRAME, FRAME_MS, RATE, rms};
use crate::event::{EVENT_QUEUE, Event};
use crate::fault::{Fault, FaultKind};
use crate::source::{Feed, LastingMicrophone, Opened, Read, Source};
use crate::speech::{SessionOptions, Speech, Utterance};
use crate::vad::VoiceDetector;

/// Messages for which room must be left in the queue to the transcriber, so that a microphone's
/// utterance that fails for want of room can still be ended: `Pause`, `Resume`, `Abort` and one to
/// spare.
const RESERVE: usize = 4;

/// A source that delivers, and what it is where it is a microphone.
pub(super) type Ready = (Box<dyn Source>, Option<Opened>);

/// Runs a session from opening the source, unless that is `open` already, to `CaptureEnded` or
/// `CaptureFailed`.
pub(super) fn run(
    request: CaptureRequest,
    open: Option<Ready>,
    control: &Control,
    to_transcriber: mpsc::Sender<Speech>,
    to_daemon: mpsc::Sender<Event>,
) {
    let session = request.session;
    // Sound is bytes from outside: should a decoder stumble over them, the daemon must still learn
    // that the session is over. Nothing that the closure touched is used afterwards.
    let result = catch_unwind(AssertUnwindSafe(|| {
        capture(request, open, control, to_transcriber, &to_daemon)
    }));
    let last = result.unwrap_or_else(|_| {
        error!(session, "the audio thread panicked");
        Event::CaptureEnded {
            session,
            fault: Some(defect::listening()),
        }
    });
    give_memory_back();
    // Only a daemon that has ended does not take it.
    let _ = to_daemon.blocking_send(last);
}

/// Returns the event that ends the session.
fn capture(
    request: CaptureRequest,
    open: Option<Ready>,
    control: &Control,
    to_transcriber: mpsc::Sender<Speech>,
    to_daemon: &mpsc::Sender<Event>,
) -> Event {
    let number = request.session;
    let interrupt = Arc::clone(&control.interrupt);
    let mut session = Session {
        number,
        live: matches!(request.source, SourceRequest::Microphone(_)),
        paced: None,
        quiet: Quiet::new(request.settings.auto_stop_s),
        detector: VoiceDetector::new(request.settings.detector, request.settings.vad),
        endpointer: Endpointer::new(&request.settings.endpoint),
        options: request.options,
        next_utterance: request.next_utterance,
        open: None,
        hearing: Hearing::default(),
        microphone: String::new(),
        control,
        to_transcriber,
        to_daemon,
    };
    let ready: Result<Option<Ready>, Fault> = match (request.source, open) {
        (_, Some(ready)) => Ok(Some(ready)),
        (SourceRequest::Microphone(wanted), None) => LastingMicrophone::open(wanted, interrupt)
            .map(|ready| ready.map(|(source, opened)| (Box::new(source) as _, Some(opened)))),
        (
            SourceRequest::Feed {
                sound,
                format,
                realtime,
            },
            None,
        ) => {
            session.paced = realtime.then(Instant::now);
            Feed::open(sound, format, interrupt)
                .map(|ready| ready.map(|source| (Box::new(source) as _, None)))
        }
    };
    match ready {
        Err(fault) => Event::CaptureFailed {
            session: number,
            fault,
        },
        Ok(None) => Event::CaptureEnded {
            session: number,
            fault: None,
        },
        Ok(Some((mut source, opened))) => {
            let name = opened.as_ref().map(|opened| opened.name.clone());
            session.report(Event::CaptureOpened {
                session: number,
                name: name.unwrap_or_default(),
            });
            if let Some(opened) = &opened {
                session.microphone_opened(opened);
            }
            let fault = session.listen(source.as_mut());
            drop(source);
            Event::CaptureEnded {
                session: number,
                fault,
            }
        }
    }
}

struct Session<'a> {
    number: u64,
    /// Whether the sound comes at the pace of speech and cannot wait.
    live: bool,
    /// When the sound began, if a feed is to hold the pace of speech.
    paced: Option<Instant>,
    quiet: Quiet,
    detector: VoiceDetector,
    endpointer: Endpointer,
    options: Arc<SessionOptions>,
    next_utterance: Arc<AtomicU64>,
    open: Option<Open>,
    /// Whether the microphone delivers what can be understood.
    hearing: Hearing,
    /// What it is called.
    microphone: String,
    control: &'a Control,
    to_transcriber: mpsc::Sender<Speech>,
    to_daemon: &'a mpsc::Sender<Event>,
}

/// The utterance that is open.
struct Open {
    utterance: u64,
    /// Samples from the session's beginning to its first.
    at: u64,
    /// Samples handed over.
    samples: u64,
    /// It has failed; the rest of its sound goes nowhere.
    lost: bool,
    /// Samples of it that a server has answered by cutting it.
    answered: Arc<AtomicU64>,
}

/// The interrupt was raised, or the session ends by itself.
struct Interrupted;

/// How long nobody has spoken, in the sound's own time.
struct Quiet {
    frames: u32,
    /// `None`: it does not matter.
    most: Option<u32>,
}

impl Quiet {
    fn new(most_s: u32) -> Self {
        Quiet {
            frames: 0,
            most: (most_s > 0).then(|| most_s.saturating_mul(1000 / FRAME_MS)),
        }
    }

    fn is_too_long(&mut self, is_spoken: bool) -> bool {
        self.frames = if is_spoken { 0 } else { self.frames + 1 };
        self.most.is_some_and(|most| self.frames >= most)
    }
}

impl Session<'_> {
    /// Takes sound until the source ends or the session is stopped; returns the fault, if one
    /// ended it. Every utterance has ended then.
    fn listen(&mut self, source: &mut dyn Source) -> Option<Fault> {
        let mut sound = Vec::new();
        let fault = loop {
            source.hold(self.open.is_some());
            let read = source.read(&mut sound);
            if matches!(read, Read::Hole) {
                self.lose_hole();
            }
            let taken = self.take(&mut sound);
            match read {
                _ if taken.is_err() => break None,
                Read::More | Read::Hole => {}
                Read::Interrupted | Read::End => break None,
                Read::Fault(fault) => break Some(fault),
                Read::Lost(fault) => self.microphone_lost(fault, &mut sound),
                Read::Found(opened) => {
                    self.report(Event::MicrophoneFound {
                        session: self.number,
                        name: opened.name.clone(),
                    });
                    self.microphone_opened(&opened);
                }
            }
        };
        if self.control.abandon.load(Ordering::SeqCst) {
            if let Some(Open {
                utterance,
                lost: false,
                ..
            }) = self.open.take()
            {
                self.hand_over(Speech::Abort { utterance });
            }
            return fault;
        }
        self.end_here(&sound);
        fault
    }

    /// Nothing comes after this: an open utterance ends, with `rest`, less than a frame.
    fn end_here(&mut self, rest: &[i16]) {
        let mut actions = Vec::new();
        self.endpointer.finish(rest, &mut actions);
        // A bounded number of messages: no interrupt is needed.
        for action in actions {
            let _ = self.act(action);
        }
    }

    /// The microphone has gone; the session waits for the next. What was said into it so far is an
    /// utterance.
    fn microphone_lost(&mut self, fault: Option<Fault>, rest: &mut Vec<i16>) {
        self.end_here(rest);
        rest.clear();
        self.report(Event::MicrophoneLost {
            session: self.number,
            fault,
        });
    }

    fn microphone_opened(&mut self, opened: &Opened) {
        self.hearing.opened();
        self.microphone.clone_from(&opened.name);
        if let Some(wanted) = &opened.instead_of {
            self.report(Event::Trouble(Fault::new(
                FaultKind::UnknownMicrophone,
                format!(
                    "there is no microphone {wanted:?} now: {} is listened to until it is there; `wstreamctl microphone` lists them",
                    opened.name
                ),
            )));
        }
    }

    /// Takes the whole frames out of `sound`.
    fn take(&mut self, sound: &mut Vec<i16>) -> Result<(), Interrupted> {
        let mut actions = Vec::new();
        let mut taken = 0;
        let mut result = Ok(());
        for frame in sound.chunks_exact(FRAME) {
            if !self.live && self.control.interrupt.is_raised() {
                // A feed may hold hours; a microphone holds only what was said before the stop.
                result = Err(Interrupted);
                break;
            }
            let frame: &[i16; FRAME] = frame.try_into().expect("chunks are of this length");
            if self.wait_for_frame().is_err() {
                result = Err(Interrupted);
                break;
            }
            taken += FRAME;
            self.report_level(frame);
            if self.live
                && let Some(wrong) = self.hearing.push(frame)
            {
                self.report(Event::Trouble(self.complaint(wrong)));
            }
            let heard = self.detector.hear(frame);
            if let Some(open) = &self.open {
                self.endpointer
                    .answered(open.answered.load(Ordering::Relaxed));
            }
            self.endpointer.push(frame, heard, &mut actions);
            for action in actions.drain(..) {
                if self.act(action).is_err() {
                    result = Err(Interrupted);
                }
            }
            if self.live && self.quiet.is_too_long(self.open.is_some()) {
                tracing::info!(session = self.number, "nobody has spoken for a while");
                result = Err(Interrupted);
            }
            if result.is_err() {
                break;
            }
        }
        if result.is_err() {
            sound.clear();
        } else {
            sound.drain(..taken);
        }
        result
    }

    fn complaint(&self, wrong: Wrong) -> Fault {
        let name = &self.microphone;
        match wrong {
            Wrong::Mute => Fault::new(
                FaultKind::MicrophoneSilent,
                format!(
                    "the microphone {name} gives nothing but silence: switch it on, or take the mute away in the sound settings, or choose another"
                ),
            ),
            Wrong::Clipped => Fault::new(
                FaultKind::MicrophoneTooLoud,
                format!(
                    "the microphone {name} is so loud that its sound is cut off: turn it down in the sound settings"
                ),
            ),
        }
    }

    /// Waits until the next frame of a paced feed would have been spoken.
    fn wait_for_frame(&self) -> Result<(), Interrupted> {
        let Some(began) = self.paced else {
            return Ok(());
        };
        // From the beginning, not from the frame before: no error adds up.
        let frames = self.endpointer.position() / FRAME as u64 + 1;
        let due = began + Duration::from_millis(frames * u64::from(FRAME_MS));
        loop {
            if self.control.interrupt.is_raised() {
                return Err(Interrupted);
            }
            match due.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => return Ok(()),
                Some(left) => thread::park_timeout(left),
            }
        }
    }

    fn act(&mut self, action: Action) -> Result<(), Interrupted> {
        match action {
            Action::Begin { at } => self.begin(at),
            Action::Sound(samples) => return self.sound(samples),
            Action::Pause { sample } => {
                if let Some(utterance) = self.healthy() {
                    self.hand_over(Speech::Pause { utterance, sample });
                }
            }
            Action::Resume => {
                if let Some(utterance) = self.healthy() {
                    self.hand_over(Speech::Resume { utterance });
                }
            }
            Action::End { .. } => self.end(),
        }
        Ok(())
    }

    /// The open utterance's number, if it has not failed.
    fn healthy(&self) -> Option<u64> {
        self.open
            .as_ref()
            .filter(|open| !open.lost)
            .map(|open| open.utterance)
    }

    fn begin(&mut self, at: u64) {
        let utterance = self.next_utterance.fetch_add(1, Ordering::Relaxed);
        debug!(utterance, session = self.number, "speech began");
        self.report(Event::Started {
            utterance,
            session: self.number,
            at_s: seconds(at),
        });
        let answered = Arc::new(AtomicU64::new(0));
        self.open = Some(Open {
            utterance,
            at,
            samples: 0,
            lost: false,
            answered: Arc::clone(&answered),
        });
        if self.live && self.is_full() {
            // The transcriber never hears of it.
            self.lose(utterance);
            return;
        }
        self.hand_over(Speech::Begin(Utterance {
            utterance,
            session: self.number,
            live: self.live,
            options: Arc::clone(&self.options),
            answered_samples: answered,
        }));
    }

    fn sound(&mut self, samples: Arc<[i16]>) -> Result<(), Interrupted> {
        let Some(utterance) = self.healthy() else {
            return Ok(());
        };
        let length = samples.len() as u64;
        if self.live && self.is_full() {
            self.lose(utterance);
            self.hand_over(Speech::Abort { utterance });
            return Ok(());
        }
        let speech = Speech::Sound { utterance, samples };
        if self.live {
            self.hand_over(speech);
        } else {
            match self.wait_unless_interrupted(self.to_transcriber.reserve()) {
                Some(Ok(permit)) => permit.send(speech),
                // The transcriber has ended, and the program with it.
                Some(Err(_)) => {}
                None => return Err(Interrupted),
            }
        }
        if let Some(open) = &mut self.open {
            open.samples += length;
        }
        Ok(())
    }

    fn end(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        if open.lost {
            return;
        }
        let at = Instant::now();
        let utterance = open.utterance;
        debug!(utterance, session = self.number, "speech ended");
        self.report(Event::Ended {
            utterance,
            session: self.number,
            at_s: seconds(open.at + open.samples),
            duration_s: seconds(open.samples),
            at,
        });
        self.hand_over(Speech::End { utterance, at });
    }

    /// The source lost sound: what is open has a hole, what comes is something new.
    fn lose_hole(&mut self) {
        let open = self.healthy();
        self.endpointer.forget();
        match open {
            Some(utterance) => {
                self.lose(utterance);
                self.hand_over(Speech::Abort { utterance });
            }
            None => self.report(Event::Trouble(sound_lost())),
        }
        self.open = None;
    }

    /// Says that the open utterance has failed.
    fn lose(&mut self, utterance: u64) {
        if let Some(open) = &mut self.open {
            open.lost = true;
        }
        self.report(Event::Failed {
            utterance,
            fault: sound_lost(),
        });
    }

    /// Whether the transcriber has fallen behind as far as it may.
    fn is_full(&self) -> bool {
        self.to_transcriber.capacity() <= RESERVE && !self.to_transcriber.is_closed()
    }

    /// Sends to the transcriber, waiting for room. For a microphone there is room, see [`RESERVE`];
    /// a feed can wait.
    fn hand_over(&self, speech: Speech) {
        // Only a transcriber that has ended does not take it.
        let _ = self.to_transcriber.blocking_send(speech);
    }

    /// Sends to the daemon, which takes all that it is sent.
    fn report(&self, event: Event) {
        // Only a daemon that has ended does not take it.
        let _ = self.to_daemon.blocking_send(event);
    }

    /// Loudness is worth no waiting, and no room that other events may need.
    fn report_level(&self, frame: &[i16; FRAME]) {
        if self.control.watch_level.load(Ordering::Relaxed)
            && self.to_daemon.capacity() > EVENT_QUEUE / 2
        {
            let _ = self.to_daemon.try_send(Event::Level { rms: rms(frame) });
        }
    }

    /// Waits for a future, but not longer than until the session is stopped.
    fn wait_unless_interrupted<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if self.control.interrupt.is_raised() {
                return None;
            }
            match future.as_mut().poll(&mut context) {
                Poll::Ready(value) => return Some(value),
                // `Capture::stop` raises the interrupt first and unparks then, so neither it nor
                // the waker can be missed.
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Drop for Session<'_> {
    /// Something is open only when the thread unwinds.
    fn drop(&mut self) {
        if let Some(utterance) = self.healthy() {
            self.report(Event::Failed {
                utterance,
                fault: defect::listening(),
            });
            self.hand_over(Speech::Abort { utterance });
        }
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn sound_lost() -> Fault {
    Fault::new(
        FaultKind::SoundLost,
        "the computer is too busy to keep up with the microphone, and sound was lost; say it again, with a smaller model if it happens often",
    )
}

fn seconds(samples: u64) -> f64 {
    samples as f64 / f64::from(RATE)
}

/// Hands the heap's free pages back to the system: an idle daemon is small.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers, and is safe to call from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
