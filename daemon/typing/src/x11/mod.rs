//! Keys on X11, pressed through XTEST, with a keyboard map that has what the text needs.
//!
//! What the layout has in the current group is typed with the layout's own keys, and everything
//! else with keys that give nothing otherwise. Whoever reads a key looks it up in the map as it is
//! then, so nothing that was added is ever taken away before all have read their keys, and in the
//! end it stays: see [`spares`].

mod board;
pub mod clipboard;
mod composing;
mod connect;
mod erase;
mod focus;
mod hands;
mod layout;
mod look;
mod readers;
pub(crate) mod removal;
mod server;
mod spares;
#[cfg(test)]
mod tests;
mod trial;

use std::time::Duration;

use board::Board;
use composing::Composing;
use focus::Focus;
use hands::Hands;
pub use hands::Limits;
use layout::Stroke;
use look::Look;
use readers::{Readers, SLOW};
use server::{News, Sequence, Server};
pub use trial::Trial;

use crate::{Driver, Key, Session, Stopped, Target, Typed, Unable};

/// How long it is waited for that programs have seen new symbols. They would see them all the
/// same, so this is only for those that look at the map late.
const NEW: Duration = Duration::from_millis(200);

/// Opens the driver `x11`.
pub fn open(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(X11::open(session)?))
}

/// Keys through XTEST.
#[derive(Debug)]
pub struct X11 {
    server: Server,
    board: Board,
    hands: Hands,
    readers: Readers,
    composing: Composing,
    /// The server is part of a Wayland desktop.
    nested: bool,
}

/// Where keys go, and what they mean.
#[derive(Debug)]
struct Ground {
    look: Look,
    focus: Focus,
    /// The request that looked at the modifiers last.
    seen: Sequence,
}

impl X11 {
    /// Connects to the X server of a session.
    pub fn open(session: &Session) -> Result<Self, Unable> {
        let mut x11 = X11 {
            server: Server::open(session)?,
            board: Board::default(),
            hands: Hands::default(),
            readers: Readers::default(),
            composing: Composing::of(session),
            nested: session.get("WAYLAND_DISPLAY").is_some(),
        };
        x11.board.read(&x11.server)?;
        Ok(x11)
    }

    /// How long held keys are waited for.
    pub fn set_limits(&mut self, limits: Limits) {
        self.hands.limits = limits;
    }

    /// Does `what` while no modifier is on, as typing does: modifiers that are held are lifted, and
    /// put back behind it.
    pub fn with_free_hands(&mut self, what: impl FnOnce()) -> Result<(), Stopped> {
        self.with_hands(&mut 0, |x11, _| {
            x11.begin()?;
            what();
            Ok(())
        })
    }

    /// Where keys would go.
    fn place(&mut self) -> Result<Target, Unable> {
        let Ground { look, focus, .. } = self.ground()?;
        if look.grabbed && !look.down.any() {
            let why =
                "a program has taken all keys, as a lock screen or an open menu does: close it";
            return Err(Unable::Unsafe(why.into()));
        }
        Ok(focus.target())
    }

    /// That text would arrive as it is. Inside of a Wayland desktop it may not: Xwayland has the
    /// compositor's keyboard map, and refuses other symbols for its keys (`SetMap`, `BadValue`).
    fn exact(&self) -> Result<(), Unable> {
        if self.nested {
            let why = "the X server of a Wayland desktop does not let its keyboard map be changed";
            return Err(Unable::NoTarget(why.into()));
        }
        Ok(())
    }

    fn ground(&mut self) -> Result<Ground, Unable> {
        let look = Look::at(&mut self.server)?;
        let focus = Focus::of(&self.server, &look, self.nested)?;
        let seen = look.at;
        Ok(Ground { look, focus, seen })
    }

    /// Does `what`, and leaves the modifiers as they are held.
    fn with_hands<T>(
        &mut self,
        done: &mut usize,
        what: impl FnOnce(&mut Self, &mut usize) -> Result<T, Unable>,
    ) -> Result<T, Stopped> {
        let result = what(self, done);
        let restored = self.hands.restore(&mut self.server);
        result
            .and_then(|result| restored.map(|()| result))
            .map_err(|why| Stopped {
                characters: *done,
                why,
            })
    }

    /// Waits until keys can be pressed in the window that has the focus.
    fn begin(&mut self) -> Result<Ground, Unable> {
        let mut ground = self.ground()?;
        ground.focus.watch(&self.server)?;
        self.readers.add(ground.focus.top);
        self.settle(&mut ground)?;
        Ok(ground)
    }

