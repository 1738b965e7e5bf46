//! A user's service manager, with the daemon's unit as the installer puts it.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use wstream_api::DictationProxy;
use wstream_tests::{Desktop, models_with, program_dir, root};

/// A user's service manager with a bus of its own.
pub(crate) struct Manager {
    pub(crate) desktop: Desktop,
    process: Child,
}

impl Manager {
    /// In a view of the file system of its own, where the machine seems to have been started by
    /// systemd; only root can make that. `None` where it cannot be.
    pub(crate) async fn start() -> Result<Option<Self>> {
        const START: &str = "mount --make-rprivate / && mount -t tmpfs none /run && \
            mkdir -p /run/systemd/system && exec /usr/lib/systemd/systemd --user";
        // Not in /tmp: the daemon's unit has one of its own.
        let models = models_with("tiny.en").unwrap_or_else(std::env::temp_dir);
        let Ok(desktop) = Desktop::new_in(Path::new("/var/lib"), &models).await else {
            return Ok(None);
        };
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(desktop.path().join("managed"))?;
        let mut command = command(&desktop, "unshare");
        command.args(["--mount", "sh", "-c", START]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(process) = command.spawn() else {
            return Ok(None);
        };
        let mut manager = Manager { desktop, process };
        for _ in 0..400 {
            if manager.is_there().await {
                return Ok(Some(manager));
            }
            if manager.process.try_wait()?.is_some() {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        manager.end().await?;
        Ok(None)
    }

    /// Whether it is on its bus, which it starts itself when somebody connects.
    async fn is_there(&self) -> bool {
        let asked = async {
            let connection = self.connect().await?;
            let bus = zbus::fdo::DBusProxy::new(&connection).await?;
            let name = zbus::names::BusName::try_from("org.freedesktop.systemd1")?;
            anyhow::Ok(bus.name_has_owner(name).await?)
        };
        self.desktop.path().join("managed/bus").exists() && asked.await.unwrap_or(false)
    }

    pub(crate) async fn connect(&self) -> Result<zbus::Connection> {
        let address = address(&self.desktop);
        let builder = zbus::connection::Builder::address(address.as_str());
        Ok(builder.build().await?)
    }

    /// The daemon, asked each time.
    pub(crate) async fn dictation(&self) -> Result<DictationProxy<'static>> {
        wstream_tests::dictation(&self.connect().await?).await
    }

    /// Where the user's units are.
    pub(crate) fn units(&self) -> PathBuf {
        self.desktop.path().join("home/.config/systemd/user")
    }

    /// Installs the daemon's unit as the installer does, with its whole sandbox; it logs into `log`
    /// and finds programs in `dir`.
    pub(crate) async fn install(&self, dir: &Path) -> Result<()> {
        let units = self.units();
        std::fs::create_dir_all(units.join("wstreamd.service.d"))?;
        let unit = std::fs::read_to_string(root().join("packaging/wstreamd.service"))?;
        let programs = program_dir();
        let unit = unit.replace("@BINDIR@", &programs.display().to_string());
        std::fs::write(units.join("wstreamd.service"), unit)?;
        let environment = format!(
            "[Service]\nEnvironment=WSTREAM_LOG=info \"PATH={}:{}\"\nStandardError=append:{}\n",
            dir.display(),
            std::env::var("PATH").unwrap_or_default(),
            dir.join("log").display()
        );
        self.drop_in("test", &environment)?;
        self.systemctl(&["daemon-reload"]).await
    }

    /// More for the daemon's unit, as a user's own drop-in; counts behind the next `daemon-reload`.
    pub(crate) fn drop_in(&self, name: &str, text: &str) -> Result<()> {
        let file = self.units().join(format!("wstreamd.service.d/{name}.conf"));
        Ok(std::fs::write(file, text)?)
    }

    /// What the manager says of the daemon's unit.
    pub(crate) async fn says(&self, property: &str) -> Result<String> {
        let mut command = command(&self.desktop, "systemctl");
        let show = ["--user", "show", "--value", "--property", property];
        let output = command.args(show).arg("wstreamd.service").output().await?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The daemon's process.
    pub(crate) async fn daemon(&self) -> Result<u32> {
        let connection = self.connect().await?;
        let bus = zbus::fdo::DBusProxy::new(&connection).await?;
        let name = zbus::names::BusName::try_from(wstream_api::NAME)?;
        Ok(bus.get_connection_unix_process_id(name).await?)
    }

    pub(crate) async fn systemctl(&self, args: &[&str]) -> Result<()> {
        let mut command = command(&self.desktop, "systemctl");
        let output = command.arg("--user").args(args).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "systemctl {args:?}: {said}");
        Ok(())
    }

    /// Ends it with all of its services.
    pub(crate) async fn end(mut self) -> Result<()> {
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id as i32)) {
            kill_process(pid, Signal::TERM)?;
        }
        tokio::time::timeout(Duration::from_secs(30), self.process.wait()).await??;
        Ok(())
    }
}

fn address(desktop: &Desktop) -> String {
    format!("unix:path={}", desktop.path().join("managed/bus").display())
}

/// A command in the manager's session.
pub(crate) fn command(desktop: &Desktop, program: &str) -> Command {
    let mut command = desktop.command(program);
    command
        .env("XDG_RUNTIME_DIR", desktop.path().join("managed"))
        .env("DBUS_SESSION_BUS_ADDRESS", address(desktop));
    command
}
