//! Text in windows: spoken into the daemon, read back from real windows on an X server, and live
//! also on a Wayland compositor. What the drivers do with other windows and layouts is tried in
//! `daemon/typing`.

#[path = "typing/held_back.rs"]
mod held_back;
#[path = "typing/live.rs"]
mod live;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};
use wstream_api::keys;
use wstream_tests::{CountingServer, Desktop, Follower, Running, Screen, Seen, root, sound};
use zbus::{Fd, Variant};

/// A desktop with a screen, a daemon on it, and a field that has the focus.
pub(crate) struct Stage {
    /// Of the screen: `x11` or `wayland`.
    kind: &'static str,
    pub(crate) desktop: Desktop,
    screen: Screen,
    daemon: Running,
    pub(crate) follower: Follower,
    field: Child,
    pub(crate) file: PathBuf,
    /// Says a text each time that something is said.
    _server: Option<CountingServer>,
}

impl Stage {
    /// On an X server.
    async fn raise(models: Option<&Path>, configuration: &str) -> Result<Option<Self>> {
        Self::raise_on("x11", models, configuration).await
    }

    /// With a real model's texts, or else with numbered ones; `None` where there is no screen.
    pub(crate) async fn raise_on(
        kind: &'static str,
        models: Option<&Path>,
        configuration: &str,
    ) -> Result<Option<Self>> {
        let Some(screen) = Screen::raise(kind).await? else {
            return Ok(None);
        };
        let nowhere = std::env::temp_dir();
        let desktop = Desktop::new(models.unwrap_or(&nowhere)).await?;
        let server = match models {
            Some(_) => None,
            None => Some(CountingServer::start().await?),
        };
        let first = server
            .as_ref()
            .map_or("model = \"tiny.en\"\n".to_owned(), |server| {
                server.configuration()
            });
        desktop.configure(&format!("{first}{configuration}"))?;
        // The daemon itself knows of no screen, as one that is started before the desktop.
        let daemon = desktop.start().await?;
        let follower = Follower::new(&daemon.connection).await?;
        let file = desktop.path().join("field");
        let field = open(&screen, &desktop, &file, "first", &[]).await?;
        Ok(Some(Stage {
            kind,
            desktop,
            screen,
            daemon,
            follower,
            field,
            file,
            _server: server,
        }))
    }

