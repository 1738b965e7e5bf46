//! The driver `wayland-input-method`: text that a field takes as a whole, and shows underlined
//! while it may still change.
//!
//! Only into a field that is active, and that tells what stands in it: then it is known whether a
//! text has arrived. A program may drop what an input method commits while it has something to say
//! itself, and does not say so; so a field that does not tell, as in a terminal, gets keys instead.
//! Nothing is committed twice.

use std::time::Duration;

use unicode_segmentation::GraphemeCursor;
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_manager_v2::ZwpInputMethodManagerV2;
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_v2::ZwpInputMethodV2;

use super::compositor::{Compositor, State};
use super::field::Surrounding;
use super::keyboard::Keyboard;
use super::keys;
use super::toplevels::Toplevels;
use crate::{Driver, Key, Purpose, Session, Stopped, Target, Typed, Unable};

/// A field becomes active when its program has been told that there is an input method.
const ACTIVATION: Duration = Duration::from_millis(150);
/// How long a field may take to tell of a change. Later nothing is wrong; only nothing is known.
const TOLD: Duration = Duration::from_secs(1);
/// How long keys are waited for before a text follows them: a program takes keys out of a queue,
/// and texts as they come.
const KEYS: Duration = Duration::from_millis(200);
/// Most bytes at once: a message of the protocol has room for 4000, and fields tell of about 2000
/// before the cursor.
const MOST_BYTES: usize = 1000;

/// Opens the driver `wayland-input-method`.
pub fn open(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(InputMethod::open(session)?))
}

/// The seat's input method.
#[derive(Debug)]
pub struct InputMethod {
    compositor: Compositor,
    method: ZwpInputMethodV2,
    keyboard: Keyboard,
    /// A text that may still change is shown.
    shows: bool,
    /// Keys were pressed, and how often the field had told something then.
    pressed: Option<u32>,
}

impl InputMethod {
    /// Becomes the input method of a session's seat.
    pub fn open(session: &Session) -> Result<Self, Unable> {
        let mut compositor = Compositor::open(session)?;
        let manager: ZwpInputMethodManagerV2 = compositor.bind(1)?;
        let seat = compositor.seat()?;
        let keyboard = Keyboard::open(&mut compositor, session)?;
        Toplevels::watch(&mut compositor)?;
        let method = manager.get_input_method(&seat, &compositor.handle(), ());
        compositor.sync()?;
        let mut driver = InputMethod {
            compositor,
            method,
            keyboard,
            shows: false,
            pressed: None,
        };
        if driver.compositor.state.field.is_taken() {
            let why = "another input method is in use";
            return Err(Unable::Absent(why.into()));
        }
        driver
            .compositor
            .until(ACTIVATION, |state| state.field.is_active().then_some(()))?;
        Ok(driver)
    }

    /// Whether the field tells what stands in it.
    fn tells(&self) -> bool {
        self.compositor.state.field.surrounding().is_some()
    }

    /// What has been asked for happens, all of it at once.
    fn commit(&mut self) -> Result<(), Unable> {
        self.method.commit(self.compositor.state.field.serial());
        self.compositor.sync()
    }

    /// Takes away what is shown for the time being.
    fn hide(&mut self) -> Result<(), Unable> {
        if !std::mem::take(&mut self.shows) {
            return Ok(());
        }
        // What is not asked for again is gone.
        self.commit()
    }

    /// Waits until keys that went out have been taken.
    fn settle(&mut self) -> Result<(), Unable> {
        if let Some(serial) = self.pressed.take() {
            let changed = |state: &mut State| (state.field.serial() != serial).then_some(());
            self.compositor.until(KEYS, changed)?;
        }
        Ok(())
    }

    /// Waits until what stands in the field fits `wanted`; `false`: it does not say so.
    fn told(&mut self, wanted: impl Fn(&Surrounding) -> bool) -> Result<bool, Unable> {
        let found = self.compositor.until(TOLD, |state| {
            if !state.field.is_active() {
                return Some(false);
            }
            let fits = state.field.surrounding().is_some_and(&wanted);
            fits.then_some(true)
        })?;
        Ok(found == Some(true))
    }

    /// Commits a text in parts that a message has room for.
    fn commit_text(&mut self, text: &str, done: &mut usize) -> Result<bool, Unable> {
        self.settle()?;
        let mut verified = true;
        for part in parts(text) {
            self.compositor.sync()?;
            self.here()?;
            let before = self.stands().before;
            self.method.commit_string(part.to_owned());
            self.shows = false;
            self.commit()?;
            *done += part.chars().count();
            verified &= self.told(|now| now.before != before && now.before.ends_with(part))?;
        }
        Ok(verified)
    }

    /// That a field is active.
    fn here(&self) -> Result<(), Unable> {
        if self.compositor.state.field.is_active() {
            return Ok(());
        }
        let why = "no text field has the focus: click into the one that should get the text";
        Err(Unable::NoTarget(why.into()))
    }

