//! Our engine as IBus calls it, and what it tells of the field that has the focus.
//!
//! Enters: method calls of the daemon, each of which is answered at once, so that no key of the
//! user waits. Leaves: what is known of the field, newest only. Runs as a task on the thread
//! `ibus`.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, ObjectPath, Variant};

use super::objects::first_field;
use crate::Purpose;

/// `IBUS_CAP_SURROUNDING_TEXT`.
const SURROUNDING: u32 = 1 << 5;

/// What is known of the field that has the focus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The engine that it has, an object of ours; `None`: no field has the focus, or another engine.
    pub(super) engine: Option<String>,
    /// The program's name for itself, if told.
    pub(super) app: String,
    pub(super) purpose: Purpose,
    capabilities: u32,
    /// Text around the cursor: all of it, where the cursor is in characters, and the other end of
    /// what is selected.
    surrounding: Option<(String, u32, u32)>,
}

impl Told {
    /// Text before and behind the cursor, or what is selected.
    pub(super) fn around(&self) -> Option<(String, String)> {
        let (text, cursor, anchor) = self.surrounding.as_ref()?;
        if self.capabilities & SURROUNDING == 0 {
            return None;
        }
        let (from, to) = (*cursor.min(anchor), *cursor.max(anchor));
        let before = text.chars().take(from as usize).collect();
        let after = text.chars().skip(to as usize).collect();
        Some((before, after))
    }
}

/// What is to be answered.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Nothing,
    No,
    Engine(String),
    Property(bool),
    Properties,
}

/// The state of our engines, by what the daemon calls.
#[derive(Debug, Default)]
struct Engines {
    count: u32,
    told: Told,
}

impl Engines {
    fn call(&mut self, path: &str, member: &str, message: &Message) -> Answer {
        let body = message.body();
        match member {
            "CreateEngine" => {
                self.count += 1;
                return Answer::Engine(format!("/org/wstream/IBus/Engine/{}", self.count));
            }
            "ProcessKeyEvent" => return Answer::No,
            "Get" => {
                let asked = body.deserialize::<(&str, &str)>();
                return Answer::Property(asked.is_ok_and(|(_, name)| is_wanted(name)));
            }
            "GetAll" => return Answer::Properties,
            "Set" => {
                if let Ok((_, "ContentType", value)) =
                    body.deserialize::<(&str, &str, Variant<'_>)>()
                    && let Ok((purpose, hints)) = <(u32, u32)>::try_from(value)
                {
                    self.told.purpose = purpose_of(purpose, hints);
                }
            }
            "SetCapabilities" => self.told.capabilities = body.deserialize().unwrap_or_default(),
            "FocusIn" => self.told.engine = Some(path.to_owned()),
            "FocusInId" => {
                self.told.engine = Some(path.to_owned());
                // The kind of its input method, and the program.
                let client = body.deserialize::<(&str, &str)>().map(|(_, client)| client);
                let client = client.unwrap_or_default();
                let app = client.rsplit_once(':').map_or(client, |(_, app)| app);
                self.told.app = app.to_owned();
            }
            "FocusOut" | "FocusOutId" | "Disable" | "Destroy"
                if self.told.engine.as_deref() == Some(path) =>
            {
                self.told = Told::default();
            }
            "SetSurroundingText" => {
                if let Ok((text, cursor, anchor)) = body.deserialize::<(Variant<'_>, u32, u32)>() {
                    let text = first_field(&text);
                    self.told.surrounding = text.map(|text| (text, cursor, anchor));
                }
            }
            _ => {}
        }
        Answer::Nothing
    }
}

/// Properties of an engine that wants to know of programs, and of what stands around the cursor.
fn is_wanted(property: &str) -> bool {
    ["FocusId", "ActiveSurroundingText"].contains(&property)
}

fn purpose_of(purpose: u32, hints: u32) -> Purpose {
    const PASSWORD: u32 = 8;
    const PIN: u32 = 9;
    const TERMINAL: u32 = 10;
    const HIDDEN: u32 = 1 << 12;
    match purpose {
        PASSWORD | PIN => Purpose::Password,
        _ if hints & HIDDEN != 0 => Purpose::Password,
        TERMINAL => Purpose::Terminal,
        _ => Purpose::Text,
    }
}

/// Answers the daemon until the connection ends.
pub(super) async fn serve(
    connection: Connection,
    mut calls: MessageStream,
    told: watch::Sender<Told>,
) {
    let mut engines = Engines::default();
    while let Some(Ok(message)) = calls.next().await {
        let header = message.header();
        let is_call = header.message_type() == Type::MethodCall;
        let (Some(path), Some(member), true) = (header.path(), header.member(), is_call) else {
            continue;
        };
        let answer = engines.call(path, member, &message);
        told.send_if_modified(|now| {
            let is_news = *now != engines.told;
            if is_news {
                *now = engines.told.clone();
            }
            is_news
        });
        let answered = match answer {
            Answer::Nothing => connection.reply(&header, &()).await,
            Answer::No => connection.reply(&header, &false).await,
            Answer::Engine(path) => match ObjectPath::try_from(path) {
                Ok(path) => connection.reply(&header, &path).await,
                Err(error) => Err(error),
            },
            Answer::Property(value) => connection.reply(&header, &Variant::from(value)).await,
            Answer::Properties => {
                let wanted = [("FocusId", true), ("ActiveSurroundingText", true)];
                let wanted = wanted.map(|(name, value)| (name, Variant::from(value)));
                connection.reply(&header, &HashMap::from(wanted)).await
            }
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "IBus gets no answer");
        }
    }
    // Nothing has the focus any more.
    told.send_replace(Told::default());
}

#[cfg(test)]
mod tests {
    use super::super::objects::text;
    use super::*;

    fn call<B>(engines: &mut Engines, path: &str, member: &str, body: &B) -> Answer
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let message = Message::method_call(path, member)
            .build(body)
            .expect("a call");
        engines.call(path, member, &message)
    }

    #[test]
    fn what_the_daemon_says_is_known_of_the_field() {
        let mut engines = Engines::default();
        let first = call(&mut engines, "/factory", "CreateEngine", &"x");
        let Answer::Engine(path) = first else {
            panic!("{first:?}");
        };
        let content = (
            "org.freedesktop.IBus.Engine",
            "ContentType",
            Variant::from((8u32, 0u32)),
        );
        call(&mut engines, &path, "SetCapabilities", &0x29u32);
        call(&mut engines, &path, "Set", &content);
        call(&mut engines, &path, "FocusInId", &("/ic", "gtk3-im:gedit"));
        call(
            &mut engines,
            &path,
            "SetSurroundingText",
            &(text("añb", false), 2u32, 1u32),
        );
        assert_eq!(engines.told.engine.as_deref(), Some(path.as_str()));
        assert_eq!(engines.told.app, "gedit");
        assert_eq!(engines.told.purpose, Purpose::Password);
        assert_eq!(engines.told.around(), Some(("a".into(), "b".into())));
        assert_eq!(
            call(&mut engines, &path, "ProcessKeyEvent", &(1u32, 2u32, 0u32)),
            Answer::No
        );
        // Another engine of ours loses the focus: nothing has changed.
        call(&mut engines, "/other", "FocusOut", &());
        assert!(engines.told.engine.is_some());
        call(&mut engines, &path, "FocusOut", &());
        assert_eq!(engines.told, Told::default());
    }
}
