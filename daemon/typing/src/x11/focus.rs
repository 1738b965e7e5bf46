//! Who gets the keys.

use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, Window,
};

use super::look::Look;
use super::server::{Server, gone, there};
use crate::terminals::is_terminal;
use crate::{Purpose, Target, Unable};

/// The focus follows the pointer.
const POINTER_ROOT: Window = 1;

/// A window that gets the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Focus {
    /// What the server says has the focus.
    pub(super) said: Window,
    /// The window that keys go to first.
    pub(super) window: Window,
    /// The program's window around it.
    pub(super) top: Window,
    /// The program's name for its kind.
    pub(super) app: String,
}

impl Focus {
    /// Finds out where the focus of `look` is. `nested`: the X server is part of a Wayland desktop,
    /// whose other windows it cannot see.
    pub(super) fn of(server: &Server, look: &Look, nested: bool) -> Result<Self, Unable> {
        let nowhere = || {
            let why = "no window has the focus: click into the one that should get the text";
            Unable::NoTarget(why.into())
        };
        let window = match look.focus {
            0 => return Err(nowhere()),
            POINTER_ROOT if nested => return Err(nowhere()),
            POINTER_ROOT => under_pointer(server)?,
            window => window,
        };
        if window == server.root {
            return Err(nowhere());
        }
        let (top, app) = around(server, window)?.ok_or_else(nowhere)?;
        if nested {
            let active = server.numbers(server.root, server.atoms._NET_ACTIVE_WINDOW)?;
            if active != [top] {
                return Err(nowhere());
            }
        }
        Ok(Focus {
            said: look.focus,
            window,
            top,
            app,
        })
    }

    /// Has the server tell when the keys go elsewhere.
    pub(super) fn watch(&self, server: &Server) -> Result<(), Unable> {
        let told = EventMask::FOCUS_CHANGE | EventMask::STRUCTURE_NOTIFY;
        let told = ChangeWindowAttributesAux::new().event_mask(told);
        let asked = server
            .connection
            .change_window_attributes(self.window, &told)
            .map_err(gone)?;
        there(asked.check()).map(|_| ())
    }

    pub(super) fn target(&self) -> Target {
        let purpose = if is_terminal(&self.app) {
            Purpose::Terminal
        } else {
            Purpose::Text
        };
        Target {
            id: format!("{:#x}", self.top),
            app: self.app.clone(),
            purpose,
        }
    }
}

/// The innermost window under the pointer.
fn under_pointer(server: &Server) -> Result<Window, Unable> {
    let mut window = server.root;
    loop {
        let asked = server.connection.query_pointer(window).map_err(gone)?;
        match there(asked.reply())? {
            Some(reply) if reply.child != 0 => window = reply.child,
            _ => return Ok(window),
        }
    }
}

/// The program's window around `window`, and the program's name; `None` where it has gone.
///
/// A window manager marks it; without one it is the outermost window.
fn around(server: &Server, window: Window) -> Result<Option<(Window, String)>, Unable> {
    let (mut at, mut top, mut app) = (window, window, None);
    while at != server.root && at != 0 {
        let connection = &server.connection;
        let state = connection
            .get_property(false, at, server.atoms.WM_STATE, 0u32, 0, 1)
            .map_err(gone)?;
        let class = connection
            .get_property(false, at, AtomEnum::WM_CLASS, AtomEnum::STRING, 0, 256)
            .map_err(gone)?;
        let tree = connection.query_tree(at).map_err(gone)?;
        let (Some(state), Some(class), Some(tree)) = (
            there(state.reply())?,
            there(class.reply())?,
            there(tree.reply())?,
        ) else {
            return Ok(None);
        };
        top = at;
        // Its instance, and its class; each ends with a zero.
        let class = class.value.split(|&byte| byte == 0).nth(1);
        let class = class.filter(|class| !class.is_empty());
        app = class
            .map(|class| String::from_utf8_lossy(class).into_owned())
            .or(app);
        if state.type_ != 0 {
            break;
        }
        at = tree.parent;
    }
    Ok(Some((top, app.unwrap_or_default())))
}
