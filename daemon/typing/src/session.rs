//! Where the desktop is.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The variables of a desktop session, such as `DISPLAY`: the daemon's own, or those of whoever
/// asked it to listen, since a service often starts before the desktop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    variables: BTreeMap<String, OsString>,
}

impl Session {
    /// The variables that are taken over; everything else is dropped.
    pub const VARIABLES: [&'static str; 10] = [
        "DISPLAY",
        "XAUTHORITY",
        "WAYLAND_DISPLAY",
        "XDG_RUNTIME_DIR",
        "XDG_SESSION_TYPE",
        "XDG_CURRENT_DESKTOP",
        "DBUS_SESSION_BUS_ADDRESS",
        "IBUS_ADDRESS",
        // IBus writes below them where it listens.
        "HOME",
        "XDG_CONFIG_HOME",
    ];

    /// Those of [`Self::VARIABLES`] among `variables`; empty ones count as absent.
    pub fn of(variables: impl IntoIterator<Item = (String, OsString)>) -> Self {
        let known = |name: &str| Self::VARIABLES.contains(&name);
        let variables = variables
            .into_iter()
            .filter(|(name, value)| known(name) && !value.is_empty())
            .collect();
        Session { variables }
    }

    /// This process's own.
    pub fn own() -> Self {
        let own = std::env::vars_os();
        Self::of(own.filter_map(|(name, value)| Some((name.into_string().ok()?, value))))
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name)
    }

    /// The value of a variable that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }
}
