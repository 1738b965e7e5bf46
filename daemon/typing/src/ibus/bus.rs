//! A connection to a session's IBus, on which our engine is the one that fields have while it is
//! needed, and the user's own otherwise.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout};
use zbus::{Connection, MessageStream, Variant};

use super::engine::{Told, serve};
use super::objects::{ENGINE, component, first_field};
use crate::Unable;

const SERVICE: &str = "org.freedesktop.IBus";
const PATH: &str = "/org/freedesktop/IBus";
/// What has the focus in IBus where no field has it: its own, which it makes first.
const NO_FIELD: &str = "/org/freedesktop/IBus/InputContext_1";
/// How the names of engines begin that are layouts of a keyboard.
const KEYBOARDS: &str = "xkb:";
const ENGINE_INTERFACE: &str = "org.freedesktop.IBus.Engine";

/// IBus answers within milliseconds; one that does not in this time hangs.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a field may take until it has our engine.
const FOCUS: Duration = Duration::from_secs(1);
/// The user's engine comes back when ours has not been used for so long.
const UNUSED: Duration = Duration::from_secs(3);

/// How long IBus may take until it has seen that our connection has ended, and how often it is
/// looked.
const GOES: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_millis(10);

/// The connection.
#[derive(Clone, Debug)]
pub(super) struct Bus {
    connection: Connection,
    pub(super) told: watch::Receiver<Told>,
    global: Arc<Mutex<Global>>,
    used: watch::Sender<Option<Instant>>,
}

/// Which engine all fields have.
#[derive(Debug, Default)]
struct Global {
    is_ours: bool,
    /// The user's, as soon as it is known.
    users: Option<String>,
}

impl Bus {
    /// Connects, and tells IBus of our engine.
    pub(super) async fn connect(address: &str) -> Result<Self, Unable> {
        let absent = |error: zbus::Error| Unable::Absent(format!("no connection to IBus: {error}"));
        let connecting = zbus::connection::Builder::address(address).build();
        let connection = timeout(ANSWER, connecting).await;
        let connection = connection
            .map_err(|_| Unable::Absent("IBus does not answer".into()))?
            .map_err(absent)?;
        let (to_driver, told) = watch::channel(Told::default());
        let calls = MessageStream::from(&connection);
        tokio::spawn(serve(connection.clone(), calls, to_driver));
        let (used, is_used) = watch::channel(None);
        let bus = Bus {
            connection,
            told,
            global: Arc::default(),
            used,
        };
        bus.call("RegisterComponent", &component()).await?;
        tokio::spawn(bus.clone().rest(is_used));
        Ok(bus)
    }

    /// The field that has the focus, which has our engine from now on; and its name.
    pub(super) async fn field(&mut self) -> Result<(Told, String), Unable> {
        let context = focused(&self.connection).await?;
        self.take_over().await?;
        let found = self.until(FOCUS, |told| told.engine.is_some()).await;
        found.map(|told| (told, context)).ok_or_else(nowhere)
    }

    /// Waits until something is known of the field.
    pub(super) async fn until(
        &mut self,
        limit: Duration,
        wanted: impl Fn(&Told) -> bool,
    ) -> Option<Told> {
        let found = timeout(limit, self.told.wait_for(wanted)).await;
        found.ok()?.ok().map(|told| told.clone())
    }

    /// Has all fields have our engine.
    async fn take_over(&self) -> Result<(), Unable> {
        self.used.send_replace(Some(Instant::now()));
        let mut global = self.global.lock().await;
        if global.is_ours {
            return Ok(());
        }
        // None has been chosen yet, if it does not say.
        let now = engine_of(&self.connection).await?;
        if let Some(users) = now.filter(|name| name != ENGINE) {
            global.users = Some(users);
        }
        // IBus calls us back before it answers; that is another task.
        self.call("SetGlobalEngine", &ENGINE).await?;
        global.is_ours = true;
        Ok(())
    }

    /// Has fields have the user's engine again.
    pub(super) async fn give_back(&self) {
        let mut global = self.global.lock().await;
        if !std::mem::take(&mut global.is_ours) {
            return;
        }
        if let Some(users) = &global.users
            && let Err(why) = self.call("SetGlobalEngine", &users.as_str()).await
        {
            tracing::warn!(%why, engine = users, "IBus does not take its engine back");
        }
    }

