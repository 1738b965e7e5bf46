//! `wstreamctl doctor`: set-ups that are broken are found, and what it says to do mends them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wstream_tests::{
    CountingServer, Desktop, Running, Screen, Script, model_file, models_with, program, sound,
};

/// A line of the report.
#[derive(Clone, Debug)]
struct Line {
    check: String,
    state: String,
    sentence: String,
}

/// What the doctor says in an environment.
async fn look(
    desktop: &Desktop,
    arguments: &[&str],
    change: impl FnOnce(&mut tokio::process::Command),
) -> Result<Vec<Line>> {
    let mut command = desktop.command(program("wstreamctl"));
    command.args(["doctor", "--json"]).args(arguments);
    change(&mut command);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await??;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(stderr.is_empty(), "{stderr}");
    let lines: Vec<Line> = String::from_utf8(output.stdout)?
        .lines()
        .map(|line| {
            let object: serde_json::Value = serde_json::from_str(line)?;
            let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
            Ok(Line {
                check: text("check"),
                state: text("state"),
                sentence: text("sentence"),
            })
        })
        .collect::<Result<_>>()?;
    let has_problems = lines.iter().any(|line| line.state == "problem");
    let code = i32::from(has_problems);
    ensure!(output.status.code() == Some(code), "{}", output.status);
    Ok(lines)
}

/// What it says with the microphone left closed.
async fn quick(desktop: &Desktop) -> Result<Vec<Line>> {
    look(desktop, &["--no-microphone"], |_| {}).await
}

/// Checks that `check` has a problem whose sentence holds every one of `says`.
fn has_problem(lines: &[Line], check: &str, says: &[&str]) -> Result<()> {
    let found = lines.iter().any(|line| {
        line.check == check
            && line.state == "problem"
            && says.iter().all(|word| line.sentence.contains(word))
    });
    ensure!(found, "no problem of {check} says {says:?}:\n{lines:#?}");
    Ok(())
}

/// Checks that `check` is as it should be.
fn is_well(lines: &[Line], check: &str) -> Result<()> {
    let of_check: Vec<&Line> = lines.iter().filter(|line| line.check == check).collect();
    ensure!(
        !of_check.is_empty() && of_check.iter().all(|line| line.state == "ok"),
        "{check} is not well: {of_check:#?}"
    );
    Ok(())
}

/// Writes another configuration, and waits until the daemon says that it is `taken`.
async fn reconfigure(
    desktop: &Desktop,
    configuration: &str,
    taken: impl AsyncFn() -> Result<bool>,
) -> Result<()> {
    desktop.configure(configuration)?;
    while !taken().await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    let mode = std::fs::Permissions::from_mode(mode);
    Ok(std::fs::set_permissions(path, mode)?)
}

/// A bus, a daemon and a server that answers, all well.
async fn healthy() -> Result<(Desktop, Running, CountingServer)> {
    let server = CountingServer::start().await?;
    let desktop = Desktop::new(&std::env::temp_dir()).await?;
    set_mode(&desktop.path().join("run"), 0o700)?;
    desktop.configure(&server.configuration())?;
    let daemon = desktop.start().await?;
    Ok((desktop, daemon, server))
}

#[tokio::test]
async fn no_bus_no_daemon_no_program_and_open_doors() -> Result<()> {
    let (desktop, daemon, _server) = healthy().await?;
    let lines = look(&desktop, &["--no-microphone"], |command| {
        command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    })
    .await?;
    has_problem(&lines, "bus", &["dbus-run-session"])?;
    // Nothing that needs the bus is claimed.
    ensure!(lines.iter().all(|line| line.check != "daemon"), "{lines:?}");

    let lines = look(&desktop, &["--no-microphone"], |command| {
        command.env("WSTREAM_ENGINE", "/nowhere/wstream-engine");
    })
    .await?;
    has_problem(
        &lines,
        "programs",
        &["wstream-engine", "packaging/install.sh"],
    )?;

    daemon.terminate().await?;
    let lines = quick(&desktop).await?;
    has_problem(&lines, "daemon", &["wstreamd &"])?;
    let daemon = desktop.start().await?;
    for check in ["programs", "configuration", "rights", "bus", "daemon"] {
        is_well(&quick(&desktop).await?, check)?;
    }

    set_mode(&desktop.path().join("run"), 0o755)?;
    has_problem(&quick(&desktop).await?, "rights", &["chmod 700"])?;
    set_mode(&desktop.path().join("run"), 0o700)?;
    is_well(&quick(&desktop).await?, "rights")?;
    daemon.terminate().await
}

