//! The way to the daemon: a connection to the session bus, calls that do not wait for ever, and
//! the daemon's signals in their order.

use std::num::NonZeroUsize;
use std::time::Duration;

use wstream_api::{self as api, DictationProxy, Error as DaemonError};
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;

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

    /// The connection, for others on the bus.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the daemon runs; does not start it.
    pub(crate) async fn daemon_runs(&self) -> Result<bool, Failure> {
        let name = BusName::try_from(api::NAME).expect("the contract's name is valid");
        let asking = async {
            let owned = self.dbus.name_has_owner(name).await;
            Ok(owned.map_err(zbus::Error::from)?)
        };
        answer("NameHasOwner", ANSWER_LIMIT, asking).await
    }

    /// Every signal of the daemon from now on, and its coming and going.
    pub(crate) async fn events(&self) -> Result<Events, Failure> {
        let subscribing = async { Ok(api::Events::new(&self.connection).await?) };
        answer("AddMatch", ANSWER_LIMIT, subscribing)
            .await
            .map(Events)
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
pub(crate) struct Events(api::Events);

impl Events {
    /// Waits for the next event; fails when the bus has gone.
    pub(crate) async fn next(&mut self) -> Result<Event, Failure> {
        match self.0.next().await {
            Some(event) => event.map_err(|error| Failure::BusLost(Some(error))),
            None => Err(Failure::BusLost(None)),
        }
    }
}
