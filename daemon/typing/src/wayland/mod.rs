//! Text into windows of a Wayland desktop, by protocols that compositors of the wlroots kind
//! offer, and others such as Hyprland: as an input method where a text field is active, and with
//! keys of a virtual keyboard elsewhere.
//!
//! Which window has the focus is known where the compositor tells of its windows.

pub(crate) mod clipboard;
mod compositor;
mod field;
mod input_method;
mod keyboard;
mod keymap;
mod keys;
mod toplevels;
mod trial;

pub use clipboard::{Clipboard, open as open_clipboard};
pub use input_method::{InputMethod, open as open_input_method};
pub use keys::{VirtualKeyboard, open as open_virtual_keyboard};
pub use trial::{Takes, Trial};
