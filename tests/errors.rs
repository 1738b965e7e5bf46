//! What goes wrong for users: one clear sentence with what to do, the right exit code, no crash.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use wstream_tests::{Desktop, models_with, program, sound};

/// Exit codes, as `wstreamctl --help` lists them.
mod code {
    pub(super) const OK: i32 = 0;
    pub(super) const NO_DAEMON: i32 = 3;
    pub(super) const MICROPHONE: i32 = 4;
    pub(super) const MODEL: i32 = 5;
    pub(super) const SOUND: i32 = 6;
    pub(super) const BUSY: i32 = 7;
    pub(super) const CONFIG: i32 = 9;
}

/// Checks the exit code, and that stderr is a sentence that holds every one of `says`.
fn expect(what: &str, output: &Output, code: i32, says: &[&str]) -> Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.code() == Some(code),
        "{what}: ended with {} instead of {code}\n{stderr}\n{stdout}",
        output.status
    );
    for word in says {
        ensure!(stderr.contains(word), "{what}: no {word:?} in:\n{stderr}");
    }
    for crash in ["panicked", "RUST_BACKTRACE", "terminate called"] {
        ensure!(!stderr.contains(crash), "{what}: {stderr}");
    }
    Ok(())
}

/// Files of every kind, from one spoken sentence.
fn convert(spoken: &Path, name: &str, args: &[&str]) -> Result<PathBuf> {
    let path = spoken.with_file_name(name);
    let mut all = vec![spoken.as_os_str()];
    all.extend(args.iter().map(std::ffi::OsStr::new));
    all.push(path.as_os_str());
    sound::sox(&all)?;
    Ok(path)
}

const TEXT: &str = "The weather is fine today, and we will walk to the river after lunch.";

#[tokio::test]
async fn sound_files_of_every_kind_are_understood_or_refused() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    desktop.configure("model = \"tiny.en\"\n")?;
    desktop.activatable()?;
    let spoken = sound::speak(desktop.path(), "fox", TEXT)?;

    for (name, args) in [
        ("8k.wav", &["-r", "8000"][..]),
        ("44k-stereo.wav", &["-r", "44100", "-c", "2"]),
        ("24-bit.wav", &["-b", "24"]),
        ("32-bit.wav", &["-b", "32", "-e", "signed-integer"]),
        ("8-bit.wav", &["-b", "8", "-e", "unsigned-integer"]),
        ("float.wav", &["-b", "32", "-e", "floating-point"]),
        ("double.wav", &["-b", "64", "-e", "floating-point"]),
        ("16k.flac", &[]),
        ("48k-24-bit.flac", &["-r", "48000", "-b", "24"]),
    ] {
        let file = convert(&spoken, name, args)?;
        let output = desktop
            .ctl(&["transcribe", &file.to_string_lossy()])
            .await?;
        expect(name, &output, code::OK, &[])?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(sound::understood(TEXT, &text), "{name}: {text}");
    }

    let whole = std::fs::read(&spoken)?;
    let written = |name: &str, bytes: &[u8]| -> Result<String> {
        let path = desktop.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let truncated = written("truncated.wav", &whole[..whole.len() * 3 / 4])?;
    let output = desktop.ctl(&["transcribe", &truncated]).await?;
    expect("truncated", &output, code::SOUND, &["truncated.wav"])?;
    let heard = String::from_utf8_lossy(&output.stdout).to_lowercase();
    ensure!(
        heard.contains("river"),
        "what was there is not lost: {heard}"
    );

    for (what, file, says) in [
        ("empty file", written("empty.wav", b"")?, "empty"),
        (
            "header only",
            written("header.wav", &whole[..20])?,
            "header.wav",
        ),
        (
            "text",
            written("text.wav", b"Dear diary, today I renamed a file.\n")?,
            "WAV",
        ),
        ("noise", written("noise.flac", &[0xA5; 4096])?, "noise.flac"),
    ] {
        let output = desktop.ctl(&["transcribe", &file]).await?;
        expect(what, &output, code::SOUND, &["wstreamctl:", says])?;
    }

    let output = desktop.ctl(&["transcribe", "/nonexistent.wav"]).await?;
    ensure!(output.status.code() == Some(code::SOUND) || output.status.code() == Some(1));
    let output = desktop
        .ctl(&["transcribe", &desktop.path().to_string_lossy()])
        .await?;
    ensure!(!output.status.success(), "a folder is no sound");

    // One bad file does not keep the others from being heard.
    let text = written("again.wav", b"no sound")?;
    let output = desktop
        .ctl(&["transcribe", &text, &spoken.to_string_lossy()])
        .await?;
    expect("bad and good", &output, code::SOUND, &["again.wav"])?;
    // With several files, each line begins with the name of its file.
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let heard = line.split_once(".wav: ").context("a file name")?.1;
    ensure!(sound::understood(TEXT, heard), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_descriptor_that_closes_midway_keeps_what_was_said() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    desktop.configure("model = \"tiny.en\"\n")?;
    desktop.activatable()?;
    let spoken = sound::speak(desktop.path(), "fox", TEXT)?;
    let whole = std::fs::read(&spoken)?;
    let mut child = desktop
        .command(program("wstreamctl"))
        .args(["transcribe", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    use tokio::io::AsyncWriteExt as _;
    stdin.write_all(&whole[..whole.len() * 3 / 4]).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    expect("closed midway", &output, code::SOUND, &["wstreamctl:"])?;
    let heard = String::from_utf8_lossy(&output.stdout).to_lowercase();
    ensure!(heard.contains("river"), "{heard}");
    Ok(())
}

#[tokio::test]
async fn no_bus_and_no_daemon() -> Result<()> {
    let desktop = Desktop::new(&std::env::temp_dir()).await?;
    let output = desktop
        .command(program("wstreamctl"))
        .arg("start")
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .output()
        .await?;
    expect("no bus, ctl", &output, code::NO_DAEMON, &["bus"])?;
    let output = desktop
        .command(program("wstreamd"))
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .output()
        .await?;
    expect("no bus, daemon", &output, code::NO_DAEMON, &["session bus"])?;
    // A bus that cannot start the daemon.
    let output = desktop.ctl(&["start"]).await?;
    expect("no daemon", &output, code::NO_DAEMON, &["wstreamd"])
}

#[tokio::test]
async fn two_daemons_at_once() -> Result<()> {
    let desktop = Desktop::new(&std::env::temp_dir()).await?;
    let daemon = desktop.start().await?;
    let output = desktop.command(program("wstreamd")).output().await?;
    expect("second daemon", &output, code::BUSY, &["another wstreamd"])?;
    assert_eq!(daemon.proxy.state().await?, "idle");
    daemon.terminate().await
}

#[tokio::test]
async fn the_daemon_ends_with_its_bus() -> Result<()> {
    let mut desktop = Desktop::new(&std::env::temp_dir()).await?;
    let mut daemon = desktop.start().await?;
    desktop.kill_bus().await?;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), daemon.child.wait());
    assert_eq!(ended.await??.code(), Some(code::NO_DAEMON));
    Ok(())
}

#[tokio::test]
async fn no_microphone_and_no_model() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    desktop.configure("model = \"tiny.en\"\n")?;
    desktop.activatable()?;
    let output = desktop.ctl(&["start"]).await?;
    expect("no microphone", &output, code::MICROPHONE, &["microphone"])?;
    let output = desktop.ctl(&["toggle"]).await?;
    expect(
        "no microphone, toggle",
        &output,
        code::MICROPHONE,
        &["microphone"],
    )?;

    let empty = tempfile::tempdir()?;
    let desktop = Desktop::new(empty.path()).await?;
    desktop.activatable()?;
    let output = desktop.ctl(&["start"]).await?;
    expect("no model", &output, code::MODEL, &["wstreamctl model pull"])
}

