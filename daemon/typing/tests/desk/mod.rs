//! A private X11 desktop, and windows on it whose text can be read back.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod common;
mod windows;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Result, ensure};
use wstream_typing::Session;

pub(crate) use common::all_installed;
use common::no_hints;
pub(crate) use common::{corpus, files, until};
pub(crate) use windows::{Kind, Window};

/// A screen that nobody looks at; it and its windows end when this is dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) display: String,
    dir: tempfile::TempDir,
    /// In the order in which they were started.
    programs: Vec<Child>,
    managed: bool,
    /// What windows are told by their environment.
    hints: Vec<(&'static str, String)>,
}

impl Desk {
    /// Raises a screen, with a window manager if `managed`; `None` where something is not
    /// installed, which it says.
    pub(crate) fn raise(managed: bool) -> Result<Option<Self>> {
        let needed = ["Xvfb", "setxkbmap", "xdotool", "xterm", "icewm", "python3"];
        if !all_installed(&needed) {
            return Ok(None);
        }
        let dir = tempfile::tempdir()?;
        let number = dir.path().join("display");
        // The server finds a free number, and writes it when it is ready.
        let server = Command::new("sh")
            .args([
                "-c",
                "exec Xvfb -displayfd 3 -screen 0 1024x768x24 -nolisten tcp -noreset 3>\"$0\"",
            ])
            .arg(&number)
            .stdin(Stdio::null())
            .stdout(File::create(dir.path().join("xvfb.log"))?)
            .stderr(File::create(dir.path().join("xvfb.err"))?)
            .spawn()?;
        let mut desk = Desk {
            display: String::new(),
            dir,
            programs: vec![server],
            managed,
            hints: Vec::new(),
        };
        until("the X server is ready", || {
            let text = fs::read_to_string(&number).unwrap_or_default();
            Ok(text.ends_with('\n').then_some(text))
        })
        .map(|text| desk.display = format!(":{}", text.trim()))?;
        desk.layout("us")?;
        if managed {
            desk.start("icewm", &[])?;
            until("the window manager is ready", || {
                let said = desk
                    .command("xprop")
                    .args(["-root", "_NET_SUPPORTING_WM_CHECK"])
                    .stdout(Stdio::piped())
                    .output()?;
                Ok(String::from_utf8_lossy(&said.stdout)
                    .contains("0x")
                    .then_some(()))
            })?;
        }
        Ok(Some(desk))
    }

    /// What a driver is told of this desktop.
    pub(crate) fn session(&self) -> Session {
        let told = [
            ("DISPLAY", self.display.clone().into()),
            ("HOME", self.path().into()),
        ];
        let hints = self.hints.iter().map(|(name, value)| (*name, value.into()));
        let all = told.into_iter().chain(hints);
        Session::of(all.map(|(name, value)| (name.to_owned(), value)))
    }

    /// A program on this screen that says nothing to the tests' output.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let log = |end: &str| {
            let name = format!("{}.{end}", program.rsplit('/').next().unwrap_or(program));
            File::create(self.dir.path().join(name)).map_or_else(|_| Stdio::null(), Stdio::from)
        };
        no_hints(&mut command)
            .env("DISPLAY", &self.display)
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .envs([("GDK_BACKEND", "x11"), ("QT_QPA_PLATFORM", "xcb")])
            .envs(self.hints.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log("out"))
            .stderr(log("err"));
        command
    }

    /// Runs a program to its end, and returns what it said.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let done = self
            .command(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{program} {arguments:?}: {said}");
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Sets the keyboard's layout.
    pub(crate) fn layout(&self, layout: &str) -> Result<()> {
        let (name, variant) = layout.split_once(':').unwrap_or((layout, ""));
        self.run(
            "setxkbmap",
            &["-layout", name, "-variant", variant, "-option", ""],
        )
        .map(|_| ())
    }

    /// Makes one of the layout's groups the active one.
    pub(crate) fn group(&self, group: u8) -> Result<()> {
        use x11rb::protocol::xkb::{ConnectionExt as _, Group, ID};
        let (connection, _) = x11rb::connect(Some(&self.display))?;
        connection.xkb_use_extension(1, 0)?.reply()?;
        let device = ID::USE_CORE_KBD.into();
        let none = x11rb::protocol::xproto::ModMask::default();
        connection
            .xkb_latch_lock_state(device, none, none, true, Group::from(group), none, false, 0)?
            .check()?;
        Ok(())
    }

    /// Tells something to all windows that are opened from now on.
    pub(crate) fn hint(&mut self, name: &'static str, value: &str) {
        self.hints.push((name, value.to_owned()));
    }

    /// Starts a program that runs as long as the screen is there.
    pub(crate) fn start(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let program = self.command(program).args(arguments).spawn()?;
        self.programs.push(program);
        Ok(())
    }

    /// Starts a bus, on which nothing is started by asking for it, for all programs that are
    /// started from now on.
    pub(crate) fn start_bus(&mut self) -> Result<()> {
        let (socket, config) = (self.path().join("bus"), self.path().join("bus.conf"));
        let text = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"#,
            socket.display()
        );
        fs::write(&config, text)?;
        let config = format!("--config-file={}", config.display());
        self.start("dbus-daemon", &["--nofork", &config])?;
        until("the bus is there", || Ok(socket.exists().then_some(())))?;
        let address = format!("unix:path={}", socket.display());
        self.hint("DBUS_SESSION_BUS_ADDRESS", &address);
        Ok(())
    }

    /// Ends the program that was started last, as a crash does.
    pub(crate) fn kill_last(&mut self) -> Result<()> {
        if let Some(mut program) = self.programs.pop() {
            program.kill()?;
            program.wait()?;
        }
        Ok(())
    }

    /// Ends the X server, as a crash does.
    pub(crate) fn kill_server(&mut self) -> Result<()> {
        let mut server = self.programs.remove(0);
        let killed = server.kill();
        server.wait()?;
        Ok(killed?)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for mut program in self.programs.drain(..).rev() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