    /// Removes a text that stands before the cursor as the field tells, from its end on, and
    /// counts what is gone.
    ///
    /// The protocol counts bytes, and GTK 4 characters, so only what is the same in both is removed
    /// at once. BackSpace does the rest, which takes away a mark or a whole character as the program
    /// likes, until all is gone.
    fn delete(&mut self, target: &Target, text: &str, done: &mut usize) -> Result<(), Unable> {
        self.settle()?;
        let stands = self.stands();
        let Some(rest) = stands.before.strip_suffix(text) else {
            return Err(other_text());
        };
        // A mark would take away the character that it stands on.
        let mut start = GraphemeCursor::new(rest.len(), stands.before.len(), true);
        if start.is_boundary(&stands.before, 0) != Ok(true) {
            let why = "the text goes on a character that stood there before: nothing is removed";
            return Err(Unable::Unsafe(why.into()));
        }
        loop {
            self.compositor.sync()?;
            self.here()?;
            let now = self.stands();
            let left = now.before.strip_prefix(rest).ok_or_else(other_text)?;
            *done = text.chars().count().saturating_sub(left.chars().count());
            if left.is_empty() {
                return Ok(());
            }
            let ascii = left.bytes().rev().take_while(u8::is_ascii).count();
            if ascii > 0 {
                let length = ascii.min(MOST_BYTES) as u32;
                self.method.delete_surrounding_text(length, 0);
                self.commit()?;
            } else {
                let stays = keys::stays(target);
                let key = Key::BackSpace;
                self.keyboard
                    .press(&mut self.compositor, key, 1, &mut 0, stays)?;
            }
            if !self.told(|told| told.before != now.before)? {
                let why = "the text field does not say that the text is gone";
                return Err(Unable::Unsafe(why.into()));
            }
        }
    }

    /// What the field tells.
    fn stands(&self) -> Surrounding {
        let field = &self.compositor.state.field;
        field.surrounding().cloned().unwrap_or_default()
    }

    fn keys(&mut self, text: &str, done: &mut usize) -> Result<(), Unable> {
        let target = self.target()?;
        let text: Vec<char> = text.chars().collect();
        let stays = keys::stays(&target);
        self.keyboard
            .type_chars(&mut self.compositor, &text, done, stays)
    }

    fn note_keys(&mut self) {
        self.pressed = Some(self.compositor.state.field.serial());
    }
}

fn other_text() -> Unable {
    let why = "what stands before the cursor is not what was typed: nothing more is removed";
    Unable::Unsafe(why.into())
}

/// Cuts a text into parts that a message has room for.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut left = text;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let mut end = left.len().min(MOST_BYTES);
        while !left.is_char_boundary(end) {
            end -= 1;
        }
        let (part, rest) = left.split_at(end);
        left = rest;
        Some(part)
    })
}

impl Driver for InputMethod {
    fn name(&self) -> &'static str {
        "wayland-input-method"
    }

    fn target(&mut self) -> Result<Target, Unable> {
        self.compositor.sync()?;
        if self.compositor.state.field.is_taken() {
            let why = "another input method is in use now";
            return Err(Unable::Gone(why.into()));
        }
        self.here()?;
        let mut target = self.compositor.state.toplevels.target()?;
        let purpose = self.compositor.state.field.purpose();
        // A terminal that does not say so is known by its name.
        if purpose != Purpose::Text {
            target.purpose = purpose;
        }
        Ok(target)
    }

    fn type_text(&mut self, text: &str) -> Result<Typed, Stopped> {
        let mut done = 0;
        let typed = self.target().and_then(|_| {
            if self.tells() {
                return self.commit_text(text, &mut done);
            }
            self.hide()?;
            self.keys(text, &mut done).map(|()| false)
        });
        match typed {
            Ok(verified) => Ok(Typed {
                characters: done,
                verified,
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
            self.hide()?;
            self.note_keys();
            let (times, stays) = (times as usize, keys::stays(&target));
            self.keyboard
                .press(&mut self.compositor, key, times, &mut done, stays)
        });
        pressed.map_err(|why| Stopped {
            characters: done,
            why,
        })
    }

    fn erase(&mut self, text: &str) -> Result<(), Stopped> {
        let mut done = 0;
        let erased = self.target().and_then(|target| {
            self.hide()?;
            if self.tells() {
                return self.delete(&target, text, &mut done);
            }
            let stays = keys::stays(&target);
            self.keyboard
                .erase(&mut self.compositor, &target, text, stays)
        });
        erased.map_err(|why| Stopped {
            characters: done,
            why,
        })
    }

    fn preedit(&mut self, text: &str) -> Result<bool, Unable> {
        if text.is_empty() {
            self.hide()?;
            return Ok(true);
        }
        self.target()?;
        self.settle()?;
        let text = parts(text).next().unwrap_or_default();
        let end = text.len() as i32;
        self.method.set_preedit_string(text.to_owned(), end, end);
        self.shows = true;
        self.commit()?;
        Ok(true)
    }

    fn surrounding(&mut self) -> Option<(String, String)> {
        self.compositor.sync().ok()?;
        let field = &self.compositor.state.field;
        let found = field.surrounding().filter(|_| field.is_active())?;
        Some((found.before.clone(), found.after.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "aä😀".repeat(400);
        let cut: Vec<&str> = parts(&text).collect();
        assert!(
            cut.iter()
                .all(|part| part.len() <= MOST_BYTES && !part.is_empty())
        );
        assert_eq!(cut.concat(), text);
        assert_eq!(parts("").count(), 0);
    }
}
