//! Password fields, as programs tell of them on the accessibility bus.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use wstream_typing::x11::X11;
use wstream_typing::{Driver as _, Fields, Session};

use crate::desk::{Desk, Kind, Window, all_installed, corpus, until};

/// Where Debian and others have the program that owns `org.a11y.Bus`.
const LAUNCHERS: [&str; 2] = [
    "/usr/libexec/at-spi-bus-launcher",
    "/usr/lib/at-spi-bus-launcher",
];

/// A desktop with a bus, on which nothing is started by asking for it; `None` where something is
/// not installed.
fn raise() -> Result<Option<(Desk, Session)>> {
    if !all_installed(&["dbus-daemon", "gdbus"]) {
        return Ok(None);
    }
    let Some(mut desk) = Desk::raise(false)? else {
        return Ok(None);
    };
    desk.start_bus()?;
    let session = desk.session();
    Ok(Some((desk, session)))
}

/// Has accessibility there, for every program that is started from now on; `false` where it is not
/// installed.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn with_accessibility(desk: &mut Desk) -> Result<bool> {
    let Some(launcher) = LAUNCHERS.iter().find(|path| Path::new(path).exists()) else {
        eprintln!("skipped: at-spi2-core is not installed: run tests/run.sh packages");
        return Ok(false);
    };
    desk.start(launcher, &["--launch-immediately"])?;
    let status = [
        "call",
        "--session",
        "--dest",
        "org.a11y.Bus",
        "--object-path",
        "/org/a11y/bus",
        "--method",
        "org.freedesktop.DBus.Properties.Set",
        "org.a11y.Status",
        "IsEnabled",
        "<true>",
    ];
    until("accessibility is there", || {
        Ok(desk.run("gdbus", &status).ok().map(|_| ()))
    })?;
    desk.hint("NO_AT_BRIDGE", "0");
    desk.hint("GTK_A11Y", "atspi");
    Ok(true)
}

/// How long it takes to ask, in the middle.
fn took(fields: &mut Fields) -> Duration {
    let mut all: Vec<Duration> = (0..21)
        .map(|_| {
            let start = Instant::now();
            fields.has_password();
            start.elapsed()
        })
        .collect();
    all.sort();
    all[10]
}

/// Waits until a program that was just started has told its part, and returns what is known then.
fn told(fields: &mut Fields, wanted: bool) -> bool {
    let start = Instant::now();
    loop {
        let found = fields.has_password();
        if found == wanted || start.elapsed() > Duration::from_secs(5) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Types every text into a window whose program takes part.
fn types(desk: &Desk, session: &Session, window: &mut Window, fields: &mut Fields) -> Result<()> {
    let mut driver = X11::open(session)?;
    for (name, text) in corpus()? {
        ensure!(
            !fields.has_password(),
            "{name}: a field is taken for another"
        );
        driver.type_text(&text)?;
        let held = window.holds(&text)?;
        ensure!(held.is_ok(), "{} {name}: {held:?}", window.kind.name());
        window.clear(desk)?;
    }
    Ok(())
}

#[test]
#[allow(
    clippy::print_stdout,
    reason = "the times are for whoever runs it by hand"
)]
fn a_password_field_is_told_from_others() -> Result<()> {
    let Some((mut desk, session)) = raise()? else {
        return Ok(());
    };
    let mut fields = Fields::of(&session);
    let window = Window::open(&desk, Kind::Gtk3)?;
    ensure!(!fields.has_password());
    println!(
        "asked where accessibility is not there: {:?}",
        took(&mut fields)
    );
    drop(window);
    if !with_accessibility(&mut desk)? {
        return Ok(());
    }
    // The first to take part stays, behind the others.
    let behind = Window::open_as(&desk, Kind::Gtk3, &["password"])?;
    ensure!(told(&mut fields, true), "a password field is not told");
    let mut wrong = Vec::new();
    let fields_and_told: [(Kind, &[&str], bool); 7] = [
        (Kind::Gtk4, &["password-entry"], true),
        (Kind::Qt5, &["password"], true),
        // GTK 4 does not tell that a field hides its text.
        (Kind::Gtk4, &["password"], false),
        (Kind::Gtk3, &[], false),
        (Kind::Gtk4, &[], false),
        (Kind::Qt5, &[], false),
        (Kind::Xterm, &[], false),
    ];
    for (kind, mode, is_told) in fields_and_told {
        let mut window = Window::open_as(&desk, kind, mode)?;
        let found = told(&mut fields, is_told);
        if found != is_told {
            wrong.push(format!("{} {mode:?}: {found}", kind.name()));
        }
        println!("asked in {} {mode:?}: {:?}", kind.name(), took(&mut fields));
        if mode.is_empty() {
            types(&desk, &session, &mut window, &mut fields)?;
        }
    }
    behind.focus(&desk)?;
    ensure!(
        told(&mut fields, true),
        "a password field is not told again"
    );
    // A program that does not answer is waited for only so long, and hides no other.
    let hung = Window::open(&desk, Kind::Gtk3)?;
    ensure!(!told(&mut fields, false));
    hung.signal(Signal::STOP)?;
    let start = Instant::now();
    let found = fields.has_password();
    let waited = start.elapsed();
    behind.focus(&desk)?;
    let again = told(&mut fields, true);
    hung.signal(Signal::CONT)?;
    println!("asked beside a program that does not answer: {waited:?}");
    ensure!(
        !found && again,
        "a program that does not answer hides others"
    );
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
