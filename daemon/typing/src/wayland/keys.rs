//! The driver `wayland-virtual-keyboard`: keys into the window that has the focus.

use super::compositor::{Compositor, State};
use super::keyboard::Keyboard;
use super::toplevels::Toplevels;
use crate::{Driver, Key, Session, Stopped, Target, Typed, Unable};

/// Opens the driver `wayland-virtual-keyboard`.
pub fn open(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(VirtualKeyboard::open(session)?))
}

/// Keys through `zwp_virtual_keyboard_v1`.
#[derive(Debug)]
pub struct VirtualKeyboard {
    compositor: Compositor,
    keyboard: Keyboard,
}

impl VirtualKeyboard {
    /// Connects to the compositor of a session.
    pub fn open(session: &Session) -> Result<Self, Unable> {
        let mut compositor = Compositor::open(session)?;
        let keyboard = Keyboard::open(&mut compositor, session)?;
        Toplevels::watch(&mut compositor)?;
        Ok(VirtualKeyboard {
            compositor,
            keyboard,
        })
    }

    /// Presses the key of V with modifiers.
    pub(super) fn chord(&mut self, modifiers: u32) -> Result<(), Unable> {
        self.keyboard.chord(&mut self.compositor, modifiers)
    }
}

/// That the focus is still where it was.
pub(super) fn stays(at: &Target) -> impl Fn(&State) -> Result<(), Unable> + use<> {
    let id = at.id.clone();
    move |state| match state.toplevels.target() {
        Ok(now) if now.id == id => Ok(()),
        _ => {
            let why = "the focus has gone to another window: what was typed so far stays";
            Err(Unable::NoTarget(why.into()))
        }
    }
}

impl Driver for VirtualKeyboard {
    fn name(&self) -> &'static str {
        "wayland-virtual-keyboard"
    }

    fn target(&mut self) -> Result<Target, Unable> {
        self.compositor.sync()?;
        self.compositor.state.toplevels.target()
    }

    fn type_text(&mut self, text: &str) -> Result<Typed, Stopped> {
        let text: Vec<char> = text.chars().collect();
        let mut done = 0;
        let typed = self.target().and_then(|target| {
            let stays = stays(&target);
            self.keyboard
                .type_chars(&mut self.compositor, &text, &mut done, stays)
        });
        match typed {
            Ok(()) => Ok(Typed {
                characters: done,
                verified: false,
            }),
            Err(why) => Err(Stopped {
                characters: done,
                why,
            }),
        }
    }

    fn press(&mut self, key: Key, times: u32) -> Result<(), Stopped> {
        let mut done = 0;
        let pressed = self.target().and_then(|target| {
            let (times, stays) = (times as usize, stays(&target));
            self.keyboard
                .press(&mut self.compositor, key, times, &mut done, stays)
        });
        pressed.map_err(|why| Stopped {
            characters: done,
            why,
        })
    }

    fn erase(&mut self, text: &str) -> Result<(), Stopped> {
        let erased = self.target().and_then(|target| {
            let stays = stays(&target);
            self.keyboard
                .erase(&mut self.compositor, &target, text, stays)
        });
        erased.map_err(|why| Stopped { characters: 0, why })
    }
}
