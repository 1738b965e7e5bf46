//! Whether the screen is locked, as the desktop's lock screen and logind tell.
//!
//! Enters: where the session's bus is. Leaves: who says that the screen is locked. Blocks, for some
//! milliseconds; whoever does not answer is taken to say nothing. A lock screen that takes all keys
//! and tells nobody is found by the driver `x11`.

use std::time::Duration;

use tokio::runtime::Runtime;
use zbus::Connection;

use crate::Session;
use crate::bus::{Bus, is_there};

/// What is asked has to answer within this; a text waits for it.
const LIMIT: Duration = Duration::from_millis(300);

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
            let (screen, hint) = tokio::join!(
                session.ask(LIMIT, active_screen),
                system.ask(LIMIT, locked_hint)
            );
            screen.or(hint)
        })
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
