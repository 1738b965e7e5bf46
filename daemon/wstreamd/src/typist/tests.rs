//! The typist with fields of a few lines in place of windows: what goes out where, what is told,
//! and what can be taken away again. Real windows are tried in the project's tests.

use std::cell::RefCell;

use tokio::sync::{mpsc, oneshot};
use wstream_typing::{Driver, Key, Open, Purpose, Session, Stopped, Target, Typed, Unable};

use super::work::Work;
use super::{Live, Text, ToTypist, TypingSettings};
use crate::event::Event;
use crate::fault::Fault;

/// What the drivers of a test reach.
#[derive(Clone, Debug, Default)]
struct Field {
    text: String,
    preedit: String,
    window: &'static str,
    purpose: Purpose,
    /// Characters that still get in.
    room: Option<usize>,
    /// It is asked by the second driver only.
    is_others: bool,
    calls: usize,
}

thread_local! {
    static FIELD: RefCell<Field> = RefCell::default();
}

fn field<T>(change: impl FnOnce(&mut Field) -> T) -> T {
    FIELD.with_borrow_mut(change)
}

#[derive(Debug)]
struct Pen(&'static str);

impl Driver for Pen {
    fn name(&self) -> &'static str {
        self.0
    }

    fn target(&mut self) -> Result<Target, Unable> {
        field(|field| {
            if field.window.is_empty() || (field.is_others && self.0 == "first") {
                return Err(Unable::NoTarget("no window has the focus".into()));
            }
            Ok(Target {
                id: field.window.into(),
                app: String::new(),
                purpose: field.purpose,
            })
        })
    }

    fn type_text(&mut self, text: &str) -> Result<Typed, Stopped> {
        field(|field| {
            field.calls += 1;
            let wanted = text.chars().count();
            let fits = field.room.unwrap_or(wanted).min(wanted);
            field.room = field.room.map(|room| room - fits);
            field.text.extend(text.chars().take(fits));
            field.preedit.clear();
            match fits == wanted {
                true => Ok(Typed {
                    characters: fits,
                    verified: self.0 == "first",
                }),
                false => Err(Stopped {
                    characters: fits,
                    why: Unable::NoTarget("the window was closed".into()),
                }),
            }
        })
    }

    fn press(&mut self, key: Key, times: u32) -> Result<(), Stopped> {
        let shown = match key {
            Key::Return => "\n",
            Key::Tab => "\t",
            Key::BackSpace => "⌫",
        };
        field(|field| field.text.push_str(&shown.repeat(times as usize)));
        Ok(())
    }

    fn erase(&mut self, text: &str) -> Result<(), Stopped> {
        field(|field| match field.text.strip_suffix(text) {
            Some(rest) => {
                field.text = rest.to_owned();
                Ok(())
            }
            None => Err(Stopped {
                characters: 0,
                why: Unable::Unsafe("something else stands there".into()),
            }),
        })
    }

    fn preedit(&mut self, text: &str) -> Result<bool, Unable> {
        field(|field| field.preedit = text.to_owned());
        Ok(true)
    }
}

const TABLE: &[(&str, Open)] = &[
    ("absent", |_| {
        Err(Unable::Absent("this desktop has none".into()))
    }),
    ("first", |_| Ok(Box::new(Pen("first")))),
    ("second", |_| Ok(Box::new(Pen("second")))),
];

struct Rig {
    work: Work,
    events: mpsc::Receiver<Event>,
}

impl Rig {
    fn new(change: impl FnOnce(&mut TypingSettings)) -> Self {
        field(|field| {
            *field = Field {
                window: "one",
                ..Field::default()
            }
        });
        let mut settings = TypingSettings {
            drivers: [].into(),
            follow_focus: true,
            newlines: true,
            tabs: false,
            enter_in_terminals: false,
            max_characters: 100,
            per_second: None,
        };
        change(&mut settings);
        let session = Session::of([("DISPLAY".to_owned(), ":0".into())]);
        let (to_daemon, events) = mpsc::channel(64);
        Rig {
            work: Work::new(TABLE, settings, session, to_daemon),
            events,
        }
    }

    fn says(&mut self, utterance: u64, text: &str) {
        self.says_and(utterance, text, &[]);
    }

