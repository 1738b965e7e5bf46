//! What a driver can do, and how it fails.

use std::fmt::Debug;

use crate::session::Session;

/// Opens a driver on a desktop.
pub type Open = fn(&Session) -> Result<Box<dyn Driver>, Unable>;

/// One way of getting text into the focused window.
///
/// Text holds no control characters; a caller sees to that, and to [`Key`]s and to which window it
/// may go. A driver reports only what it knows to be true.
pub trait Driver: Debug + Send {
    /// Its name, as the configuration has it.
    fn name(&self) -> &'static str;

    /// Where text would go now, or why it would not arrive. A few milliseconds at most.
    fn target(&mut self) -> Result<Target, Unable>;

    /// Types a text, exactly.
    fn type_text(&mut self, text: &str) -> Result<Typed, Stopped>;

    /// Presses and releases a key `times` times.
    fn press(&mut self, key: Key, times: u32) -> Result<(), Stopped>;

    /// Removes `text`, which stands before the cursor because this driver typed it last.
    fn erase(&mut self, text: &str) -> Result<(), Stopped>;

    /// Shows a text that may still change where it would be typed, until the next call, or until
    /// something is typed; empty: no longer. `false`: this driver cannot.
    fn preedit(&mut self, text: &str) -> Result<bool, Unable> {
        let _ = text;
        Ok(false)
    }

    /// Text around the cursor, before it and behind it, where the system tells.
    fn surrounding(&mut self) -> Option<(String, String)> {
        None
    }
}

/// Keys that may be pressed on somebody's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Enter.
    Return,
    /// To the next field, or a tabulator.
    Tab,
    /// Removes what is before the cursor.
    BackSpace,
}

/// A place where text would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Tells the focused window, or the active text field, apart from others as long as the driver
    /// lives; empty where the system does not tell.
    pub id: String,
    /// The program's name for itself (`WM_CLASS`, `app_id`), where known.
    pub app: String,
    /// What the field is for.
    pub purpose: Purpose,
}

/// What a field is for, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing is known against typing there.
    #[default]
    Text,
    /// A terminal: a line that ends is a command.
    Terminal,
    /// A password or PIN: nothing is typed.
    Password,
}

/// A text that has been typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Unicode scalar values.
    pub characters: usize,
    /// Whether it was read back, or the system has confirmed that it arrived.
    pub verified: bool,
}

/// Typing came to an end before the text did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Stopped {
    /// Unicode scalar values that have gone out before.
    pub characters: usize,
    /// Why it stopped.
    #[source]
    pub why: Unable,
}

/// Why text cannot be typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unable {
    /// This desktop does not have what the driver needs; another driver may do.
    #[error("{0}")]
    Absent(String),
    /// Nothing that takes text has the focus, as far as this driver can see.
    #[error("{0}")]
    NoTarget(String),
    /// Typing there would do harm: a locked screen, a held modifier that is not let go.
    #[error("{0}")]
    Unsafe(String),
    /// The desktop has gone; the driver has to be opened again.
    #[error("{0}")]
    Gone(String),
}
