//! `wstream-notify` as a process, with the notification servers that people have, on screens of
//! their own. `WSTREAM_PICTURES` names a folder for what they showed.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use wstream_api::keys;
use wstream_tests::{
    Desktop, Follower, Monitor, Running, Screen, models_with, program, said, sound,
};
use zbus::{Fd, OwnedVariant};

const SERVER: &str = "org.freedesktop.Notifications";

/// The arguments of `Notify`.
type Arguments = (
    String,
    u32,
    String,
    String,
    String,
    Vec<String>,
    HashMap<String, OwnedVariant>,
    i32,
);

/// What the plugin asked the server for.
#[derive(Debug)]
enum Asked {
    Show {
        replaces: u32,
        title: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedVariant>,
    },
    Close,
    /// What the server can do.
    About,
}

async fn asked(monitor: &mut Monitor) -> Result<Asked> {
    let call = monitor.call(SERVER).await?;
    Ok(match call.member.as_str() {
        "Notify" => {
            let (_, replaces, _, title, body, actions, hints, _): Arguments =
                call.message.body().deserialize()?;
            Asked::Show {
                replaces,
                title,
                body,
                actions,
                hints,
            }
        }
        "CloseNotification" => Asked::Close,
        _ => Asked::About,
    })
}

/// Calls up to the one that closes the notification, with that one.
async fn until_closed(monitor: &mut Monitor) -> Result<Vec<Asked>> {
    until(monitor, |asked| matches!(asked, Asked::Close)).await
}

/// Calls up to one that shows something with this title, with that one.
async fn until_shown(monitor: &mut Monitor, wanted: &str) -> Result<Vec<Asked>> {
    until(
        monitor,
        |asked| matches!(asked, Asked::Show { title, .. } if title == wanted),
    )
    .await
}

async fn until(monitor: &mut Monitor, is_last: impl Fn(&Asked) -> bool) -> Result<Vec<Asked>> {
    let mut all = Vec::new();
    loop {
        let next = asked(monitor)
            .await
            .with_context(|| format!("after {all:?}"))?;
        let is_last = is_last(&next);
        all.push(next);
        if is_last {
            return Ok(all);
        }
    }
}

/// Titles and bodies of what was shown.
fn shown(all: &[Asked]) -> Vec<(&str, &str)> {
    all.iter()
        .filter_map(|asked| match asked {
            Asked::Show { title, body, .. } => Some((title.as_str(), body.as_str())),
            _ => None,
        })
        .collect()
}

/// A desktop with a daemon and the plugin.
struct Stage {
    desktop: Desktop,
    daemon: Running,
    follower: Follower,
    monitor: Monitor,
    plugin: Child,
    spoken: PathBuf,
}

impl Stage {
    /// Raises it; `server` is there before the plugin.
    async fn raise(models: &Path) -> Result<Self> {
        let desktop = Desktop::new(models).await?;
        desktop.configure("model = \"tiny.en\"\n")?;
        let own = desktop.path().join("home/.config/wstream/notify.toml");
        std::fs::write(own, "final_ms = 700\nerror_ms = 700\ninterval_ms = 50\n")?;
        let spoken = sound::speak(desktop.path(), "fish", "We eat fish and chips today.")?;
        let daemon = desktop.start().await?;
        let follower = Follower::new(&daemon.connection).await?;
        let mut monitor = Monitor::new(&desktop).await?;
        let plugin = desktop
            .command(program("wstream-notify"))
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        monitor.follows().await?;
        Ok(Stage {
            desktop,
            daemon,
            follower,
            monitor,
            plugin,
            spoken,
        })
    }

    /// Starts a notification server and waits until it owns its name.
    async fn serve(&self, screen: &Screen, name: &str) -> Result<Child> {
        let bus = zbus::fdo::DBusProxy::new(&self.daemon.connection).await?;
        let mut owners = bus
            .receive_name_owner_changed_with_args(&[(0, SERVER)])
            .await?;
        let mut server = screen
            .command(&self.desktop, name)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        tokio::select! {
            _ = owners.next() => Ok(server),
            status = server.wait() => anyhow::bail!("{name} ended at once: {}", status?),
            () = tokio::time::sleep(Duration::from_secs(30)) => anyhow::bail!("{name} owns no name"),
        }
    }

    /// Speaks the sentence at the pace of speech; the final's text, in its own time.
    async fn speak(&mut self) -> Result<String> {
        let session = self.begin().await?;
        Ok(said(&self.follower.session(session).await?))
    }

    async fn begin(&mut self) -> Result<u64> {
        let options = HashMap::from([(keys::REALTIME, true.into())]);
        let sound = File::open(&self.spoken)?;
        Ok(self.daemon.proxy.feed(Fd::from(&sound), options).await?)
    }

