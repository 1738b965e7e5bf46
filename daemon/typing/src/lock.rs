//! Whether the screen is locked, as the desktop's lock screen and logind tell.
//!
//! Enters: where the session's bus is. Leaves: who says that the screen is locked. Blocks, for some
//! milliseconds; whoever does not answer is taken to say nothing. A lock screen that takes all keys
//! and tells nobody is found by the driver `x11`.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::names::BusName;

use crate::Session;

/// What is asked has to answer within this; a text waits for it.
const LIMIT: Duration = Duration::from_millis(300);

/// A bus that is not there is looked for again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// Lock screens on the session's bus: name and interface, and object.
const SCREENS: [(&str, &str); 2] = [
    (
        "org.freedesktop.ScreenSaver",
        "/org/freedesktop/ScreenSaver",
    ),
    ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver"),
];

const LOGIND: &str = "org.freedesktop.login1";
/// The session of who asks, or else the one that its user looks at.
const OWN_SESSION: &str = "/org/freedesktop/login1/session/auto";

/// Knows whom to ask whether a desktop's screen is locked.
#[derive(Debug)]
pub struct Lock {
    /// `None`: the desktop has no bus, and nobody is asked.
    buses: Option<Buses>,
}

#[derive(Debug)]
struct Buses {
    /// Runs only while it is asked.
    runtime: Runtime,
    session: Bus,
    system: Bus,
}

#[derive(Debug)]
struct Bus {
    /// `None`: the machine's.
    address: Option<String>,
    connection: Option<Connection>,
    /// When it was not there.
    absent: Option<Instant>,
}

impl Lock {
    /// Of a desktop. The system's bus is the machine's and no desktop's, so where it is comes from
    /// this process's environment.
    pub fn of(session: &Session) -> Self {
        let address = session.text("DBUS_SESSION_BUS_ADDRESS");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let buses = address.zip(runtime.ok()).map(|(address, runtime)| Buses {
            runtime,
            session: Bus::at(Some(address.to_owned())),
            system: Bus::at(None),
        });
        Lock { buses }
    }

    /// Who says that the screen is locked; `None`: nobody.
    pub fn holder(&mut self) -> Option<&'static str> {
        let Buses {
            runtime,
            session,
            system,
        } = self.buses.as_mut()?;
        runtime.block_on(async {
            let (screen, hint) = tokio::join!(session.ask(active_screen), system.ask(locked_hint));
            screen.or(hint)
        })
    }
}

impl Bus {
    fn at(address: Option<String>) -> Self {
        Bus {
            address,
            connection: None,
            absent: None,
        }
    }

    /// Asks on the bus; what fails is asked anew on another connection the next time.
    async fn ask<T>(
        &mut self,
        question: impl AsyncFn(&Connection) -> zbus::Result<Option<T>>,
    ) -> Option<T> {
        let asking = async {
            let connection = self.connect().await?;
            question(&connection).await
        };
        let answer = tokio::time::timeout(LIMIT, asking).await;
        match answer {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => tracing::debug!(%error, "nobody says whether the screen is locked"),
            Err(_) => tracing::debug!("who knows whether the screen is locked does not answer"),
        }
        self.connection = None;
        None
    }

    async fn connect(&mut self) -> zbus::Result<Connection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let is_recent = |absent: Instant| absent.elapsed() < AGAIN;
        if self.absent.is_some_and(is_recent) {
            return Err(zbus::Error::Failure("the bus is not there".to_owned()));
        }
        let builder = match &self.address {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        // Until it is there; being too late counts as absent as well.
        self.absent = Some(Instant::now());
        let connection = builder.build().await?;
        self.absent = None;
        self.connection = Some(connection.clone());
        Ok(connection)
    }
}

/// The lock screen on the session's bus that is shown.
async fn active_screen(bus: &Connection) -> zbus::Result<Option<&'static str>> {
    for (name, object) in SCREENS {
        if !is_there(bus, name).await? {
            continue;
        }
        let answer = bus
            .call_method(Some(name), object, Some(name), "GetActive", &())
            .await;
        // Some have the name for its other methods.
        let active = answer.and_then(|answer| answer.body().deserialize::<bool>());
        if active.unwrap_or(false) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What logind was told by whoever locks.
async fn locked_hint(bus: &Connection) -> zbus::Result<Option<&'static str>> {
    if !is_there(bus, LOGIND).await? {
        return Ok(None);
    }
    let properties = zbus::fdo::PropertiesProxy::builder(bus)
        .destination(LOGIND)
        .path(OWN_SESSION)
        .build()
        .await?;
    let interface = "org.freedesktop.login1.Session".try_into()?;
    // Who is in no session has no such object.
    let hint = properties.get(interface, "LockedHint").await;
    let locked = hint.is_ok_and(|hint| bool::try_from(hint).unwrap_or(false));
    Ok(locked.then_some(LOGIND))
}

/// Whether somebody has the name: asking one that nobody has would start a program.
async fn is_there(bus: &Connection, name: &'static str) -> zbus::Result<bool> {
    let names = zbus::fdo::DBusProxy::new(bus).await?;
    Ok(names.name_has_owner(BusName::try_from(name)?).await?)
}
