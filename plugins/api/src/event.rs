//! What the daemon says on the bus, as owned values: messages in, events out. No input or output.

use std::collections::HashMap;

use zbus::message::Message;
use zbus::{OwnedVariant, Variant};

use crate as api;
use crate::keys;

/// One signal of the daemon, or a change of the daemon itself.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are those of the bus signals, see DictationProxy"
)]
pub enum Event {
    /// Speech began.
    Started {
        utterance: u64,
        session: u64,
        details: Details,
    },
    /// The words so far; replaces the partial before it.
    Partial {
        utterance: u64,
        committed: String,
        tentative: String,
        details: Details,
    },
    /// The end of speech is confirmed; the final is still to come.
    Ended { utterance: u64, details: Details },
    /// What was said, behind the filters; empty when nothing was.
    Final {
        utterance: u64,
        text: String,
        details: Details,
    },
    /// The utterance could not be transcribed.
    Failed {
        utterance: u64,
        name: String,
        message: String,
        details: Details,
    },
    /// The utterance's final is not wanted any more.
    Cancelled { utterance: u64 },
    /// Every utterance of the session has ended.
    SessionEnded { session: u64, details: Details },
    /// The text of an utterance was typed.
    Delivered {
        utterance: u64,
        driver: String,
        characters: u32,
        verified: bool,
    },
    /// Something that concerns no single utterance.
    Trouble {
        name: String,
        message: String,
        details: Details,
    },
    /// Loudness; only while somebody watches.
    Level { rms: f64 },
    /// Properties have new values.
    Changed { properties: Details },
    /// A signal that this version does not know.
    Unknown { member: String },
    /// The daemon is on the bus now.
    Appeared,
    /// The daemon has left the bus.
    Vanished,
}

impl Event {
    /// The event in `message`, which comes from the daemon; `None` for anything but a signal of
    /// its interface, and for one whose arguments are not those of the contract.
    pub fn from_message(message: &Message) -> Option<Self> {
        let header = message.header();
        let interface = header.interface()?.as_str();
        let member = header.member()?.as_str().to_owned();
        if interface == "org.freedesktop.DBus.Properties" && member == "PropertiesChanged" {
            return Self::changed(message);
        }
        if interface != api::NAME {
            return None;
        }
        let message = message.clone();
        Some(match member.as_str() {
            "Started" => {
                let signal = api::Started::from_message(message)?;
                let args = signal.args().ok()?;
                Event::Started {
                    utterance: args.utterance,
                    session: args.session,
                    details: Details::of(&args.details),
                }
            }
            "Partial" => {
                let signal = api::Partial::from_message(message)?;
                let args = signal.args().ok()?;
                Event::Partial {
                    utterance: args.utterance,
                    committed: args.committed.to_owned(),
                    tentative: args.tentative.to_owned(),
                    details: Details::of(&args.details),
                }
            }
            "Ended" => {
                let signal = api::Ended::from_message(message)?;
                let args = signal.args().ok()?;
                Event::Ended {
                    utterance: args.utterance,
                    details: Details::of(&args.details),
                }
            }
            "Final" => {
                let signal = api::Final::from_message(message)?;
                let args = signal.args().ok()?;
                Event::Final {
                    utterance: args.utterance,
                    text: args.text.to_owned(),
                    details: Details::of(&args.details),
                }
            }
            "Failed" => {
                let signal = api::Failed::from_message(message)?;
                let args = signal.args().ok()?;
                Event::Failed {
                    utterance: args.utterance,
                    name: args.name.to_owned(),
                    message: args.message.to_owned(),
                    details: Details::of(&args.details),
                }
            }
            "Cancelled" => {
                let signal = api::Cancelled::from_message(message)?;
                Event::Cancelled {
                    utterance: signal.args().ok()?.utterance,
                }
            }
            "SessionEnded" => {
                let signal = api::SessionEnded::from_message(message)?;
                let args = signal.args().ok()?;
                Event::SessionEnded {
                    session: args.session,
                    details: Details::of(&args.details),
                }
            }
            "Delivered" => {
                let signal = api::Delivered::from_message(message)?;
                let args = signal.args().ok()?;
                Event::Delivered {
                    utterance: args.utterance,
                    driver: args.driver.to_owned(),
                    characters: args.characters,
                    verified: args.verified,
                }
            }
            "Trouble" => {
                let signal = api::Trouble::from_message(message)?;
                let args = signal.args().ok()?;
                Event::Trouble {
                    name: args.name.to_owned(),
                    message: args.message.to_owned(),
                    details: Details::of(&args.details),
                }
            }
            "Level" => {
                let signal = api::Level::from_message(message)?;
                Event::Level {
                    rms: signal.args().ok()?.rms,
                }
            }
            _ => Event::Unknown { member },
        })
    }

    fn changed(message: &Message) -> Option<Self> {
        let body = message.body();
        let (interface, properties, _invalidated): (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
            body.deserialize().ok()?;
        (interface == api::NAME).then(|| Event::Changed {
            properties: Details::of(&properties),
        })
    }

    /// The event's name in `wstreamctl monitor` and its JSON.
    pub fn name(&self) -> &str {
        match self {
            Event::Started { .. } => "started",
            Event::Partial { .. } => "partial",
            Event::Ended { .. } => "ended",
            Event::Final { .. } => "final",
            Event::Failed { .. } => "failed",
            Event::Cancelled { .. } => "cancelled",
            Event::SessionEnded { .. } => "session_ended",
            Event::Delivered { .. } => "delivered",
            Event::Trouble { .. } => "trouble",
            Event::Level { .. } => "level",
            Event::Changed { .. } => "changed",
            Event::Unknown { .. } => "unknown",
            Event::Appeared => "appeared",
            Event::Vanished => "vanished",
        }
    }
}

/// An `a{sv}` of the contract, sorted by key. Names and types of the keys are in [`keys`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details(Vec<(String, OwnedVariant)>);

impl Details {
    /// A copy of what a message holds. File descriptors, which the contract never puts there, are
    /// left out.
    pub fn of(borrowed: &HashMap<&str, Variant<'_>>) -> Self {
        borrowed
            .iter()
            .filter_map(|(key, value)| Some(((*key).to_owned(), value.try_to_owned().ok()?)))
            .collect()
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Variant<'static>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), &**value))
    }

    /// The value called `key`.
    pub fn get(&self, key: &str) -> Option<&Variant<'static>> {
        let at = self.0.binary_search_by(|(name, _)| name.as_str().cmp(key));
        at.ok().map(|at| &*self.0[at].1)
    }

    /// The number called `key`.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.downcast_ref::<f64>().ok()
    }

    /// The text called `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.downcast_ref::<&str>().ok()
    }

    /// The texts of the list called `key`.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let list = self.get(key).and_then(|list| list.try_clone().ok());
        list.and_then(|list| Vec::<String>::try_from(list).ok())
            .unwrap_or_default()
    }

    /// Whether the truth value called `key` is there and true.
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.downcast_ref::<bool>() == Ok(true))
    }

    /// The session that the signal belongs to.
    pub fn session(&self) -> Option<u64> {
        self.get(keys::SESSION)?.downcast_ref::<u64>().ok()
    }
}

impl FromIterator<(String, OwnedVariant)> for Details {
    fn from_iter<I: IntoIterator<Item = (String, OwnedVariant)>>(details: I) -> Self {
        let mut sorted: Vec<_> = details.into_iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        Details(sorted)
    }
}
