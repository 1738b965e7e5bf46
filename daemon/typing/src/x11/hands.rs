//! Keys and modifiers, as the user holds them and as typing needs them.

use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{KEY_PRESS_EVENT, KEY_RELEASE_EVENT};
use x11rb::protocol::xtest::ConnectionExt as _;

use super::layout::{Layout, NUM, Stroke};
use super::look::Look;
use super::server::{News, Sequence, Server, gone};
use crate::Unable;

/// How long keys may be held before something is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Modifiers: after that they are lifted, and put back behind the text.
    pub modifiers: Duration,
    /// A key that a program waits for the end of, as of push to talk: it gets all keys meanwhile.
    pub shortcut: Duration,
    /// A program that takes all keys though no key is down: a menu, a lock.
    pub taken: Duration,
}

impl Default for Limits {
    /// Most shortcuts are let go of within half a second; push to talk may take a long breath.
    fn default() -> Self {
        Limits {
            modifiers: Duration::from_millis(800),
            shortcut: Duration::from_secs(60),
            taken: Duration::from_millis(500),
        }
    }
}

/// A key that was pressed and released.
#[derive(Debug)]
pub(super) struct Sent {
    /// The request that pressed it.
    pub(super) at: Sequence,
    /// The modifier keys that were held for it.
    holders: Vec<Holder>,
}

/// A modifier key that was pressed before a key and let go of behind it.
#[derive(Clone, Copy, Debug)]
struct Holder {
    keycode: u8,
    /// The requests that did.
    pressed: Sequence,
    released: Sequence,
}

impl Sent {
    /// Whether the user had pressed a key in `layout` that changes what this one means, though that
    /// was not to be seen yet in the request `seen`. `regrouped`: another group counts since then.
    pub(super) fn is_spoilt(
        &self,
        news: &[News],
        layout: &Layout,
        seen: Sequence,
        regrouped: bool,
    ) -> bool {
        let changes = |keycode| {
            let modifiers = layout.modifiers.get(&keycode);
            regrouped || modifiers.is_some_and(|&modifiers| modifiers != NUM)
        };
        let is_own = |keycode, at| {
            let mut holders = self.holders.iter();
            holders.any(|holder| (holder.keycode, holder.pressed) == (keycode, at))
        };
        news.iter().any(|news| match *news {
            News::Pressed { keycode, faked, at } => {
                (seen..self.at).contains(&at) && !(faked && is_own(keycode, at)) && changes(keycode)
            }
            _ => false,
        })
    }
}

impl Holder {
    /// Whether the user has pressed this key as well, behind the request `seen`, and still held it
    /// when it was let go of here: the server takes it for let go of since then.
    fn covers(&self, news: &[News], seen: Sequence) -> bool {
        let mut held = false;
        for news in news.iter().filter(|news| news.is_key_since(seen)) {
            match *news {
                News::Pressed { keycode, faked, at }
                    if keycode == self.keycode && !(faked && at == self.pressed) =>
                {
                    held = at < self.released;
                }
                News::Released { keycode, faked, at }
                    if keycode == self.keycode && !(faked && at == self.released) =>
                {
                    held = false;
                }
                _ => {}
            }
        }
        held
    }
}

/// How often held keys are looked at.
const AGAIN: Duration = Duration::from_millis(5);

/// What was done to the user's keys, to be undone behind the text.
#[derive(Debug, Default)]
pub(super) struct Hands {
    pub(super) limits: Limits,
    /// Keys that the user holds and that were lifted, with the request that did.
    lifted: Vec<(u8, Sequence)>,
    /// Requests of ours that let go of such a key after pressing it for a character.
    own: Vec<Sequence>,
    /// Locks that were on and have been taken off.
    locks: u8,
    /// A key was put back, so the server may take it for held by us although the user let go.
    put_back: bool,
}

impl Hands {
    /// Waits until text can be typed: nobody takes the keys away, and no modifier is on. Modifiers
    /// that are not let go are lifted, locks taken off.
    pub(super) fn settle(&mut self, server: &mut Server, layout: &Layout) -> Result<Look, Unable> {
        let start = Instant::now();
        let mut lifted = false;
        loop {
            let look = Look::at(server)?;
            self.hear(server)?;
            let modifiers = |keycode: &u8| layout.modifiers.get(keycode).is_some_and(|&m| m != NUM);
            if look.grabbed {
                let (limit, what) = if look.down.any() {
                    (
                        self.limits.shortcut,
                        "a program has all keys for as long as a shortcut is held: let go of it",
                    )
                } else {
                    (
                        self.limits.taken,
                        "a program has taken all keys, as a lock screen or an open menu does: close it",
                    )
                };
                if start.elapsed() >= limit {
                    return Err(Unable::Unsafe(what.into()));
                }
            } else if look.held == 0 {
                if look.locked == 0 {
                    self.free_own_keys(server, layout, &look)?;
                    return Ok(look);
                }
                self.unlock(server, look.locked)?;
                continue;
            } else if start.elapsed() >= self.limits.modifiers {
                if lifted && start.elapsed() >= 2 * self.limits.modifiers {
                    let why = "a modifier key is held that cannot be lifted: let go of it";
                    return Err(Unable::Unsafe(why.into()));
                }
                lifted = true;
                for keycode in look.down.keycodes().filter(modifiers) {
                    let at = fake(server, KEY_RELEASE_EVENT, keycode)?;
                    self.lifted.push((keycode, at));
                }
                continue;
            }
            server.pause(AGAIN)?;
        }
    }

