//! Texts on their way through the drivers: which one takes them, and what they become. Blocks.

use std::time::{Duration, Instant};

use wstream_typing::{Driver, Fields, Key, Lock, Open, Purpose, Session, Stopped, Target, Unable};

use super::chain::Chain;
use super::joining::{Before, join};
use super::memory::{Memory, Place, is_same};
use super::parts::{Allowed, Part};
use super::{Text, TypingSettings};
use crate::fault::{Fault, FaultKind};

/// A limited rate goes out in pieces of this length.
const PIECE: Duration = Duration::from_millis(50);

/// The way out.
#[derive(Debug)]
pub(super) struct Out {
    table: &'static [(&'static str, Open)],
    settings: TypingSettings,
    chain: Chain,
    lock: Lock,
    /// The daemon was told that the screen is locked, which may be before whoever is asked knows.
    told_locked: Option<&'static str>,
    fields: Fields,
    memory: Memory,
}

/// What has gone out of a text.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) driver: &'static str,
    pub(super) characters: usize,
    pub(super) verified: bool,
}

impl Out {
    pub(super) fn new(
        table: &'static [(&'static str, Open)],
        settings: TypingSettings,
        session: Session,
    ) -> Self {
        Out {
            lock: Lock::of(&session),
            told_locked: None,
            fields: Fields::of(&session),
            chain: Chain::new(table, &settings.drivers, session),
            table,
            settings,
            memory: Memory::default(),
        }
    }

    pub(super) fn settings(&self) -> &TypingSettings {
        &self.settings
    }

    /// Takes new settings; `true`: the drivers are others now.
    pub(super) fn configure(&mut self, settings: TypingSettings) -> bool {
        let is_same = settings.drivers == self.settings.drivers;
        self.settings = settings;
        if !is_same {
            self.reopen(self.chain.session().clone());
        }
        !is_same
    }

    /// The screen is locked, or is not any more.
    pub(super) fn lock(&mut self, locked: bool) {
        self.told_locked = locked.then_some("logind");
    }

    /// Moves to this desktop; `false`: that is where it is.
    pub(super) fn move_to(&mut self, session: Session) -> bool {
        let is_new = session != *self.chain.session();
        if is_new {
            // Who does not say where its bus is means the one that is known.
            if session.get("DBUS_SESSION_BUS_ADDRESS").is_some() {
                self.lock = Lock::of(&session);
                self.fields = Fields::of(&session);
            }
            self.reopen(session);
        }
        is_new
    }

    /// What is known of the windows is about the old ones.
    fn reopen(&mut self, session: Session) {
        self.chain = Chain::new(self.table, &self.settings.drivers, session);
        self.memory.forget();
    }

    pub(super) fn has_desktop(&self) -> bool {
        self.chain.has_desktop()
    }

    /// Where a text would go now.
    pub(super) fn place(&mut self) -> Result<Place, Unable> {
        self.pick(0)
    }

    /// The first driver from place `from` on that has a target; none while the screen is locked.
    fn pick(&mut self, from: usize) -> Result<Place, Unable> {
        if self.has_desktop()
            && let Some(holder) = self.told_locked.or_else(|| self.lock.holder())
        {
            tracing::debug!(holder, "the screen is locked");
            let why = "the screen is locked: unlock it";
            return Err(Unable::Unsafe(why.to_owned()));
        }
        let (at, mut target) = self.chain.pick(from)?;
        if target.purpose != Purpose::Password && self.fields.has_password() {
            target.purpose = Purpose::Password;
        }
        Ok((at, target))
    }

    /// A text as it goes on from what stands where it would go; empty where it would go nowhere.
    pub(super) fn joined(&mut self, text: &str, language: &str) -> String {
        match self.place() {
            Ok(place) => join(&self.before(&place), text, language),
            Err(_) => String::new(),
        }
    }

    /// Types a text; `joins`: as it goes on from what stands before the cursor, rather than as it
    /// is. No other driver takes over once a character has gone out.
    pub(super) fn type_joined(&mut self, text: &Text, joins: bool) -> Result<Gone, Stopped> {
        if text.text.is_empty() && text.keys.is_empty() {
            return Ok(Gone {
                driver: "none",
                characters: 0,
                verified: true,
            });
        }
        let characters = text.text.chars().count();
        if characters > self.settings.max_characters {
            let why = format!(
                "the text has {characters} characters, more than max_characters in [typing] allows"
            );
            return Err(none_of(Unable::Unsafe(why)));
        }
        if joins {
            self.memory.begin();
        }
        let mut from = 0;
        loop {
            let place = self.pick(from).map_err(none_of)?;
            if place.1.purpose == Purpose::Password {
                let why = "a password field has the focus".to_owned();
                return Err(none_of(Unable::Unsafe(why)));
            }
            let joined = match joins {
                true => join(&self.before(&place), &text.text, &text.language),
                false => text.text.clone(),
            };
            let at = place.0;
            match self.type_at(&place, &joined, &text.keys) {
                Err(Stopped {
                    characters: 0,
                    why: Unable::Absent(_) | Unable::NoTarget(_),
                }) if at + 1 < self.table.len() => {
                    from = at + 1;
                }
                Err(stopped) => {
                    if matches!(stopped.why, Unable::Gone(_)) {
                        self.chain.close(at);
                    }
                    return Err(stopped);
                }
                went => return went,
            }
        }
    }

    fn type_at(&mut self, place: &Place, text: &str, keys: &[String]) -> Result<Gone, Stopped> {
        let allowed = Allowed {
            newlines: self.settings.newlines,
            tabs: self.settings.tabs,
            enter_in_terminals: self.settings.enter_in_terminals,
        };
        let purpose = place.1.purpose;
        let mut parts = allowed.parts(text, purpose);
        let wanted = keys.iter().filter_map(|name| key(name));
        parts.extend(
            wanted
                .filter(|key| allowed.key(*key, purpose))
                .map(Part::Key),
        );
        let name = self.chain.name(place.0);
        let rate = self.settings.per_second;
        let Some(driver) = self.chain.driver(place.0) else {
            return Err(none_of(Unable::Gone("the desktop has gone".to_owned())));
        };
        let mut gone = Gone {
            driver: name,
            characters: 0,
            verified: true,
        };
        let mut out = String::new();
        let mut stopped = None;
        for (number, part) in parts.into_iter().enumerate() {
            let stays = match number {
                0 => Ok(()),
                _ => still_there(driver, &place.1).map_err(none_of),
            };
            let went = stays.and_then(|()| match &part {
                Part::Text(text) => type_slowly(driver, &place.1, text, rate),
                Part::Key(key) => driver.press(*key, 1).map(|()| (0, true)),
            });
            match (went, part) {
                (Ok((characters, verified)), Part::Text(text)) => {
                    gone.characters += characters;
                    gone.verified &= verified;
                    out.push_str(&text);
                }
                (Ok(_), Part::Key(_)) => {
                    // What a key does cannot be taken away.
                    out.clear();
                    self.memory.forget();
                }
                (Err(it), Part::Text(text)) => {
                    out.extend(text.chars().take(it.characters));
                    gone.characters += it.characters;
                    stopped = Some(it.why);
                    break;
                }
                (Err(it), Part::Key(_)) => {
                    stopped = Some(it.why);
                    break;
                }
            }
        }
        self.memory.note(place, &out);
        match stopped {
            None => Ok(gone),
            Some(why) => Err(Stopped {
                characters: gone.characters,
                why,
            }),
        }
    }

    /// What stands before the cursor now.
    fn before(&mut self, place: &Place) -> Before {
        let told = self
            .chain
            .driver(place.0)
            .and_then(|driver| driver.surrounding());
        if let Some((before, _)) = told {
            return Before::Told(before);
        }
        self.memory.before(place)
    }

    pub(super) fn undo(&mut self) -> Result<u32, Fault> {
        let Some(piece) = self.memory.take() else {
            return Err(not_typed("nothing was typed that can be taken away"));
        };
        let refused = match self.pick(0) {
            Err(why) => Some(stays(&why)),
            Ok(now) if !is_same(&piece.place, &now) => Some(not_typed(
                "another window has the focus than the one that was typed into: go back there first",
            )),
            Ok((_, target)) if target.purpose == Purpose::Password => Some(not_typed(
                "a password field has the focus: go back to where the text is first",
            )),
            Ok(_) => None,
        };
        if let Some(refused) = refused {
            self.memory.put_back(piece);
            return Err(refused);
        }
        let erased = match self.chain.driver(piece.place.0) {
            Some(driver) => driver.erase(&piece.text),
            None => Err(none_of(Unable::Gone("the desktop has gone".to_owned()))),
        };
        if let Err(Stopped { characters, why }) = erased {
            // Where nothing was removed, it can be tried again.
            if characters == 0 {
                self.memory.put_back(piece);
            }
            return Err(stays(&why));
        }
        self.memory.forget_end(&piece.text);
        Ok(piece.text.chars().count() as u32)
    }

    /// Shows words that may still change where they would be typed.
    pub(super) fn preedit(&mut self, text: &str) {
        let Ok((at, target)) = self.pick(0) else {
            return;
        };
        if target.purpose == Purpose::Password {
            return;
        }
        if let Some(driver) = self.chain.driver(at)
            && let Err(why) = driver.preedit(text)
        {
            tracing::debug!(%why, "words cannot be shown where they would be typed");
        }
    }
}

