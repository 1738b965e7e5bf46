//! What is to be seen now: events in, the one notification out. No input or output, no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use wstream_api::{Event, STATE_LISTENING};

use crate::settings::Settings;

/// A notification, before it is known what the server can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) kind: Kind,
    /// The words that stay.
    pub(crate) committed: String,
    /// Those that may change.
    pub(crate) tentative: String,
    /// How long it is shown unless another one takes its place; without: until then.
    pub(crate) lasts: Option<Duration>,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The microphone is open and nobody speaks.
    Listening,
    /// Somebody speaks.
    Speaking,
    /// What was said.
    Said,
    /// Something went wrong.
    Error,
}

/// The state that the notification follows from.
#[derive(Debug)]
pub(crate) struct View {
    settings: Settings,
    /// Sound is being taken.
    listening: bool,
    /// Utterances without an end, by number, with their words so far.
    open: BTreeMap<u64, (String, String)>,
    /// What was said or went wrong last, until its time is over.
    last: Option<Note>,
}

impl View {
    pub(crate) fn new(settings: Settings) -> Self {
        View {
            settings,
            listening: false,
            open: BTreeMap::new(),
            last: None,
        }
    }

    /// From the next event on.
    pub(crate) fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes an event in.
    pub(crate) fn on(&mut self, event: Event) {
        match event {
            Event::Started { utterance, .. } => {
                self.open.insert(utterance, Default::default());
            }
            Event::Partial {
                utterance,
                committed,
                tentative,
                ..
            } => {
                self.open.insert(utterance, (committed, tentative));
                self.last = None;
            }
            Event::Final {
                utterance, text, ..
            } => {
                self.open.remove(&utterance);
                if !text.trim().is_empty() && self.settings.finals {
                    self.last = Some(self.note(Kind::Said, text, self.settings.final_ms));
                }
            }
            Event::Failed {
                utterance, message, ..
            } => {
                self.open.remove(&utterance);
                self.failed(message);
            }
            Event::Cancelled { utterance } => {
                self.open.remove(&utterance);
            }
            Event::Trouble { message, .. } => self.failed(message),
            Event::SessionEnded { details, .. } => {
                if let Some(message) = details.text(wstream_api::keys::MESSAGE) {
                    self.failed(message.to_owned());
                }
            }
            Event::Changed { properties } => {
                if let Some(state) = properties.text("State") {
                    self.state(state);
                }
            }
            Event::Vanished => {
                self.listening = false;
                self.open.clear();
            }
            Event::Ended { .. }
            | Event::Delivered { .. }
            | Event::Level { .. }
            | Event::Unknown { .. }
            | Event::Appeared => {}
        }
    }

    /// Takes the daemon's state in.
    pub(crate) fn state(&mut self, state: &str) {
        self.listening = state == STATE_LISTENING;
    }

    /// The time of what is shown is over.
    pub(crate) fn expire(&mut self) {
        self.last = None;
    }

    /// The notification to be shown now.
    pub(crate) fn note_now(&self) -> Option<Note> {
        let words = self.words();
        if self.settings.partials && words.is_some() && !self.is_error() {
            return words;
        }
        if let Some(last) = &self.last {
            return Some(last.clone());
        }
        (self.listening && self.settings.listening).then(|| Note {
            kind: Kind::Listening,
            committed: String::new(),
            tentative: String::new(),
            lasts: None,
        })
    }

    /// The words of all open utterances: one may be waiting for its final while the next is spoken.
    fn words(&self) -> Option<Note> {
        let mut committed = String::new();
        let mut tentative = String::new();
        for (kept, may_change) in self.open.values() {
            let before = if tentative.is_empty() {
                &mut committed
            } else {
                &mut tentative
            };
            let new = kept.trim_start();
            if !before.is_empty() && !new.is_empty() {
                before.push(' ');
            }
            before.push_str(new);
            let gap = if kept.is_empty() && !(committed.is_empty() && tentative.is_empty()) {
                " "
            } else {
                ""
            };
            tentative.push_str(gap);
            tentative.push_str(if kept.is_empty() {
                may_change.trim_start()
            } else {
                may_change
            });
        }
        if committed.trim().is_empty() && tentative.trim().is_empty() {
            return None;
        }
        Some(Note {
            kind: Kind::Speaking,
            committed,
            tentative,
            lasts: None,
        })
    }

