//! The session bus: the one module that knows zbus.
//!
//! Enters: [`Signal`]s and partials from the daemon task. Leaves: [`Command`]s to it.

mod desktop;
mod filter;
mod interface;
mod logind;
mod options;
mod signals;
mod units;

use tokio::sync::{mpsc, watch};
use zbus::fdo::RequestNameFlags;

use crate::daemon::{Command, LatestPartial, Published, Signal};
use crate::fault::{Fault, FaultKind};
pub use filter::FilterCalls;
use interface::Dictation;
pub use logind::follow as follow_logind;
pub use units::Units;
pub(crate) use units::{Unit, UnitError};

/// What the bus side takes from the daemon.
#[derive(Debug)]
pub struct FromDaemon {
    /// In this order.
    pub signals: mpsc::Receiver<Signal>,
    /// Only the newest counts.
    pub partials: watch::Receiver<Option<LatestPartial>>,
    /// What properties are answered with.
    pub published: watch::Receiver<Published>,
}

/// Why the daemon cannot be on the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No session bus, or it does not let us in.
    #[error(
        "cannot connect to the session bus: start wstreamd inside a desktop session, or under `dbus-run-session`"
    )]
    Connect(#[source] zbus::Error),
    /// The name is taken.
    #[error(
        "another wstreamd is running on this bus: use that one, or stop it first (systemctl --user stop wstreamd)"
    )]
    AlreadyRunning,
    /// Anything else that zbus reports.
    #[error("the session bus failed")]
    Other(#[source] zbus::Error),
}

/// Connects, offers the object, takes the name. From here on methods are answered.
pub async fn serve(
    to_daemon: mpsc::Sender<Command>,
    published: watch::Receiver<Published>,
) -> Result<zbus::Connection, BusError> {
    let connection = zbus::Connection::session()
        .await
        .map_err(BusError::Connect)?;
    let dictation = Dictation::new(to_daemon, published);
    connection
        .object_server()
        .at(wstream_api::PATH, dictation)
        .await
        .map_err(BusError::Other)?;
    // Never queue for the name: two daemons would both think that they own the microphone.
    match connection
        .request_name_with_flags(wstream_api::NAME, RequestNameFlags::DO_NOT_QUEUE)
        .await
    {
        Ok(_) => Ok(connection),
        Err(zbus::Error::NameTaken) => Err(BusError::AlreadyRunning),
        Err(error) => Err(BusError::Other(error)),
    }
}

/// Emits what the daemon has to say until it has nothing more to say, or the bus is gone.
pub async fn emit(connection: &zbus::Connection, from_daemon: FromDaemon) -> zbus::Result<()> {
    signals::emit(connection, from_daemon).await
}

/// Returns when the bus has gone, or has given our name to somebody else.
pub async fn gone(connection: &zbus::Connection) {
    use futures_util::StreamExt as _;

    // The stream of this quiet signal ends when the connection does.
    let lost = async {
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        let mut lost = bus.receive_name_lost().await?;
        while let Some(signal) = lost.next().await {
            if signal.args()?.name() == wstream_api::NAME {
                break;
            }
        }
        Ok::<(), zbus::Error>(())
    };
    if let Err(error) = lost.await {
        tracing::warn!(%error, "the bus does not answer");
    }
}

/// The typed error that a fault is on the bus.
fn error(fault: Fault) -> wstream_api::Error {
    wstream_api::Error::from_name(fault.kind.name(), fault.message)
}

/// The full name of a fault on the bus, as in the signals `Failed` and `Trouble`.
fn error_name(kind: FaultKind) -> String {
    format!("{}.Error.{}", wstream_api::NAME, kind.name())
}

/// The daemon task has ended between a call and its answer.
fn ending() -> wstream_api::Error {
    wstream_api::Error::Failed("the daemon is ending: try again in a moment".to_owned())
}