    fn says_and(&mut self, utterance: u64, text: &str, keys: &[&str]) {
        self.work.order(ToTypist::Final(Text {
            utterance,
            text: text.to_owned(),
            raw: text.to_owned(),
            language: "en".to_owned(),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
        }));
    }

    fn live(&mut self, utterance: u64, committed: &str, tentative: &str) {
        self.work.live(&Live {
            utterance,
            committed: committed.to_owned(),
            tentative: tentative.to_owned(),
            language: "en".to_owned(),
        });
    }

    fn undo(&mut self) -> Result<u32, Fault> {
        let (reply, mut answer) = oneshot::channel();
        self.work.order(ToTypist::Undo { reply });
        answer.try_recv().unwrap()
    }

    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            told.push(match event {
                Event::Typed {
                    utterance,
                    driver,
                    characters,
                    verified,
                } => format!("{utterance} {driver} {characters} {verified}"),
                Event::NotTyped { utterance, fault } => format!("{utterance} {fault}"),
                other => panic!("{other:?}"),
            });
        }
        told
    }
}

fn text() -> String {
    field(|field| field.text.clone())
}

#[test]
fn finals_are_joined_told_and_taken_away_one_by_one() {
    let mut rig = Rig::new(|_| {});
    rig.says(1, "Hello there.");
    rig.says(2, "How are you?");
    rig.says(3, "");
    rig.says(4, ", he said.");
    assert_eq!(text(), "Hello there. How are you?, he said.");
    assert_eq!(
        rig.told(),
        ["1 first 12 true", "2 first 13 true", "4 first 10 true"]
    );
    for (count, left) in [
        (10, "Hello there. How are you?"),
        (13, "Hello there."),
        (12, ""),
    ] {
        assert_eq!(rig.undo(), Ok(count));
        assert_eq!(text(), left);
    }
    assert!(
        rig.undo()
            .unwrap_err()
            .message
            .contains("nothing was typed")
    );
}

#[test]
fn live_words_only_grow_and_are_taken_away_at_once() {
    let mut rig = Rig::new(|_| {});
    rig.says(1, "Well.");
    rig.live(2, "", "the");
    assert_eq!(field(|field| field.preedit.clone()), " The");
    rig.live(2, "The quick", " brown");
    assert_eq!(text(), "Well. The quick");
    assert_eq!(field(|field| field.preedit.clone()), " brown");
    rig.live(2, "The quick brown fox", "");
    rig.says(2, "The quick brown fox jumps.");
    // What was said before the end comes late.
    rig.live(2, "The quick brown fox", " jum");
    assert_eq!(text(), "Well. The quick brown fox jumps.");
    assert_eq!(rig.told(), ["1 first 5 true", "2 first 27 true"]);
    assert_eq!(rig.undo(), Ok(27));
    assert_eq!(text(), "Well.");
}

#[test]
fn a_filter_that_comes_in_the_middle_doubles_nothing() {
    let mut rig = Rig::new(|_| {});
    rig.live(1, "one two", " three");
    rig.work.order(ToTypist::Final(Text {
        utterance: 1,
        text: "SOMETHING ELSE".to_owned(),
        raw: "one two three".to_owned(),
        ..Text::default()
    }));
    assert_eq!(text(), "one two three");
}

#[test]
fn cancelled_words_stay_and_shown_ones_go() {
    let mut rig = Rig::new(|_| {});
    rig.live(1, "one", " two");
    rig.work.order(ToTypist::Dropped { utterance: 1 });
    rig.live(1, "one two", "");
    assert_eq!(text(), "one");
    assert_eq!(field(|field| field.preedit.clone()), "");
    assert_eq!(rig.undo(), Ok(3));
}

#[test]
fn keys_end_what_can_be_taken_away() {
    let mut rig = Rig::new(|_| {});
    rig.says(1, "one");
    rig.says_and(2, "two", &["Return", "Tab", "F4"]);
    rig.says_and(3, "three\nfour\tfive", &[]);
    assert_eq!(text(), "one two\n\tthree\nfour five");
    assert_eq!(rig.undo(), Ok(9));
    assert_eq!(text(), "one two\n\tthree\n");
    assert!(rig.undo().is_err());
    field(|field| (field.purpose, field.text) = (Purpose::Terminal, String::new()));
    rig.says_and(4, "ls\n", &["Return", "Tab"]);
    assert_eq!(text(), "ls \t");
}

