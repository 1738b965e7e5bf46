//! Transient units of the user's service manager: how plugins run outside of the daemon's sandbox.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use zbus::{ObjectPath, OwnedObjectPath, Variant, proxy};

/// In front of a plugin's name in its unit's.
const PREFIX: &str = "wstream-plugin-";

/// How long a plugin may take to end when it is asked to, before it is killed.
const END_US: u64 = 1_000_000;

/// How long the service manager may take beyond that to say that a unit has gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// What systemd tells the daemon about itself, which is not for its plugins.
const OURS: [&str; 14] = [
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
    "MANAGERPID",
    "MAINPID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "EXIT_STATUS",
];

/// The manager's list of units: name, description, states, path, job.
type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    #[zbus(name = "GetUnitByPID")]
    fn get_unit_by_pid(&self, pid: u32) -> zbus::Result<OwnedObjectPath>;
    fn list_units_by_patterns(
        &self,
        states: &[&str],
        patterns: &[&str],
    ) -> zbus::Result<Vec<Listed>>;
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[(&str, Variant<'_>)],
        others: &[(&str, Vec<(&str, Variant<'_>)>)],
    ) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn get_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(signal)]
    fn unit_removed(&self, id: &str, unit: ObjectPath<'_>) -> zbus::Result<()>;
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: ObjectPath<'_>,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
trait Service {
    #[zbus(property(emits_changed_signal = "false"), name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
}

/// Why a unit could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnitError {
    /// The manager refused, or is not there any more.
    #[error("the service manager does not start it ({0})")]
    Manager(#[from] zbus::Error),
    /// The program could not be run.
    #[error("the service manager could not run it ({0})")]
    Failed(String),
}

/// The service manager that runs this daemon.
#[derive(Debug)]
pub struct Units {
    connection: zbus::Connection,
    manager: ManagerProxy<'static>,
}

/// A plugin's unit.
pub(crate) struct Unit {
    name: String,
    pid: Option<u32>,
    manager: ManagerProxy<'static>,
    removed: UnitRemovedStream,
}

impl Units {
    /// The manager on this bus, if this process is the main one of a service of its.
    pub(crate) async fn of_this_service(connection: &zbus::Connection) -> Option<Self> {
        let bus = zbus::fdo::DBusProxy::new(connection).await.ok()?;
        let name = zbus::names::BusName::try_from("org.freedesktop.systemd1").ok()?;
        // Asking a manager that is not there would have the bus look for one to start.
        if !bus.name_has_owner(name).await.ok()? {
            return None;
        }
        let manager = ManagerProxy::new(connection).await.ok()?;
        let pid = std::process::id();
        let unit = manager.get_unit_by_pid(pid).await.ok()?;
        let service = service(connection, unit).await.ok()?;
        if service.main_pid().await.ok()? != pid {
            return None;
        }
        // Without it the manager keeps its signals to itself.
        manager.subscribe().await.ok()?;
        Some(Units {
            connection: connection.clone(),
            manager,
        })
    }

    /// Ends every plugin of a daemon that was killed before this one.
    pub(crate) async fn end_all(&self) {
        let pattern = format!("{PREFIX}*.service");
        let listed = self.manager.list_units_by_patterns(&[], &[&pattern]).await;
        for unit in listed.unwrap_or_default() {
            if let Ok(unit) = self.unit(unit.0).await {
                unit.end().await;
            }
        }
    }

    /// Starts a plugin; what it writes to standard error goes to `log`.
    pub(crate) async fn start(
        &self,
        plugin: &str,
        program: &Path,
        log: OwnedFd,
    ) -> Result<Unit, UnitError> {
        let mut unit = self.unit(format!("{PREFIX}{plugin}.service")).await?;
        let mut jobs = self.manager.receive_job_removed().await?;
        let program = program.to_string_lossy().into_owned();
        let environment: Vec<String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| is_for_plugins(name, value))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let command = vec![(program.clone(), vec![program], false)];
        let properties = [
            (
                "Description",
                Variant::from(format!("wstream plugin {plugin}")),
            ),
            ("Type", "exec".into()),
            ("ExecStart", command.into()),
            ("Environment", environment.into()),
            // What a follower of dictation prints does not belong into a log.
            ("StandardOutput", "null".into()),
            ("StandardErrorFileDescriptor", zbus::Fd::from(log).into()),
            // A unit that has ended leaves nothing behind that its next start would stumble over.
            ("CollectMode", "inactive-or-failed".into()),
            ("TimeoutStopUSec", END_US.into()),
        ];
        let job = self
            .manager
            .start_transient_unit(&unit.name, "fail", &properties, &[])
            .await?;
        let result = loop {
            let removed = jobs.next().await.ok_or_else(gone)?;
            let ended = removed.args()?;
            if ended.job == *job {
                break ended.result.to_owned();
            }
        };
        if result != "done" {
            return Err(UnitError::Failed(result));
        }
        unit.pid = self.main_pid(&unit.name).await.ok().filter(|&pid| pid != 0);
        Ok(unit)
    }

    /// A unit of this name, whose end is watched from now on.
    async fn unit(&self, name: String) -> zbus::Result<Unit> {
        let removed = self
            .manager
            .receive_unit_removed_with_args(&[(0, &name)])
            .await?;
        Ok(Unit {
            name,
            pid: None,
            manager: self.manager.clone(),
            removed,
        })
    }

    async fn main_pid(&self, name: &str) -> zbus::Result<u32> {
        let unit = self.manager.get_unit(name).await?;
        service(&self.connection, unit).await?.main_pid().await
    }
}

impl Unit {
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Waits until its plugin has ended by itself.
    pub(crate) async fn ended(&mut self) {
        // Without one, the bus has gone.
        let _ = self.removed.next().await;
    }

    /// Ends its plugin, with everything that it has started.
    pub(crate) async fn end(mut self) {
        if let Err(error) = self.manager.stop_unit(&self.name, "replace").await {
            // It may have ended by itself.
            tracing::debug!(unit = %self.name, %error, "a plugin's unit was not stopped");
            return;
        }
        if tokio::time::timeout(PATIENCE, self.ended()).await.is_err() {
            tracing::warn!(unit = %self.name, "a plugin's unit does not end");
        }
    }
}

async fn service(
    connection: &zbus::Connection,
    unit: OwnedObjectPath,
) -> zbus::Result<ServiceProxy<'static>> {
    ServiceProxy::builder(connection)
        .path(unit)
        .cache_properties(proxy::CacheProperties::No)
        .build()
        .await
}

fn gone() -> UnitError {
    UnitError::Failed("it has gone".to_owned())
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Whether a variable of ours is one for plugins, and one that the manager takes: a single one that
/// it does not would have it refuse the whole unit.
fn is_for_plugins(name: &str, value: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = !name.is_empty() && name.chars().all(is_part);
    let is_control = |c: char| c.is_control() && c != '\t' && c != '\n';
    is_name
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !value.contains(is_control)
        && !OURS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manager_would_not_take_is_left_out() {
        for (name, value, passes) in [
            ("PATH", "/bin:/usr/bin", true),
            ("_X9", "", true),
            ("TEXT", "two\n\tlines, ünïcödé", true),
            ("NOTIFY_SOCKET", "/run/x", false),
            ("BASH_FUNC_which%%", "() { x; }", false),
            ("9X", "x", false),
            ("", "x", false),
            ("ESC", "\u{1b}[0m", false),
        ] {
            assert_eq!(is_for_plugins(name, value), passes, "{name}");
        }
    }
}
