//! Text into the focused window: one driver for each way into it, behind one small trait.
//!
//! Everything here blocks and belongs on a thread of its own. Nothing is read from this process's
//! environment: what a driver needs to know of the desktop is in [`Session`].

pub mod driver;
mod lock;
pub mod session;
mod terminals;
pub mod x11;

pub use driver::{Driver, Key, Open, Purpose, Stopped, Target, Typed, Unable};
pub use lock::Lock;
pub use session::Session;
pub use terminals::is_terminal;
pub use x11::clipboard::{Serving, copy};

/// The drivers by the names that the configuration has for them, in the order in which they are
/// tried unless it says otherwise.
pub const DRIVERS: &[(&str, Open)] = &[("x11", x11::open), ("clipboard", x11::clipboard::open)];
