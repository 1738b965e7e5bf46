//! Windows that take text.

use std::ops::{Deref, DerefMut};

use anyhow::Result;

use super::Sway;
use crate::common::{Held, files, until};

/// What takes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// foot, with a program that reads each byte.
    Foot,
    /// foot, with a program that reads lines.
    FootLine,
    Gtk3,
    /// Without an input method.
    Gtk3Simple,
    Gtk4,
    /// A field for a password.
    Gtk4Password,
    /// In XWayland, with a program that reads each byte.
    Xterm,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Foot => "foot",
            Kind::FootLine => "foot (lines)",
            Kind::Gtk3 => "GTK3",
            Kind::Gtk3Simple => "GTK3 (simple)",
            Kind::Gtk4 => "GTK4",
            Kind::Gtk4Password => "GTK4 (password)",
            Kind::Xterm => "xterm",
        }
    }

    fn is_terminal(self) -> bool {
        matches!(self, Kind::Foot | Kind::FootLine | Kind::Xterm)
    }
}

/// A window whose text can be read.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) title: String,
    held: Held,
}

impl Window {
    /// Opens a window, which gets the focus.
    pub(crate) fn open(sway: &Sway, kind: Kind) -> Result<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let title = format!("window-{count}");
        let file = sway.path().join(&title);
        let script = |name: &str| files().join(name).into_os_string();
        let mode = if kind == Kind::FootLine {
            "line"
        } else {
            "raw"
        };
        let mut command = match kind {
            Kind::Foot | Kind::FootLine => {
                let mut foot = sway.command("foot");
                foot.args(["--title", &title, "/usr/bin/python3"]);
                foot.arg(script("terminal.py")).arg(mode).arg(&file);
                foot
            }
            Kind::Xterm => {
                let mut xterm = sway.command("xterm");
                xterm.args(["-u8", "-T", &title, "-e", "/usr/bin/python3"]);
                xterm.arg(script("terminal.py")).arg(mode).arg(&file);
                xterm
            }
            Kind::Gtk3 | Kind::Gtk3Simple | Kind::Gtk4 | Kind::Gtk4Password => {
                let is_old = matches!(kind, Kind::Gtk3 | Kind::Gtk3Simple);
                let mut field = sway.command("/usr/bin/python3");
                field.arg(script("field.py"));
                field
                    .arg(if is_old { "3" } else { "4" })
                    .arg(&file)
                    .arg(&title);
                match kind {
                    Kind::Gtk3Simple => {
                        field.env("GTK_IM_MODULE", "gtk-im-context-simple");
                    }
                    Kind::Gtk4Password => {
                        field.arg("password");
                    }
                    _ => {
                        field.env("GTK_IM_MODULE", "wayland");
                    }
                }
                field
            }
        };
        let program = command.spawn()?;
        let mut window = Window {
            title,
            held: Held::new(program, kind.is_terminal(), file),
        };
        window.held.wait()?;
        window.focus(sway)?;
        window.held.empty()?;
        Ok(window)
    }

    /// Gives it the focus.
    pub(crate) fn focus(&self, sway: &Sway) -> Result<()> {
        let chosen = format!("[title=\"^{}$\"] focus", self.title);
        until("the window is there", || Ok(sway.message(&[&chosen]).ok()))?;
        until("the window has the focus", || {
            let tree = sway.message(&["-t", "get_tree", "-r"])?;
            Ok(focused(&tree, &self.title).then_some(()))
        })
    }
}

/// Whether the window with this title has the focus, in the compositor's tree of windows.
fn focused(tree: &str, title: &str) -> bool {
    let name = format!("\"name\": \"{title}\"");
    // The focus of a window stands before its name.
    let mut before = tree.split(&name);
    let (Some(before), Some(_)) = (before.next(), before.next()) else {
        return false;
    };
    before
        .rsplit("\"focused\": ")
        .next()
        .is_some_and(|value| value.starts_with("true"))
}

impl Deref for Window {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}

impl DerefMut for Window {
    fn deref_mut(&mut self) -> &mut Held {
        &mut self.held
    }
}
