//! The keys that the README has bound, on a real X server with sxhkd and on a real Wayland
//! compositor, by the lines of the README's own text.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};
use wstream_api::{STATE_IDLE, STATE_LISTENING};
use wstream_tests::{Desktop, Running, Screen, models_with, program, root};

use crate::microphone::Sound;
use crate::presence::until;

/// The lines of the README behind this mark.
fn lines(mark: &str, wstreamctl: &Path) -> Result<String> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    let mark = format!("<!-- test: {mark} -->\n```\n");
    let (_, rest) = readme.split_once(&mark).with_context(|| mark.clone())?;
    let (block, _) = rest.split_once("```").context("the block ends")?;
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
