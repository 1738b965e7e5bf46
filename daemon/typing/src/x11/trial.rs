//! A window of our own that says which text came into it: to find out whether typing works on a
//! desktop without asking its user to look.

use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ConnectionExt as _, CreateWindowAux, EventMask, InputFocus, KeyPressEvent,
    PropMode, Window, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

use super::board::Board;
use super::layout::{CONTROL, character};
use super::server::{Server, gone, no_id};
use crate::{Session, Unable};

/// How long a window manager may take to show the window and give it the keys.
const SHOWN: Duration = Duration::from_secs(3);

/// `WM_CLASS` of the window, instance and class.
const CLASS: &[u8] = b"wstream-trial\0wstream-trial\0";

/// More bytes than any text of a trial has.
const MOST: u32 = 1 << 16;

/// A window that reads what is typed and pasted into it, and goes when this is dropped.
#[derive(Debug)]
pub struct Trial {
    server: Server,
    board: Board,
    window: Window,
    clipboard: Atom,
    /// Where the clipboard's content is put for us.
    pasted: Atom,
}

/// What comes to the window.
#[derive(Debug)]
enum Came {
    Key {
        keycode: u8,
        state: u16,
    },
    Pasted,
    /// The keyboard map is another from here on.
    Map,
}

impl Trial {
    /// Opens the window in a session, and waits until keys go there.
    pub fn open(session: &Session) -> Result<Self, Unable> {
        let server = Server::open(session)?;
        let atom = |name: &str| -> Result<Atom, Unable> {
            let asked = server.connection.intern_atom(false, name.as_bytes());
            Ok(asked.map_err(gone)?.reply().map_err(gone)?.atom)
        };
        let (clipboard, pasted) = (atom("CLIPBOARD")?, atom("_WSTREAM_TRIAL")?);
        let window = server.connection.generate_id().map_err(no_id)?;
        let mut trial = Trial {
            server,
            board: Board::default(),
            window,
            clipboard,
            pasted,
        };
        trial.show()?;
        trial.board.read(&trial.server)?;
        Ok(trial)
    }

    fn show(&mut self) -> Result<(), Unable> {
        let (connection, window) = (&self.server.connection, self.window);
        let events = EventMask::KEY_PRESS | EventMask::FOCUS_CHANGE | EventMask::STRUCTURE_NOTIFY;
        let looks = CreateWindowAux::new()
            .event_mask(events)
            .background_pixel(0);
        let root = self.server.root;
        connection
            .create_window(
                0,
                window,
                root,
                0,
                0,
                240,
                40,
                0,
                WindowClass::INPUT_OUTPUT,
                0,
                &looks,
            )
            .map_err(gone)?;
        for (property, value) in [
            (AtomEnum::WM_CLASS, CLASS),
            (AtomEnum::WM_NAME, b"wstream: trying to type"),
        ] {
            connection
                .change_property8(PropMode::REPLACE, window, property, AtomEnum::STRING, value)
                .map_err(gone)?;
        }
        connection.map_window(window).map_err(gone)?;
        let until = Instant::now() + SHOWN;
        let is_mapped = |event: &Event| {
            matches!(event, Event::MapNotify(it) if it.window == window).then_some(())
        };
        self.server.event(until, is_mapped)?.ok_or_else(not_shown)?;
        // A window manager may have done so already; without one nobody else does.
        self.server
            .connection
            .set_input_focus(InputFocus::PARENT, window, 0u32)
            .map_err(gone)?;
        while Instant::now() < until {
            let asked = self.server.connection.get_input_focus().map_err(gone)?;
            if asked.reply().map_err(gone)?.focus == window {
                return Ok(());
            }
            self.server.pause(Duration::from_millis(20))?;
        }
        Err(not_shown())
    }

    /// The text that comes until it has `characters`, or until `limit` has passed.
    pub fn read(&mut self, characters: usize, limit: Duration) -> Result<String, Unable> {
        let until = Instant::now() + limit;
        let mut text = String::new();
        while text.chars().count() < characters {
            let window = self.window;
            let came = |event: &Event| match event {
                Event::KeyPress(KeyPressEvent { detail, state, .. }) => Some(Came::Key {
                    keycode: *detail,
                    state: u16::from(*state),
                }),
                Event::SelectionNotify(it) if it.requestor == window => Some(Came::Pasted),
                Event::XkbMapNotify(_) | Event::XkbNewKeyboardNotify(_) => Some(Came::Map),
                _ => None,
            };
            match self.server.event(until, came)? {
                Some(Came::Key { keycode, state }) => text.extend(self.key(keycode, state)?),
                Some(Came::Pasted) => text.push_str(&self.content()?),
                Some(Came::Map) => self.board.forget(),
                None => break,
            }
        }
        Ok(text)
    }

    /// What a key gives in the map as it is now, which is how every program reads it.
    fn key(&mut self, keycode: u8, state: u16) -> Result<Option<char>, Unable> {
        self.board.read(&self.server)?;
        // Bits 13 and 14 are the group (X Keyboard Extension: Protocol Specification, 2.2.2).
        let (modifiers, group) = ((state & 0xff) as u8, ((state >> 13) & 3) as u8);
        let char = character(self.board.layout.sym(keycode, group, modifiers));
        if modifiers & CONTROL == 0 {
            return Ok(char);
        }
        if char.is_some_and(|char| char.eq_ignore_ascii_case(&'v')) {
            let utf8 = self.server.atoms.UTF8_STRING;
            self.server
                .connection
                .convert_selection(self.window, self.clipboard, utf8, self.pasted, 0u32)
                .map_err(gone)?;
        }
        Ok(None)
    }

    /// What was pasted.
    fn content(&self) -> Result<String, Unable> {
        let asked = self
            .server
            .connection
            .get_property(true, self.window, self.pasted, AtomEnum::ANY, 0, MOST / 4)
            .map_err(gone)?;
        let reply = asked.reply().map_err(gone)?;
        Ok(String::from_utf8_lossy(&reply.value).into_owned())
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // It goes with the connection in any case.
        let _ = self.server.connection.destroy_window(self.window);
        let _ = self.server.connection.flush();
    }
}

fn not_shown() -> Unable {
    Unable::NoTarget("a window of its own got no focus: end what takes the keyboard".into())
}
