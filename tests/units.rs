//! Plugins beside a daemon that is a service: units of their own, with a real service manager.

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use wstream_tests::{Desktop, program_dir, root};

use crate::plugins::{STAYS, pid_of, runs, script};

/// A user's service manager with a bus of its own.
struct Manager {
    desktop: Desktop,
    process: Child,
}

impl Manager {
    /// In a view of the file system of its own, where the machine seems to have been started by
    /// systemd; only root can make that. `None` where it cannot be.
    async fn start() -> Result<Option<Self>> {
        const START: &str = "mount --make-rprivate / && mount -t tmpfs none /run && \
            mkdir -p /run/systemd/system && exec /usr/lib/systemd/systemd --user";
        // Not in /tmp: the daemon's unit has one of its own.
        let Ok(desktop) = Desktop::new_in(Path::new("/var/lib"), &std::env::temp_dir()).await
        else {
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

    async fn connect(&self) -> Result<zbus::Connection> {
        let address = address(&self.desktop);
        let builder = zbus::connection::Builder::address(address.as_str());
        Ok(builder.build().await?)
    }

    /// Installs the daemon's unit as the installer does, with its whole sandbox; it logs into `log`
    /// and finds programs in `dir`.
    async fn install(&self, dir: &Path) -> Result<()> {
        let units = self.desktop.path().join("home/.config/systemd/user");
        let more = units.join("wstreamd.service.d");
        std::fs::create_dir_all(&more)?;
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
        std::fs::write(more.join("test.conf"), environment)?;
        self.systemctl(&["daemon-reload"]).await
    }

    /// The daemon's process.
    async fn daemon(&self) -> Result<u32> {
        let connection = self.connect().await?;
        let bus = zbus::fdo::DBusProxy::new(&connection).await?;
        let name = zbus::names::BusName::try_from(wstream_api::NAME)?;
        Ok(bus.get_connection_unix_process_id(name).await?)
    }

    async fn systemctl(&self, args: &[&str]) -> Result<()> {
        let mut command = command(&self.desktop, "systemctl");
        let output = command.arg("--user").args(args).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "systemctl {args:?}: {said}");
        Ok(())
    }

    /// Ends it with all of its services.
    async fn end(mut self) -> Result<()> {
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
fn command(desktop: &Desktop, program: &str) -> Command {
    let mut command = desktop.command(program);
    command
        .env("XDG_RUNTIME_DIR", desktop.path().join("managed"))
        .env("DBUS_SESSION_BUS_ADDRESS", address(desktop));
    command
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
async fn beside_a_service_plugins_are_units_of_their_own() -> Result<()> {
    let Some(manager) = Manager::start().await? else {
        eprintln!("skipped: no service manager can be started here");
        return Ok(());
    };
    let dir = manager.desktop.path().join("plugins");
    std::fs::create_dir(&dir)?;
    let checked = units(&manager, &dir).await;
    manager.end().await?;
    checked
}

async fn units(manager: &Manager, dir: &Path) -> Result<()> {
    // What the daemon itself must not: write into the user's home.
    script(
        dir,
        "wstream-one",
        &STAYS.replace("exec", "touch \"$HOME/mine\"\nexec"),
    )?;
    manager.desktop.configure("[plugins]\nrun = [\"one\"]\n")?;
    manager.install(dir).await?;
    manager.systemctl(&["start", "wstreamd.service"]).await?;
    let first = running(manager, 0).await?;
    let group = std::fs::read_to_string(format!("/proc/{first}/cgroup"))?;
    assert!(group.contains("/wstream-plugin-one.service"), "{group}");
    assert!(
        !is_confined(first)?,
        "the plugin is in the daemon's sandbox"
    );
    assert!(manager.desktop.path().join("home/mine").exists());
    assert!(
        is_confined(manager.daemon().await?)?,
        "the daemon is in none"
    );

    // It is started again when it has ended by itself.
    kill_process(
        Pid::from_raw(first as i32).context("a process")?,
        Signal::KILL,
    )?;
    let second = running(manager, first).await?;

    // A daemon that is killed cannot end it; the next one, which its manager starts, does, and has
    // one of its own.
    manager
        .systemctl(&["kill", "--signal=KILL", "wstreamd.service"])
        .await?;
    let third = running(manager, second).await?;
    assert!(!runs(second), "there are two of it");

    manager.systemctl(&["stop", "wstreamd.service"]).await?;
    assert!(!runs(third), "it outlived the daemon");
    let log = std::fs::read_to_string(dir.join("log"))?;
    assert_eq!(log.matches("I am here").count(), 3, "{log}");
    Ok(())
}

/// Whether the process may gain nothing, as everything in the daemon's unit.
fn is_confined(pid: u32) -> Result<bool> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(status.contains("NoNewPrivs:\t1"))
}

/// The plugin's process, when it is another one than that.
async fn running(manager: &Manager, other: u32) -> Result<u32> {
    let connection = manager.connect().await?;
    let proxy = wstream_api::DictationProxy::builder(&connection)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    let mut seen: Vec<HashMap<String, zbus::OwnedVariant>> = Vec::new();
    for _ in 0..600 {
        if let Ok(plugins) = proxy.plugins().await {
            if let Some(pid) = pid_of(&plugins, "one", "running").filter(|&pid| pid != other) {
                return Ok(pid);
            }
            seen = plugins;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("it does not run: {seen:?}")
}
