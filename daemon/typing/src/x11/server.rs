//! The connection to the X server: what is asked of it, what it tells, and how it fails.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::errors::{ReplyError, ReplyOrIdError};
use x11rb::protocol::xinput::{self, ConnectionExt as _, XIEventMask};
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    Atom, ChangeWindowAttributesAux, ConnectionExt as _, CreateWindowAux, EventMask, NotifyMode,
    Screen, Window, WindowClass,
};
use x11rb::protocol::{Event, xtest};
use x11rb::rust_connection::RustConnection;

use super::connect::connect;
use crate::{Session, Unable};

x11rb::atom_manager! {
    /// Names that the server knows by numbers.
    pub(super) Atoms:
    AtomsCookie {
        UTF8_STRING,
        WM_PROTOCOLS,
        WM_STATE,
        _NET_ACTIVE_WINDOW,
        _NET_WM_PID,
        _NET_WM_PING,
        // What the spare keys were given, for whoever drives this server next.
        _WSTREAM_SPARE_KEYS,
    }
}

/// The number of one of this connection's requests; what an event carries is the last request that
/// the server had carried out when the event came about.
pub(super) type Sequence = u64;

/// Something that the server told of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The keyboard map, or who gives it, is another.
    Keyboard,
    /// Keys do not go to this window any more; `grabbed`: because a program takes them all.
    Left {
        window: Window,
        grabbed: bool,
        at: Sequence,
    },
    /// A client has worked through its events up to this ping.
    Pong(u32),
    /// A key of some keyboard was pressed; `faked`: through XTEST, by us or by somebody else.
    Pressed {
        keycode: u8,
        faked: bool,
        at: Sequence,
    },
    /// A key of some keyboard was let go of.
    Released {
        keycode: u8,
        faked: bool,
        at: Sequence,
    },
}

impl News {
    /// That a key was pressed or let go of, which was not to be seen yet in the request `seen`.
    pub(super) fn is_key_since(&self, seen: Sequence) -> bool {
        match *self {
            News::Pressed { at, .. } | News::Released { at, .. } => at >= seen,
            _ => false,
        }
    }
}

/// A connection on which keys can be pressed.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) connection: RustConnection,
    pub(super) root: Window,
    pub(super) atoms: Atoms,
    /// A window of ours that is never shown.
    pub(super) window: Window,
    /// The keyboards of the user, all as one.
    pub(super) keyboard: u16,
    /// The devices whose keys are pressed through XTEST.
    faked: Vec<u16>,
    /// Heard and not looked at yet.
    news: Vec<News>,
}

impl Server {
    pub(super) fn open(session: &Session) -> Result<Self, Unable> {
        let (connection, screen) = connect(session)?;
        Self::on(connection, &screen).map_err(|error| match error {
            Unable::Gone(why) => Unable::Absent(why),
            other => other,
        })
    }

    fn on(connection: RustConnection, screen: &Screen) -> Result<Self, Unable> {
        for (name, what) in [
            (xtest::X11_EXTENSION_NAME, "pressing keys"),
            (xkb::X11_EXTENSION_NAME, "keyboard maps"),
            (xinput::X11_EXTENSION_NAME, "keyboards"),
        ] {
            let known = connection.extension_information(name).map_err(gone)?;
            known.ok_or_else(|| {
                Unable::Absent(format!(
                    "the X server lacks the extension {name} for {what}"
                ))
            })?;
        }
        let used = connection.xkb_use_extension(1, 0).map_err(gone)?;
        if !used.reply().map_err(gone)?.supported {
            let why = "the X server does not let its keyboard map be used";
            return Err(Unable::Absent(why.into()));
        }
        let version = connection.xinput_xi_query_version(2, 2).map_err(gone)?;
        version.reply().map_err(gone)?;
        let atoms = Atoms::new(&connection).map_err(gone)?;
        let atoms = atoms.reply().map_err(gone)?;
        let window = connection.generate_id().map_err(no_id)?;
        let hidden = CreateWindowAux::new();
        connection
            .create_window(
                0,
                window,
                screen.root,
                -1,
                -1,
                1,
                1,
                0,
                WindowClass::INPUT_ONLY,
                0,
                &hidden,
            )
            .map_err(gone)?;
        // A client answers a ping by sending it to the root window, for those who select the one or,
        // with Qt, the other.
        let answers = EventMask::SUBSTRUCTURE_NOTIFY | EventMask::STRUCTURE_NOTIFY;
        let answers = ChangeWindowAttributesAux::new().event_mask(answers);
        connection
            .change_window_attributes(screen.root, &answers)
            .map_err(gone)?;
        let keys = xinput::EventMask {
            deviceid: u8::from(xinput::Device::ALL).into(),
            mask: vec![XIEventMask::RAW_KEY_PRESS | XIEventMask::RAW_KEY_RELEASE],
        };
        connection
            .xinput_xi_select_events(screen.root, &[keys])
            .map_err(gone)?;
        let keyboard = u16::from(xkb::ID::USE_CORE_KBD);
        let changes = xkb::EventType::NEW_KEYBOARD_NOTIFY | xkb::EventType::MAP_NOTIFY;
        let all = xkb::MapPart::from(0xffu16);
        let details = xkb::SelectEventsAux::new();
        connection
            .xkb_select_events(keyboard, 0u16.into(), changes, all, all, &details)
            .map_err(gone)?;
        let faked = faked_keyboards(&connection)?;
        let mut server = Server {
            connection,
            faked,
            root: screen.root,
            atoms,
            window,
            keyboard,
            news: Vec::new(),
        };
        server.sync()?;
        Ok(server)
    }

