//! What the typist does with each order. Blocks; has no clock but for joining and the rate.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wstream_typing::{Driver, Key, Open, Purpose, Session, Stopped, Target, Unable};

use super::chain::Chain;
use super::joining::{Before, join};
use super::parts::{Allowed, Part};
use super::{Live, Text, ToTypist, TypingSettings};
use crate::event::Event;
use crate::fault::{Fault, FaultKind};

/// Texts that can be taken away again, newest last.
const UNDO: usize = 20;

/// What of a text is kept to know how the next one goes on, in characters.
const TAIL: usize = 40;

/// A limited rate goes out in pieces of this length.
const PIECE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Work {
    table: &'static [(&'static str, Open)],
    settings: TypingSettings,
    chain: Chain,
    to_daemon: mpsc::Sender<Event>,
    /// Where the focus was when an utterance began that has no text yet: its driver and target.
    began: Vec<(u64, Option<Place>)>,
    /// The utterance whose words are being typed while they are said.
    saying: Option<Saying>,
    /// Utterances up to this one have their text: what is still said of them is old.
    done: u64,
    /// What was typed last, to be taken away again.
    typed: Vec<Piece>,
    /// Counts texts, so that the pieces of one are taken away at once.
    stretch: u64,
    /// When and what was typed last.
    last: Option<(Place, String, Instant)>,
    /// The user has been told that nothing can be typed, and nothing was since.
    told: bool,
}

/// A driver and a target.
type Place = (usize, Target);

/// A text that stands before the cursor of a target.
#[derive(Debug)]
struct Piece {
    place: Place,
    stretch: u64,
    text: String,
}

#[derive(Debug)]
struct Saying {
    utterance: u64,
    /// What of its committed words has gone out.
    committed: String,
    /// How many characters have gone out.
    characters: usize,
    verified: bool,
    driver: &'static str,
    /// Something went wrong; the rest stays.
    failed: bool,
}

/// What has gone out of a text.
#[derive(Debug)]
struct Gone {
    driver: &'static str,
    characters: usize,
    verified: bool,
}