    /// Looks which of the lifted keys the user has let go of meanwhile.
    fn hear(&mut self, server: &mut Server) -> Result<(), Unable> {
        let news = server.news()?;
        self.note(&news);
        server.keep(news);
        Ok(())
    }

    /// Notes which of the lifted keys the user has let go of. To hear of it twice does no harm.
    pub(super) fn note(&mut self, news: &[News]) {
        for heard in news {
            if let News::Released { keycode, faked, at } = *heard
                && !(faked && self.own.contains(&at))
            {
                // With the number of the request that lifted the key come that itself, through
                // XTEST, and what a keyboard did behind it.
                let is_before = |by| if faked { at <= by } else { at < by };
                self.lifted
                    .retain(|&(lifted, by)| lifted != keycode || is_before(by));
            }
        }
    }

    /// Notes which of the modifier keys that a character needed the user holds since `seen`: they
    /// went up behind it.
    pub(super) fn note_covered(&mut self, sent: &Sent, news: &[News], seen: Sequence) {
        for holder in &sent.holders {
            let is_lifted = self.lifted.iter().any(|(key, _)| *key == holder.keycode);
            if !is_lifted && holder.covers(news, seen) {
                self.lifted.push((holder.keycode, holder.released));
            }
        }
    }

    /// Leaves the modifiers as the user holds them.
    pub(super) fn restore(&mut self, server: &mut Server) -> Result<(), Unable> {
        if self.lifted.is_empty() && self.locks == 0 {
            return Ok(());
        }
        server.sync()?;
        self.hear(server)?;
        self.own.clear();
        for (keycode, _) in std::mem::take(&mut self.lifted) {
            fake(server, KEY_PRESS_EVENT, keycode)?;
            self.put_back = true;
        }
        let locks = std::mem::take(&mut self.locks);
        if locks != 0 {
            lock(server, locks, locks)?;
        }
        server.sync()
    }

    /// Takes locks off. A lock that comes on while they are off was meant to be switched, and what
    /// is put back is the other state.
    fn unlock(&mut self, server: &mut Server, on: u8) -> Result<(), Unable> {
        self.locks ^= on;
        lock(server, on, 0)?;
        server.sync()
    }

    /// The server ignores the press of a key that it takes for held by us.
    fn free_own_keys(
        &mut self,
        server: &mut Server,
        layout: &Layout,
        look: &Look,
    ) -> Result<(), Unable> {
        if std::mem::take(&mut self.put_back) {
            // What has been lifted just now is free, and would count as let go of by the user.
            let is_lifted = |key| self.lifted.iter().any(|(lifted, _)| *lifted == key);
            let up = layout.modifiers.keys().copied();
            for keycode in up.filter(|&key| !look.down.has(key) && !is_lifted(key)) {
                fake(server, KEY_RELEASE_EVENT, keycode)?;
            }
        }
        Ok(())
    }

    /// Presses and releases a key with its modifiers.
    pub(super) fn stroke(
        &mut self,
        server: &Server,
        layout: &Layout,
        stroke: Stroke,
    ) -> Result<Sent, Unable> {
        let mut keys = Vec::new();
        for modifier in (0..8).map(|bit| 1 << bit) {
            if stroke.modifiers & modifier != 0 {
                keys.push(self.holder(layout, modifier)?);
            }
        }
        let mut pressed = Vec::new();
        for keycode in keys {
            pressed.push((keycode, fake(server, KEY_PRESS_EVENT, keycode)?));
        }
        let at = fake(server, KEY_PRESS_EVENT, stroke.keycode)?;
        fake(server, KEY_RELEASE_EVENT, stroke.keycode)?;
        let mut holders = Vec::new();
        for (keycode, pressed) in pressed.into_iter().rev() {
            let released = fake(server, KEY_RELEASE_EVENT, keycode)?;
            if self.lifted.iter().any(|(lifted, _)| *lifted == keycode) {
                self.own.push(released);
            }
            holders.push(Holder {
                keycode,
                pressed,
                released,
            });
        }
        server.connection.flush().map_err(gone)?;
        Ok(Sent { at, holders })
    }

    /// A key that sets a modifier; not one that the user holds, who may let go of it any time.
    fn holder(&self, layout: &Layout, modifier: u8) -> Result<u8, Unable> {
        let lifted = |keycode: &u8| self.lifted.iter().any(|(lifted, _)| lifted == keycode);
        let free = layout.keys_of(modifier).find(|keycode| !lifted(keycode));
        free.or_else(|| layout.keys_of(modifier).next())
            .ok_or_else(|| Unable::Absent("the keyboard map lacks a modifier key".into()))
    }
}

/// Presses or releases a key.
fn fake(server: &Server, what: u8, keycode: u8) -> Result<Sequence, Unable> {
    let sent = server
        .connection
        .xtest_fake_input(what, keycode, 0, x11rb::NONE, 0, 0, 0)
        .map_err(gone)?;
    Ok(sent.sequence_number())
}

fn lock(server: &Server, affected: u8, on: u8) -> Result<(), Unable> {
    server
        .connection
        .xkb_latch_lock_state(
            server.keyboard,
            u16::from(affected).into(),
            u16::from(on).into(),
            false,
            xkb::Group::from(0u8),
            u16::from(affected).into(),
            false,
            0,
        )
        .map_err(gone)?;
    Ok(())
}