#[tokio::test]
async fn damaged_models() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let whole = std::fs::read(wstream_wire::files::model_path(&models, "tiny.en"))?;
    let folder = tempfile::tempdir()?;
    for (name, bytes) in [
        ("truncated", &whole[..whole.len() / 2]),
        ("cut-by-one", &whole[..whole.len() - 1]),
        ("header", &whole[..100]),
        ("empty", &[]),
        ("foreign", &b"GGUF and then something else entirely"[..]),
    ] {
        std::fs::write(wstream_wire::files::model_path(folder.path(), name), bytes)?;
    }
    drop(whole);
    let desktop = Desktop::new(folder.path()).await?;
    desktop.activatable()?;
    let spoken = sound::speak(desktop.path(), "fox", TEXT)?;
    for name in ["truncated", "cut-by-one", "header", "empty", "foreign"] {
        let output = desktop.ctl(&["model", "use", name]).await?;
        expect(name, &output, code::OK, &[])?;
        let output = desktop
            .ctl(&["transcribe", &spoken.to_string_lossy()])
            .await?;
        expect(name, &output, code::MODEL, &["wstreamctl:", "model"])?;
    }
    Ok(())
}

#[tokio::test]
async fn wrong_configurations() -> Result<()> {
    let desktop = Desktop::new(&std::env::temp_dir()).await?;
    for (what, text, says) in [
        (
            "wrong key",
            "[endpoint]\nhangover = 300\n",
            &["line 2", "^", "hangover_ms"][..],
        ),
        (
            "wrong type",
            "[endpoint]\nhangover_ms = \"x\"\n",
            &["line 2", "^"],
        ),
        (
            "out of range",
            "[endpoint]\nhangover_ms = 1\n",
            &["endpoint.hangover_ms", "90 to 3000"],
        ),
        ("not TOML", "strategy = [\n", &["line"]),
    ] {
        desktop.configure(text)?;
        let output = desktop.command(program("wstreamd")).output().await?;
        expect(what, &output, code::CONFIG, says)?;
        let output = desktop.ctl(&["config", "check"]).await?;
        expect(what, &output, code::CONFIG, says)?;
    }
    desktop.configure("strategy = \"hybrid\"\n")?;
    let output = desktop.ctl(&["config", "check"]).await?;
    expect("right", &output, code::OK, &[])?;

    // A running daemon takes a good file over and keeps its settings when it becomes bad.
    let daemon = desktop.start().await?;
    assert_eq!(daemon.proxy.strategy().await?, "hybrid");
    let mut follower = wstream_tests::Follower::new(&daemon.connection).await?;
    let mut strategies = daemon.changes.receive_strategy_changed().await;
    desktop.configure("strategy = \"context\"\n")?;
    use futures_util::StreamExt as _;
    while strategies.next().await.context("bus")?.get().await? != "context" {}
    desktop.configure("strategy = \"nonsense\"\n")?;
    loop {
        if let wstream_tests::Seen::Trouble { name, message } = follower.next().await? {
            assert_eq!(name, "org.wstream.Dictation1.Error.BadConfig");
            ensure!(
                message.contains("nonsense") || message.contains("line 1"),
                "{message}"
            );
            break;
        }
    }
    assert_eq!(daemon.proxy.strategy().await?, "context");
    daemon.terminate().await
}
