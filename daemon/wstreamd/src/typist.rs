//! Text into the focused window: a thread that owns the drivers.
//!
//! Enters: [`ToTypist`] in order, and of the words that are still being said only the newest.
//! Leaves: [`Event::Typed`] and [`Event::NotTyped`]. What a text becomes on its way is decided by
//! types without input or output: `parts` (what may go out) and `joining` (spaces and capitals).

mod chain;
mod joining;
mod memory;
mod out;
mod parts;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::{mpsc, oneshot, watch};
use wstream_typing::{Open, Session};

use crate::defect::Alarm;
use crate::event::Event;
use crate::fault::{Fault, FaultKind};
use work::Work;

/// Orders under way to the thread. When it is full, a text is reported as not typed: it is among
/// the recent finals.
pub const TYPIST_QUEUE: usize = 64;

/// When text is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Never.
    Off,
    /// When an utterance has its final.
    #[default]
    Final,
    /// Committed words while they are said, and the rest with the final.
    Live,
}

impl When {
    /// All of them.
    pub const ALL: [When; 3] = [When::Off, When::Final, When::Live];

    /// As in the configuration and on the bus.
    pub fn name(self) -> &'static str {
        match self {
            When::Off => "off",
            When::Final => "final",
            When::Live => "live",
        }
    }
}

impl std::str::FromStr for When {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self, Fault> {
        let found = When::ALL.into_iter().find(|when| when.name() == name);
        found.ok_or_else(|| {
            let problem = format!("unknown way of typing {name:?}: use off, final or live");
            Fault::new(FaultKind::BadOption, problem)
        })
    }
}

/// How texts are typed.
#[derive(Clone, Debug, PartialEq)]
pub struct TypingSettings {
    /// Drivers in the order in which they are asked; empty: all.
    pub drivers: Arc<[String]>,
    /// Whether a text goes to the window that has the focus when it comes, rather than only to the
    /// one that had it when its utterance began.
    pub follow_focus: bool,
    /// Line breaks go out, as Return.
    pub newlines: bool,
    /// Tabulators go out.
    pub tabs: bool,
    /// Return also in terminals.
    pub enter_in_terminals: bool,
    /// Most characters of one text.
    pub max_characters: usize,
    /// Characters in a second; `None`: as fast as the window takes them.
    pub per_second: Option<u32>,
}

/// What the thread is to do.
#[derive(Debug)]
pub enum ToTypist {
    /// New settings.
    Configure(TypingSettings),
    /// Where the desktop is, as somebody says who is on it.
    Desktop(Session),
    /// The screen is locked, or is not any more.
    Locked(bool),
    /// An utterance has begun whose text will be typed.
    Began {
        /// Which.
        utterance: u64,
    },
    /// Type an utterance's text.
    Final(Text),
    /// An utterance ends without a text, or its text is not to be typed.
    Dropped {
        /// Which.
        utterance: u64,
    },
    /// Take away again what was typed last.
    Undo {
        /// How many characters that were.
        reply: oneshot::Sender<Result<u32, Fault>>,
    },
    /// Type a text once more.
    Again {
        /// The text.
        text: Text,
        /// Whether it was typed.
        reply: oneshot::Sender<Result<(), Fault>>,
    },
}

/// A text to be typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Whose.
    pub utterance: u64,
    /// Behind the filters.
    pub text: String,
    /// As it was said: begins with what was committed.
    pub raw: String,
    /// ISO 639-1; empty: unknown.
    pub language: String,
    /// Keys to be pressed behind it, by their names.
    pub keys: Vec<String>,
}

/// The words of an utterance so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Whose.
    pub utterance: u64,
    /// Only grows.
    pub committed: String,
    /// May still change; has its own leading space.
    pub tentative: String,
    /// The language, where it is fixed.
    pub language: String,
}

/// The ends of the channels that the thread holds.
#[derive(Debug)]
pub struct Channels {
    /// In order.
    pub orders: mpsc::Receiver<ToTypist>,
    /// Newest wins.
    pub live: watch::Receiver<Option<Live>>,
    /// What has come of it.
    pub to_daemon: mpsc::Sender<Event>,
}

/// Starts the thread; what is returned resolves when it has ended, which it does when nobody can
/// give orders any more.
pub fn start(
    table: &'static [(&'static str, Open)],
    settings: TypingSettings,
    session: Session,
    channels: Channels,
    alarm: Alarm,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (ending, ended) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("typist".to_owned())
        .spawn(move || {
            // Behind the drivers: they leave the desktop as it was first.
            let _alarm = alarm;
            let work = Work::new(table, settings, session, channels.to_daemon);
            run(work, channels.orders, channels.live);
            drop(ending);
        })?;
    Ok(ended)
}

/// What comes next.
enum Next {
    Order(ToTypist),
    Live(Live),
    End,
}

fn run(
    mut work: Work,
    mut orders: mpsc::Receiver<ToTypist>,
    mut live: watch::Receiver<Option<Live>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "nothing can be typed");
            return;
        }
    };
    loop {
        // The drivers block, so they are not called from inside.
        let next = runtime.block_on(async {
            tokio::select! {
                // An order may end what is still being said.
                biased;
                order = orders.recv() => order.map_or(Next::End, Next::Order),
                Ok(()) = live.changed() => {
                    live.borrow_and_update().clone().map_or(Next::Live(Live::default()), Next::Live)
                }
            }
        });
        match next {
            Next::Order(order) => work.order(order),
            Next::Live(words) => work.live(&words),
            Next::End => return,
        }
    }
}