    fn is_error(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|last| last.kind == Kind::Error)
    }

    fn failed(&mut self, message: String) {
        if self.settings.errors {
            self.last = Some(self.note(Kind::Error, message, self.settings.error_ms));
        }
    }

    fn note(&self, kind: Kind, text: String, lasts_ms: u32) -> Note {
        Note {
            kind,
            committed: text,
            tentative: String::new(),
            lasts: Some(Duration::from_millis(lasts_ms.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use wstream_api::Details;

    use super::*;

    fn partial(utterance: u64, committed: &str, tentative: &str) -> Event {
        Event::Partial {
            utterance,
            committed: committed.to_owned(),
            tentative: tentative.to_owned(),
            details: Details::default(),
        }
    }

    fn started(utterance: u64) -> Event {
        Event::Started {
            utterance,
            session: 1,
            details: Details::default(),
        }
    }

    fn said(utterance: u64, text: &str) -> Event {
        Event::Final {
            utterance,
            text: text.to_owned(),
            details: Details::default(),
        }
    }

    fn trouble(message: &str) -> Event {
        Event::Trouble {
            name: "x".to_owned(),
            message: message.to_owned(),
            details: Details::default(),
        }
    }

    /// Kind, committed and tentative of what is shown.
    fn shown(view: &View) -> Option<(Kind, String, String)> {
        let note = view.note_now()?;
        Some((note.kind, note.committed, note.tentative))
    }

    fn some(kind: Kind, committed: &str, tentative: &str) -> Option<(Kind, String, String)> {
        Some((kind, committed.to_owned(), tentative.to_owned()))
    }

    #[test]
    fn from_listening_over_partials_to_nothing() {
        let mut view = View::new(Settings::default());
        assert_eq!(shown(&view), None);
        view.state("listening");
        assert_eq!(shown(&view), some(Kind::Listening, "", ""));
        view.on(started(1));
        assert_eq!(shown(&view), some(Kind::Listening, "", ""));
        view.on(partial(1, "", "Hel"));
        assert_eq!(shown(&view), some(Kind::Speaking, "", "Hel"));
        view.on(partial(1, "Hello", " world"));
        assert_eq!(shown(&view), some(Kind::Speaking, "Hello", " world"));
        view.on(said(1, "Hello world."));
        assert_eq!(shown(&view), some(Kind::Said, "Hello world.", ""));
        assert!(view.note_now().unwrap().lasts.is_some());
        view.expire();
        assert_eq!(shown(&view), some(Kind::Listening, "", ""));
        view.state("idle");
        assert_eq!(shown(&view), None);
    }

    #[test]
    fn two_utterances_at_once_are_shown_together() {
        let mut view = View::new(Settings::default());
        view.on(partial(1, "One", " two"));
        view.on(partial(2, "", " three"));
        assert_eq!(shown(&view), some(Kind::Speaking, "One", " two three"));
        view.on(partial(2, "Three", " four"));
        assert_eq!(shown(&view), some(Kind::Speaking, "One", " two Three four"));
        view.on(said(1, "One two."));
        assert_eq!(shown(&view), some(Kind::Speaking, "Three", " four"));
        view.on(Event::Cancelled { utterance: 2 });
        assert_eq!(shown(&view), some(Kind::Said, "One two.", ""));
    }

    #[test]
    fn an_error_stays_for_its_time_or_until_there_are_new_words() {
        let mut view = View::new(Settings::default());
        view.on(partial(1, "One", ""));
        view.on(trouble("the microphone is gone: plug it in"));
        assert_eq!(shown(&view).unwrap().0, Kind::Error);
        view.on(partial(1, "One two", ""));
        assert_eq!(shown(&view), some(Kind::Speaking, "One two", ""));
        view.on(trouble("x"));
        view.on(Event::Vanished);
        assert_eq!(shown(&view).unwrap().0, Kind::Error);
        view.expire();
        assert_eq!(shown(&view), None);
    }

    #[test]
    fn what_is_off_is_not_shown() {
        let off = Settings {
            listening: false,
            partials: false,
            finals: false,
            errors: false,
            ..Settings::default()
        };
        let mut view = View::new(off);
        view.state("listening");
        view.on(partial(1, "a", "b"));
        view.on(said(1, "a b"));
        view.on(trouble("x"));
        assert_eq!(shown(&view), None);
    }

    #[test]
    fn an_empty_final_leaves_nothing() {
        let mut view = View::new(Settings::default());
        view.on(partial(1, "", "uh"));
        view.on(said(1, " "));
        assert_eq!(shown(&view), None);
    }
}
