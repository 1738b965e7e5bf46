//! What the daemon says on the bus, as owned values: messages in, events and JSON out. No input or
//! output of its own.

use std::collections::HashMap;

use wstream_api as api;
use wstream_api::keys;
use zbus::message::Message;
use zbus::{OwnedVariant, Variant};

use crate::json::Object;

/// One signal of the daemon, or a change of the daemon itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Started {
        utterance: u64,
        session: u64,
        details: Details,
    },
    Partial {
        utterance: u64,
        committed: String,
        tentative: String,
        details: Details,
    },
    Ended {
        utterance: u64,
        details: Details,
    },
    Final {
        utterance: u64,
        text: String,
        details: Details,
    },
    Failed {
        utterance: u64,
        name: String,
        message: String,
        details: Details,
    },
    Cancelled {
        utterance: u64,
    },
    SessionEnded {
        session: u64,
        details: Details,
    },
    Trouble {
        name: String,
        message: String,
        details: Details,
    },
    Level {
        rms: f64,
    },
    /// Properties have new values.
    Changed {
        properties: Details,
    },
    /// A signal that this version does not know.
    Unknown {
        member: String,
    },
    /// The daemon is on the bus now.
    Appeared,
    /// The daemon has left the bus.
    Vanished,
}

impl Event {
    /// The event in `message`, which comes from the daemon; `None` for anything but a signal of
    /// its interface, and for one whose arguments are not those of the contract.
    pub(crate) fn from_message(message: &Message) -> Option<Self> {
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

    /// The event's name in our JSON and in `monitor`.
    pub(crate) fn name(&self) -> &str {
        match self {
            Event::Started { .. } => "started",
            Event::Partial { .. } => "partial",
            Event::Ended { .. } => "ended",
            Event::Final { .. } => "final",
            Event::Failed { .. } => "failed",
            Event::Cancelled { .. } => "cancelled",
            Event::SessionEnded { .. } => "session_ended",
            Event::Trouble { .. } => "trouble",
            Event::Level { .. } => "level",
            Event::Changed { .. } => "changed",
            Event::Unknown { .. } => "unknown",
            Event::Appeared => "appeared",
            Event::Vanished => "vanished",
        }
    }

    /// The event as an object: its type, its arguments in the order of the contract, then its
    /// details by name.
    pub(crate) fn to_object(&self) -> Object {
        let object = Object::new(self.name());
        match self {
            Event::Started {
                utterance,
                session,
                details,
            } => object
                .with("utterance", utterance)
                .with("session", session)
                .with_details(details),
            Event::Partial {
                utterance,
                committed,
                tentative,
                details,
            } => object
                .with("utterance", utterance)
                .with("committed", committed)
                .with("tentative", tentative)
                .with_details(details),
            Event::Ended { utterance, details } => {
                object.with("utterance", utterance).with_details(details)
            }
            Event::Final {
                utterance,
                text,
                details,
            } => object
                .with("utterance", utterance)
                .with("text", text)
                .with_details(details),
            Event::Failed {
                utterance,
                name,
                message,
                details,
            } => object
                .with("utterance", utterance)
                .with("name", name)
                .with("message", message)
                .with_details(details),
            Event::Cancelled { utterance } => object.with("utterance", utterance),
            Event::SessionEnded { session, details } => {
                object.with("session", session).with_details(details)
            }
            Event::Trouble {
                name,
                message,
                details,
            } => object
                .with("name", name)
                .with("message", message)
                .with_details(details),
            Event::Level { rms } => object.with("rms", rms),
            Event::Changed { properties } => object.with_details(properties),
            Event::Unknown { member } => object.with("member", member),
            Event::Appeared | Event::Vanished => object,
        }
    }
}

/// The `a{sv}` of a signal, sorted by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Details(Vec<(String, OwnedVariant)>);

impl Details {
    /// A copy of what a message holds. File descriptors, which the contract never puts there, are
    /// left out.
    pub(crate) fn of(borrowed: &HashMap<&str, Variant<'_>>) -> Self {
        let mut owned: Vec<(String, OwnedVariant)> = borrowed
            .iter()
            .filter_map(|(key, value)| Some(((*key).to_owned(), value.try_to_owned().ok()?)))
            .collect();
        owned.sort_by(|(a, _), (b, _)| a.cmp(b));
        Details(owned)
    }