#[test]
fn no_second_driver_types_what_the_first_has_begun() {
    let mut rig = Rig::new(|_| {});
    field(|field| field.room = Some(3));
    rig.says(1, "Hello.");
    assert_eq!(text(), "Hel");
    let told = rig.told();
    assert!(
        told[0].contains("only the first 3 characters were typed (the window was closed)"),
        "{told:?}"
    );
    // Nothing went out: the next one may.
    field(|field| (field.room, field.is_others) = (None, true));
    rig.says(2, "Hello.");
    assert_eq!(rig.told(), ["2 second 6 false"]);
    // Each was asked once, but for the one that could not.
    field(|field| (field.room, field.is_others, field.calls) = (Some(0), false, 0));
    rig.says(3, "Hello.");
    assert_eq!(field(|field| field.calls), 2);
    assert_eq!(text(), "HelHello.");
}

#[test]
fn nothing_goes_where_it_must_not() {
    let mut rig = Rig::new(|_| {});
    field(|field| field.purpose = Purpose::Password);
    rig.says(1, "secret");
    rig.live(2, "secret", " more");
    assert_eq!(
        (text(), field(|field| field.preedit.clone())),
        Default::default()
    );
    let told = rig.told();
    // It is told once, until something can be typed again.
    assert!(
        told.len() == 1 && told[0].contains("a password field has the focus"),
        "{told:?}"
    );
    assert!(told[0].contains("wstreamctl retype"), "{told:?}");
    field(|field| field.purpose = Purpose::Text);
    rig.says(3, &"x".repeat(101));
    rig.says(4, "short");
    rig.says(5, &"x".repeat(101));
    assert_eq!(text(), "short");
    let told = rig.told();
    assert!(told[1].contains("max_characters"), "{told:?}");
}

#[test]
fn a_text_goes_only_where_it_was_spoken_if_that_is_wanted() {
    let mut rig = Rig::new(|settings| settings.follow_focus = false);
    rig.work.order(ToTypist::Began { utterance: 1 });
    rig.work.order(ToTypist::Began { utterance: 2 });
    rig.says(1, "here");
    field(|field| field.window = "two");
    rig.says(2, "elsewhere");
    assert_eq!(text(), "here");
    let told = rig.told();
    assert!(told[1].contains("another window"), "{told:?}");
    assert!(rig.undo().unwrap_err().message.contains("another window"));
    let (reply, mut answer) = oneshot::channel();
    let text_again = Text {
        utterance: 2,
        text: "elsewhere".to_owned(),
        ..Text::default()
    };
    rig.work.order(ToTypist::Again {
        text: text_again,
        reply,
    });
    assert_eq!(answer.try_recv().unwrap(), Ok(()));
    // Nothing is known of what stands in the other window.
    assert_eq!(text(), "hereelsewhere");
    field(|field| field.window = "one");
    assert!(rig.undo().is_err());
}

#[test]
fn without_a_desktop_nothing_is_told() {
    let mut rig = Rig::new(|_| {});
    rig.work.order(ToTypist::Desktop(Session::default()));
    field(|field| field.window = "");
    rig.says(1, "one");
    assert!(rig.told().is_empty());
    let session = Session::of([("DISPLAY".to_owned(), ":1".into())]);
    rig.work.order(ToTypist::Desktop(session));
    rig.says(2, "two");
    assert!(rig.told()[0].contains("no window has the focus"));
}

#[test]
fn drivers_are_those_that_were_chosen() {
    let mut rig = Rig::new(|settings| settings.drivers = ["second".to_owned()].into());
    rig.says(1, "one");
    assert_eq!(rig.told(), ["1 second 3 false"]);
}

#[test]
fn a_limited_rate_loses_nothing() {
    let mut rig = Rig::new(|settings| settings.per_second = Some(500));
    rig.says(1, "One hundred characters would take a fifth of a second.");
    assert_eq!(
        text(),
        "One hundred characters would take a fifth of a second."
    );
    assert!(field(|field| field.calls) > 1);
}
