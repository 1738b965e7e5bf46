//! A private Wayland desktop without a screen, and windows on it whose text can be read back.

mod keyboard;
mod owner;
mod windows;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use wstream_typing::Session;

use crate::common::{all_installed, no_hints, until};
pub(crate) use keyboard::UserKeyboard;
pub(crate) use owner::{Forms, list, own, read};
pub(crate) use windows::{Kind, Window};

/// Sway refuses to run as root, and runs as this user then, which every system has.
const NOBODY: u32 = 65534;

/// A screen that nobody looks at; it and its windows end when this is dropped.
#[derive(Debug)]
pub(crate) struct Sway {
    dir: tempfile::TempDir,
    programs: Vec<Child>,
    /// Of the X server inside, once somebody wants it.
    display: Option<String>,
}

impl Sway {
    /// Raises a screen whose seat has no keyboard; `None` where something is not installed, which
    /// it says.
    pub(crate) fn raise() -> Result<Option<Self>> {
        let needed = ["sway", "swaymsg", "foot", "setpriv", "python3"];
        if !all_installed(&needed) {
            return Ok(None);
        }
        let dir = tempfile::tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        let sway = Sway {
            dir,
            programs: Vec::new(),
            display: None,
        };
        let own = sway.own();
        fs::create_dir(&own)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(0o700))?;
        let is_root = rustix::process::getuid().is_root();
        if is_root {
            chown(&own, Some(NOBODY), Some(NOBODY))?;
        }
        fs::write(
            sway.path().join("config"),
            "output HEADLESS-1 resolution 1024x768\ndefault_border none\nxwayland enable\n",
        )?;
        let mut sway = sway;
        let mut command = sway.as_own("sway");
        let program = command
            .args(["-c".as_ref(), sway.path().join("config").as_os_str()])
            .envs([
                ("WLR_BACKENDS", "headless"),
                ("WLR_LIBINPUT_NO_DEVICES", "1"),
            ])
            .env("WLR_RENDERER", "pixman")
            .spawn()?;
        sway.programs.push(program);
        let socket = sway.socket();
        until("the compositor is ready", || {
            Ok((socket.exists() && sway.message(&["-t", "get_outputs"]).is_ok()).then_some(()))
        })?;
        Ok(Some(sway))
    }

    /// What a driver is told of this desktop.
    pub(crate) fn session(&self) -> Session {
        let mut variables = vec![
            ("WAYLAND_DISPLAY".to_owned(), self.socket().into()),
            ("XDG_RUNTIME_DIR".to_owned(), self.path().into()),
        ];
        if let Some(display) = &self.display {
            variables.push(("DISPLAY".to_owned(), display.into()));
        }
        Session::of(variables)
    }

    /// A program on this screen that says nothing to the tests' output.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.prepare(&mut command, program);
        command
            .env("WAYLAND_DISPLAY", self.socket())
            .env("XDG_RUNTIME_DIR", self.path())
            .envs([("GDK_BACKEND", "wayland"), ("QT_QPA_PLATFORM", "wayland")]);
        if let Some(display) = &self.display {
            command.env("DISPLAY", display);
        }
        command
    }

    /// A program that is or runs beside the compositor, as the user that it has.
    fn as_own(&self, program: &str) -> Command {
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            let user = NOBODY.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
            command.args(["--inh-caps=-all", program]);
            command
        } else {
            Command::new(program)
        };
        self.prepare(&mut command, program);
        command
            .env("HOME", self.own())
            .env("XDG_RUNTIME_DIR", self.own());
        command
    }

    fn prepare(&self, command: &mut Command, program: &str) {
        let log = |end: &str| {
            let name = format!("{}.{end}", program.rsplit('/').next().unwrap_or(program));
            File::create(self.path().join(name)).map_or_else(|_| Stdio::null(), Stdio::from)
        };
        no_hints(command)
            .env("HOME", self.path())
            .stdin(Stdio::null())
            .stdout(log("out"))
            .stderr(log("err"));
    }

    /// Tells the compositor something, and returns what it says.
    pub(crate) fn message(&self, arguments: &[&str]) -> Result<String> {
        let entries = fs::read_dir(self.own())?.filter_map(Result::ok);
        let mut paths = entries.map(|entry| entry.path());
        let is_socket = |path: &PathBuf| path.extension().is_some_and(|end| end == "sock");
        let socket = paths.find(is_socket).context("the compositor listens")?;
        let said = Command::new("swaymsg")
            .arg("-s")
            .arg(socket)
            .args(arguments)
            .output()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        ensure!(said.status.success(), "swaymsg {arguments:?}: {text}");
        Ok(text)
    }

    /// Has the X server inside started, for windows of old.
    pub(crate) fn start_x(&mut self) -> Result<()> {
        let told = self.own().join("display");
        let allow = "xhost +si:localuser:root >/dev/null 2>&1";
        let script = format!(
            "exec sh -c '{allow}; echo $DISPLAY > {0}.new; mv {0}.new {0}'",
            told.display()
        );
        self.message(&[&script])?;
        let display = until("the X server is there", || {
            Ok(fs::read_to_string(&told).ok().filter(|it| it.contains(':')))
        })?;
        self.display = Some(display.trim().to_owned());
        Ok(())
    }

    /// Ends the compositor, as a crash does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut program = self.programs.remove(0);
        let killed = program.kill();
        program.wait()?;
        Ok(killed?)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The compositor's own folder.
    fn own(&self) -> PathBuf {
        self.path().join("sway")
    }

    fn socket(&self) -> PathBuf {
        self.own().join("wayland-1")
    }
}

impl Drop for Sway {
    fn drop(&mut self) {
        for mut program in self.programs.drain(..).rev() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
