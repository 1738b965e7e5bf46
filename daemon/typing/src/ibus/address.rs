//! Where a session's IBus listens.

use std::fs;
use std::path::PathBuf;

use crate::{Session, Unable};

/// The address of the private bus of a session's IBus.
pub(crate) fn find(session: &Session) -> Result<String, Unable> {
    if let Some(address) = session.text("IBUS_ADDRESS") {
        return Ok(address.to_owned());
    }
    let path = file(session)?;
    let read = fs::read_to_string(&path).ok();
    read.as_deref().and_then(address).ok_or_else(|| {
        Unable::Absent(format!(
            "IBus is not running: {} is not there",
            path.display()
        ))
    })
}

/// The file in which it writes that.
fn file(session: &Session) -> Result<PathBuf, Unable> {
    let home = || Some(PathBuf::from(session.get("HOME")?).join(".config"));
    let config = session.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config
        .or_else(home)
        .ok_or_else(|| Unable::Absent("where IBus listens is not known: HOME is not set".into()))?;
    let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    let machine = machine
        .iter()
        .find_map(|path| fs::read_to_string(path).ok());
    let machine = machine.ok_or_else(|| {
        Unable::Absent("where IBus listens is not known: this machine has no id".into())
    })?;
    let wayland = session.text("WAYLAND_DISPLAY");
    let display = wayland.or_else(|| session.text("DISPLAY"));
    let display =
        display.ok_or_else(|| Unable::Absent("there is no desktop: DISPLAY is not set".into()))?;
    let name = format!("{}-{}", machine.trim(), part(display, wayland.is_some()));
    Ok(config.join("ibus/bus").join(name))
}

/// The end of the file's name, by the display.
fn part(display: &str, is_wayland: bool) -> String {
    if is_wayland {
        return format!("unix-{display}");
    }
    let (host, number) = display.split_once(':').unwrap_or(("", display));
    let host = if host.is_empty() { "unix" } else { host };
    let number = number.split('.').next().unwrap_or_default();
    format!("{host}-{number}")
}

fn address(file: &str) -> Option<String> {
    let mut lines = file.lines();
    let found = lines.find_map(|line| line.strip_prefix("IBUS_ADDRESS="))?;
    Some(found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_name_follows_the_display() {
        for (display, is_wayland, wanted) in [
            (":0", false, "unix-0"),
            (":12.1", false, "unix-12"),
            ("far:3", false, "far-3"),
            ("wayland-0", true, "unix-wayland-0"),
        ] {
            assert_eq!(part(display, is_wayland), wanted);
        }
    }

    #[test]
    fn the_address_is_a_line_of_it() {
        let file = "# comment\nIBUS_ADDRESS=unix:path=/a,guid=1\nIBUS_DAEMON_PID=2\n";
        assert_eq!(address(file).as_deref(), Some("unix:path=/a,guid=1"));
        assert_eq!(address("IBUS_DAEMON_PID=2"), None);
    }

    #[test]
    fn what_a_session_says_comes_first() {
        let session = Session::of([("IBUS_ADDRESS".to_owned(), "unix:path=/b".into())]);
        assert_eq!(find(&session).ok().as_deref(), Some("unix:path=/b"));
        assert!(matches!(find(&Session::default()), Err(Unable::Absent(_))));
    }
}
