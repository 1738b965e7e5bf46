use futures_util::StreamExt as _;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, Message, MessageStream};

use crate::{Event, NAME, PATH};

/// What the daemon says, in the order in which it says it, and its coming and going.
///
/// Never starts the daemon. Whoever does not call [`next`](Events::next) for long holds the whole
/// connection up, calls of their own objects included.
#[derive(Debug)]
pub struct Events {
    stream: MessageStream,
    /// The daemon's name on this bus while it runs: only what comes from there counts.
    owner: Option<String>,
}

impl Events {
    /// Every signal of the daemon from now on.
    pub async fn new(connection: &Connection) -> zbus::Result<Self> {
        // Everything that this connection receives, in the order of arrival; the rules only tell
        // the bus what to send. Two filtered streams would lose the order between a last signal
        // and the daemon's end.
        let stream = MessageStream::from(connection);
        let bus = DBusProxy::builder(connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let signals = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(NAME)
            .path(PATH)
            .build()?;
        let owner = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, NAME)
            .build()?;
        for rule in [owner, signals] {
            bus.add_match_rule(rule).await?;
        }
        let owner = match bus.get_name_owner(BusName::try_from(NAME)?).await {
            Ok(owner) => Some(owner.as_str().to_owned()),
            Err(zbus::fdo::Error::NameHasNoOwner(_)) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Events { stream, owner })
    }

    /// The daemon's unique name on this bus; `None` while it does not run.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Waits for the next event; `None` or an error when the bus has gone.
    pub async fn next(&mut self) -> Option<zbus::Result<Event>> {
        loop {
            let message = match self.stream.next().await? {
                Ok(message) => message,
                Err(error) => return Some(Err(error)),
            };
            if let Some(event) = self.event_in(&message) {
                return Some(Ok(event));
            }
        }
    }

    fn event_in(&mut self, message: &Message) -> Option<Event> {
        if message.message_type() != Type::Signal {
            return None;
        }
        let header = message.header();
        let sender = header.sender()?.as_str();
        if sender == "org.freedesktop.DBus" {
            return self.owner_changed(message);
        }
        if Some(sender) != self.owner() {
            return None;
        }
        Event::from_message(message)
    }

    fn owner_changed(&mut self, message: &Message) -> Option<Event> {
        let signal = zbus::fdo::NameOwnerChanged::from_message(message.clone())?;
        let args = signal.args().ok()?;
        if args.name.as_str() != NAME {
            return None;
        }
        let text = |name: &zbus::names::UniqueName<'_>| name.as_str().to_owned();
        // A change from before the answer to GetNameOwner is old news.
        if args.old_owner.as_ref().map(text) != self.owner {
            return None;
        }
        self.owner = args.new_owner.as_ref().map(text);
        Some(match self.owner {
            Some(_) => Event::Appeared,
            None => Event::Vanished,
        })
    }
}
