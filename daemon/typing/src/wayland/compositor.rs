//! A connection to the compositor of a session: what it offers, and waiting for what it says.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wayland_client::backend::WaylandError;
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::{self, Capability, WlSeat};
use wayland_client::{Connection, Dispatch, EventQueue, Proxy, QueueHandle, WEnum};

use super::clipboard::Board;
use super::field::Field;
use super::toplevels::Toplevels;
use super::trial::Told;
use crate::{Session, Unable};

/// A compositor answers within milliseconds; one that does not in this time hangs.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection.
#[derive(Debug)]
pub(super) struct Compositor {
    connection: Connection,
    queue: EventQueue<State>,
    registry: WlRegistry,
    /// What the compositor has told.
    pub(super) state: State,
}

/// Everything that a compositor tells; what nobody has asked for stays empty.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What it offers: number, interface, version.
    globals: Vec<(u32, String, u32)>,
    /// The seat has a keyboard.
    pub(super) has_keyboard: bool,
    pub(super) toplevels: Toplevels,
    pub(super) field: Field,
    pub(super) board: Board,
    /// What comes to a window of our own.
    pub(super) trial: Told,
}

impl Compositor {
    /// Connects to the compositor of a session.
    pub(super) fn open(session: &Session) -> Result<Self, Unable> {
        let path = socket(session)?;
        let absent = |error: &dyn std::fmt::Display| {
            Unable::Absent(format!(
                "no connection to the compositor at {}: {error}",
                path.display()
            ))
        };
        let stream = UnixStream::connect(&path).map_err(|error| absent(&error))?;
        let connection = Connection::from_socket(stream).map_err(|error| absent(&error))?;
        let queue = connection.new_event_queue();
        let registry = connection.display().get_registry(&queue.handle(), ());
        let mut compositor = Compositor {
            connection,
            queue,
            registry,
            state: State::default(),
        };
        compositor.sync()?;
        Ok(compositor)
    }

    /// Asks for something that it offers, in version `most` or what it has below that.
    pub(super) fn bind<I>(&self, most: u32) -> Result<I, Unable>
    where
        I: Proxy + 'static,
        State: Dispatch<I, ()>,
    {
        let name = I::interface().name;
        let found = self.state.globals.iter().find(|global| global.1 == name);
        let (number, _, version) =
            found.ok_or_else(|| Unable::Absent(format!("the compositor does not offer {name}")))?;
        let version = (*version).min(most);
        Ok(self
            .registry
            .bind(*number, version, &self.queue.handle(), ()))
    }

    /// The first seat.
    pub(super) fn seat(&self) -> Result<WlSeat, Unable> {
        self.bind(1)
    }

    pub(super) fn handle(&self) -> QueueHandle<State> {
        self.queue.handle()
    }

    /// Waits until the compositor has done everything that it was asked for, and takes in what it
    /// has said until then.
    pub(super) fn sync(&mut self) -> Result<(), Unable> {
        let done = Arc::new(AtomicBool::new(false));
        let display = self.connection.display();
        display.sync(&self.queue.handle(), Arc::clone(&done));
        let answered = self.until(ANSWER, |_| done.load(Ordering::Relaxed).then_some(()))?;
        answered.ok_or_else(|| Unable::Gone("the compositor does not answer".into()))
    }

    /// Waits for something to become true of what the compositor says; `None`: it did not.
    pub(super) fn until<T>(
        &mut self,
        limit: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<Option<T>, Unable> {
        let end = Instant::now() + limit;
        loop {
            self.queue.dispatch_pending(&mut self.state).map_err(gone)?;
            if let Some(found) = look(&mut self.state) {
                return Ok(Some(found));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.sleep(Some(left), None)?;
        }
    }

    /// Sends what waits to be sent, and sleeps until the compositor says something, or something
    /// comes from `other`.
    pub(super) fn sleep(
        &mut self,
        limit: Option<Duration>,
        other: Option<BorrowedFd<'_>>,
    ) -> Result<(), Unable> {
        let mut wanted = PollFlags::IN;
        match self.connection.flush() {
            Ok(()) => {}
            Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                wanted |= PollFlags::OUT;
            }
            Err(error) => return Err(gone(error)),
        }
        // None: there is something to be looked at already.
        let Some(guard) = self.queue.prepare_read() else {
            return Ok(());
        };
        let fd = guard.connection_fd();
        let mut fds = vec![PollFd::new(&fd, wanted)];
        fds.extend(other.iter().map(|other| PollFd::new(other, PollFlags::IN)));
        let limit = limit.map(|limit| Timespec::try_from(limit).unwrap_or_default());
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(gone(error)),
        }
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        if !fds[0].revents().intersects(readable) {
            return Ok(());
        }
        match guard.read() {
            Ok(_) => Ok(()),
            Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Ok(())
            }
            Err(error) => Err(gone(error)),
        }
    }

    /// Hands what waits to be sent over to the compositor.
    pub(super) fn flush(&self) -> Result<(), Unable> {
        match self.connection.flush() {
            Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Ok(())
            }
            other => other.map_err(gone),
        }
    }

    /// Takes in what has come, without waiting for more.
    pub(super) fn dispatch(&mut self) -> Result<(), Unable> {
        self.queue.dispatch_pending(&mut self.state).map_err(gone)?;
        Ok(())
    }
}

pub(super) fn gone(error: impl std::fmt::Display) -> Unable {
    Unable::Gone(format!("the connection to the compositor: {error}"))
}

fn socket(session: &Session) -> Result<PathBuf, Unable> {
    let name = session.get("WAYLAND_DISPLAY").ok_or_else(|| {
        Unable::Absent("this is no Wayland session: WAYLAND_DISPLAY is not set".into())
    })?;
    let name = PathBuf::from(name);
    if name.is_absolute() {
        return Ok(name);
    }
    let dir = session.get("XDG_RUNTIME_DIR").ok_or_else(|| {
        Unable::Absent(
            "where the compositor listens is not known: XDG_RUNTIME_DIR is not set".into(),
        )
    })?;
    Ok(PathBuf::from(dir).join(name))
}

impl Dispatch<WlRegistry, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlRegistry,
        event: wl_registry::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global {
                name,
                interface,
                version,
            } => state.globals.push((name, interface, version)),
            wl_registry::Event::GlobalRemove { name } => {
                state.globals.retain(|global| global.0 != name);
            }
            _ => {}
        }
    }
}

impl Dispatch<WlCallback, Arc<AtomicBool>> for State {
    fn event(
        _: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        done: &Arc<AtomicBool>,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        done.store(true, Ordering::Relaxed);
    }
}

impl Dispatch<WlSeat, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlSeat,
        event: wl_seat::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_seat::Event::Capabilities {
            capabilities: WEnum::Value(now),
        } = event
        {
            state.has_keyboard = now.contains(Capability::Keyboard);
        }
    }
}

impl AsFd for Compositor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
