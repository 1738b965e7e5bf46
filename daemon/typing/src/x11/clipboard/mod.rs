//! Text by way of the clipboard: it is offered there, the program is told to paste, and when it has
//! fetched the text what was on the clipboard before is offered again, in all its forms.

mod content;
mod giving;
mod keeper;
mod selections;

use std::time::{Duration, Instant};

use keeper::Keeper;
use selections::Selections;
use x11rb::protocol::xproto::Window;

use super::layout::{CONTROL, SHIFT};
use super::readers::SLOW;
use super::{Ground, X11};
use crate::{Driver, Key, Purpose, Session, Stopped, Target, Typed, Unable};

/// How long a program may take until it fetches what it was told to paste. One that reads even
/// later would get what was on the clipboard before, so this is long.
const FETCHED: Duration = Duration::from_secs(30);
/// Programs fetch more than once: which forms there are, the text, some both once more.
const SETTLED: Duration = Duration::from_millis(150);

/// Opens the driver `clipboard`.
pub fn open(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(Clipboard::open(session)?))
}

/// Text by way of the clipboard.
#[derive(Debug)]
pub struct Clipboard {
    keys: X11,
    keeper: Keeper,
}

impl Clipboard {
    /// Connects to the X server of a session.
    pub fn open(session: &Session) -> Result<Self, Unable> {
        Ok(Clipboard {
            keys: X11::open(session)?,
            keeper: Keeper::start(session)?,
        })
    }

    fn paste(&mut self, text: &str) -> Result<(), Unable> {
        let mut ground = self.keys.begin()?;
        let chord = Chord::of(&ground.focus.target());
        self.keeper.offer(text, chord == Chord::ShiftInsert)?;
        let pasted = self.press_chord(&mut ground, chord);
        let pasted = pasted.and_then(|()| self.fetched(&ground));
        // Also where it was not fetched: what is ours must not be pasted by mistake later on.
        let restored = self.keeper.restore();
        pasted.and(restored)
    }

    fn press_chord(&mut self, ground: &mut Ground, chord: Chord) -> Result<(), Unable> {
        match chord {
            Chord::ControlV => self.keys.chord(ground, 'v', CONTROL),
            Chord::ControlShiftV => self.keys.chord(ground, 'v', CONTROL | SHIFT),
            Chord::ShiftInsert => self.keys.tap(ground, xkeysym::key::Insert, SHIFT, &mut 0),
        }
    }

    /// Waits until the program that has the focus has fetched the text.
    fn fetched(&mut self, ground: &Ground) -> Result<(), Unable> {
        let until = Instant::now() + FETCHED;
        let mask = !self.keys.id_mask();
        let of_program = |window: Window| window & mask == ground.focus.top & mask;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.keeper.given(left) {
                // Others, such as a history of the clipboard, may fetch it first.
                Some(window) if !of_program(window) => {}
                Some(_) => break,
                None => {
                    let why = "the program did not paste: it may not know the shortcut, or no text field has the focus";
                    return Err(Unable::NoTarget(why.into()));
                }
            }
        }
        self.keys.all_read(SLOW)?;
        while self.keeper.given(SETTLED).is_some() {}
        Ok(())
    }
}

/// What tells a program to paste.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chord {
    ControlV,
    ControlShiftV,
    /// Terminals of old, which paste what is selected.
    ShiftInsert,
}

impl Chord {
    fn of(target: &Target) -> Self {
        const OF_OLD: [&str; 7] = [
            "xterm",
            "uxterm",
            "koi8rxterm",
            "rxvt",
            "urxvt",
            "st",
            "eterm",
        ];
        let app = target.app.to_lowercase();
        match target.purpose {
            _ if OF_OLD.contains(&app.as_str()) => Chord::ShiftInsert,
            Purpose::Terminal => Chord::ControlShiftV,
            _ => Chord::ControlV,
        }
    }
}

impl Driver for Clipboard {
    fn name(&self) -> &'static str {
        "clipboard"
    }

    fn target(&mut self) -> Result<Target, Unable> {
        self.keys.place()
    }

    fn type_text(&mut self, text: &str) -> Result<Typed, Stopped> {
        let pasted = if text.is_empty() {
            Ok(())
        } else {
            self.paste(text)
        };
        let restored = self.keys.release();
        pasted
            .and(restored)
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
pub struct Serving(Selections);

impl Serving {
    /// Gives the text to every program that asks, until another one copies something.
    pub fn wait(mut self) -> Result<(), Unable> {
        while !self.0.held.is_empty() {
            let soon = Instant::now() + Duration::from_secs(3600);
            let lost = |event: &x11rb::protocol::Event| match event {
                x11rb::protocol::Event::SelectionClear(_) => Some(event.clone()),
                _ => None,
            };
            if let Some(event) = self.0.until(soon, lost)? {
                self.0.serve(&event)?;
            }
        }
        Ok(())
    }
}

/// Puts a text on the clipboard. It stays there for as long as somebody waits on what is returned.
pub fn copy(session: &Session, text: &str) -> Result<Serving, Unable> {
    let mut selections = Selections::open(session)?;
    let mut content = content::Content::text(&selections.atoms, text);
    // Wanted by the user, so a history may keep it.
    let hint = selections.atoms.PASSWORD_HINT;
    content.forms.retain(|form| form.target != hint);
    let clipboard = selections.atoms.CLIPBOARD;
    selections.offer(clipboard, content)?;
    Ok(Serving(selections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_told_to_paste_as_it_knows_it() {
        for (app, purpose, wanted) in [
            ("XTerm", Purpose::Terminal, Chord::ShiftInsert),
            ("Gnome-terminal", Purpose::Terminal, Chord::ControlShiftV),
            ("Firefox", Purpose::Text, Chord::ControlV),
            ("", Purpose::Text, Chord::ControlV),
        ] {
            let target = Target {
                app: app.into(),
                purpose,
                ..Target::default()
            };
            assert_eq!(Chord::of(&target), wanted, "{app}");
        }
    }
}
