//! A text on the clipboard, because the user wants it there.

use crate::{Session, Unable, wayland, x11};

/// A text that lies on the clipboard for as long as [`Serving::wait`] runs.
#[derive(Debug)]
pub struct Serving(Of);

#[derive(Debug)]
enum Of {
    Wayland(wayland::clipboard::Serving),
    X11(x11::clipboard::Serving),
}

impl Serving {
    /// Gives the text to every program that asks, until another one copies something.
    pub fn wait(self) -> Result<(), Unable> {
        match self.0 {
            Of::Wayland(serving) => serving.wait(),
            Of::X11(serving) => serving.wait(),
        }
    }
}

/// Puts a text on the clipboard. It stays there for as long as somebody waits on what is returned.
///
/// Where the compositor lets nobody but the focused window near its clipboard, the one of its X
/// server has to do.
pub fn copy(session: &Session, text: &str) -> Result<Serving, Unable> {
    let absent = match wayland::clipboard::copy(session, text) {
        Ok(serving) => return Ok(Serving(Of::Wayland(serving))),
        Err(absent @ Unable::Absent(_)) => absent,
        Err(why) => return Err(why),
    };
    tracing::debug!(why = %absent, "the clipboard of X11 is used");
    match x11::clipboard::copy(session, text) {
        Ok(serving) => Ok(Serving(Of::X11(serving))),
        Err(_) if session.get("DISPLAY").is_none() && session.get("WAYLAND_DISPLAY").is_some() => {
            Err(absent)
        }
        Err(why) => Err(why),
    }
}
