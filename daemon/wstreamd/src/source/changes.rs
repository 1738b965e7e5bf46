//! What PulseAudio says of its own accord, which PipeWire does as well: that a microphone has come or
//! gone, or that another is the default.
//!
//! cpal does not ask for it. So there is a connection for this alone, as long as somebody listens;
//! without it everything is noticed as well, a second or two later.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pulseaudio::protocol::{
    Command, ProtocolError, SubscriptionEventFacility, SubscriptionEventType, SubscriptionMask,
};
use tracing::debug;

use super::microphone::Task;
use super::pulse::{self, Line};

/// A change is told when nothing more has come for so long: a server says several things of each, and
/// PipeWire gives who opens a microphone in the middle of it a stream that stays silent.
const SETTLED: Duration = Duration::from_millis(300);

/// The longest that it is waited for that.
const UNSETTLED: Duration = Duration::from_secs(1);

/// Tells who listens to a microphone that something has changed.
#[derive(Debug)]
pub(super) struct Bell {
    audio: Thread,
    rung: AtomicBool,
    /// Threads that own a stream.
    helpers: Mutex<Vec<mpsc::Sender<Task>>>,
}

impl Bell {
    /// For the thread that calls this.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Bell {
            audio: thread::current(),
            rung: AtomicBool::new(false),
            helpers: Mutex::default(),
        })
    }

    /// Has a helper look again each time that it rings.
    pub(super) fn add(&self, helper: mpsc::Sender<Task>) {
        let mut helpers = self.helpers();
        tell(&mut helpers);
        helpers.push(helper);
    }

    /// Whether it has rung since this was asked last.
    pub(super) fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.audio.unpark();
        tell(&mut self.helpers());
    }

    fn helpers(&self) -> MutexGuard<'_, Vec<mpsc::Sender<Task>>> {
        self.helpers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets those that have ended, too.
fn tell(helpers: &mut Vec<mpsc::Sender<Task>>) {
    helpers.retain(|helper| helper.send(Task::Look).is_ok());
}

/// A connection that rings a bell. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Changes(Arc<Listening>);

#[derive(Debug, Default)]
struct Listening {
    is_over: AtomicBool,
    socket: Mutex<Option<Arc<UnixStream>>>,
}

impl Changes {
    /// Connects on a thread of its own: a server that has stopped keeps nobody waiting.
    pub(super) fn watch(bell: Arc<Bell>) -> io::Result<Self> {
        let listening = Arc::new(Listening::default());
        let for_thread = Arc::clone(&listening);
        thread::Builder::new()
            .name("sound changes".to_owned())
            .spawn(move || {
                let listening = for_thread;
                if let Err(error) = listening.listen(&bell)
                    && !listening.is_over()
                {
                    debug!(%error, "the sound server says no more what changes");
                }
                listening.is_over.store(true, Ordering::Release);
            })?;
        Ok(Changes(listening))
    }

    /// Whether nothing comes from it any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over()
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        if let Some(socket) = self.0.socket().take() {
            // It fails where the server has closed it already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Listening {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn socket(&self) -> MutexGuard<'_, Option<Arc<UnixStream>>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings until the connection ends.
    fn listen(&self, bell: &Bell) -> Result<(), ProtocolError> {
        let socket = Arc::new(pulse::connect()?);
        {
            let mut shared = self.socket();
            if self.is_over() {
                return Ok(());
            }
            *shared = Some(Arc::clone(&socket));
        }
        hear(&socket, bell)
    }
}

/// Rings for what the server at the other end says.
fn hear(socket: &UnixStream, bell: &Bell) -> Result<(), ProtocolError> {
    let mut line = Line::greet(socket)?;
    let wanted = SubscriptionMask::SOURCE | SubscriptionMask::SERVER;
    line.order(&Command::Subscribe(wanted))?;
    socket.set_read_timeout(None)?;
    loop {
        if !is_of_concern(&line.hear()?) {
            continue;
        }
        let first = Instant::now();
        while first.elapsed() < UNSETTLED && line.says_more(SETTLED)? {
            line.hear()?;
        }
        bell.ring();
    }
}

/// A source changes whenever its volume does.
fn is_of_concern(command: &Command) -> bool {
    let Command::SubscribeEvent(event) = command else {
        return false;
    };
    match event.event_facility {
        SubscriptionEventFacility::Source => event.event_type != SubscriptionEventType::Changed,
        SubscriptionEventFacility::Server => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pulse::tests::Server;
    use super::*;

    /// What a bell's helper was told until the server has gone.
    fn told(events: &[(SubscriptionEventFacility, SubscriptionEventType)]) -> (usize, bool) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let bell = Bell::new();
        let (tasks, each) = mpsc::channel();
        bell.add(tasks);
        let events = events.to_vec();
        let server = thread::spawn(move || {
            let mut server = Server::greet(theirs);
            let (number, command) = server.hear();
            assert!(matches!(command, Command::Subscribe(_)));
            server.agree(number);
            for (facility, kind) in events {
                server.say(facility, kind);
            }
            // Until the last of them is told.
            thread::sleep(2 * SETTLED);
        });
        hear(&ours, &bell).expect_err("the server goes");
        server.join().expect("it has said everything");
        let has_rung = bell.take();
        assert!(!bell.take(), "it is told once");
        drop(bell);
        (each.iter().count(), has_rung)
    }

    /// What belongs together is told once.
    #[test]
    fn rings_when_microphones_come_and_go_and_not_when_they_are_turned_up() {
        use SubscriptionEventFacility::{Server, Sink, Source};
        use SubscriptionEventType::{Changed, New, Removed};
        assert_eq!(told(&[(Source, Changed), (Sink, New)]), (0, false));
        assert_eq!(
            told(&[
                (Source, New),
                (Source, Changed),
                (Server, Changed),
                (Source, Removed)
            ]),
            (1, true)
        );
    }

    #[test]
    fn whoever_has_ended_is_told_no_more() {
        let bell = Bell::new();
        let (tasks, each) = mpsc::channel();
        bell.add(tasks.clone());
        drop(each);
        let (others, each) = mpsc::channel();
        bell.add(others);
        assert_eq!(bell.helpers().len(), 1);
        bell.ring();
        assert!(matches!(each.try_recv(), Ok(Task::Look)));
    }

    #[test]
    fn a_server_that_never_answers_ends_with_whoever_listened() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let listening = Arc::new(Listening::default());
        *listening.socket() = Some(Arc::new(ours.try_clone().expect("a socket")));
        let heard = thread::spawn(move || hear(&ours, &Bell::new()));
        drop(Changes(listening));
        heard.join().expect("it ends").expect_err("it was ended");
        drop(theirs);
    }
}
