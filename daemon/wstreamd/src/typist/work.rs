//! What the typist does with each order. Blocks; has no clock but for joining and the rate.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use wstream_typing::{Open, Session, Stopped, Unable};

use super::out::{Gone, Out, fault, fault_again, none_of, not_typed};
use super::{Live, Text, ToTypist, TypingSettings};
use crate::event::Event;

/// Utterances whose end is remembered, and beginnings that wait for their ends. What is still said
/// of an utterance comes right behind its end, and few overlap.
const REMEMBERED: usize = 64;

/// What `Retype` answers where nothing can be typed, to whoever asks.
const NO_DESKTOP: &str = "the text was not typed (the daemon knows no desktop to type into): \
    `wstreamctl last` shows it; dictation that is started in a window or by a key of the desktop \
    tells the daemon where it is";

#[derive(Debug)]
pub(super) struct Work {
    out: Out,
    to_daemon: mpsc::Sender<Event>,
    /// Which window had the focus when an utterance began that has no text yet, if any had.
    began: VecDeque<(u64, Option<String>)>,
    /// The utterance whose words are being typed while they are said.
    saying: Option<Saying>,
    /// Utterances that have ended: what is still said of them is old.
    ended: VecDeque<u64>,
    /// The user has been told that nothing can be typed, and nothing was since.
    told: bool,
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

impl Work {
    pub(super) fn new(
        table: &'static [(&'static str, Open)],
        settings: TypingSettings,
        session: Session,
        to_daemon: mpsc::Sender<Event>,
    ) -> Self {
        Work {
            out: Out::new(table, settings, session),
            to_daemon,
            began: VecDeque::new(),
            saying: None,
            ended: VecDeque::new(),
            told: false,
        }
    }

    pub(super) fn order(&mut self, order: ToTypist) {
        match order {
            ToTypist::Configure(settings) => {
                if self.out.configure(settings) {
                    self.start_anew();
                }
            }
            ToTypist::Desktop(session) => {
                if self.out.move_to(session) {
                    self.start_anew();
                }
            }
            ToTypist::Locked(locked) => self.out.lock(locked),
            ToTypist::Began { utterance } => {
                // Asked also where it does not matter: drivers are opened, and fields become
                // active, while something is said rather than behind it.
                let place = self.out.place().ok();
                if !self.out.settings().follow_focus {
                    self.began
                        .push_back((utterance, place.map(|(_, target)| target.id)));
                    bound(&mut self.began);
                }
            }
            ToTypist::Dropped { utterance } => {
                self.end(utterance);
                let said = self.saying.take_if(|it| it.utterance == utterance);
                if said.is_some() {
                    self.out.preedit("");
                }
            }
            ToTypist::Final(text) => self.final_text(text),
            // Whoever asked may have left.
            ToTypist::Undo { reply } => drop(reply.send(self.out.undo())),
            ToTypist::Again { text, reply } => {
                let answer = match self.out.type_joined(&text, true) {
                    Ok(gone) => {
                        self.tell_typed(text.utterance, &gone);
                        Ok(())
                    }
                    Err(_) if !self.out.has_desktop() => Err(not_typed(NO_DESKTOP)),
                    Err(stopped) => Err(fault_again(&stopped)),
                };
                let _ = reply.send(answer);
            }
        }
    }

    /// Other windows, or other ways into them.
    fn start_anew(&mut self) {
        self.began.clear();
        self.told = false;
    }

    /// Types what has been committed of an utterance since the last time.
    pub(super) fn live(&mut self, words: &Live) {
        if self.ended.contains(&words.utterance) || !self.out.has_desktop() {
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
        if may_show && words.tentative.len() < self.out.settings().max_characters {
            // Behind words that stand there already they go on as they are.
            let shown = match words.committed.is_empty() && !words.tentative.is_empty() {
                true => self.out.joined(&words.tentative, &words.language),
                false => words.tentative.clone(),
            };
            self.out.preedit(&shown);
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
        let went = self.out.type_joined(&text, is_first);
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
        let began = self.end(utterance);
        let saying = self.saying.take_if(|it| it.utterance == utterance);
        let went = match saying.filter(|it| it.failed || !it.committed.is_empty()) {
            None => self.type_whole(&text, began),
            Some(saying) if saying.failed => return self.out.preedit(""),
            Some(saying) => {
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
                let went = self.out.type_joined(&rest, false);
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

    /// An utterance has ended; answers with the window that had the focus when it began, if that
    /// was looked at.
    fn end(&mut self, utterance: u64) -> Option<Option<String>> {
        self.ended.push_back(utterance);
        bound(&mut self.ended);
        let at = self.began.iter().position(|(it, _)| *it == utterance)?;
        self.began.remove(at).map(|(_, window)| window)
    }

    /// Types a text that nothing of has gone out; `began`: only into that window.
    fn type_whole(&mut self, text: &Text, began: Option<Option<String>>) -> Result<Gone, Stopped> {
        if let Some(window) = began.filter(|_| !self.out.settings().follow_focus) {
            let (_, now) = self.out.place().map_err(none_of)?;
            if Some(now.id) != window {
                let why = "another window has the focus than when the utterance began";
                return Err(none_of(Unable::Unsafe(why.to_owned())));
            }
        }
        self.out.type_joined(text, true)
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
        if !self.out.has_desktop() {
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

/// Forgets the oldest beyond what is remembered.
fn bound<T>(list: &mut VecDeque<T>) {
    while list.len() > REMEMBERED {
        list.pop_front();
    }
}
