//! What the daemon has typed: which sessions, when, and what came of it. Never waits for the typist.

use std::collections::BTreeMap;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::ledger::SourceKind;
use super::{Daemon, FinalText, LatestPartial, Signal};
use crate::fault::{Fault, FaultKind};
use crate::speech::SessionOptions;
use crate::typist::{Live, Text, ToTypist, When};

/// The daemon's way to the typist.
#[derive(Debug)]
pub(super) struct Typing {
    to_typist: mpsc::Sender<ToTypist>,
    to_live: watch::Sender<Option<Live>>,
    /// When the texts of the sessions are typed that have not ended; those of which none are, are
    /// left out.
    sessions: BTreeMap<u64, Session>,
}

#[derive(Debug)]
struct Session {
    when: When,
    language: Option<String>,
}

impl Typing {
    pub(super) fn new(
        to_typist: mpsc::Sender<ToTypist>,
        to_live: watch::Sender<Option<Live>>,
    ) -> Self {
        Typing {
            to_typist,
            to_live,
            sessions: BTreeMap::new(),
        }
    }

    fn is_typed(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Gives an order; `false`: there is no room for it.
    pub(super) fn send(&self, order: ToTypist) -> bool {
        match self.to_typist.try_send(order) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Closed(_)) => {
                tracing::error!("the typist thread has ended");
                false
            }
        }
    }
}

impl Daemon {
    /// A session begins: what it asks for, or else what counts for its kind. Sound that a program
    /// hands over is that program's, and what is tried again was said at another window.
    pub(super) fn typing_begins(
        &mut self,
        session: u64,
        kind: SourceKind,
        options: &SessionOptions,
    ) {
        if let Some(desktop) = &options.desktop {
            self.typing.send(ToTypist::Desktop(desktop.clone()));
        }
        let when = options.typing.unwrap_or(match kind {
            SourceKind::Microphone => self.settings.config().typing.when,
            SourceKind::Feed | SourceKind::Retry => When::Off,
        });
        if when != When::Off {
            let language = options.language.clone();
            self.typing
                .sessions
                .insert(session, Session { when, language });
        }
    }

    /// Words of an utterance that is still being said. With a filter they wait for the final, which
    /// may be another text.
    pub(super) fn type_live(&mut self, partial: &LatestPartial) {
        let Some(session) = self.typing.sessions.get(&partial.session) else {
            return;
        };
        if session.when != When::Live || !self.filtering.registry.is_empty() {
            return;
        }
        let language = session
            .language
            .as_ref()
            .unwrap_or(&self.settings.config().language);
        self.typing.to_live.send_replace(Some(Live {
            utterance: partial.utterance,
            committed: partial.committed.clone(),
            tentative: partial.tentative.clone(),
            language: language.clone(),
        }));
    }

    /// Tells the typist what it has to know of a signal that is about to go out.
    pub(super) fn type_for(&mut self, signal: &Signal) {
        match signal {
            Signal::Started {
                utterance, session, ..
            } if self.typing.is_typed(*session) => {
                self.typing.send(ToTypist::Began {
                    utterance: *utterance,
                });
            }
            Signal::Final(text) if self.typing.is_typed(text.session) => self.type_final(text),
            Signal::Failed {
                utterance, session, ..
            } if self.typing.is_typed(*session) => {
                self.typing.send(ToTypist::Dropped {
                    utterance: *utterance,
                });
            }
            Signal::Cancelled { utterance } if !self.typing.sessions.is_empty() => {
                self.typing.send(ToTypist::Dropped {
                    utterance: *utterance,
                });
            }
            Signal::SessionEnded { session, .. } => {
                self.typing.sessions.remove(session);
            }
            _ => {}
        }
    }

    fn type_final(&mut self, text: &FinalText) {
        let order = ToTypist::Final(text.into());
        if !self.typing.send(order) {
            let message =
                "typing is far behind, and a text was not typed: `wstreamctl last` shows it";
            self.outbox.send(Signal::Trouble {
                fault: Fault::new(FaultKind::NotTyped, message),
            });
        }
    }

    pub(super) fn undo(&mut self, reply: oneshot::Sender<Result<u32, Fault>>) {
        // Where there is no room the reply is dropped, which the caller is told as such.
        self.typing.send(ToTypist::Undo { reply });
    }

    pub(super) fn retype(&mut self, utterance: u64, reply: oneshot::Sender<Result<(), Fault>>) {
        let recent = self.ledger.recent(usize::MAX);
        let wanted = |text: &&FinalText| utterance == 0 || text.utterance == utterance;
        match recent.iter().rev().find(wanted) {
            Some(text) => {
                let text = text.into();
                self.typing.send(ToTypist::Again { text, reply });
            }
            None => {
                let message = match utterance {
                    0 => {
                        "nothing was said yet, or nothing is kept (limits.recent_finals)".to_owned()
                    }
                    _ => format!(
                        "utterance {utterance} is not kept: `wstreamctl last` shows the last one"
                    ),
                };
                let _ = reply.send(Err(Fault::new(FaultKind::NotTyped, message)));
            }
        }
    }

    pub(super) fn configure_typing(&mut self) {
        self.typing
            .send(ToTypist::Configure(self.settings.typing()));
    }
}

impl From<&FinalText> for Text {
    fn from(text: &FinalText) -> Self {
        Text {
            utterance: text.utterance,
            text: text.text.clone(),
            raw: text.raw.clone(),
            language: text.language.clone(),
            keys: text.keys.clone(),
        }
    }
}