    pub(crate) fn text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.file)?)
    }

    /// Waits until the field holds this.
    async fn holds(&self, text: &str) -> Result<()> {
        for _ in 0..500 {
            if self.text()? == text {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the field holds {:?}, not {text:?}", self.text()?)
    }

    fn options(&self, when: &'static str) -> Result<HashMap<&'static str, Variant<'static>>> {
        let variable = match self.kind {
            "x11" => ("DISPLAY".to_owned(), self.screen.display()?),
            _ => ("WAYLAND_DISPLAY".to_owned(), self.screen.wayland()?),
        };
        let variables = HashMap::from([variable]);
        Ok(HashMap::from([
            (keys::TYPING, when.into()),
            (keys::DESKTOP, variables.into()),
        ]))
    }

    /// Says what is in a file, and waits until it has been typed, or it is said that it was not.
    pub(crate) async fn say(&mut self, sound: &Path, when: &'static str) -> Result<Vec<Seen>> {
        let mut options = self.options(when)?;
        options.insert(keys::REALTIME, (when == "live").into());
        let sound = File::open(sound)?;
        self.daemon.proxy.feed(Fd::from(&sound), options).await?;
        let (mut seen, mut owed, mut ended) = (Vec::new(), 0, false);
        while owed > 0 || !ended {
            let next = self.follower.next().await?;
            match &next {
                Seen::Final { text, .. } if !text.is_empty() => owed += 1,
                Seen::Delivered { .. } | Seen::Trouble { .. } => owed -= 1,
                Seen::SessionEnded { .. } => ended = true,
                _ => {}
            }
            seen.push(next);
        }
        Ok(seen)
    }

    /// Runs `wstreamctl` with the screen in its environment.
    async fn ctl(&self, args: &[&str]) -> Result<(bool, String)> {
        let mut command = self.screen.command(&self.desktop, "wstreamctl");
        let ctl = wstream_tests::program("wstreamctl");
        let mut run = Command::new(ctl);
        run.args(args).stdin(Stdio::null()).kill_on_drop(true);
        for (name, value) in command.as_std_mut().get_envs() {
            if let Some(value) = value {
                run.env(name, value);
            }
        }
        let done = run.output().await?;
        let said = [done.stdout, done.stderr].concat();
        Ok((done.status.success(), String::from_utf8(said)?))
    }

    pub(crate) async fn end(mut self) -> Result<()> {
        self.field.kill().await?;
        self.daemon.terminate().await
    }
}

/// Opens a text field of that kind and gives it the focus, which a new window on Wayland has.
async fn open(
    screen: &Screen,
    desktop: &Desktop,
    file: &Path,
    title: &str,
    kind: &[&str],
) -> Result<Child> {
    let is_x11 = screen.display().is_ok();
    let mut command = screen.command(desktop, "/usr/bin/python3");
    let (backend, module) = match is_x11 {
        true => ("x11", "gtk-im-context-simple"),
        false => ("wayland", "wayland"),
    };
    let field = command
        .arg(root().join("tests/typing/field.py"))
        .args(["3".as_ref(), file.as_os_str(), title.as_ref()])
        .args(kind)
        .envs([
            ("GDK_BACKEND", backend),
            ("GTK_IM_MODULE", module),
            ("NO_AT_BRIDGE", "1"),
            ("GSETTINGS_BACKEND", "memory"),
        ])
        .stderr(Stdio::null())
        .spawn()?;
    if is_x11 {
        focus(screen, desktop, title).await?;
    }
    let focused = file.with_extension("focus");
    for _ in 0..1000 {
        if focused.exists() {
            return Ok(field);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("the field has not got the focus")
}

async fn focus(screen: &Screen, desktop: &Desktop, title: &str) -> Result<()> {
    let mut command = screen.command(desktop, "timeout");
    command.args([
        "20",
        "xdotool",
        "search",
        "--sync",
        "--onlyvisible",
        "--name",
        title,
    ]);
    let done = command.args(["windowfocus", "--sync"]).output().await?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "xdotool: {said}");
    Ok(())
}

pub(crate) fn troubles(seen: &[Seen]) -> Vec<&str> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Trouble { message, .. } => Some(message.as_str()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn what_is_said_stands_in_the_window_and_can_be_taken_away() -> Result<()> {
    let Some(mut stage) = Stage::raise(None, "").await? else {
        return Ok(());
    };
    let word = sound::speak(stage.desktop.path(), "word", "Yes.")?;
    // What a program hands over is not typed unless it says so.
    let fed = File::open(&word)?;
    let session = stage
        .daemon
        .proxy
        .feed(Fd::from(&fed), HashMap::new())
        .await?;
    stage.follower.session(session).await?;

    let seen = stage.say(&word, "final").await?;
    let delivered = seen.iter().find_map(|seen| match seen {
        Seen::Delivered {
            utterance,
            driver,
            characters,
            ..
        } => Some((*utterance, driver.clone(), *characters)),
        _ => None,
    });
    let (utterance, driver, characters) = delivered.context("it is not told")?;
    assert_eq!((driver.as_str(), characters), ("x11", 8));
    stage.holds("number 2").await?;
    stage.say(&word, "final").await?;
    stage.holds("number 2 number 3").await?;

    assert_eq!(
        stage.ctl(&["undo"]).await?,
        (true, "9 characters\n".to_owned())
    );
    stage.holds("number 2").await?;
    assert!(stage.ctl(&["undo"]).await?.0);
    stage.holds("").await?;
    let (ok, said) = stage.ctl(&["undo"]).await?;
    assert!(!ok && said.contains("nothing was typed"), "{said}");
    assert!(stage.ctl(&["retype"]).await?.0);
    stage.holds("number 3").await?;
    assert!(stage.ctl(&["retype", &utterance.to_string()]).await?.0);
    stage.holds("number 3 number 2").await?;
    let (ok, said) = stage.ctl(&["retype", "999"]).await?;
    assert!(!ok && said.contains("utterance 999 is not kept"), "{said}");

    assert_eq!(stage.ctl(&["last"]).await?, (true, "number 3\n".to_owned()));
    let (_, listed) = stage.ctl(&["last", "-n", "2"]).await?;
    assert_eq!(listed, "   2  number 2\n   3  number 3\n");
    let (ok, said) = stage.ctl(&["last", "--copy"]).await?;
    assert!(ok, "{said}");
    // Pasted by the program's own shortcut.
    let mut paste = stage.screen.command(&stage.desktop, "xdotool");
    ensure!(paste.args(["key", "ctrl+v"]).status().await?.success());
    stage.holds("number 3 number 2number 3").await?;
    stage.end().await
}

#[tokio::test]
async fn it_is_switched_while_running_and_told() -> Result<()> {
    let Some(stage) = Stage::raise(None, "[typing]\nwhen = \"off\"\n").await? else {
        return Ok(());
    };
    assert_eq!(stage.ctl(&["typing"]).await?.1, "* off\n  final\n  live\n");
    assert_eq!(stage.ctl(&["typing", "live"]).await?.1, "live\n");
    assert_eq!(stage.daemon.proxy.typing().await?, "live");
    let (_, status) = stage.ctl(&["status"]).await?;
    assert!(status.contains("typing      live"), "{status}");
    let refused = stage
        .daemon
        .proxy
        .set_typing("sometimes")
        .await
        .unwrap_err();
    assert!(
        refused.message().contains("use off, final or live"),
        "{refused:?}"
    );
    stage.end().await
}

#[tokio::test]
async fn a_window_that_goes_costs_no_text() -> Result<()> {
    let Some(mut stage) = Stage::raise(None, "").await? else {
        return Ok(());
    };
    let word = sound::speak(stage.desktop.path(), "word", "Yes.")?;
    stage.say(&word, "final").await?;
    stage.holds("number 1").await?;
    stage.field.kill().await?;
    let seen = stage.say(&word, "final").await?;
    let told = troubles(&seen);
    assert!(
        told.len() == 1 && told[0].contains("not typed") && told[0].contains("wstreamctl retype"),
        "{told:?}"
    );
    let file = stage.desktop.path().join("second");
    let mut field = open(&stage.screen, &stage.desktop, &file, "second", &[]).await?;
    stage.file = file;
    assert!(stage.ctl(&["retype"]).await?.0);
    stage.holds("number 2").await?;
    field.kill().await?;
    stage.end().await
}

#[tokio::test]
async fn a_text_goes_only_to_the_window_that_it_was_spoken_to() -> Result<()> {
    let Some(mut stage) = Stage::raise(None, "[typing]\nfollow_focus = false\n").await? else {
        return Ok(());
    };
    let file = stage.desktop.path().join("second");
    let mut field = open(&stage.screen, &stage.desktop, &file, "second", &[]).await?;
    focus(&stage.screen, &stage.desktop, "first").await?;
    let word = sound::speak(stage.desktop.path(), "word", "Yes.")?;
    let mut options = stage.options("final")?;
    options.insert(keys::REALTIME, true.into());
    let sound = File::open(&word)?;
    stage.daemon.proxy.feed(Fd::from(&sound), options).await?;
    loop {
        match stage.follower.next().await? {
            // Where the focus is now counts; the order to look is given before this is told.
            Seen::Started { .. } => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                focus(&stage.screen, &stage.desktop, "second").await?;
            }
            Seen::Trouble { message, .. } => {
                assert!(
                    message.contains("another window has the focus"),
                    "{message}"
                );
                break;
            }
            Seen::Delivered { .. } => anyhow::bail!("it was typed"),
            _ => {}
        }
    }
    assert_eq!(
        (stage.text()?, std::fs::read_to_string(&file)?),
        Default::default()
    );
    field.kill().await?;
    stage.end().await
}

/// A password is neither typed nor shown on its way, and the text is there for another field.
#[tokio::test]
async fn nothing_is_typed_into_a_password_field() -> Result<()> {
    let Some(mut stage) = Stage::raise_on("wayland", None, "").await? else {
        return Ok(());
    };
    let word = sound::speak(stage.desktop.path(), "word", "Yes.")?;
    stage.say(&word, "final").await?;
    stage.holds("number 1").await?;
    let file = stage.desktop.path().join("secret");
    let kind = ["password"];
    let mut secret = open(&stage.screen, &stage.desktop, &file, "secret", &kind).await?;
    let seen = stage.say(&word, "live").await?;
    let told = troubles(&seen);
    assert!(
        told.len() == 1
            && told[0].contains("password field")
            && told[0].contains("wstreamctl retype"),
        "{told:?}"
    );
    let (ok, said) = stage.ctl(&["retype"]).await?;
    assert!(!ok && said.contains("password field"), "{said}");
    assert_eq!(std::fs::read_to_string(&file)?, "");
    assert!(!file.with_extension("preedit").exists(), "it was shown");
    secret.kill().await?;
    stage.holds("number 1").await?;
    assert!(stage.ctl(&["retype"]).await?.0);
    stage.holds("number 1 number 2").await?;
    stage.end().await
}
