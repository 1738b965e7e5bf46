//! `wstream-history` as a process: what it keeps, and that it is gone when it is deleted.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use wstream_tests::{
    Desktop, Follower, Monitor, Running, models_with, program, root, running, said, sound,
};
use zbus::Fd;

type Complaints = Lines<BufReader<ChildStderr>>;

/// Starts the plugin and waits until it follows the daemon.
async fn start(desktop: &Desktop) -> Result<(Child, Complaints)> {
    let mut monitor = Monitor::new(desktop).await?;
    let mut plugin = desktop
        .command(program("wstream-history"))
        .stderr(Stdio::piped())
        .spawn()?;
    monitor.follows().await?;
    let stderr = plugin.stderr.take().context("it is piped")?;
    Ok((plugin, BufReader::new(stderr).lines()))
}

async fn speak(daemon: &Running, follower: &mut Follower, file: &Path) -> Result<String> {
    let sound = File::open(file)?;
    let session = daemon.proxy.feed(Fd::from(&sound), HashMap::new()).await?;
    Ok(said(&follower.session(session).await?))
}

/// What `wstreamctl history` prints for `arguments`.
async fn history(desktop: &Desktop, arguments: &[&str]) -> Result<String> {
    let all: Vec<&str> = [&["history"], arguments].concat();
    let output = desktop.ctl(&all).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{all:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Lists until `count` entries are there: the plugin hears of a final when we do.
async fn kept(desktop: &Desktop, count: usize) -> Result<Vec<serde_json::Value>> {
    for _ in 0..500 {
        let listed = desktop.ctl(&["history", "list", "--json"]).await?;
        if listed.status.success() {
            let entries: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout)?;
            if entries.len() == count {
                return Ok(entries);
            }
        }
    }
    anyhow::bail!(
        "{count} entries are not there: {}",
        history(desktop, &["list"]).await?
    )
}

fn folder(desktop: &Desktop) -> PathBuf {
    desktop.path().join("home/.local/share/wstream")
}

/// Whether the bytes of `word` are in any of the history's files, in capitals or not.
fn is_on_disk(desktop: &Desktop, word: &str) -> Result<bool> {
    for file in std::fs::read_dir(folder(desktop))? {
        let bytes = std::fs::read(file?.path())?.to_ascii_lowercase();
        if bytes
            .windows(word.len())
            .any(|window| window == word.as_bytes())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn configure(desktop: &Desktop, text: &str) -> Result<()> {
    let own = desktop.path().join("home/.config/wstream/history.toml");
    Ok(std::fs::write(own, text)?)
}

#[tokio::test]
async fn what_is_dictated_is_kept_found_and_deleted() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let (desktop, daemon, mut follower) = running(&models).await?;
    configure(&desktop, "feeds = true\n")?;
    let (_plugin, _complaints) = start(&desktop).await?;
    let river = sound::speak(
        desktop.path(),
        "river",
        "We will walk to the river after lunch.",
    )?;
    let fox = sound::speak(
        desktop.path(),
        "fox",
        "The quick brown fox jumps over the lazy dog.",
    )?;

    // Looking makes no history.
    let none = desktop.ctl(&["history"]).await?;
    ensure!(!none.status.success());
    ensure!(String::from_utf8_lossy(&none.stderr).contains("[plugins] run"));
    let text = speak(&daemon, &mut follower, &river).await?;
    ensure!(text.to_lowercase().contains("river"), "{text}");
    let entries = kept(&desktop, 1).await?;
    assert_eq!(entries[0]["text"], text.as_str());
    assert_eq!(entries[0]["language"], "en");
    assert_eq!(entries[0]["backend"], "local");
    ensure!(entries[0]["duration_s"].as_f64().is_some_and(|s| s > 1.0));
    let file = folder(&desktop).join("history.sqlite");
    assert_eq!(
        history(&desktop, &["path"]).await?.trim(),
        file.to_string_lossy()
    );
    assert_eq!(
        std::fs::metadata(&file)?.permissions().mode() & 0o777,
        0o600
    );

    let other = speak(&daemon, &mut follower, &fox).await?;
    kept(&desktop, 2).await?;
    let found = history(&desktop, &["search", "RIVER"]).await?;
    ensure!(found.contains(&text) && !found.contains(&other), "{found}");
    let all = history(&desktop, &["export", "--since", "1h"]).await?;
    assert_eq!(all, format!("{text}\n\n{other}\n\n"));
    let markdown = history(&desktop, &["export", "--format", "markdown"]).await?;
    ensure!(markdown.starts_with("# Dictated\n\n## 20"), "{markdown}");

    // A word of the other sentence, as the model heard it.
    let words = sound::words(&other);
    let kept_word = words
        .iter()
        .max_by_key(|word| word.len())
        .context("a word")?;
    ensure!(is_on_disk(&desktop, "river")?);
    assert_eq!(
        history(&desktop, &["delete", "--matching", "river"]).await?,
        "deleted 1\n"
    );
    ensure!(
        !is_on_disk(&desktop, "river")?,
        "the deleted words are on the disk"
    );
    ensure!(is_on_disk(&desktop, kept_word)?);

    // One text at the most: the one before goes with the next.
    configure(&desktop, "feeds = true\nentries = 1\n")?;
    speak(&daemon, &mut follower, &river).await?;
    while history(&desktop, &["search", "river"]).await?.is_empty() {}
    kept(&desktop, 1).await?;
    ensure!(
        !is_on_disk(&desktop, kept_word)?,
        "the pruned words are on the disk"
    );
    daemon.terminate().await
}

#[tokio::test]
async fn a_history_that_cannot_be_written_holds_nobody_up() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let (desktop, daemon, mut follower) = running(&models).await?;
    configure(&desktop, "feeds = true\n")?;
    let dir = folder(&desktop);
    std::fs::create_dir_all(&dir)?;
    let file = dir.join("history.sqlite");
    std::fs::write(&file, "no database. ".repeat(100))?;
    let (mut plugin, mut complaints) = start(&desktop).await?;
    let line = complaints.next_line().await?.context("a complaint")?;
    ensure!(
        line.contains("is damaged") && line.contains("move it away"),
        "{line}"
    );

    let spoken = sound::speak(
        desktop.path(),
        "river",
        "We will walk to the river after lunch.",
    )?;
    let text = speak(&daemon, &mut follower, &spoken).await?;
    ensure!(text.to_lowercase().contains("river"), "{text}");
    let listed = desktop.ctl(&["history", "list"]).await?;
    ensure!(!listed.status.success());
    ensure!(String::from_utf8_lossy(&listed.stderr).contains("is damaged"));

    // Moved away as it says: what could not be kept is kept with the next text.
    std::fs::rename(&file, dir.join("damaged.sqlite"))?;
    speak(&daemon, &mut follower, &spoken).await?;
    kept(&desktop, 2).await?;
    let line = complaints.next_line().await?.context("a line")?;
    ensure!(line.contains("can be written again"), "{line}");

    // A folder where the file should be.
    std::fs::remove_file(&file)?;
    std::fs::create_dir(&file)?;
    speak(&daemon, &mut follower, &spoken).await?;
    let line = complaints.next_line().await?.context("a complaint")?;
    ensure!(line.contains("history.sqlite"), "{line}");
    std::fs::remove_dir(&file)?;

    // Without room, and that nobody may write to.
    for (disk, complaint) in [
        ("size=4k", "no room on the disk"),
        ("ro", "look at the permissions"),
    ] {
        if disk_over(&dir, disk).await? {
            speak(&daemon, &mut follower, &spoken).await?;
            let line = complaints.next_line().await?.context("a complaint")?;
            ensure!(line.contains(complaint), "{line}");
            unmount(&dir).await?;
        }
    }
    ensure!(plugin.try_wait()?.is_none(), "the plugin has ended");
    daemon.terminate().await
}

#[tokio::test]
async fn every_plugin_has_a_page_and_a_default() -> Result<()> {
    let desktop = Desktop::new(&std::env::temp_dir()).await?;
    for plugin in ["words", "notify", "history"] {
        let man = desktop.path().join(format!("man-{plugin}"));
        std::fs::create_dir(&man)?;
        let written = desktop
            .command(program(&format!("wstream-{plugin}")))
            .arg("--man")
            .arg(&man)
            .output()
            .await?;
        ensure!(written.status.success(), "{plugin}");
        ensure!(
            man.join(format!("wstream-{plugin}.1")).is_file(),
            "{plugin} has no page"
        );
        let printed = desktop
            .command(program(&format!("wstream-{plugin}")))
            .arg("--print-default-config")
            .output()
            .await?;
        let installed = root().join(format!("packaging/{plugin}.toml"));
        assert_eq!(printed.stdout, std::fs::read(installed)?);
    }
    Ok(())
}

/// Puts an empty disk with these options over `dir`, where the machine lets us; says so where not.
#[allow(clippy::print_stderr, reason = "a skipped part says so")]
async fn disk_over(dir: &Path, options: &str) -> Result<bool> {
    let mounted = tokio::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(dir)
        .stderr(Stdio::null())
        .status()
        .await;
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: only root can mount a disk");
        return Ok(false);
    }
    Ok(true)
}

async fn unmount(dir: &Path) -> Result<()> {
    let status = tokio::process::Command::new("umount")
        .arg("--lazy")
        .arg(dir)
        .status()
        .await?;
    ensure!(status.success(), "umount ended with {status}");
    Ok(())
}