    /// Gives the engine back, and ends the connection.
    ///
    /// When a component goes, IBus takes every engine away that no component on its bus has
    /// registered, as the user's mostly is; so it is chosen once more behind that.
    pub(super) async fn leave(&self, address: &str) {
        self.give_back().await;
        let Some(users) = self.global.lock().await.users.take() else {
            return;
        };
        if self.connection.clone().close().await.is_err() {
            return;
        }
        let Ok(connection) = zbus::connection::Builder::address(address).build().await else {
            return;
        };
        let has_gone = async {
            while matches!(engine_of(&connection).await, Ok(Some(_))) {
                tokio::time::sleep(AGAIN).await;
            }
        };
        if timeout(GOES, has_gone).await.is_ok() {
            let users = users.as_str();
            let _ = connection
                .call_method(
                    Some(SERVICE),
                    PATH,
                    Some(SERVICE),
                    "SetGlobalEngine",
                    &users,
                )
                .await;
        }
    }

    /// Gives the engine back when it has not been used for a while.
    async fn rest(self, mut used: watch::Receiver<Option<Instant>>) {
        while used.changed().await.is_ok() {
            loop {
                let last = *used.borrow_and_update();
                let Some(last) = last else { break };
                sleep_until(last + UNUSED).await;
                if !used.has_changed().unwrap_or_default() {
                    self.give_back().await;
                    break;
                }
            }
        }
    }

    /// Says something about the engine of a field.
    pub(super) async fn say<B>(&self, told: &Told, signal: &str, body: &B) -> Result<(), Unable>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        self.used.send_replace(Some(Instant::now()));
        let engine = told.engine.as_deref().ok_or_else(nowhere)?;
        let none = None::<&str>;
        let said = self
            .connection
            .emit_signal(none, engine, ENGINE_INTERFACE, signal, body);
        said.await.map_err(gone)
    }

    async fn call<B>(&self, method: &str, body: &B) -> Result<(), Unable>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let called = self
            .connection
            .call_method(Some(SERVICE), PATH, Some(SERVICE), method, body);
        let answered = timeout(ANSWER, called).await;
        let answered = answered.map_err(|_| Unable::Gone("IBus does not answer".into()))?;
        answered.map(|_| ()).map_err(failed)
    }
}

/// The engine with which IBus makes something else of the keys that go into the field that has the
/// focus, as those for Chinese do; `None`: it lets them through, or no field has the focus.
pub(crate) async fn composes(connection: &Connection) -> zbus::Result<Option<String>> {
    let failed = |why: Unable| zbus::Error::Failure(why.to_string());
    let engine = engine_of(connection).await.map_err(failed)?;
    let Some(engine) = engine.filter(|name| !name.starts_with(KEYBOARDS)) else {
        return Ok(None);
    };
    Ok(focused(connection).await.ok().map(|_| engine))
}

/// The field that has the focus.
async fn focused(connection: &Connection) -> Result<String, Unable> {
    match property(connection, "CurrentInputContext").await {
        Ok(Variant::ObjectPath(path)) if path.as_str() != NO_FIELD => Ok(path.to_string()),
        Err(gone @ Unable::Gone(_)) => Err(gone),
        _ => Err(nowhere()),
    }
}

/// The name of the engine that all fields have.
async fn engine_of(connection: &Connection) -> Result<Option<String>, Unable> {
    match property(connection, "GlobalEngine").await {
        Ok(engine) => Ok(first_field(&engine)),
        Err(Unable::Absent(_)) => Ok(None),
        Err(gone) => Err(gone),
    }
}

async fn property(connection: &Connection, name: &str) -> Result<Variant<'static>, Unable> {
    let asked = (SERVICE, name);
    let called = connection.call_method(
        Some(SERVICE),
        PATH,
        Some("org.freedesktop.DBus.Properties"),
        "Get",
        &asked,
    );
    let answered = timeout(ANSWER, called).await;
    let answered = answered.map_err(|_| Unable::Gone("IBus does not answer".into()))?;
    let body = answered.map_err(failed)?.body();
    let value = body.deserialize::<Variant<'_>>().map_err(failed)?;
    value.try_to_owned().map(Variant::from).map_err(failed)
}

fn failed(error: zbus::Error) -> Unable {
    match error {
        zbus::Error::MethodError(name, message, _) => Unable::Absent(format!(
            "IBus refuses: {}",
            message.unwrap_or_else(|| name.to_string())
        )),
        error => gone(error),
    }
}

fn gone(error: impl std::fmt::Display) -> Unable {
    Unable::Gone(format!("the connection to IBus: {error}"))
}

fn nowhere() -> Unable {
    let why = "no text field that IBus knows has the focus: click into one";
    Unable::NoTarget(why.into())
}
