//! How things stand on the desktop at one moment, asked in one go.

use x11rb::protocol::xkb::ConnectionExt as _;
use x11rb::protocol::xproto::{ConnectionExt as _, GrabMode, GrabStatus, Window};

use super::layout::NUM;
use super::server::{Sequence, Server, gone};
use crate::Unable;

/// Which keys are down, a bit for each key code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Down([u8; 32]);

impl Down {
    pub(super) fn has(&self, keycode: u8) -> bool {
        self.0[usize::from(keycode / 8)] & (1 << (keycode % 8)) != 0
    }

    pub(super) fn any(&self) -> bool {
        self.0.iter().any(|&keys| keys != 0)
    }

    pub(super) fn keycodes(self) -> impl Iterator<Item = u8> {
        (0..=255).filter(move |&keycode| self.has(keycode))
    }
}

/// What decides where keys go, and what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// The window that has the focus, as the server tells; 0 for none, 1 for the one under the
    /// pointer.
    pub(super) focus: Window,
    /// A program takes all keys: a lock, a menu, or whoever waits for the end of a shortcut.
    pub(super) grabbed: bool,
    /// Modifiers that keys hold, apart from Num Lock.
    pub(super) held: u8,
    /// Modifiers that stay on or count for the next key.
    pub(super) locked: u8,
    pub(super) group: u8,
    pub(super) down: Down,
    /// The request that asked for the modifiers.
    pub(super) at: Sequence,
}

impl Look {
    pub(super) fn at(server: &mut Server) -> Result<Self, Unable> {
        let connection = &server.connection;
        let focus = connection.get_input_focus().map_err(gone)?;
        // Asking for all keys for a window that is not shown has no effect, but the answer tells
        // whether somebody else has them.
        let grab = connection
            .grab_keyboard(false, server.window, 0u32, GrabMode::ASYNC, GrabMode::ASYNC)
            .map_err(gone)?;
        let state = connection.xkb_get_state(server.keyboard).map_err(gone)?;
        let at = state.sequence_number();
        let keys = connection.query_keymap().map_err(gone)?;
        let focus = focus.reply().map_err(gone)?.focus;
        let grabbed = grab.reply().map_err(gone)?.status == GrabStatus::ALREADY_GRABBED;
        let state = state.reply().map_err(gone)?;
        let down = Down(keys.reply().map_err(gone)?.keys);
        let bits = |mods| u16::from(mods) as u8 & !NUM;
        Ok(Look {
            focus,
            grabbed,
            held: bits(state.base_mods),
            locked: bits(state.locked_mods) | bits(state.latched_mods),
            group: u8::from(state.group),
            down,
            at,
        })
    }

    /// Keys mean what they meant at `before`, and all go to whoever has the focus.
    pub(super) fn calm(&self, before: &Look) -> bool {
        let Look { group, down, .. } = *before;
        !self.grabbed
            && self.held == 0
            && self.locked == 0
            && (self.group, self.down) == (group, down)
    }
}
