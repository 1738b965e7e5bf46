//! Whether a password field has the focus, as programs tell on the accessibility bus (AT-SPI).
//!
//! Enters: where the session's bus is. Leaves: yes or no. Accessibility is never switched on: where
//! it is not there, or a program does not take part in it, nobody is asked. Blocks, for some
//! milliseconds; a program whose answer takes longer is taken to say nothing.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Runtime;
use zbus::{Connection, OwnedObjectPath};

use crate::Session;
use crate::bus::{Bus, is_there};

/// All programs have to answer within this; a text waits for it.
const LIMIT: Duration = Duration::from_millis(50);
/// Until the buses are found and connected to, which happens once.
const FIRST: Duration = Duration::from_millis(300);

/// Where the accessibility bus is, the session's bus knows.
const LAUNCHER: (&str, &str) = ("org.a11y.Bus", "/org/a11y/bus");
/// Who knows the programs that take part.
const REGISTRY: (&str, &str) = ("org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root");
const ACCESSIBLE: &str = "org.a11y.atspi.Accessible";

/// `ATSPI_ROLE_PASSWORD_TEXT`.
const PASSWORD_TEXT: u32 = 40;

/// Bits of a state: `ATSPI_STATE_ACTIVE`, of the window that has the focus; `FOCUSED`; `SHOWING`,
/// which GTK 4 leaves out inside of a window, and `VISIBLE`.
const ACTIVE: u64 = 1 << 1;
const FOCUSED: u64 = 1 << 12;
const SHOWING: u64 = 1 << 25;
const VISIBLE: u64 = 1 << 30;

/// Parts of one window that are asked at most; the time is over before, as a rule.
const MOST: usize = 2000;

/// Something in a window, or a window: whom to ask, and its object.
type Part = (String, OwnedObjectPath);

/// Knows whom to ask what the focused field is for.
#[derive(Debug)]
pub struct Fields {
    /// `None`: the desktop has no bus, and nobody is asked.
    buses: Option<Buses>,
}

#[derive(Debug)]
struct Buses {
    /// Runs only while it is asked.
    runtime: Runtime,
    session: Bus,
    /// The accessibility bus, by its address.
    accessible: Option<(String, Bus)>,
}

impl Fields {
    /// Of a desktop.
    pub fn of(session: &Session) -> Self {
        let address = session.text("DBUS_SESSION_BUS_ADDRESS");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let buses = address.zip(runtime.ok()).map(|(address, runtime)| Buses {
            runtime,
            session: Bus::at(Some(address.to_owned())),
            accessible: None,
        });
        Fields { buses }
    }

    /// Whether the field that has the focus is known to be for a password.
    pub fn has_password(&mut self) -> bool {
        let Some(Buses {
            runtime,
            session,
            accessible,
        }) = &mut self.buses
        else {
            return false;
        };
        runtime.block_on(async {
            let limit = accessible.as_ref().map_or(FIRST, |_| LIMIT);
            let end = Instant::now() + limit;
            let left = || end.saturating_duration_since(Instant::now());
            let Some(address) = session.ask(left(), address).await else {
                *accessible = None;
                return false;
            };
            let (_, bus) = match accessible.take() {
                Some(known) if known.0 == address => accessible.insert(known),
                _ => accessible.insert((address.clone(), Bus::at(Some(address)))),
            };
            bus.ask(left(), password).await.is_some()
        })
    }
}

/// Where the accessibility bus is.
async fn address(bus: &Connection) -> zbus::Result<Option<String>> {
    let (name, object) = LAUNCHER;
    if !is_there(bus, name).await? {
        return Ok(None);
    }
    let answer = bus
        .call_method(Some(name), object, Some(name), "GetAddress", &())
        .await?;
    Ok(Some(answer.body().deserialize()?))
}

/// The password field that has the focus in some program.
async fn password(bus: &Connection) -> zbus::Result<Option<()>> {
    let (name, object) = REGISTRY;
    if !is_there(bus, name).await? {
        return Ok(None);
    }
    let programs = children(bus, &(name.to_owned(), OwnedObjectPath::try_from(object)?)).await?;
    // One that does not answer does not keep the others from being heard.
    let mut asked: FuturesUnordered<_> = programs
        .iter()
        .map(|program| password_in(bus, program))
        .collect();
    while let Some(found) = asked.next().await {
        match found {
            Ok(true) => return Ok(Some(())),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "a program does not tell of its windows"),
        }
    }
    Ok(None)
}

/// Whether a password field has the focus in a program's active window.
async fn password_in(bus: &Connection, program: &Part) -> zbus::Result<bool> {
    let windows = children(bus, program).await?;
    let states = join_all(windows.iter().map(|window| state(bus, window))).await;
    let active = windows.into_iter().zip(states);
    // What is looked at next, all at once.
    let mut level: Vec<Part> = active
        .filter(|(_, state)| state.as_ref().is_ok_and(|state| state & ACTIVE != 0))
        .map(|(window, _)| window)
        .collect();
    let mut asked = 0;
    while !level.is_empty() && asked < MOST {
        asked += level.len();
        let below = join_all(level.iter().map(|part| below(bus, part))).await;
        level = Vec::new();
        for below in below {
            match below {
                Ok(Below::Focused(role)) => return Ok(role == PASSWORD_TEXT),
                Ok(Below::Parts(parts)) => level.extend(parts),
                // It has gone meanwhile.
                Err(error) => tracing::trace!(%error, "a part of a window does not answer"),
            }
        }
    }
    Ok(false)
}

/// What a part of a window says.
enum Below {
    /// It has the focus, and this is its role.
    Focused(u32),
    /// These are inside of it.
    Parts(Vec<Part>),
}

async fn below(bus: &Connection, part: &Part) -> zbus::Result<Below> {
    let state = state(bus, part).await?;
    if state & FOCUSED != 0 {
        return Ok(Below::Focused(ask(bus, part, "GetRole").await?));
    }
    if state & (SHOWING | VISIBLE) == 0 {
        return Ok(Below::Parts(Vec::new()));
    }
    Ok(Below::Parts(children(bus, part).await?))
}

async fn children(bus: &Connection, part: &Part) -> zbus::Result<Vec<Part>> {
    ask(bus, part, "GetChildren").await
}

async fn state(bus: &Connection, part: &Part) -> zbus::Result<u64> {
    let halves: Vec<u32> = ask(bus, part, "GetState").await?;
    let half = |at: usize| halves.get(at).copied().map_or(0, u64::from);
    Ok(half(0) | half(1) << 32)
}

async fn ask<T>(bus: &Connection, part: &Part, what: &str) -> zbus::Result<T>
where
    T: serde::de::DeserializeOwned + zbus::wire::Type,
{
    let (name, object) = part;
    let answer = bus
        .call_method(Some(name.as_str()), object, Some(ACCESSIBLE), what, &())
        .await?;
    answer.body().deserialize()
}
