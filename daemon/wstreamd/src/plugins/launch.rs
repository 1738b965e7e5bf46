//! How a plugin is run: as a child, or as a unit of the user's service manager.

use std::path::Path;
use std::time::Duration;

use super::child::Child;
use crate::bus::{Unit, UnitError, Units};

/// How long a service manager may take to say whether this is one of its services: the daemon
/// waits for it when it starts.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts plugins.
#[derive(Debug)]
pub enum Launcher {
    /// As children, which see what the daemon sees.
    Children,
    /// As units beside the daemon's own, outside of its sandbox.
    Units(Units),
}

/// Why a plugin could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("no pipe for its log could be made ({0})")]
    Pipe(std::io::Error),
    #[error("it could not be run ({0})")]
    Spawn(std::io::Error),
    #[error("{0}")]
    Unit(#[from] UnitError),
}

/// A running plugin.
pub(super) enum Process {
    Child(Child),
    Unit(Box<Unit>),
}

impl Launcher {
    /// Units where the daemon is one of a service manager on this bus, else children.
    pub async fn choose(connection: &zbus::Connection) -> Self {
        match tokio::time::timeout(PATIENCE, Units::of_this_service(connection)).await {
            Ok(Some(units)) => Launcher::Units(units),
            Ok(None) => Launcher::Children,
            Err(_) => {
                tracing::warn!("the service manager does not answer: plugins run as children");
                Launcher::Children
            }
        }
    }

    /// Ends what an earlier daemon could not end, because it was killed.
    pub(super) async fn end_leftovers(&self) {
        if let Launcher::Units(units) = self {
            units.end_all().await;
        }
    }

    pub(super) async fn start(&self, name: &str, program: &Path) -> Result<Process, StartError> {
        match self {
            Launcher::Children => Ok(Process::Child(Child::start(name, program)?)),
            Launcher::Units(units) => {
                let log = super::child::log_pipe(name).map_err(StartError::Pipe)?;
                let unit = units.start(name, program, log).await?;
                Ok(Process::Unit(Box::new(unit)))
            }
        }
    }
}

impl Process {
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Process::Child(child) => child.pid(),
            Process::Unit(unit) => unit.pid(),
        }
    }

    /// Waits until it has ended by itself; says how.
    pub(super) async fn ended(&mut self) -> String {
        match self {
            Process::Child(child) => child.ended().await,
            Process::Unit(unit) => {
                unit.ended().await;
                "`systemctl --user` has logged how".to_owned()
            }
        }
    }

    /// Ends it, and waits for that.
    pub(super) async fn end(self) {
        match self {
            Process::Child(child) => child.end().await,
            Process::Unit(unit) => unit.end().await,
        }
    }
}
