//! Plugins of the configuration: started, listed, started again, ended; and the examples of the
//! documentation, as printed.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use wstream_api::keys;
use wstream_tests::{Scene, Seen, printed, program, python_with, root};
use zbus::OwnedVariant;

type Entry = HashMap<String, OwnedVariant>;

fn text<'a>(entry: &'a Entry, key: &str) -> &'a str {
    let text = entry.get(key).map(<&str>::try_from);
    text.and_then(Result::ok).unwrap_or_default()
}

fn number(entry: &Entry, key: &str) -> Option<u32> {
    u32::try_from(entry.get(key)?).ok()
}

fn find<'a>(entries: &'a [Entry], name: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| text(entry, keys::NAME) == name)
}

/// The process of a plugin that is in this state; `None` while it is in another.
pub(super) fn pid_of(entries: &[Entry], name: &str, state: &str) -> Option<u32> {
    let entry = find(entries, name).filter(|entry| text(entry, keys::STATE) == state)?;
    number(entry, keys::PID)
}

pub(super) fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Writes a program into the folder.
pub(super) fn script(dir: &Path, name: &str, text: &str) -> Result<()> {
    let file = dir.join(name);
    std::fs::write(&file, text)?;
    Ok(std::fs::set_permissions(
        file,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

/// Puts the folder in front of a command's PATH.
fn search_in(command: &mut tokio::process::Command, dir: &Path) {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", dir.display()));
}

/// A scene whose daemon finds programs in `dir` and logs into the file `log` there.
async fn scene(dir: &Path, configuration: &str) -> Result<Scene> {
    let log = std::fs::File::create(dir.join("log"))?;
    Scene::with_command(configuration, |command| {
        search_in(command, dir);
        command.env("WSTREAM_LOG", "info").stderr(log);
    })
    .await
}

pub(super) const STAYS: &str = "#!/bin/sh\necho \"I am here: $0\" >&2\nexec sleep 1000\n";

#[tokio::test]
async fn plugins_run_are_listed_follow_the_configuration_and_end_with_the_daemon() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for name in ["one", "two"] {
        script(dir.path(), &format!("wstream-{name}"), STAYS)?;
    }
    let mut scene = scene(dir.path(), "[plugins]\nrun = [\"one\", \"three\"]\n").await?;
    let plugins = scene
        .plugins_until(|plugins| {
            pid_of(plugins, "one", "running").is_some() && find(plugins, "three").is_some()
        })
        .await?;
    let one = pid_of(&plugins, "one", "running").context("one runs")?;
    assert!(runs(one));
    let three = find(&plugins, "three").context("three")?;
    assert_eq!(text(three, keys::STATE), "missing");

    let listed = scene.desktop.ctl(&["plugins"]).await?;
    let listed = String::from_utf8(listed.stdout)?;
    assert!(
        listed.contains(&format!("one    running  {one}")),
        "{listed}"
    );
    assert!(listed.contains("three  missing  -"), "{listed}");
    let json = scene.desktop.ctl(&["plugins", "--json"]).await?;
    let json = String::from_utf8(json.stdout)?;
    let first = json.lines().next().context("a line")?;
    let first: serde_json::Value = serde_json::from_str(first)?;
    assert_eq!(
        (&first["name"], &first["pid"]),
        (&"one".into(), &one.into())
    );

    // Two comes, one stays as it is, three is installed now.
    script(dir.path(), "wstream-three", STAYS)?;
    scene.reconfigure("[plugins]\nrun = [\"one\", \"two\", \"three\"]\n")?;
    let plugins = scene
        .plugins_until(|plugins| {
            let all = ["one", "two", "three"];
            all.iter()
                .all(|name| pid_of(plugins, name, "running").is_some())
        })
        .await?;
    assert_eq!(pid_of(&plugins, "one", "running"), Some(one));
    let two = pid_of(&plugins, "two", "running").context("two")?;
    scene.reconfigure("[plugins]\nrun = [\"two\"]\n")?;
    scene.plugins_until(|plugins| plugins.len() == 1).await?;
    assert!(!runs(one));
    assert!(runs(two));
    assert_eq!(scene.say().await?.text, "number 1");
    scene.daemon.terminate().await?;
    assert!(!runs(two), "it outlived the daemon");

    let log = std::fs::read_to_string(dir.path().join("log"))?;
    let line = log.lines().find(|line| line.contains("I am here"));
    assert!(
        line.is_some_and(|line| line.contains("wstream-one")),
        "{log}"
    );
    assert!(log.contains("wstream_plugin"), "{log}");
    assert!(
        log.contains("the plugin three of the configuration is not installed"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn a_killed_daemon_leaves_no_plugin_behind() -> Result<()> {
    let dir = tempfile::tempdir()?;
    script(dir.path(), "wstream-one", STAYS)?;
    let mut scene = scene(dir.path(), "[plugins]\nrun = [\"one\"]\n").await?;
    let running = |plugins: &[Entry]| pid_of(plugins, "one", "running").is_some();
    let plugins = scene.plugins_until(running).await?;
    let one = pid_of(&plugins, "one", "running").context("one")?;
    scene.daemon.child.kill().await?;
    until(|| !runs(one)).await.context("it runs on")
}

/// For what no signal tells of.
async fn until(mut done: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !done() {
        ensure!(
            began.elapsed() < Duration::from_secs(30),
            "nothing came of it"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Milliseconds of processor time that a process has taken itself.
fn cpu_ms(pid: i32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let on_cpu_ns: f64 = stat
        .split_whitespace()
        .next()
        .context("schedstat")?
        .parse()?;
    Ok(on_cpu_ns / 1e6)
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "a figure for whoever asks for it")]
async fn a_plugin_that_never_stays_up_is_started_ever_less_often_and_told_of_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    script(
        dir.path(),
        "wstream-falls",
        "#!/bin/sh\necho falling >&2\nexit 3\n",
    )?;
    let mut scene = scene(dir.path(), "").await?;
    let pid = scene.daemon.pid()?;
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some_and(|value| value == "1");
    let watched = Duration::from_secs(if slow { 60 } else { 1 });
    let before = cpu_ms(pid)?;
    tokio::time::sleep(watched).await;
    let idle = cpu_ms(pid)? - before;

    scene.reconfigure("[plugins]\nrun = [\"falls\"]\n")?;
    // Pauses of one and two seconds.
    let restarted = |plugins: &[Entry]| {
        let falls = find(plugins, "falls");
        falls.is_some_and(|it| number(it, keys::RESTARTS) >= Some(2))
    };
    let began = Instant::now();
    scene.plugins_until(restarted).await?;
    ensure!(
        began.elapsed() >= Duration::from_secs(3),
        "it was not waited"
    );
    loop {
        if let Seen::Trouble { name, message } = scene.follower.next().await? {
            assert!(name.ends_with(".PluginFailed"), "{name}");
            assert!(message.contains("falls does not stay up"), "{message}");
            break;
        }
    }
    assert_eq!(scene.say().await?.text, "number 1");
    let before = cpu_ms(pid)?;
    tokio::time::sleep(watched).await;
    let looping = cpu_ms(pid)? - before;
    eprintln!(
        "processor time of the daemon in {} s: {idle:.2} ms idle, {looping:.2} ms beside a plugin that falls",
        watched.as_secs()
    );
    scene.daemon.terminate().await?;
    let log = std::fs::read_to_string(dir.path().join("log"))?;
    assert!(log.matches("falling").count() >= 3, "{log}");
    Ok(())
}

/// Wake-ups of all threads of a process: how often one has gone to sleep.
fn wake_ups(pid: u32) -> Result<u64> {
    let mut count = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count += line.context("switches")?.trim().parse::<u64>()?;
    }
    Ok(count)
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "a figure for whoever asks for it")]
async fn plugins_that_have_nothing_to_do_do_nothing() -> Result<()> {
    const NAMES: [&str; 4] = ["notify", "words", "hooks", "history"];
    let dir = tempfile::tempdir()?;
    let configuration = format!("[plugins]\nrun = {NAMES:?}\n");
    let mut scene = scene(dir.path(), &configuration).await?;
    let all_run = |plugins: &[Entry]| {
        let runs = |name: &&str| pid_of(plugins, name, "running").is_some();
        NAMES.iter().all(runs)
    };
    scene.plugins_until(all_run).await?;
    // An utterance behind them, so that everything that they begin late has begun.
    scene.say().await?;
    let plugins = scene.plugins_until(all_run).await?;
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some_and(|value| value == "1");
    let watched = Duration::from_secs(if slow { 60 } else { 10 });
    // A notification goes some seconds behind its text.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let mut before = Vec::new();
    for name in NAMES {
        let pid = pid_of(&plugins, name, "running").context("a plugin")?;
        before.push((name, pid, cpu_ms(pid.try_into()?)?, wake_ups(pid)?));
    }
    tokio::time::sleep(watched).await;
    for (name, pid, ms, wakes) in before {
        let ms = cpu_ms(pid.try_into()?)? - ms;
        let wakes = wake_ups(pid)? - wakes;
        eprintln!(
            "{name}: {ms:.2} ms of processor time, {wakes} wake-ups in {} s",
            watched.as_secs()
        );
        assert_eq!(wakes, 0, "{name} wakes without a reason");
    }
    scene.daemon.terminate().await
}

#[tokio::test]
async fn a_filter_is_listed_under_its_plugins_name_with_its_times() -> Result<()> {
    let Some(python) = python_with("jeepney") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let example = root().join("plugins/examples/filter.py");
    let start = format!(
        "#!/bin/sh\nexec \"{}\" \"{}\" number No.\n",
        python.display(),
        example.display()
    );
    script(dir.path(), "wstream-example", &start)?;
    let mut scene = scene(dir.path(), "[plugins]\nrun = [\"example\"]\n").await?;
    let filters = |plugins: &[Entry]| {
        let example = find(plugins, "example");
        example.is_some_and(|it| number(it, keys::FILTERS) == Some(1))
    };
    scene.plugins_until(filters).await?;
    assert_eq!(scene.say().await?.text, "No. 1");
    assert_eq!(scene.say().await?.text, "No. 2");
    let plugins = scene.plugins_until(filters).await?;
    assert_eq!(plugins.len(), 1, "{plugins:?}");
    let calls = plugins[0].get(keys::CALLS).map(u64::try_from);
    assert_eq!(calls, Some(Ok(2)));
    let mean = plugins[0].get(keys::MEAN_MS).map(f64::try_from);
    assert!(mean.is_some_and(|mean| mean.is_ok_and(|ms| ms > 0.0)));
    scene.daemon.terminate().await
}

#[tokio::test]
async fn the_readmes_plugin_in_python_works_as_printed() -> Result<()> {
    // PyGObject comes with the system's Python.
    let python = Path::new("/usr/bin/python3");
    let found = std::process::Command::new(python)
        .args(["-c", "from gi.repository import Gio"])
        .stderr(Stdio::null())
        .status();
    ensure!(
        found?.success(),
        "python3-gi is not installed: run tests/run.sh once"
    );
    let mut scene = Scene::with("").await?;
    let mut plugin = scene
        .desktop
        .command(python)
        .args(["-c", &printed("README.md", "plugin")?])
        .spawn()?;
    scene.plugins_until(|plugins| plugins.len() == 1).await?;
    assert_eq!(scene.say().await?.text, "no. 1");
    plugin.kill().await?;
    scene.plugins_until(<[Entry]>::is_empty).await?;
    assert_eq!(scene.say().await?.text, "number 2");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn the_readmes_hooks_work_as_printed() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let home = scene.desktop.path().join("home");
    // The first line but one of each says where it belongs.
    for mark in ["hook", "filter hook"] {
        let hook = printed("README.md", mark)?;
        let place = hook.lines().find_map(|line| line.strip_prefix("# ~/"));
        let file = home.join(place.context("where it belongs")?);
        let dir = file.parent().context("a folder")?;
        std::fs::create_dir_all(dir)?;
        let name = file.file_name().context("a name")?;
        script(dir, &name.to_string_lossy(), &hook)?;
    }
    scene.reconfigure("[plugins]\nrun = [\"hooks\"]\n")?;
    scene
        .plugins_until(|it| it.iter().any(|it| it.contains_key(keys::FILTERS)))
        .await?;
    let heard = scene.say().await?;
    assert_eq!(heard.text, "no. 1");
    let notes = home.join("notes.txt");
    until(|| std::fs::read_to_string(&notes).is_ok_and(|text| text.ends_with(" en: no. 1\n")))
        .await
        .context("no note")?;
    scene.daemon.terminate().await
}

#[tokio::test]
async fn the_examples_follow() -> Result<()> {
    let Some(python) = python_with("jeepney") else {
        return Ok(());
    };
    let mut scene = Scene::with("").await?;
    let examples = root().join("plugins/examples");
    let mut followers = Vec::new();
    for (program, file) in [
        (python.as_path(), "follow.py"),
        (Path::new("sh"), "follow.sh"),
    ] {
        let mut command = scene.desktop.command(program);
        // gdbus writes line by line only to a terminal, or where it is told to.
        let child = command
            .arg(examples.join(file))
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child?;
        let stdout = child.stdout.take().context("it is piped")?;
        followers.push((child, BufReader::new(stdout).lines()));
    }
    // They have no way to say that they follow: the word is said until both have heard of it.
    for (_, lines) in &mut followers {
        loop {
            scene.say().await?;
            let line = tokio::time::timeout(Duration::from_secs(2), lines.next_line()).await;
            match line {
                Ok(line) => {
                    let line = line?.context("it has ended")?;
                    assert!(line.contains("number "), "{line}");
                    break;
                }
                Err(_) => ensure!(scene.follower.log.len() < 300, "it does not follow"),
            }
        }
    }
    scene.daemon.terminate().await
}

#[tokio::test]
async fn a_bar_shows_whether_the_microphone_is_open() -> Result<()> {
    let scene = Scene::with("").await?;
    let mut bar = scene
        .desktop
        .command(program("wstreamctl"))
        .arg("waybar")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(bar.stdout.take().context("it is piped")?).lines();
    let mut next = async || -> Result<serde_json::Value> {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
        let line = line.context("it has ended")?;
        Ok(serde_json::from_str(&line)?)
    };
    let first = next().await?;
    assert_eq!(
        (&first["text"], &first["class"][0]),
        (&"idle".into(), &"idle".into())
    );
    scene.feed().await?;
    let mut classes = Vec::new();
    let mut tooltip = String::new();
    while classes.last().map(String::as_str) != Some("idle") || tooltip.is_empty() {
        let shown = next().await?;
        classes.push(shown["class"][0].as_str().context("a class")?.to_owned());
        shown["tooltip"]
            .as_str()
            .context("a tooltip")?
            .clone_into(&mut tooltip);
    }
    assert_eq!(classes[0], "listening");
    assert_eq!(tooltip, "number 1");
    scene.daemon.terminate().await?;
    while next().await?["class"][0] != "stopped" {}
    bar.kill().await?;
    Ok(())
}