    /// Waits until the server has carried out everything so far, and takes in what it told.
    pub(super) fn sync(&mut self) -> Result<(), Unable> {
        let asked = self.connection.get_input_focus().map_err(gone)?;
        asked.reply().map_err(gone)?;
        self.take_in()
    }

    /// What was told since the last call.
    pub(super) fn news(&mut self) -> Result<Vec<News>, Unable> {
        self.take_in()?;
        Ok(std::mem::take(&mut self.news))
    }

    /// Keeps what was told for the next call of [`Self::news`].
    pub(super) fn keep(&mut self, mut news: Vec<News>) {
        news.append(&mut self.news);
        self.news = news;
    }

    /// Waits for a sign of the server until `until`; then nothing was told.
    pub(super) fn wait(&mut self, until: Instant) -> Result<Vec<News>, Unable> {
        loop {
            let news = self.news()?;
            let left = until.saturating_duration_since(Instant::now());
            if !news.is_empty() || left.is_zero() {
                return Ok(news);
            }
            self.sleep(until)?;
        }
    }

    /// Sleeps until the server says something, or until `until`.
    fn sleep(&self, until: Instant) -> Result<(), Unable> {
        self.connection.flush().map_err(gone)?;
        let mut fds = [PollFd::new(self.connection.stream(), PollFlags::IN)];
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Unable::Gone(format!("waiting for the X server: {error}"))),
        }
    }

    /// Lets time pass, and hears what is told meanwhile.
    pub(super) fn pause(&mut self, pause: Duration) -> Result<(), Unable> {
        let until = Instant::now() + pause;
        let mut heard = Vec::new();
        while Instant::now() < until {
            heard.extend(self.wait(until)?);
        }
        self.keep(heard);
        Ok(())
    }

    /// Waits for one event until `until`, and keeps the others.
    pub(super) fn event<T>(
        &mut self,
        until: Instant,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Result<Option<T>, Unable> {
        loop {
            while let Some((event, at)) = self.poll()? {
                if let Some(found) = wanted(&event) {
                    return Ok(Some(found));
                }
                self.hear(event, at);
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.sleep(until)?;
        }
    }

    fn poll(&self) -> Result<Option<(Event, Sequence)>, Unable> {
        self.connection.poll_for_event_with_sequence().map_err(gone)
    }

    fn take_in(&mut self) -> Result<(), Unable> {
        while let Some((event, at)) = self.poll()? {
            self.hear(event, at);
        }
        Ok(())
    }

    fn hear(&mut self, event: Event, at: Sequence) {
        let news = match event {
            Event::XkbMapNotify(_) | Event::XkbNewKeyboardNotify(_) => News::Keyboard,
            // A window that is left for one inside of it still has the keys of both.
            Event::FocusOut(left) => News::Left {
                window: left.event,
                grabbed: left.mode == NotifyMode::GRAB,
                at,
            },
            Event::DestroyNotify(window) => News::Left {
                window: window.window,
                grabbed: false,
                at,
            },
            Event::UnmapNotify(window) => News::Left {
                window: window.window,
                grabbed: false,
                at,
            },
            Event::ClientMessage(message)
                if message.type_ == self.atoms.WM_PROTOCOLS && message.format == 32 =>
            {
                let [protocol, stamp, ..] = message.data.as_data32();
                if protocol != self.atoms._NET_WM_PING {
                    return;
                }
                News::Pong(stamp)
            }
            Event::XinputRawKeyPress(key) => News::Pressed {
                keycode: u8::try_from(key.detail).unwrap_or(0),
                faked: self.faked.contains(&key.sourceid),
                at,
            },
            Event::XinputRawKeyRelease(key) => News::Released {
                keycode: u8::try_from(key.detail).unwrap_or(0),
                faked: self.faked.contains(&key.sourceid),
                at,
            },
            _ => return,
        };
        self.news.push(news);
    }

    /// The content of a property of 32-bit numbers; empty where there is none.
    pub(super) fn numbers(&self, window: Window, property: Atom) -> Result<Vec<u32>, Unable> {
        /// More than any list here is long.
        const MOST: u32 = 4096;
        let asked = self
            .connection
            .get_property(false, window, property, 0u32, 0, MOST)
            .map_err(gone)?;
        let Some(reply) = there(asked.reply())? else {
            return Ok(Vec::new());
        };
        Ok(reply.value32().map(Iterator::collect).unwrap_or_default())
    }
}

/// The keyboards that a server has for XTEST, one for each pair of keyboard and pointer.
fn faked_keyboards(connection: &RustConnection) -> Result<Vec<u16>, Unable> {
    let asked = connection
        .xinput_xi_query_device(xinput::Device::ALL)
        .map_err(gone)?;
    let devices = asked.reply().map_err(gone)?.infos;
    // The server names them itself, and programs cannot name devices.
    let is_faked = |device: &xinput::XIDeviceInfo| device.name.ends_with(b"XTEST keyboard");
    let faked = devices.iter().filter(|device| is_faked(device));
    Ok(faked.map(|device| device.deviceid).collect())
}

/// The reply, or `None` where what was asked about has gone meanwhile.
pub(super) fn there<T>(reply: Result<T, ReplyError>) -> Result<Option<T>, Unable> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(ReplyError::X11Error(_)) => Ok(None),
        Err(ReplyError::ConnectionError(error)) => Err(gone(error)),
    }
}

/// The server has gone, or does not understand us any more.
pub(super) fn gone(error: impl Into<ReplyError>) -> Unable {
    let why: ReplyError = error.into();
    Unable::Gone(format!("the X server does not answer: {why}"))
}

/// No number for a window.
pub(super) fn no_id(error: ReplyOrIdError) -> Unable {
    match error {
        ReplyOrIdError::ConnectionError(error) => gone(error),
        other => Unable::Gone(format!("the X server has no room for a window: {other}")),
    }
}
