//! What the daemon says on the bus as lines of JSON. No input or output.

pub(crate) use wstream_api::{Details, Event};

use crate::json::Object;

/// The event as an object: its type, its arguments in the order of the contract, then its details
/// by name.
pub(crate) fn to_object(event: &Event) -> Object {
    let object = Object::new(event.name());
    match event {
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
        Event::Delivered {
            utterance,
            driver,
            characters,
            verified,
        } => object
            .with("utterance", utterance)
            .with("driver", driver)
            .with("characters", characters)
            .with("verified", verified),
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Serialize;
    use wstream_api as api;
    use zbus::{Message, Variant};

    use super::*;

    fn signal<B: Serialize + zbus::wire::DynamicType>(member: &str, body: &B) -> Message {
        Message::signal(api::PATH, api::NAME, member)
            .build(body)
            .unwrap()
    }

    fn line(message: &Message) -> String {
        to_object(&Event::from_message(message).unwrap()).to_line()
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
