//! What PulseAudio says of its own accord, which PipeWire does as well: that a microphone has come or
//! gone, or that another is the default.
//!
//! cpal does not ask for it. So there is a connection for this alone, as long as somebody listens;
//! without it everything is noticed as well, a second or two later.

use std::ffi::CString;
use std::io::{self, BufReader};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pulseaudio::protocol::{
    self, AuthParams, AuthReply, Command, CommandReply, MAX_VERSION, Prop, Props, ProtocolError,
    SetClientNameReply, SubscriptionEventFacility, SubscriptionEventType, SubscriptionMask,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::debug;

use super::microphone::Task;

/// How long the server may take for each answer of the handshake; it takes milliseconds.
const HANDSHAKE: Duration = Duration::from_secs(2);

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
pub(super) struct Changes(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    is_over: AtomicBool,
    socket: Mutex<Option<Arc<UnixStream>>>,
}

impl Changes {
    /// Connects on a thread of its own: a server that has stopped keeps nobody waiting.
    pub(super) fn watch(bell: Arc<Bell>) -> io::Result<Self> {
        let line = Arc::new(Line::default());
        let for_thread = Arc::clone(&line);
        thread::Builder::new()
            .name("sound changes".to_owned())
            .spawn(move || {
                let line = for_thread;
                if let Err(error) = line.listen(&bell)
                    && !line.is_over()
                {
                    debug!(%error, "the sound server says no more what changes");
                }
                line.is_over.store(true, Ordering::Release);
            })?;
        Ok(Changes(line))
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

impl Line {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn socket(&self) -> MutexGuard<'_, Option<Arc<UnixStream>>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings until the connection ends.
    fn listen(&self, bell: &Bell) -> Result<(), ProtocolError> {
        let path = pulseaudio::socket_path_from_env()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let socket = Arc::new(UnixStream::connect(path)?);
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
    socket.set_read_timeout(Some(HANDSHAKE))?;
    socket.set_write_timeout(Some(HANDSHAKE))?;
    let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
    let auth = AuthParams {
        version: MAX_VERSION,
        supports_shm: false,
        supports_memfd: false,
        cookie: cookie.unwrap_or_default(),
    };
    let mut reader = BufReader::new(socket);
    let reply: AuthReply = ask(&mut reader, 0, &Command::Auth(auth), MAX_VERSION)?;
    let version = reply.version.min(MAX_VERSION);
    let mut properties = Props::new();
    let name = CString::from(c"wstreamd");
    properties.set(Prop::ApplicationName, name);
    let name = Command::SetClientName(properties);
    ask::<SetClientNameReply>(&mut reader, 1, &name, version)?;
    let wanted = SubscriptionMask::SOURCE | SubscriptionMask::SERVER;
    protocol::write_command_message(&mut &*socket, 2, &Command::Subscribe(wanted), version)?;
    protocol::read_ack_message(&mut reader)?;
    socket.set_read_timeout(None)?;
    loop {
        if !is_of_concern(&protocol::read_command_message(&mut reader, version)?.1) {
            continue;
        }
        let first = Instant::now();
        while first.elapsed() < UNSETTLED && says_more(&reader)? {
            protocol::read_command_message(&mut reader, version)?;
        }
        bell.ring();
    }
}

/// Whether the server says something more before it has settled.
fn says_more(reader: &BufReader<&UnixStream>) -> io::Result<bool> {
    if !reader.buffer().is_empty() {
        return Ok(true);
    }
    let mut socket = [PollFd::new(*reader.get_ref(), PollFlags::IN)];
    let limit = Timespec::try_from(SETTLED).ok();
    Ok(poll(&mut socket, limit.as_ref())? > 0)
}

/// Sends a command and waits for its answer.
fn ask<T: CommandReply>(
    reader: &mut BufReader<&UnixStream>,
    number: u32,
    command: &Command,
    version: u16,
) -> Result<T, ProtocolError> {
    protocol::write_command_message(&mut *reader.get_mut(), number, command, version)?;
    let (_, reply) = protocol::read_reply_message(reader, version)?;
    Ok(reply)
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
    use pulseaudio::protocol::SubscriptionEvent;

    use super::*;

    /// A server's end of the connection, behind the handshake.
    struct Server(BufReader<UnixStream>);

    impl Server {
        /// Answers whoever connects.
        fn greet(socket: UnixStream) -> Self {
            let mut reader = BufReader::new(socket);
            let mut next = || {
                let (number, command) =
                    protocol::read_command_message(&mut reader, MAX_VERSION).expect("a command");
                (
                    number,
                    command,
                    reader.get_mut().try_clone().expect("a socket"),
                )
            };
            let (number, command, mut to) = next();
            assert!(matches!(command, Command::Auth(_)));
            let reply = AuthReply {
                version: MAX_VERSION,
                use_memfd: false,
                use_shm: false,
            };
            protocol::write_reply_message(&mut to, number, &reply, MAX_VERSION).expect("sent");
            let (number, command, mut to) = next();
            assert!(matches!(command, Command::SetClientName(_)));
            let reply = SetClientNameReply { client_id: 7 };
            protocol::write_reply_message(&mut to, number, &reply, MAX_VERSION).expect("sent");
            let (number, command, mut to) = next();
            assert!(matches!(command, Command::Subscribe(_)));
            protocol::write_ack_message(&mut to, number).expect("sent");
            Server(reader)
        }

        fn say(&mut self, facility: SubscriptionEventFacility, kind: SubscriptionEventType) {
            let event = Command::SubscribeEvent(SubscriptionEvent {
                event_facility: facility,
                event_type: kind,
                index: Some(3),
            });
            let to = self.0.get_mut();
            protocol::write_command_message(to, u32::MAX, &event, MAX_VERSION).expect("sent");
        }
    }

    /// What a bell's helper was told until the server has gone.
    fn told(events: &[(SubscriptionEventFacility, SubscriptionEventType)]) -> (usize, bool) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let bell = Bell::new();
        let (tasks, each) = mpsc::channel();
        bell.add(tasks);
        let events = events.to_vec();
        let server = thread::spawn(move || {
            let mut server = Server::greet(theirs);
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
        let line = Arc::new(Line::default());
        *line.socket() = Some(Arc::new(ours.try_clone().expect("a socket")));
        let heard = thread::spawn(move || hear(&ours, &Bell::new()));
        drop(Changes(line));
        heard.join().expect("it ends").expect_err("it was ended");
        drop(theirs);
    }
}