    /// All of them, in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Variant<'static>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), &**value))
    }

    fn get(&self, key: &str) -> Option<&Variant<'static>> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| &**value)
    }

    /// The number called `key`.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.downcast_ref::<f64>().ok()
    }

    /// The text called `key`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.downcast_ref::<&str>().ok()
    }

    /// The session that the signal belongs to.
    pub(crate) fn session(&self) -> Option<u64> {
        self.get(keys::SESSION)?.downcast_ref::<u64>().ok()
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    fn signal<B: Serialize + zbus::wire::DynamicType>(member: &str, body: &B) -> Message {
        Message::signal(api::PATH, api::NAME, member)
            .build(body)
            .unwrap()
    }

    fn line(message: &Message) -> String {
        Event::from_message(message).unwrap().to_object().to_line()
    }

    #[test]
    fn signals_become_lines_of_json() {
        let none = HashMap::<&str, Variant<'_>>::new;
        let started = HashMap::from([
            ("source", Variant::from("feed")),
            ("at_s", Variant::from(0.5)),
        ]);
        let partial = HashMap::from([("session", Variant::from(3u64))]);
        let said = HashMap::from([
            (
                "segments",
                Variant::from(vec![(0.0, 1.5, "Hello."), (1.5, 2.0, "You.")]),
            ),
            ("latency_ms", Variant::from(12.5)),
            ("confidence", Variant::from(f64::NAN)),
            // An argument's name as a detail must not make two members of one name.
            ("text", Variant::from("other")),
        ]);
        let ended = HashMap::from([("utterances", Variant::from(2u64))]);
        for (message, expected) in [
            (
                signal("Started", &(7u64, 3u64, started)),
                r#"{"type":"started","utterance":7,"session":3,"at_s":0.5,"source":"feed"}"#,
            ),
            (
                signal("Partial", &(7u64, "Hello", " you", partial)),
                r#"{"type":"partial","utterance":7,"committed":"Hello","tentative":" you","session":3}"#,
            ),
            (
                signal("Ended", &(7u64, none())),
                r#"{"type":"ended","utterance":7}"#,
            ),
            (
                signal("Final", &(7u64, "Hello. You.", said)),
                r#"{"type":"final","utterance":7,"text":"Hello. You.","confidence":null,"latency_ms":12.5,"segments":[{"end":1.5,"start":0.0,"text":"Hello."},{"end":2.0,"start":1.5,"text":"You."}]}"#,
            ),
            (
                signal("Failed", &(8u64, "x.Error.BadSound", "a sentence", none())),
                r#"{"type":"failed","utterance":8,"name":"x.Error.BadSound","message":"a sentence"}"#,
            ),
            (
                signal("Cancelled", &(9u64,)),
                r#"{"type":"cancelled","utterance":9}"#,
            ),
            (
                signal("SessionEnded", &(3u64, ended)),
                r#"{"type":"session_ended","session":3,"utterances":2}"#,
            ),
            (
                signal(
                    "Trouble",
                    &("n", "esc \u{1b} csi \u{9b} del \u{7f}", none()),
                ),
                r#"{"type":"trouble","name":"n","message":"esc \u001b csi \u009b del \u007f"}"#,
            ),
            (signal("Level", &(0.25,)), r#"{"type":"level","rms":0.25}"#),
            (
                signal("Applauded", &()),
                r#"{"type":"unknown","member":"Applauded"}"#,
            ),
        ] {
            assert_eq!(line(&message), expected);
        }
    }

    #[test]
    fn changes_of_properties_are_events() {
        let changed = HashMap::from([("State", Variant::from("listening"))]);
        let of = |interface: &str| {
            Message::signal(
                api::PATH,
                "org.freedesktop.DBus.Properties",
                "PropertiesChanged",
            )
            .build(&(interface, &changed, Vec::<&str>::new()))
            .unwrap()
        };
        assert_eq!(
            line(&of(api::NAME)),
            r#"{"type":"changed","State":"listening"}"#
        );
        assert_eq!(Event::from_message(&of("org.other.Interface")), None);
    }

    #[test]
    fn a_signal_with_other_arguments_is_none() {
        for message in [
            signal("Final", &("seven", "text")),
            signal("Partial", &(7u64,)),
            signal("Level", &()),
        ] {
            assert_eq!(Event::from_message(&message), None);
        }
    }
}
