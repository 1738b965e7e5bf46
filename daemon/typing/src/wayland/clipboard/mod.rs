//! The driver `wayland-clipboard`: a text is offered on the clipboard, the program is told to
//! paste, and what was there before is offered again, in all its forms.

mod board;
mod keeper;

use std::time::Duration;

pub(super) use board::{Board, received};
use board::{Control, give};
use keeper::Keeper;

use super::compositor::Compositor;
use super::keyboard::{CONTROL, SHIFT};
use super::keys::VirtualKeyboard;
use crate::{Driver, Key, Purpose, Session, Stopped, Target, Typed, Unable};

/// How long a program may take until it fetches what it was told to paste.
const FETCHED: Duration = Duration::from_secs(30);
/// A program inserts what it has fetched some time later; keys must not overtake that.
const INSERTED: Duration = Duration::from_millis(50);

/// Opens the driver `wayland-clipboard`.
pub fn open(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(Clipboard::open(session)?))
}

/// Text by way of the clipboard.
#[derive(Debug)]
pub struct Clipboard {
    keys: VirtualKeyboard,
    keeper: Keeper,
}

impl Clipboard {
    /// Connects to the compositor of a session.
    pub fn open(session: &Session) -> Result<Self, Unable> {
        Ok(Clipboard {
            keys: VirtualKeyboard::open(session)?,
            keeper: Keeper::start(Control::open(Compositor::open(session)?)?)?,
        })
    }

    fn paste(&mut self, text: &str) -> Result<(), Unable> {
        let target = self.keys.target()?;
        self.keeper.offer(text)?;
        self.keys.chord(match target.purpose {
            Purpose::Terminal => CONTROL | SHIFT,
            _ => CONTROL,
        })?;
        if !self.keeper.is_given(FETCHED) {
            let why = "the program did not paste: it may not know the shortcut, or no text field has the focus";
            return Err(Unable::NoTarget(why.into()));
        }
        std::thread::sleep(INSERTED);
        Ok(())
    }
}

impl Driver for Clipboard {
    fn name(&self) -> &'static str {
        "wayland-clipboard"
    }

    fn target(&mut self) -> Result<Target, Unable> {
        self.keys.target()
    }

    fn type_text(&mut self, text: &str) -> Result<Typed, Stopped> {
        let pasted = match text {
            "" => Ok(()),
            _ => self.paste(text),
        };
        pasted
            .map(|()| Typed {
                characters: text.chars().count(),
                verified: false,
            })
            .map_err(|why| Stopped { characters: 0, why })
    }

    fn press(&mut self, key: Key, times: u32) -> Result<(), Stopped> {
        self.keys.press(key, times)
    }

    fn erase(&mut self, text: &str) -> Result<(), Stopped> {
        self.keys.erase(text)
    }
}

/// A text that lies on the clipboard for as long as [`Serving::wait`] runs.
#[derive(Debug)]
pub(crate) struct Serving {
    control: Control,
    text: String,
}

impl Serving {
    /// Gives the text to every program that asks, until another one copies something.
    pub(crate) fn wait(mut self) -> Result<(), Unable> {
        let compositor = &mut self.control.compositor;
        loop {
            compositor.dispatch()?;
            let board = &mut compositor.state.board;
            for (_, _, to) in std::mem::take(&mut board.asked) {
                give(to, self.text.clone().into_bytes(), || ());
            }
            if !board.lost.is_empty() {
                return Ok(());
            }
            compositor.sleep(None, None)?;
        }
    }
}

/// Puts a text on the clipboard.
pub(crate) fn copy(session: &Session, text: &str) -> Result<Serving, Unable> {
    let mut control = Control::open(Compositor::open(session)?)?;
    let content = keeper::text(text);
    control.offer(content.iter().map(|(form, _)| form.as_str()));
    control.compositor.sync()?;
    Ok(Serving {
        control,
        text: text.to_owned(),
    })
}
