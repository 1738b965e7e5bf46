//! The keys that the README has bound, on a real X server with sxhkd and on a real Wayland
//! compositor, by the lines of the README's own text.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::process::{Child, Command};
use wstream_api::{STATE_IDLE, STATE_LISTENING};
use wstream_tests::{Desktop, Running, Screen, models_with, printed, program};

use crate::microphone::Sound;
use crate::presence::until;

/// The lines of the README behind this mark.
fn lines(mark: &str, wstreamctl: &Path) -> Result<String> {
    let block = printed("README.md", mark)?;
    ensure!(block.contains("~/.local/bin/wstreamctl"), "{block}");
    let here = wstreamctl.display().to_string();
    Ok(block.replace("~/.local/bin/wstreamctl", &here))
}

/// In place of `wstreamctl` for a compositor that root has somebody else run, whom the session's
/// bus does not know: what it is called with is done here.
struct Relay {
    dir: tempfile::TempDir,
    _reader: Child,
}

impl Relay {
    fn new(desktop: &Desktop) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name);
        let pipe = path("asked");
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        mode(dir.path(), 0o755)?;
        let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
        ensure!(made.success(), "mkfifo");
        mode(&pipe, 0o622)?;
        let script = format!("#!/bin/sh\necho \"$1\" >{}\n", pipe.display());
        std::fs::write(path("wstreamctl"), script)?;
        mode(&path("wstreamctl"), 0o755)?;
        // Opened for both, so that it does not end with whoever wrote.
        let script = "while read -r asked; do \"$1\" \"$asked\"; done <>\"$2\"";
        let mut reader = desktop.command("sh");
        reader.args(["-c", script, "sh"]);
        reader.arg(program("wstreamctl")).arg(&pipe);
        reader.stdout(std::process::Stdio::null());
        Ok(Relay {
            _reader: reader.spawn()?,
            dir,
        })
    }
}

struct Stage {
    /// Before what uses it.
    _sound: Sound,
    desktop: Desktop,
    daemon: Running,
}

impl Stage {
    async fn raise() -> Result<Option<Self>> {
        let Some(models) = models_with("tiny.en") else {
            return Ok(None);
        };
        let Some(sound) = Sound::raise("pulseaudio").await? else {
            return Ok(None);
        };
        let desktop = Desktop::new(&models).await?;
        desktop.configure("model = \"tiny.en\"\n[audio]\nhost = \"pulseaudio\"\n")?;
        let daemon = desktop
            .start_with(|command| {
                command.envs(sound.0.env.clone());
            })
            .await?;
        Ok(Some(Stage {
            _sound: sound,
            desktop,
            daemon,
        }))
    }

    async fn until(&self, state: &str) -> Result<()> {
        until(&self.daemon.proxy, state).await
    }

    /// Taps and holds the key, and sees what becomes of it.
    async fn tries(&self, key: impl AsyncFn(bool) -> Result<()>) -> Result<()> {
        let tap = Duration::from_millis(60);
        let hold = Duration::from_millis(1500);
        for (held, then) in [
            // On by a tap, off by the next.
            (tap, STATE_LISTENING),
            (tap, STATE_IDLE),
            // On as long as it is held.
            (hold, STATE_IDLE),
        ] {
            let before = self.daemon.proxy.state().await?;
            key(true).await?;
            let now = if before == STATE_IDLE {
                STATE_LISTENING
            } else {
                STATE_IDLE
            };
            if held > tap {
                self.until(now).await?;
            }
            tokio::time::sleep(held).await;
            ensure!(held == tap || self.daemon.proxy.state().await? == STATE_LISTENING);
            key(false).await?;
            self.until(if held == tap { now } else { then }).await?;
            // Longer than a key that repeats is waited for.
            tokio::time::sleep(Duration::from_millis(400)).await;
            ensure!(self.daemon.proxy.state().await? == then, "{held:?}");
        }
        Ok(())
    }
}

