//! Plugins beside a daemon that is a service: units of their own, with a real service manager.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::manager::Manager;
use crate::plugins::{STAYS, pid_of, runs, script};

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
    let proxy = manager.dictation().await?;
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
