//! Text into the focused window: one driver for each way into it, behind one small trait.
//!
//! Everything here blocks and belongs on a thread of its own. Nothing is read from this process's
//! environment: what a driver needs to know of the desktop is in [`Session`].

mod accessible;
mod bus;
mod copying;
pub mod driver;
pub mod ibus;
mod lock;
pub mod session;
mod terminals;
pub mod wayland;
pub mod x11;

pub use accessible::Fields;
pub use copying::{Serving, copy};
pub use driver::{Driver, Key, Open, Purpose, Stopped, Target, Typed, Unable};
pub use lock::Lock;
pub use session::Session;
pub use terminals::is_terminal;

/// The drivers by the names that the configuration has for them, in the order in which they are
/// tried unless it says otherwise.
///
/// In a Wayland session `x11` has no target, and `clipboard` only while a window of XWayland has the
/// focus.
pub const DRIVERS: &[(&str, Open)] = &[
    ("wayland-input-method", wayland::open_input_method),
    ("wayland-virtual-keyboard", wayland::open_virtual_keyboard),
    ("x11", x11::open),
    ("ibus", ibus::open),
    ("clipboard", x11::clipboard::open),
    ("wayland-clipboard", wayland::open_clipboard),
];