async fn run(mut command: Command) -> Result<()> {
    let status = command.status().await?;
    ensure!(status.success(), "{command:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_of_sxhkd_taps_and_holds() -> Result<()> {
    let Some(stage) = Stage::raise().await? else {
        return Ok(());
    };
    let Some(screen) = Screen::raise("x11").await? else {
        return Ok(());
    };
    let config = stage.desktop.path().join("sxhkdrc");
    std::fs::write(&config, lines("sxhkd", &program("wstreamctl"))?)?;
    let mut command = screen.command(&stage.desktop, "sxhkd");
    command.arg("-c").arg(&config).env("SHELL", "/bin/sh");
    let Ok(_sxhkd): Result<Child, _> = command.spawn() else {
        return skipped("sxhkd");
    };
    let press = async |down: bool| {
        let mut command = screen.command(&stage.desktop, "xdotool");
        command
            .arg(if down { "keydown" } else { "keyup" })
            .arg("Pause");
        run(command).await
    };
    // It has grabbed the key when the first press is seen.
    until_first(&stage, || press(true), || press(false)).await?;
    stage.tries(press).await?;
    stage.daemon.terminate().await
}

#[tokio::test]
async fn a_key_of_sway_taps_and_holds() -> Result<()> {
    let Some(stage) = Stage::raise().await? else {
        return Ok(());
    };
    let Some(screen) = Screen::raise("wayland").await? else {
        return Ok(());
    };
    let relay = Relay::new(&stage.desktop)?;
    for line in lines("sway", &relay.dir.path().join("wstreamctl"))?.lines() {
        let mut command = screen.command(&stage.desktop, "swaymsg");
        command.arg("--").arg(line);
        run(command).await?;
    }
    // It presses, waits and lets go.
    let keyboard = async |held: Duration| {
        let mut command = screen.command(&stage.desktop, "wtype");
        let ms = held.as_millis().to_string();
        command.args(["-M", "logo", "-P", "z", "-s", &ms, "-p", "z", "-m", "logo"]);
        run(command).await
    };
    let (tap, hold) = (Duration::from_millis(60), Duration::from_millis(1500));
    keyboard(tap).await?;
    stage.until(STATE_LISTENING).await?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    ensure!(stage.daemon.proxy.state().await? == STATE_LISTENING);
    keyboard(tap).await?;
    stage.until(STATE_IDLE).await?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    ensure!(stage.daemon.proxy.state().await? == STATE_IDLE);
    let (held, listened) = tokio::join!(keyboard(hold), stage.until(STATE_LISTENING));
    held?;
    listened?;
    stage.until(STATE_IDLE).await?;
    stage.daemon.terminate().await
}

/// What GNOME would read: its settings with its own schemas, in a home of their own. Once more is no
/// harm, and another's key stays.
#[tokio::test]
async fn gnome_has_the_key_once() -> Result<()> {
    const KEYS: &str = "org.gnome.settings-daemon.plugins.media-keys";
    const FOLDER: &str = "/org/gnome/settings-daemon/plugins/media-keys/custom-keybindings";
    let block = printed("README.md", "gnome")?;
    let others = format!("gsettings set {KEYS} custom-keybindings \"['{FOLDER}/custom0/']\"");
    let list = format!("gsettings get {KEYS} custom-keybindings");
    let entry = format!("gsettings list-recursively {KEYS}.custom-keybinding:{FOLDER}/wstream/");
    let home = tempfile::tempdir()?;
    let mut command = Command::new("dbus-run-session");
    command
        .args(["--", "sh", "-e", "-c"])
        .arg(format!(
            "{block}\n{others}\n{block}\n{block}\n{list}\n{entry}"
        ))
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path().join("config"))
        .env_remove("DBUS_SESSION_BUS_ADDRESS");
    let output = command.output().await?;
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if errors.contains("No such schema") || errors.contains("gsettings: not found") {
        return skipped("gnome-settings-daemon-common");
    }
    ensure!(output.status.success(), "{errors}");
    let list = format!("['{FOLDER}/custom0/', '{FOLDER}/wstream/']");
    ensure!(said.lines().next() == Some(&list), "{said}");
    let command = home.path().join(".local/bin/wstreamctl");
    for wanted in [
        " binding '<Super>z'".to_owned(),
        format!(" command '{} toggle'", command.display()),
    ] {
        ensure!(said.lines().any(|line| line.ends_with(&wanted)), "{said}");
    }
    Ok(())
}

/// Presses until the key is known, and ends what that began.
async fn until_first(
    stage: &Stage,
    press: impl AsyncFn() -> Result<()>,
    release: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    for _ in 0..100 {
        press().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        release().await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        if stage.daemon.proxy.state().await? == STATE_LISTENING {
            stage.daemon.proxy.stop().await?;
            return stage.until(STATE_IDLE).await;
        }
    }
    anyhow::bail!("the key is never seen")
}

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(program: &str) -> Result<()> {
    eprintln!("skipped: {program} is not installed");
    Ok(())
}
