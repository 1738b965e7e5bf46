//! Windows that take text.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Desk, files, until};

/// What takes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// xterm, with a program that reads each byte.
    Xterm,
    /// xterm, with a program that reads lines.
    XtermLine,
    Gtk3,
    Gtk4,
    Qt5,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Xterm, Kind::Gtk3, Kind::Gtk4, Kind::Qt5];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Xterm => "xterm",
            Kind::XtermLine => "xterm (lines)",
            Kind::Gtk3 => "GTK3",
            Kind::Gtk4 => "GTK4",
            Kind::Qt5 => "Qt5",
        }
    }
}

/// A window whose text can be read.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    program: Child,
    /// The process that the text is in: the program, or what runs in the terminal.
    file: PathBuf,
    cleared: u32,
}

impl Window {
    /// Opens a window, and gives it the focus.
    pub(crate) fn open(desk: &Desk, kind: Kind) -> Result<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let title = format!("window-{count}");
        let file = desk.path().join(&title);
        let script = |name: &str| files().join(name).into_os_string();
        let mut command = match kind {
            Kind::Xterm | Kind::XtermLine => {
                let mut xterm = desk.command("xterm");
                let mode = if kind == Kind::Xterm { "raw" } else { "line" };
                xterm.args(["-u8", "-T", &title, "-e", "/usr/bin/python3"]);
                xterm.arg(script("terminal.py")).args([mode]).arg(&file);
                xterm
            }
            Kind::Gtk3 | Kind::Gtk4 => {
                let mut field = desk.command("/usr/bin/python3");
                let major = if kind == Kind::Gtk3 { "3" } else { "4" };
                field
                    .arg(script("field.py"))
                    .arg(major)
                    .arg(&file)
                    .arg(&title);
                field
            }
            Kind::Qt5 => {
                let mut field = desk.command("/usr/bin/python3");
                field.arg(script("qfield.py")).arg(&file).arg(&title);
                field
            }
        };
        let program = command.spawn()?;
        let id = until("the window is there", || {
            let found = desk.run("xdotool", &["search", "--onlyvisible", "--name", &title]);
            Ok(found
                .ok()
                .and_then(|found| Some(found.lines().next()?.to_owned())))
        })?;
        let mut window = Window {
            kind,
            id,
            program,
            file,
            cleared: 0,
        };
        until("the window shows its text", || {
            Ok(window.file.exists().then_some(()))
        })?;
        window.focus(desk)?;
        if !matches!(kind, Kind::Xterm | Kind::XtermLine) {
            let focused = window.beside("focus");
            until("the field has the focus", || {
                Ok(focused.exists().then_some(()))
            })?;
        }
        window.clear(desk)?;
        Ok(window)
    }

    /// Gives it the focus.
    pub(crate) fn focus(&self, desk: &Desk) -> Result<()> {
        let how = if desk.managed {
            "windowactivate"
        } else {
            "windowfocus"
        };
        desk.run("timeout", &["10", "xdotool", how, "--sync", &self.id])
            .map(|_| ())
    }

    /// The text that it holds.
    pub(crate) fn text(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.file)?).into_owned())
    }

    /// Waits until it holds `text`, and returns what it holds when that does not come about.
    pub(crate) fn holds(&self, text: &str) -> Result<std::result::Result<(), String>> {
        // Under load a window may take seconds for what it was sent.
        let start = Instant::now();
        loop {
            let now = self.text()?;
            if now == text {
                return Ok(Ok(()));
            }
            if start.elapsed() > Duration::from_secs(2) {
                return Ok(Err(now));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it comes to hold `text` before it has been quiet for a while with something else.
    pub(crate) fn arrives(&self, text: &str) -> Result<bool> {
        const QUIET: Duration = Duration::from_millis(300);
        let (mut last, mut since) = (self.text()?, Instant::now());
        while since.elapsed() < QUIET {
            if last == text {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(1));
            let now = self.text()?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(last == text)
    }

    /// Empties it.
    pub(crate) fn clear(&mut self, desk: &Desk) -> Result<()> {
        self.cleared += 1;
        let pid = match self.kind {
            Kind::Xterm | Kind::XtermLine => {
                let found = desk.run("pgrep", &["-P", &self.program.id().to_string()])?;
                found.trim().parse()?
            }
            _ => i32::try_from(self.program.id())?,
        };
        let pid = Pid::from_raw(pid).context("a process has a number")?;
        kill_process(pid, Signal::USR1)?;
        let (cleared, count) = (self.beside("cleared"), self.cleared.to_string());
        until("the window is empty", || {
            Ok((fs::read_to_string(&cleared).unwrap_or_default() == count).then_some(()))
        })?;
        ensure!(
            self.text()?.is_empty(),
            "an emptied window holds {:?}",
            self.text()?
        );
        Ok(())
    }

    /// Stops its program, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.program.id())?).context("a process")?;
        Ok(kill_process(pid, signal)?)
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(format!(".{end}"));
        path.into()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