    /// How many notifications dunst says that it shows.
    async fn displayed(&self, screen: &Screen) -> Result<String> {
        let mut command = screen.command(&self.desktop, "dunstctl");
        let output = command.args(["count", "displayed"]).output().await?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    async fn end(mut self) -> Result<()> {
        let id = self.plugin.id().context("the plugin has ended")?;
        signal(id, Signal::TERM)?;
        let status = tokio::time::timeout(Duration::from_secs(10), self.plugin.wait()).await??;
        ensure!(status.success(), "the plugin ended with {status}");
        self.daemon.terminate().await
    }
}

fn signal(id: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(id)?).context("a process number")?;
    Ok(kill_process(pid, signal)?)
}

/// Where a picture called `name` belongs.
fn picture(desktop: &Desktop, name: &str) -> PathBuf {
    let dir = std::env::var_os("WSTREAM_PICTURES").map(PathBuf::from);
    dir.unwrap_or_else(|| desktop.path().to_owned()).join(name)
}

/// What a user sees with `server`: listening, words as they come, the finished text, nothing.
async fn a_sentence_is_seen(kind: &str, server: &str) -> Result<()> {
    let (Some(models), Some(screen)) = (models_with("tiny.en"), Screen::raise(kind).await?) else {
        return Ok(());
    };
    let mut stage = Stage::raise(&models).await?;
    let _server = stage.serve(&screen, server).await?;
    let empty = screen
        .picture(&stage.desktop, &picture(&stage.desktop, "empty.png"))
        .await?;
    let focus = focused(&stage.desktop, &screen).await?;

    stage.begin().await?;
    let mut all = Vec::new();
    let mut pictures = HashMap::new();
    while !matches!(all.last(), Some(Asked::Close)) {
        let next = asked(&mut stage.monitor).await?;
        if let Asked::Show { title, body, .. } = &next {
            let has_both =
                title != "Dictating" || body.contains("</span>") && !body.starts_with("<span");
            if has_both && !pictures.contains_key(title) {
                // The call has been seen, and is carried out before the next one.
                let name = format!("{server}-{}.png", title.to_lowercase());
                let file = picture(&stage.desktop, &name);
                let colours = displayed(&stage.desktop, &screen, &file, empty).await?;
                pictures.insert(title.clone(), colours);
                assert_eq!(focused(&stage.desktop, &screen).await?, focus);
            }
        }
        all.push(next);
    }
    let seen = shown(&all);
    assert_eq!(seen[0].0, "Listening");
    ensure!(
        seen.iter().any(|(title, _)| *title == "Dictating"),
        "{seen:?}"
    );
    // Markup reaches a server that takes it, and the words may not be taken for it.
    ensure!(
        seen.iter()
            .any(|(_, body)| body.contains("<span alpha=\"55%\">")),
        "{seen:?}"
    );
    // Behind it there may be silence that is listened to.
    let said = seen.iter().rfind(|(title, _)| *title == "Dictated");
    let (_, body) = said.context("the finished text")?;
    ensure!(
        sound::understood("we eat fish and chips today", body),
        "{body}"
    );
    ensure!(
        pictures.contains_key("Listening") && pictures.contains_key("Dictated"),
        "{pictures:?}"
    );

    // One notification, replaced; it asks for nothing, and stays in no list.
    let mut first = None;
    for asked in &all {
        if let Asked::Show {
            replaces,
            actions,
            hints,
            ..
        } = asked
        {
            match first {
                None => first = Some(*replaces),
                Some(_) => assert_ne!(*replaces, 0, "{all:?}"),
            }
            ensure!(actions.is_empty(), "{actions:?}");
            ensure!(bool::try_from(hints["transient"].try_clone()?)?);
            assert_eq!(u8::try_from(hints["urgency"].try_clone()?)?, 1);
        }
    }
    assert_eq!(first, Some(0));
    // Closed for whoever looks, too.
    loop {
        let file = picture(&stage.desktop, "after.png");
        if screen.picture(&stage.desktop, &file).await? == empty {
            break;
        }
    }
    stage.end().await
}

/// Takes pictures until something is on the screen; its number of colours.
async fn displayed(desktop: &Desktop, screen: &Screen, file: &Path, empty: usize) -> Result<usize> {
    for _ in 0..100 {
        let colours = screen.picture(desktop, file).await?;
        if colours > empty {
            return Ok(colours);
        }
    }
    anyhow::bail!("nothing is on the screen: {}", file.display())
}

/// Which window has the keyboard.
async fn focused(desktop: &Desktop, screen: &Screen) -> Result<String> {
    const X11: &str = "xprop -root _NET_ACTIVE_WINDOW; xwininfo -root -children | grep -c focus";
    const SWAY: &str = "swaymsg -r -t get_seats | grep '\"focus\"'";
    let script = format!("if [ -n \"${{DISPLAY:-}}\" ]; then {X11}; else {SWAY}; fi");
    let told = screen
        .command(desktop, "sh")
        .args(["-c", &script])
        .output()
        .await?;
    Ok(String::from_utf8_lossy(&told.stdout).into_owned())
}