#[tokio::test]
async fn configuration_secrets_servers_and_plugins() -> Result<()> {
    let (desktop, daemon, server) = healthy().await?;
    let right = server.configuration();
    desktop.configure(&format!("modle = \"base\"\n{right}"))?;
    has_problem(&quick(&desktop).await?, "configuration", &["modle", "1"])?;
    desktop.configure(&right)?;
    let lines = quick(&desktop).await?;
    is_well(&lines, "configuration")?;
    let served = lines
        .iter()
        .any(|line| line.state == "ok" && line.sentence.starts_with("counting answers"));
    ensure!(served, "{lines:#?}");

    let secret = desktop.path().join("home/secret");
    std::fs::write(&secret, "a secret\n")?;
    set_mode(&secret, 0o644)?;
    desktop.configure(&format!("{right}token_file = {secret:?}\n"))?;
    has_problem(
        &quick(&desktop).await?,
        "configuration",
        &["chmod 600 ~/secret"],
    )?;
    set_mode(&secret, 0o600)?;
    let lines = quick(&desktop).await?;
    is_well(&lines, "configuration")?;
    ensure!(!format!("{lines:?}").contains("a secret"));

    // Nobody listens there.
    let wrong = "backend = \"gone\"\n[remote.gone]\nurl = \"ws://127.0.0.1:1\"\n";
    let serves = async |name: &str| Ok(daemon.proxy.backend().await? == name);
    reconfigure(&desktop, wrong, async || serves("gone").await).await?;
    let says = &["gone", "nothing listens", "look at its url"];
    has_problem(&quick(&desktop).await?, "transcription", says)?;
    reconfigure(&desktop, &right, async || serves("counting").await).await?;
    let lines = quick(&desktop).await?;
    ensure!(
        !lines.iter().any(|line| line.sentence.contains("gone")),
        "{lines:#?}"
    );

    let plugins = async |count: usize| Ok(daemon.proxy.plugins().await?.len() == count);
    let missing = format!("{right}[plugins]\nrun = [\"nothing\"]\n");
    reconfigure(&desktop, &missing, async || plugins(1).await).await?;
    has_problem(
        &quick(&desktop).await?,
        "plugins",
        &["wstream-nothing", "take nothing out"],
    )?;
    reconfigure(&desktop, &right, async || plugins(0).await).await?;
    is_well(&quick(&desktop).await?, "plugins")?;
    daemon.terminate().await
}

#[tokio::test]
async fn a_model_that_is_missing_or_damaged() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let own = tempfile::tempdir()?;
    let desktop = Desktop::new(own.path()).await?;
    desktop.configure("model = \"tiny.en\"\n")?;
    let daemon = desktop.start().await?;
    let lines = quick(&desktop).await?;
    has_problem(&lines, "model", &["wstreamctl model pull tiny.en"])?;

    let whole = std::fs::read(model_file(&models, "tiny.en"))?;
    let file = model_file(own.path(), "tiny.en");
    std::fs::write(&file, &whole[..whole.len() / 2])?;
    has_problem(
        &quick(&desktop).await?,
        "transcription",
        &["local", "wstreamctl model"],
    )?;
    std::fs::write(&file, &whole)?;
    let lines = quick(&desktop).await?;
    is_well(&lines, "model")?;
    let fast = lines.iter().any(|line| {
        line.sentence.starts_with("local answers") && line.sentence.contains("real-time factor")
    });
    ensure!(fast, "{lines:#?}");
    daemon.terminate().await
}