    /// Waits until keys mean what they should, in the same window still.
    fn settle(&mut self, ground: &mut Ground) -> Result<(), Unable> {
        self.take_news()?;
        self.board.read(&self.server)?;
        ground.look = self.hands.settle(&mut self.server, &self.board.layout)?;
        ground.seen = ground.look.at;
        self.same(&ground.focus, &ground.look)
    }

    fn take_news(&mut self) -> Result<Vec<News>, Unable> {
        let news = self.server.news()?;
        self.hands.note(&news);
        if news.contains(&News::Keyboard) {
            self.board.forget();
        }
        Ok(news)
    }

    /// That the focus is where it was.
    fn same(&mut self, focus: &Focus, look: &Look) -> Result<(), Unable> {
        // The window under the pointer may be another though the server says the same.
        if look.focus == focus.said && focus.said == focus.window {
            return Ok(());
        }
        let now = Focus::of(&self.server, look, self.nested);
        match now {
            Ok(now) if now.top == focus.top => Ok(()),
            Err(gone @ Unable::Gone(_)) => Err(gone),
            _ => {
                let why = "the focus has gone to another window: what was typed so far stays";
                Err(Unable::NoTarget(why.into()))
            }
        }
    }

    fn type_chars(&mut self, text: &[char], done: &mut usize) -> Result<(), Unable> {
        let mut ground = self.begin()?;
        while *done < text.len() {
            for stroke in self.prepare(&mut ground, &text[*done..])? {
                let same = self.stroke(&mut ground, stroke, done)?;
                self.pass_on(&ground)?;
                if !same {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Where keys go by way of an input method, waits until one has: several on their way come back
    /// in another order now and then.
    fn pass_on(&mut self, ground: &Ground) -> Result<(), Unable> {
        if !self.composing.relays() {
            return Ok(());
        }
        self.wait_for_reader(ground)?;
        self.composing.follow();
        self.wait_for_reader(ground)
    }

    /// Waits until the window has read its keys.
    fn wait_for_reader(&mut self, ground: &Ground) -> Result<(), Unable> {
        self.readers.add(ground.focus.top);
        match self.all_read(SLOW)? {
            true => Ok(()),
            false => Err(unread()),
        }
    }

    /// Has the keyboard give as much of `text` as there is room for at once, and says by which keys.
    fn prepare(&mut self, ground: &mut Ground, text: &[char]) -> Result<Vec<Stroke>, Unable> {
        loop {
            let plan = self.board.plan(text, &ground.look)?;
            if plan.changes.is_empty() {
                self.readers.add(ground.focus.top);
                return Ok(plan.strokes);
            }
            if plan.takes_away && !self.readers.wait(&mut self.server, SLOW)? {
                return Err(unread());
            }
            self.board.change(&mut self.server, &plan.changes)?;
            self.readers.add(ground.focus.top);
            self.readers.wait(&mut self.server, NEW)?;
            // What was planned may mean something else by now.
            self.settle(ground)?;
        }
    }

    /// Presses and releases one key, and counts it if it got where it should. `false`: keys may
    /// mean something else than before.
    fn stroke(
        &mut self,
        ground: &mut Ground,
        stroke: Stroke,
        done: &mut usize,
    ) -> Result<bool, Unable> {
        let layout = &self.board.layout;
        let sent = self.hands.stroke(&self.server, layout, stroke)?;
        let look = Look::at(&mut self.server)?;
        let news = self.take_news()?;
        let seen = std::mem::replace(&mut ground.seen, look.at);
        self.hands.note_covered(&sent, &news, seen);
        // What came about behind this look is the next one's.
        let later = |news: &&News| news.is_key_since(look.at);
        self.server
            .keep(news.iter().filter(later).copied().collect());
        let regrouped = look.group != ground.look.group;
        if sent.is_spoilt(&news, &self.board.layout, seen, regrouped) {
            let why = "a modifier key was pressed in the middle of a character, which may be wrong now: look at what stands there";
            return Err(Unable::Unsafe(why.into()));
        }
        let stayed = look.focus == ground.focus.said && !look.grabbed;
        if stayed || !left_before(&news, &ground.focus, sent.at) {
            *done += 1;
        }
        self.same(&ground.focus, &look)?;
        // The focus may have gone since it was looked at: then it is looked at again first.
        let may_be_left = left_before(&news, &ground.focus, Sequence::MAX);
        let same = look.calm(&ground.look) && !news.contains(&News::Keyboard) && !may_be_left;
        if !same {
            self.settle(ground)?;
        }
        Ok(same)
    }

    /// Presses and releases the key of a character with `modifiers`, as a shortcut.
    fn chord(&mut self, ground: &mut Ground, char: char, modifiers: u8) -> Result<(), Unable> {
        let plan = self.prepare(ground, &[char])?;
        for stroke in plan {
            // A program looks at the key's first level and the modifiers.
            let stroke = Stroke {
                modifiers: stroke.modifiers | modifiers,
                ..stroke
            };
            self.stroke(ground, stroke, &mut 0)?;
        }
        Ok(())
    }

    /// Puts the modifiers back as the user holds them.
    fn release(&mut self) -> Result<(), Unable> {
        self.hands.restore(&mut self.server)
    }

    /// Waits until all programs have read their keys.
    fn all_read(&mut self, limit: Duration) -> Result<bool, Unable> {
        self.readers.wait(&mut self.server, limit)
    }

    /// The bits of a resource's number that tell it from others of the same program.
    fn id_mask(&self) -> u32 {
        x11rb::connection::Connection::setup(&self.server.connection).resource_id_mask
    }

    /// Presses and releases the key that gives a symbol, with `modifiers` on top, and counts it.
    fn tap(
        &mut self,
        ground: &mut Ground,
        sym: u32,
        modifiers: u8,
        done: &mut usize,
    ) -> Result<(), Unable> {
        let strokes = self.board.strokes(&ground.look).syms;
        let stroke = strokes.get(&sym).copied().ok_or_else(|| {
            Unable::Absent(format!(
                "the keyboard map has no key for the symbol {sym:#x}, or it is held"
            ))
        })?;
        let stroke = Stroke {
            modifiers: stroke.modifiers | modifiers,
            ..stroke
        };
        self.stroke(ground, stroke, done).map(|_| ())
    }
}

impl Drop for X11 {
    /// Something is lifted only when the thread unwinds: a key that a user holds would seem to be up
    /// until it is pressed again.
    fn drop(&mut self) {
        // A server that has gone needs nothing.
        let _ = self.hands.restore(&mut self.server);
    }
}

/// Waits until the window that has the focus has read its keys, where it is one of the X server that
/// is part of a Wayland desktop.
pub(crate) fn wait_until_read(session: &Session) -> Result<(), Unable> {
    let wait = || {
        let mut server = Server::open(session)?;
        let look = Look::at(&mut server)?;
        let mut readers = Readers::default();
        readers.add(Focus::of(&server, &look, true)?.top);
        readers.wait(&mut server, SLOW)
    };
    match wait() {
        Ok(false) => Err(unread()),
        // There is no such server, or another window has the focus: those read in order.
        Ok(true) | Err(_) => Ok(()),
    }
}

fn unread() -> Unable {
    Unable::NoTarget("the program does not read its keys: wait until it does".into())
}

/// Whether the keys had gone elsewhere before the request `at`.
fn left_before(news: &[News], focus: &Focus, at: Sequence) -> bool {
    news.iter().any(|news| match news {
        News::Left {
            window, at: when, ..
        } => *window == focus.window && *when < at,
        _ => false,
    })
}

impl Driver for X11 {
    fn name(&self) -> &'static str {
        "x11"
    }

    fn target(&mut self) -> Result<Target, Unable> {
        let target = self.place()?;
        self.exact()?;
        if let Some(engine) = self.composing.by_ibus() {
            return Err(Unable::NoTarget(format!(
                "IBus makes something else of keys there ({engine}): have `ibus` among the drivers, or choose a keyboard in IBus"
            )));
        }
        Ok(target)
    }

    fn type_text(&mut self, text: &str) -> Result<Typed, Stopped> {
        self.exact().map_err(|why| Stopped { characters: 0, why })?;
        let text: Vec<char> = text.chars().collect();
        let mut done = 0;
        self.composing.put_aside();
        let typed = self.with_hands(&mut done, |x11, done| x11.type_chars(&text, done));
        self.composing.take_back();
        typed?;
        Ok(Typed {
            characters: done,
            verified: false,
        })
    }

    fn press(&mut self, key: Key, times: u32) -> Result<(), Stopped> {
        let sym = match key {
            Key::Return => xkeysym::key::Return,
            Key::Tab => xkeysym::key::Tab,
            Key::BackSpace => xkeysym::key::BackSpace,
        };
        let mut done = 0;
        self.with_hands(&mut done, |x11, done| {
            let mut ground = x11.begin()?;
            while *done < times as usize {
                x11.tap(&mut ground, sym, 0, done)?;
            }
            Ok(())
        })
    }

    fn erase(&mut self, text: &str) -> Result<(), Stopped> {
        let mut done = 0;
        self.with_hands(&mut done, |x11, done| x11.erase_chars(text, done))
    }
}
