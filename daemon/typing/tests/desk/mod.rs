//! A private X11 desktop, and windows on it whose text can be read back.

mod windows;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use wstream_typing::Session;

pub(crate) use windows::{Kind, Window};

/// A screen that nobody looks at; it and its windows end when this is dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) display: String,
    dir: tempfile::TempDir,
    /// In the order in which they were started.
    programs: Vec<Child>,
    managed: bool,
}

impl Desk {
    /// Raises a screen, with a window manager if `managed`; `None` where something is not
    /// installed, which it says.
    pub(crate) fn raise(managed: bool) -> Result<Option<Self>> {
        for program in ["Xvfb", "setxkbmap", "xdotool", "xterm", "icewm", "python3"] {
            if !installed(program) {
                #[allow(clippy::print_stderr, reason = "a skipped test says so")]
                {
                    eprintln!("skipped: {program} is not installed: run tests/run.sh packages");
                }
                return Ok(None);
            }
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
        };
        until("the X server is ready", || {
            let text = fs::read_to_string(&number).unwrap_or_default();
            Ok(text.ends_with('\n').then_some(text))
        })
        .map(|text| desk.display = format!(":{}", text.trim()))?;
        desk.layout("us")?;
        if managed {
            let manager = desk.command("icewm").spawn()?;
            desk.programs.push(manager);
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
        Session::of([("DISPLAY".to_owned(), self.display.clone().into())])
    }

    /// A program on this screen that says nothing to the tests' output.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let log = |end: &str| {
            let name = format!("{}.{end}", program.rsplit('/').next().unwrap_or(program));
            File::create(self.dir.path().join(name)).map_or_else(|_| Stdio::null(), Stdio::from)
        };
        for unset in [
            "WAYLAND_DISPLAY",
            "XMODIFIERS",
            "GTK_IM_MODULE",
            "QT_IM_MODULE",
            "XAUTHORITY",
        ] {
            command.env_remove(unset);
        }
        command
            .env("DISPLAY", &self.display)
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env("LC_ALL", "C.UTF-8")
            .envs([("GDK_BACKEND", "x11"), ("QT_QPA_PLATFORM", "xcb")])
            .envs([
                ("NO_AT_BRIDGE", "1"),
                ("GTK_A11Y", "none"),
                ("GSK_RENDERER", "cairo"),
            ])
            .envs([
                ("GSETTINGS_BACKEND", "memory"),
                ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent"),
            ])
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

/// The project's files for these tests.
pub(crate) fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/typing")
}

/// The corpus: names and texts.
pub(crate) fn corpus() -> Result<Vec<(String, String)>> {
    let file = fs::read_to_string(files().join("corpus.tsv"))?;
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, text) = line
                .split_once('\t')
                .context("a corpus line has no tabulator")?;
            Ok((name.to_owned(), text.to_owned()))
        })
        .collect()
}

/// Waits for something that another process does.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > Duration::from_secs(30) {
            bail!("waited in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