#[tokio::test]
async fn microphones_that_are_gone_or_muted() -> Result<()> {
    let (desktop, daemon, server) = healthy().await?;
    // The machine of the test has no sound server of its own.
    let nowhere = |command: &mut tokio::process::Command| {
        command.env("PULSE_SERVER", "/nowhere");
    };
    daemon.terminate().await?;
    let daemon = desktop.start_with(nowhere).await?;
    let lines = look(&desktop, &[], nowhere).await?;
    has_problem(&lines, "level", &["cannot be opened"])?;
    daemon.terminate().await?;

    let wanted = |name: &str| name.starts_with("PULSE_") || name == "ALSA_CONFIG_PATH";
    let Some(mic) = Script::raise("mic.sh", &["run", "pulseaudio"], wanted).await? else {
        return Ok(());
    };
    let sounding = |command: &mut tokio::process::Command| {
        command.envs(mic.env.clone());
    };
    let daemon = desktop.start_with(sounding).await?;
    let gone = format!(
        "{}[audio]\ndevice = \"None Such\"\n",
        server.configuration()
    );
    let taken = async || Ok(daemon.proxy.microphone().await? == "None Such");
    reconfigure(&desktop, &gone, taken).await?;
    has_problem(
        &look(&desktop, &["--no-microphone"], sounding).await?,
        "microphones",
        &["None Such", "wstreamctl microphone ''"],
    )?;
    let chosen = desktop.ctl(&["microphone", ""]).await?;
    ensure!(chosen.status.success(), "{chosen:?}");
    is_well(
        &look(&desktop, &["--no-microphone"], sounding).await?,
        "microphones",
    )?;

    // Somebody speaks all the while, and is heard only where it is not muted.
    let spoken = sound::speak(
        desktop.path(),
        "river",
        &"We walk to the river. ".repeat(30),
    )?;
    let mute = async |on: &str| {
        let status = tokio::process::Command::new("pactl")
            .envs(mic.env.clone())
            .args(["set-source-mute", "@DEFAULT_SOURCE@", on])
            .status()
            .await?;
        ensure!(status.success(), "pactl ended with {status}");
        Ok(())
    };
    let mut speaker = tokio::process::Command::new("paplay")
        .envs(mic.env.clone())
        .arg("--device=speaker")
        .arg(&spoken)
        .kill_on_drop(true)
        .spawn()
        .context("paplay")?;
    mute("1").await?;
    has_problem(&look(&desktop, &[], sounding).await?, "level", &["muted"])?;
    mute("0").await?;
    let lines = look(&desktop, &[], sounding).await?;
    is_well(&lines, "level")?;
    ensure!(
        !format!("{lines:?}").to_lowercase().contains("river"),
        "what was heard is in the report"
    );
    assert_eq!(daemon.proxy.state().await?, "idle");
    ensure!(speaker.try_wait()?.is_none(), "the speech was too short");
    daemon.terminate().await
}

#[tokio::test]
async fn a_desktop_without_notifications() -> Result<()> {
    let (desktop, daemon, _server) = healthy().await?;
    let Some(screen) = Screen::raise("x11").await? else {
        return Ok(());
    };
    has_problem(&quick(&desktop).await?, "notifications", &["dunst"])?;
    let mut dunst = screen.command(&desktop, "dunst");
    let _dunst = dunst.spawn().context("dunst is not installed")?;
    let bus = zbus::fdo::DBusProxy::new(&daemon.connection).await?;
    let name = zbus::names::BusName::try_from("org.freedesktop.Notifications")?;
    while !bus.name_has_owner(name.clone()).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    is_well(&quick(&desktop).await?, "notifications")?;
    daemon.terminate().await
}

#[tokio::test]
async fn each_way_of_typing_into_a_window_of_its_own() -> Result<()> {
    let (desktop, daemon, _server) = healthy().await?;
    let Some(screen) = Screen::raise("x11").await? else {
        return Ok(());
    };
    let display = screen.display()?;
    for layout in ["us", "de", "fr", "ru"] {
        let mut set = screen.command(&desktop, "setxkbmap");
        ensure!(set.arg(layout).status().await?.success(), "setxkbmap");
        let lines = look(&desktop, &["--no-microphone"], |command| {
            command.env("DISPLAY", &display);
        })
        .await?;
        for driver in ["x11", "clipboard"] {
            ensure!(
                has_typed(&lines, driver),
                "{driver} with {layout}: {lines:#?}"
            );
        }
    }
    daemon.terminate().await
}

/// Whether a driver has typed exactly into a window of the doctor's own.
fn has_typed(lines: &[Line], driver: &str) -> bool {
    let typed = format!("{driver} typed");
    let mut of_check = lines.iter().filter(|line| line.check == "typing");
    of_check.any(|line| line.state == "ok" && line.sentence.starts_with(&typed))
}

#[tokio::test]
async fn each_way_of_typing_on_wayland() -> Result<()> {
    let (desktop, daemon, _server) = healthy().await?;
    let Some(screen) = Screen::raise("wayland").await? else {
        return Ok(());
    };
    let wayland = screen.wayland()?;
    let lines = look(&desktop, &["--no-microphone"], |command| {
        command.env("WAYLAND_DISPLAY", &wayland);
    })
    .await?;
    for driver in [
        "wayland-input-method",
        "wayland-virtual-keyboard",
        "wayland-clipboard",
    ] {
        ensure!(has_typed(&lines, driver), "{driver}: {lines:#?}");
    }
    daemon.terminate().await
}
