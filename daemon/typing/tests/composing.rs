//! Keys on a desktop whose input method composes what is typed, as those for Chinese and Korean do:
//! with it, "ni" is no "ni".

mod desk;

use std::fs;

use anyhow::{Context as _, Result, ensure};
use desk::{Desk, Kind, Window, all_installed, corpus, until};
use wstream_typing::ibus::IBus;
use wstream_typing::x11::X11;
use wstream_typing::{Driver, Session, Unable};

/// What a user types, to see that it is composed.
const KEYS: &str = "gksrmf";

/// A desktop with a bus, and what a driver is told of it.
fn raise(module: &str) -> Result<Option<(Desk, Session)>> {
    let Some(mut desk) = Desk::raise(false)? else {
        return Ok(None);
    };
    desk.start_bus()?;
    desk.hint("GTK_IM_MODULE", module);
    let session = desk.session();
    Ok(Some((desk, session)))
}

/// Types as a user does, and waits until something is composed of it, which is thrown away.
fn composes(desk: &Desk, window: &mut Window) -> Result<()> {
    desk.run("xdotool", &["type", "--delay", "30", KEYS])?;
    let shown = window.beside("preedit");
    until("the user's keys are composed", || {
        let shown = fs::read_to_string(&shown).unwrap_or_default();
        Ok(shown.lines().any(|line| line.len() > 4).then_some(()))
    })?;
    ensure!(window.text()? != KEYS, "nothing is composed");
    desk.run("xdotool", &["key", "Escape"])?;
    window.clear(desk)
}

/// Every text of the corpus by the driver that has a target first.
fn types(desk: &Desk, window: &mut Window, drivers: &mut [&mut dyn Driver]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (name, text) in corpus()? {
        let has_target = |driver: &mut &mut dyn Driver| driver.target().is_ok();
        let at = drivers.iter_mut().position(has_target);
        let driver = &mut drivers[at.context("no driver has a target")?];
        let typed = driver.type_text(&text);
        let held = window.holds(&text)?;
        if typed.is_err() || held.is_err() {
            wrong.push(format!("{} {name}: {typed:?} {held:?}", driver.name()));
        }
        window.clear(desk)?;
    }
    Ok(wrong)
}

/// Has the user choose an engine of IBus.
fn choose(desk: &Desk, engine: &str) -> Result<()> {
    until("IBus has the engine", || {
        // It may fail in setting a layout that the engine has not.
        let _ = desk.run("ibus", &["engine", engine]);
        let now = desk.run("ibus", &["engine"]).unwrap_or_default();
        Ok((now.trim() == engine).then_some(()))
    })
}

#[test]
fn ibus_takes_the_text_where_it_would_compose_keys() -> Result<()> {
    if !all_installed(&["ibus-daemon", "ibus", "/usr/libexec/ibus-engine-libpinyin"]) {
        return Ok(());
    }
    let Some((mut desk, session)) = raise("ibus")? else {
        return Ok(());
    };
    let quiet = [
        "--panel=disable",
        "--emoji-extension=disable",
        "--config=/usr/libexec/ibus-memconf",
    ];
    desk.start("ibus-daemon", &quiet)?;
    until("IBus is there", || {
        Ok(IBus::open(&session).ok().map(|_| ()))
    })?;
    choose(&desk, "libpinyin")?;
    for kind in [Kind::Gtk3, Kind::Gtk4] {
        let mut window = Window::open(&desk, kind)?;
        composes(&desk, &mut window)?;
        let mut x11 = X11::open(&session)?;
        let told = x11.target();
        ensure!(
            matches!(&told, Err(Unable::NoTarget(why)) if why.contains("libpinyin")),
            "{told:?}"
        );
        {
            let mut ibus = IBus::open(&session)?;
            let wrong = types(&desk, &mut window, &mut [&mut x11, &mut ibus])?;
            ensure!(wrong.is_empty(), "{}: {}", kind.name(), wrong.join("\n"));
        }
        // The user's own is there again.
        composes(&desk, &mut window)?;
    }
    // Nothing is composed in a window that IBus does not know.
    let mut xterm = Window::open(&desk, Kind::Xterm)?;
    let mut x11 = X11::open(&session)?;
    until("keys go to xterm", || Ok(x11.target().ok()))?;
    let wrong = types(&desk, &mut xterm, &mut [&mut x11])?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // And where the user's is a keyboard, keys go out as ever.
    let mut window = Window::open(&desk, Kind::Gtk3)?;
    choose(&desk, "xkb:us::eng")?;
    until("keys go to a field", || Ok(x11.target().ok()))?;
    let wrong = types(&desk, &mut window, &mut [&mut x11])?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Not each time: a program on a busy machine may hand a key on too late, which nobody tells.
#[test]
fn fcitx_is_put_aside_while_keys_are_pressed() -> Result<()> {
    if std::env::var_os("RUN_SLOW_TESTS").is_none() {
        return Ok(());
    }
    if !all_installed(&["fcitx5", "fcitx5-remote", "dbus-daemon"]) {
        return Ok(());
    }
    let Some((mut desk, session)) = raise("fcitx")? else {
        return Ok(());
    };
    let profile = desk.path().join(".config/fcitx5");
    fs::create_dir_all(&profile)?;
    fs::write(
        profile.join("profile"),
        "[Groups/0]\nName=Default\nDefault Layout=us\nDefaultIM=hangul\n\
         [Groups/0/Items/0]\nName=keyboard-us\nLayout=\n\
         [Groups/0/Items/1]\nName=hangul\nLayout=\n\
         [GroupOrder]\n0=Default\n",
    )?;
    desk.start(
        "fcitx5",
        &["--disable=wayland,waylandim,notificationitem,kimpanel"],
    )?;
    let state = |desk: &Desk| desk.run("fcitx5-remote", &[]).unwrap_or_default();
    until("fcitx5 is there", || {
        Ok((!state(&desk).is_empty()).then_some(()))
    })?;
    for kind in [Kind::Gtk3, Kind::Gtk4] {
        let mut window = Window::open(&desk, kind)?;
        until("fcitx5 composes", || {
            desk.run("fcitx5-remote", &["-o"])?;
            Ok((state(&desk).trim() == "2").then_some(()))
        })?;
        composes(&desk, &mut window)?;
        let mut x11 = X11::open(&session)?;
        let wrong = types(&desk, &mut window, &mut [&mut x11])?;
        ensure!(wrong.is_empty(), "{}: {}", kind.name(), wrong.join("\n"));
        composes(&desk, &mut window)?;
    }
    Ok(())
}
