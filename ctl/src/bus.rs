//! The way to the daemon: a connection to the session bus, calls that do not wait for ever, and
//! the daemon's signals in their order.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::StreamExt as _;
use wstream_api::{DictationProxy, Error as DaemonError};
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream};

use crate::event::Event;
use crate::failure::Failure;

/// How long a call may take that the daemon answers at once, its start by the bus included.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long opening a source may take: a Bluetooth microphone needs seconds, and a pipe that is
/// fed has to deliver its first bytes.
pub(crate) const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// Most messages that wait while a command does something else, at some ten a second at the
/// busiest. Full: the bus keeps what follows.
const QUEUE: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");

/// A connection to the session bus.
#[derive(Debug)]
pub(crate) struct Bus {
    connection: Connection,
    dbus: DBusProxy<'static>,
    /// The daemon. Calls start it, where the bus knows how.
    pub(crate) dictation: DictationProxy<'static>,
}

impl Bus {
    /// Connects to the session bus; does not start the daemon.
    pub(crate) async fn connect() -> Result<Self, Failure> {
        let connecting = async {
            let connection = zbus::connection::Builder::session()
                .max_queued(QUEUE)
                .build()
                .await?;
            let dbus = DBusProxy::builder(&connection)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            // Without a cache: it would ask for the microphones, which can take a while.
            let dictation = DictationProxy::builder(&connection)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            Ok(Bus {
                connection,
                dbus,
                dictation,
            })
        };
        match tokio::time::timeout(ANSWER_LIMIT, connecting).await {
            Ok(connected) => connected.map_err(Failure::NoBus),
            Err(_) => {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(Failure::NoBus(late.into()))
            }
        }
    }

    /// Whether the daemon runs; does not start it.
    pub(crate) async fn daemon_runs(&self) -> Result<bool, Failure> {
        let name = BusName::try_from(wstream_api::NAME).expect("the contract's name is valid");
        let asking = async {
            let owned = self.dbus.name_has_owner(name).await;
            Ok(owned.map_err(zbus::Error::from)?)
        };
        answer("NameHasOwner", ANSWER_LIMIT, asking).await
    }

    /// Every signal of the daemon from now on, and its coming and going.
    pub(crate) async fn events(&self) -> Result<Events, Failure> {
        // Everything that this connection receives, in the order of arrival; the rules only tell
        // the bus what to send. Two filtered streams would lose the order between a last signal
        // and the daemon's end.
        let stream = MessageStream::from(&self.connection);
        let subscribing = async {
            let signals = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender(wstream_api::NAME)
                .path(wstream_api::PATH)
                .build()?;
            let owner = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender("org.freedesktop.DBus")
                .member("NameOwnerChanged")
                .arg(0, wstream_api::NAME)
                .build()?;
            for rule in [owner, signals] {
                let added = self.dbus.add_match_rule(rule).await;
                added.map_err(zbus::Error::from)?;
            }
            let name = BusName::try_from(wstream_api::NAME)?;
            match self.dbus.get_name_owner(name).await {
                Ok(owner) => Ok(Some(owner.as_str().to_owned())),
                Err(zbus::fdo::Error::NameHasNoOwner(_)) => Ok(None),
                Err(error) => Err(DaemonError::from(zbus::Error::from(error))),
            }
        };
        let owner = answer("AddMatch", ANSWER_LIMIT, subscribing).await?;
        Ok(Events { stream, owner })
    }
}

/// Waits for an answer of the daemon, but not for ever. `what` names the call in the sentence.
pub(crate) async fn answer<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, DaemonError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(answered) => answered.map_err(|error| Failure::of_call(what, error)),
        Err(_) => Err(Failure::NoAnswer { what, limit }),
    }
}

/// Reads a property of the daemon, as [`answer`] does for a method.
pub(crate) async fn read<T>(
    what: &'static str,
    property: impl Future<Output = zbus::Result<T>>,
) -> Result<T, Failure> {
    answer(what, ANSWER_LIMIT, async { Ok(property.await?) }).await
}

/// What the daemon says, in the order in which it says it.
#[derive(Debug)]
pub(crate) struct Events {
    stream: MessageStream,
    /// The daemon's name on this bus while it runs: only what comes from there counts.
    owner: Option<String>,
}

impl Events {
    /// Waits for the next event; fails when the bus has gone.
    pub(crate) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            let message = match self.stream.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(Failure::BusLost(Some(error))),
                None => return Err(Failure::BusLost(None)),
            };
            if message.message_type() != Type::Signal {
                continue;
            }
            let header = message.header();
            let sender = header.sender().map(|name| name.as_str());
            if sender == Some("org.freedesktop.DBus") {
                if let Some(event) = self.owner_changed(&message) {
                    return Ok(event);
                }
            } else if sender.is_some()
                && sender == self.owner.as_deref()
                && let Some(event) = Event::from_message(&message)
            {
                return Ok(event);
            }
        }
    }

    fn owner_changed(&mut self, message: &zbus::Message) -> Option<Event> {
        let signal = zbus::fdo::NameOwnerChanged::from_message(message.clone())?;
        let args = signal.args().ok()?;
        if args.name.as_str() != wstream_api::NAME {
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