#[tokio::test]
async fn dunst_shows_a_sentence() -> Result<()> {
    a_sentence_is_seen("x11", "dunst").await
}

#[tokio::test]
async fn mako_shows_a_sentence() -> Result<()> {
    a_sentence_is_seen("wayland", "mako").await
}

#[tokio::test]
async fn servers_that_hang_restart_or_are_missing_do_no_harm() -> Result<()> {
    let (Some(models), Some(screen)) = (models_with("tiny.en"), Screen::raise("x11").await?) else {
        return Ok(());
    };
    let mut stage = Stage::raise(&models).await?;
    let mut complaints = BufReader::new(stage.plugin.stderr.take().context("it is piped")?).lines();

    // None: the text comes all the same, and it is said once.
    let text = stage.speak().await?;
    ensure!(
        sound::understood("we eat fish and chips today", &text),
        "{text}"
    );
    let line = complaints.next_line().await?.context("a complaint")?;
    ensure!(line.contains("notification server"), "{line}");

    // One that comes is used.
    let mut server = stage.serve(&screen, "dunst").await?;
    stage.speak().await?;
    until_shown(&mut stage.monitor, "Dictated")
        .await
        .context("shown by the one that came")?;
    until_closed(&mut stage.monitor)
        .await
        .context("closed by the one that came")?;

    // One that hangs gets one call, not one for each word; the text comes all the same. An answer
    // of its says that it is done with the call that closed.
    assert_eq!(stage.displayed(&screen).await?, "0");
    let id = server.id().context("dunst runs")?;
    signal(id, Signal::STOP)?;
    let text = stage.speak().await?;
    ensure!(
        sound::understood("we eat fish and chips today", &text),
        "{text}"
    );
    let line = complaints.next_line().await?.context("a complaint")?;
    ensure!(line.contains("does not answer"), "{line}");
    signal(id, Signal::CONT)?;
    let line = complaints.next_line().await?.context("a complaint")?;
    ensure!(line.contains("answers again"), "{line}");
    let all = until_closed(&mut stage.monitor)
        .await
        .context("closed by the one that hung")?;
    // The call that hung, and the newest when it was over; the words between are old news.
    ensure!(shown(&all).len() <= 2, "{all:?}");
    assert_eq!(stage.displayed(&screen).await?, "0");

    // One that is started anew in the middle of what is said shows the rest of it.
    let long =
        "We eat fish and chips today, and tomorrow we will walk along the river to the mill.";
    stage.spoken = sound::speak(stage.desktop.path(), "long", long)?;
    let session = stage.begin().await?;
    until_shown(&mut stage.monitor, "Dictating")
        .await
        .context("before the restart")?;
    server.kill().await?;
    let _server = stage.serve(&screen, "dunst").await?;
    let text = said(&stage.follower.session(session).await?);
    ensure!(text.contains("river"), "{text}");
    // The new one is not told to replace what it never had.
    let is_first = |asked: &Asked| matches!(asked, Asked::Show { replaces: 0, .. });
    until(&mut stage.monitor, is_first)
        .await
        .context("behind the restart")?;
    until_closed(&mut stage.monitor)
        .await
        .context("closed behind the restart")?;

    // What goes wrong is shown: sound that ends in the middle.
    let whole = std::fs::read(flac(&stage.spoken)?)?;
    let cut = stage.desktop.path().join("cut.flac");
    std::fs::write(&cut, &whole[..whole.len() / 2])?;
    let _ = stage
        .daemon
        .proxy
        .feed(Fd::from(&File::open(&cut)?), HashMap::new())
        .await;
    until_shown(&mut stage.monitor, "Dictation failed")
        .await
        .context("the failure")?;
    until_closed(&mut stage.monitor)
        .await
        .context("closed behind the failure")?;
    stage.end().await
}

fn flac(spoken: &Path) -> Result<PathBuf> {
    let file = spoken.with_extension("flac");
    sound::sox(&[spoken.as_os_str(), file.as_os_str()])?;
    Ok(file)
}

#[tokio::test]
async fn its_own_end_closes_the_notification() -> Result<()> {
    let (Some(models), Some(screen)) = (models_with("tiny.en"), Screen::raise("x11").await?) else {
        return Ok(());
    };
    let mut stage = Stage::raise(&models).await?;
    let _server = stage.serve(&screen, "dunst").await?;
    stage.begin().await?;
    while !matches!(asked(&mut stage.monitor).await?, Asked::Show { .. }) {}
    let id = stage.plugin.id().context("the plugin runs")?;
    signal(id, Signal::TERM)?;
    until_closed(&mut stage.monitor).await?;
    ensure!(stage.plugin.wait().await?.success());
    stage.daemon.terminate().await
}
