//! Windows that take text.

use std::ops::Deref;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::common::Held;
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
    held: Held,
}

impl Window {
    /// Opens a window, and gives it the focus.
    pub(crate) fn open(desk: &Desk, kind: Kind) -> Result<Self> {
        Self::open_as(desk, kind, &[])
    }

    /// Opens one whose field is what `mode` tells its script.
    pub(crate) fn open_as(desk: &Desk, kind: Kind, mode: &[&str]) -> Result<Self> {
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
        let program = command.args(mode).spawn()?;
        let id = until("the window is there", || {
            let found = desk.run("xdotool", &["search", "--onlyvisible", "--name", &title]);
            Ok(found
                .ok()
                .and_then(|found| Some(found.lines().next()?.to_owned())))
        })?;
        let in_terminal = matches!(kind, Kind::Xterm | Kind::XtermLine);
        let mut window = Window {
            kind,
            id,
            held: Held::new(program, in_terminal, file),
        };
        window.held.wait()?;
        window.focus(desk)?;
        if !in_terminal {
            window.held.wait_for_focus()?;
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
    pub(crate) fn clear(&mut self, _: &Desk) -> Result<()> {
        self.held.empty()
    }
}

impl Deref for Window {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}