/// Types a text, in pieces if there is a limit to its speed: characters, and whether they are
/// verified.
fn type_slowly(
    driver: &mut dyn Driver,
    target: &Target,
    text: &str,
    per_second: Option<u32>,
) -> Result<(usize, bool), Stopped> {
    let Some(per_second) = per_second else {
        return driver
            .type_text(text)
            .map(|typed| (typed.characters, typed.verified));
    };
    let most = (PIECE.as_secs_f64() * f64::from(per_second))
        .ceil()
        .max(1.0) as usize;
    let chars: Vec<char> = text.chars().collect();
    let (mut characters, mut verified) = (0, true);
    for piece in chars.chunks(most) {
        let due = Duration::from_secs_f64(piece.len() as f64 / f64::from(per_second));
        let start = Instant::now();
        let piece: String = piece.iter().collect();
        let stays = match characters {
            0 => Ok(()),
            _ => still_there(driver, target).map_err(none_of),
        };
        let typed = stays.and_then(|()| driver.type_text(&piece));
        let typed = typed.map_err(|stopped| Stopped {
            characters: characters + stopped.characters,
            ..stopped
        })?;
        characters += typed.characters;
        verified &= typed.verified;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok((characters, verified))
}

/// That the rest of a text would go where its beginning went: a driver sees to that only within
/// what it is given at once.
fn still_there(driver: &mut dyn Driver, target: &Target) -> Result<(), Unable> {
    if driver.target()?.id == target.id {
        return Ok(());
    }
    let why = "the focus has gone to another window: what was typed so far stays";
    Err(Unable::NoTarget(why.to_owned()))
}

fn key(name: &str) -> Option<Key> {
    [Key::Return, Key::Tab, Key::BackSpace]
        .into_iter()
        .find(|key| format!("{key:?}") == name)
}

pub(super) fn none_of(why: Unable) -> Stopped {
    Stopped { characters: 0, why }
}

pub(super) fn not_typed(message: &str) -> Fault {
    Fault::new(FaultKind::NotTyped, message)
}

/// What cannot be taken away stays.
fn stays(why: &Unable) -> Fault {
    not_typed(&format!("what was typed stays: {why}"))
}

/// The sentence for the user.
pub(super) fn fault(stopped: &Stopped) -> Fault {
    let how = "`wstreamctl retype` types it where the focus is, `wstreamctl last` shows it";
    failed(stopped, how)
}

/// The sentence for who has asked for the text again: the same once more is no advice.
pub(super) fn fault_again(stopped: &Stopped) -> Fault {
    failed(
        stopped,
        match stopped.why {
            Unable::Absent(_) | Unable::Gone(_) => {
                "`wstreamctl last` shows it, `wstreamctl last --copy` puts it on the clipboard"
            }
            Unable::NoTarget(_) | Unable::Unsafe(_) => {
                "once that is over, ask again; `wstreamctl last` shows it"
            }
        },
    )
}

fn failed(stopped: &Stopped, how: &str) -> Fault {
    let Stopped { characters, why } = stopped;
    not_typed(&match characters {
        0 => format!("the text was not typed ({why}): {how}"),
        _ => format!("only the first {characters} characters were typed ({why}): {how}"),
    })
}