impl Work {
    pub(super) fn new(
        table: &'static [(&'static str, Open)],
        settings: TypingSettings,
        session: Session,
        to_daemon: mpsc::Sender<Event>,
    ) -> Self {
        Work {
            chain: Chain::new(table, &settings.drivers, session),
            table,
            settings,
            to_daemon,
            began: Vec::new(),
            saying: None,
            done: 0,
            typed: Vec::new(),
            stretch: 0,
            last: None,
            told: false,
        }
    }

    pub(super) fn order(&mut self, order: ToTypist) {
        match order {
            ToTypist::Configure(settings) => {
                let is_same = settings.drivers == self.settings.drivers;
                self.settings = settings;
                if !is_same {
                    self.reopen(self.chain.session().clone());
                }
            }
            ToTypist::Desktop(session) if session == *self.chain.session() => {}
            ToTypist::Desktop(session) => self.reopen(session),
            ToTypist::Began { utterance } => {
                let place = match self.settings.follow_focus {
                    true => None,
                    false => self.chain.pick(0).ok(),
                };
                self.began.push((utterance, place));
            }
            ToTypist::Dropped { utterance } => {
                self.forget(utterance);
                self.done = self.done.max(utterance);
                if self
                    .saying
                    .take_if(|it| it.utterance == utterance)
                    .is_some()
                {
                    self.preedit("");
                }
            }
            ToTypist::Final(text) => self.final_text(text),
            // Whoever asked may have left.
            ToTypist::Undo { reply } => drop(reply.send(self.undo())),
            ToTypist::Again { text, reply } => {
                let typed = self.type_whole(&text, None);
                let answer = match typed {
                    Ok(gone) => {
                        self.tell_typed(text.utterance, &gone);
                        Ok(())
                    }
                    Err(stopped) => Err(fault(&stopped)),
                };
                let _ = reply.send(answer);
            }
        }
    }

    /// Another desktop, or other drivers: what is known of the windows is about the old ones.
    fn reopen(&mut self, session: Session) {
        self.chain = Chain::new(self.table, &self.settings.drivers, session);
        self.typed.clear();
        self.last = None;
        self.began.iter_mut().for_each(|(_, place)| *place = None);
        self.told = false;
    }

    /// Types what has been committed of an utterance since the last time.
    pub(super) fn live(&mut self, words: &Live) {
        if words.utterance <= self.done || !self.chain.has_desktop() {
            return;
        }
        let is_new = self
            .saying
            .as_ref()
            .is_none_or(|it| it.utterance != words.utterance);
        if is_new {
            self.saying = Some(Saying {
                utterance: words.utterance,
                committed: String::new(),
                characters: 0,
                verified: true,
                driver: "",
                failed: false,
            });
        }
        self.say_on(&words.committed, &words.language);
        let may_show = self.saying.as_ref().is_some_and(|it| !it.failed);
        if may_show && words.tentative.len() < self.settings.max_characters {
            let shown = self.before_words(&words.tentative, words);
            self.preedit(&shown);
        }
    }

    /// Tentative words as they would go on from what stands there.
    fn before_words(&mut self, tentative: &str, words: &Live) -> String {
        if !words.committed.is_empty() || tentative.is_empty() {
            return tentative.to_owned();
        }
        match self.chain.pick(0) {
            Ok(place) => join(&self.before(&place), tentative, &words.language),
            Err(_) => String::new(),
        }
    }

    /// Types what of `committed` has not gone out. Once something went wrong, nothing follows it:
    /// a hole would be worse than an end.
    fn say_on(&mut self, committed: &str, language: &str) {
        let Some(saying) = &self.saying else { return };
        let Some(rest) = committed.strip_prefix(saying.committed.as_str()) else {
            return;
        };
        if rest.is_empty() || saying.failed {
            return;
        }
        let (utterance, is_first) = (saying.utterance, saying.committed.is_empty());
        let text = Text {
            utterance,
            text: rest.to_owned(),
            language: language.to_owned(),
            ..Text::default()
        };
        let went = self.type_joined(&text, is_first);
        let Some(saying) = &mut self.saying else {
            return;
        };
        match went {
            Ok(gone) => {
                saying.committed = committed.to_owned();
                saying.characters += gone.characters;
                saying.verified &= gone.verified;
                saying.driver = gone.driver;
            }
            Err(stopped) => {
                saying.failed = true;
                saying.characters += stopped.characters;
                self.tell_not_typed(utterance, &stopped);
            }
        }
    }

    fn final_text(&mut self, text: Text) {
        let utterance = text.utterance;
        self.done = self.done.max(utterance);
        let saying = self.saying.take_if(|it| it.utterance == utterance);
        let went = match saying.filter(|it| it.failed || !it.committed.is_empty()) {
            None => self.type_whole(&text, Some(utterance)),
            Some(saying) if saying.failed => {
                self.forget(utterance);
                return self.preedit("");
            }
            Some(saying) => {
                self.forget(utterance);
                // A filter may have come since: what stands there is what was said.
                let whole = match text.text.starts_with(&saying.committed) {
                    true => &text.text,
                    false => &text.raw,
                };
                let rest = whole
                    .strip_prefix(saying.committed.as_str())
                    .unwrap_or_default();
                let rest = Text {
                    text: rest.to_owned(),
                    ..text.clone()
                };
                let went = self.type_joined(&rest, false);
                went.map(|gone| Gone {
                    driver: if rest.text.is_empty() {
                        saying.driver
                    } else {
                        gone.driver
                    },
                    characters: saying.characters + gone.characters,
                    verified: saying.verified && gone.verified,
                })
            }
        };
        match went {
            Ok(gone) => self.tell_typed(utterance, &gone),
            Err(stopped) => self.tell_not_typed(utterance, &stopped),
        }
    }

    fn forget(&mut self, utterance: u64) {
        self.began.retain(|(began, _)| *began > utterance);
    }

    /// Types a text that nothing of has gone out; `began`: only where the focus was when that
    /// utterance began, if that is wanted.
    fn type_whole(&mut self, text: &Text, began: Option<u64>) -> Result<Gone, Stopped> {
        let wanted = began.and_then(|utterance| {
            let at = self.began.iter().position(|(it, _)| *it == utterance)?;
            self.began[at].1.clone()
        });
        if let Some(utterance) = began {
            self.forget(utterance);
        }
        if let Some((_, wanted)) = wanted.filter(|_| !self.settings.follow_focus) {
            let now = self.chain.pick(0).map_err(none_of)?;
            if now.1.id != wanted.id {
                let why = "another window has the focus than when the utterance began";
                return Err(none_of(Unable::Unsafe(why.to_owned())));
            }
        }
        self.type_joined(text, true)
    }

    /// Types a text; `joins`: as it goes on from what stands before the cursor, rather than as it
    /// is. No other driver takes over once a character has gone out.
    fn type_joined(&mut self, text: &Text, joins: bool) -> Result<Gone, Stopped> {
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
            self.stretch += 1;
        }
        let mut from = 0;
        loop {
            let place = self.chain.pick(from).map_err(none_of)?;
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
        for part in parts {
            let went = match &part {
                Part::Text(text) => type_slowly(driver, text, rate),
                Part::Key(key) => driver.press(*key, 1).map(|()| (0, true)),
            };
            match (went, part) {
                (Ok((characters, verified)), Part::Text(text)) => {
                    gone.characters += characters;
                    gone.verified &= verified;
                    out.push_str(&text);
                }
                (Ok(_), Part::Key(_)) => {
                    // What a key does cannot be taken away.
                    out.clear();
                    self.typed.clear();
                    self.last = None;
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
        self.remember(place, out);
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
        match &self.last {
            Some((where_to, tail, at)) if is_same(where_to, place) => {
                Before::Typed(tail.clone(), at.elapsed())
            }
            _ => Before::Unknown,
        }
    }

    fn remember(&mut self, place: &Place, text: String) {
        if text.is_empty() {
            return;
        }
        let mut tail = match &self.last {
            Some((where_to, tail, _)) if is_same(where_to, place) => tail.clone(),
            _ => String::new(),
        };
        tail.push_str(&text);
        let excess = tail.chars().count().saturating_sub(TAIL);
        let tail = tail.chars().skip(excess).collect();
        self.last = Some((place.clone(), tail, Instant::now()));
        let stretch = self.stretch;
        match self.typed.last_mut() {
            Some(piece) if piece.stretch == stretch && is_same(&piece.place, place) => {
                piece.text.push_str(&text);
            }
            _ => self.typed.push(Piece {
                place: place.clone(),
                stretch,
                text,
            }),
        }
        let excess = self.typed.len().saturating_sub(UNDO);
        self.typed.drain(..excess);
    }

    fn undo(&mut self) -> Result<u32, Fault> {
        let Some(piece) = self.typed.pop() else {
            return Err(not_typed("nothing was typed that can be taken away"));
        };
        let now = self.chain.pick(0).map_err(|why| fault(&none_of(why)));
        let refused = match &now {
            Err(fault) => Some(fault.clone()),
            Ok(now) if !is_same(&piece.place, now) => Some(not_typed(
                "another window has the focus than the one that was typed into: go back there first",
            )),
            Ok(_) => None,
        };
        if let Some(refused) = refused {
            self.typed.push(piece);
            return Err(refused);
        }
        let Some(driver) = self.chain.driver(piece.place.0) else {
            return Err(not_typed("the window that was typed into has gone"));
        };
        driver
            .erase(&piece.text)
            .map_err(|stopped| fault(&stopped))?;
        if let Some((_, tail, _)) = &mut self.last {
            match tail.strip_suffix(piece.text.as_str()) {
                Some(rest) if !rest.is_empty() => *tail = rest.to_owned(),
                _ => self.last = None,
            }
        }
        Ok(piece.text.chars().count() as u32)
    }

    fn preedit(&mut self, text: &str) {
        let Ok((at, target)) = self.chain.pick(0) else {
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

    fn tell_typed(&mut self, utterance: u64, gone: &Gone) {
        if gone.characters == 0 {
            return;
        }
        self.told = false;
        self.tell(Event::Typed {
            utterance,
            driver: gone.driver,
            characters: gone.characters as u32,
            verified: gone.verified,
        });
    }

    /// Nothing is said where there is no desktop, and once only where it cannot be typed anyway.
    fn tell_not_typed(&mut self, utterance: u64, stopped: &Stopped) {
        if !self.chain.has_desktop() {
            tracing::debug!("there is no desktop to type on");
            return;
        }
        if std::mem::replace(&mut self.told, true) && stopped.characters == 0 {
            tracing::info!(utterance, why = %stopped.why, "not typed");
            return;
        }
        self.tell(Event::NotTyped {
            utterance,
            fault: fault(stopped),
        });
    }

    fn tell(&self, event: Event) {
        // The daemon may be ending.
        let _ = self.to_daemon.blocking_send(event);
    }
}

/// Types a text, in pieces if there is a limit to its speed: characters, and whether they are
/// verified.
fn type_slowly(
    driver: &mut dyn Driver,
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
        let typed = driver.type_text(&piece).map_err(|stopped| Stopped {
            characters: characters + stopped.characters,
            ..stopped
        })?;
        characters += typed.characters;
        verified &= typed.verified;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok((characters, verified))
}

/// Whether a place is the same; where the system does not tell windows apart, every one is.
fn is_same(a: &Place, b: &Place) -> bool {
    a.0 == b.0 && a.1.id == b.1.id
}

fn key(name: &str) -> Option<Key> {
    [Key::Return, Key::Tab, Key::BackSpace]
        .into_iter()
        .find(|key| format!("{key:?}") == name)
}

fn none_of(why: Unable) -> Stopped {
    Stopped { characters: 0, why }
}

fn not_typed(message: &str) -> Fault {
    Fault::new(FaultKind::NotTyped, message)
}

/// The sentence for the user.
fn fault(stopped: &Stopped) -> Fault {
    let Stopped { characters, why } = stopped;
    let how = "`wstreamctl retype` types it where the focus is, `wstreamctl last` shows it";
    not_typed(&match characters {
        0 => format!("the text was not typed ({why}): {how}"),
        _ => format!("only the first {characters} characters were typed ({why}): {how}"),
    })
}
