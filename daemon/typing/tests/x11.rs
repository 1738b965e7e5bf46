//! Typing on X11, read back from real windows.
//!
//! A cell is a window on a layout; a run types the whole corpus there, text by text. WSTREAM_RUNS
//! says how often instead of three times, RUN_SLOW_TESTS=1 two hundred times; WSTREAM_TABLE=FILE
//! keeps what came of it, and goes on from there. The committed one is
//! `tests/typing/x11-cells.tsv`.

#[path = "x11/beside.rs"]
mod beside;
#[path = "x11/cells.rs"]
mod cells;
mod desk;
#[path = "x11/held.rs"]
mod held;
#[path = "x11/leaving.rs"]
mod leaving;
#[path = "x11/passwords.rs"]
mod passwords;
#[path = "x11/table.rs"]
mod table;
#[path = "x11/talking.rs"]
mod talking;
#[path = "x11/user.rs"]
mod user;

use anyhow::{Context as _, Result, ensure};
use cells::{LAYOUTS, desks, matrix};
use desk::common::with_a_busy_core;
use desk::{Desk, Kind, Window, corpus, files, until};
use rustix::process::Signal;
use table::Table;
use wstream_typing::x11::X11;
use wstream_typing::x11::clipboard::Clipboard;
use wstream_typing::{Driver as _, Key, Stopped, Unable};

#[test]
fn every_text_arrives_exactly_in_every_window_and_layout() -> Result<()> {
    matrix(false, &Kind::ALL, &LAYOUTS, desks(), Table::kept()?)
}

#[test]
fn a_window_manager_changes_nothing() -> Result<()> {
    matrix(true, &Kind::ALL, &LAYOUTS[..2], desks(), Table::told()?)
}

#[test]
fn a_busy_core_changes_nothing() -> Result<()> {
    with_a_busy_core(|| {
        let kinds = [Kind::Xterm, Kind::Gtk3];
        matrix(false, &kinds, &LAYOUTS[1..3], 1, Table::told()?)
    })
}

#[test]
fn what_was_typed_can_be_taken_away_again() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    for kind in [Kind::Gtk3, Kind::Gtk4, Kind::Qt5, Kind::XtermLine] {
        let mut window = Window::open(&desk, kind)?;
        let mut driver = X11::open(&desk.session())?;
        for (name, text) in corpus()? {
            driver.type_text("keep é")?;
            driver.type_text(&text)?;
            if kind != Kind::XtermLine && window.holds(&format!("keep é{text}"))?.is_err() {
                wrong.push(format!("{} {name} did not arrive", kind.name()));
            }
            let erased = driver.erase(&text);
            let wanted = if kind == Kind::XtermLine {
                driver.press(Key::Return, 1)?;
                "keep é\n"
            } else {
                "keep é"
            };
            // What cannot be taken away for sure stays, and that is said.
            let refused = erased.is_err() && window.holds(&format!("keep é{text}"))?.is_ok();
            let held = window.holds(wanted)?;
            if held.is_err() && !refused {
                wrong.push(format!("{} {name}: {erased:?} {held:?}", kind.name()));
            }
            window.clear(&desk)?;
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn a_server_that_dies_is_told() -> Result<()> {
    let Some(mut desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let window = Window::open(&desk, Kind::Xterm)?;
    let mut driver = X11::open(&desk.session())?;
    driver.type_text("before")?;
    ensure!(window.holds("before")?.is_ok());
    desk.kill_server()?;
    let Err(Stopped { characters, why }) = driver.type_text("after") else {
        anyhow::bail!("it types without a server");
    };
    ensure!(
        characters == 0 && matches!(why, Unable::Gone(_)),
        "{characters} {why:?}"
    );
    Ok(())
}

#[test]
fn the_clipboard_holds_afterwards_what_it_held() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let script = files().join("copy.py").display().to_string();
    // Reading 20 MB back again and again takes its time.
    let kinds = match std::env::var_os("RUN_SLOW_TESTS") {
        Some(_) => &Kind::ALL[..],
        None => &[Kind::Xterm, Kind::Gtk4],
    };
    for &kind in kinds {
        let mut window = Window::open(&desk, kind)?;
        let mut driver = Clipboard::open(&desk.session())?;
        for what in ["nothing", "image", "files", "text"] {
            let ready = desk.path().join(format!("{what}-{}", kind.name()));
            let mut owner = None;
            if what != "nothing" {
                let mut command = desk.command("/usr/bin/python3");
                owner = Some(command.args([&script, what]).arg(&ready).spawn()?);
                until("something is copied", || Ok(ready.exists().then_some(())))?;
            }
            let before = desk.run("/usr/bin/python3", &[&script, "read"])?;
            let text = "Hello, wörld — 你好 😀 \"quotes\"";
            driver
                .type_text(text)
                .with_context(|| format!("{} {what}", kind.name()))?;
            let held = window.holds(text)?;
            let after = desk.run("/usr/bin/python3", &[&script, "read"])?;
            ensure!(held.is_ok(), "{} {what}: {held:?}", kind.name());
            // Toolkits offer an image in whatever forms they can make of it.
            ensure!(
                kept(&before) == kept(&after),
                "{} {what}: {before} {after}",
                kind.name()
            );
            window.clear(&desk)?;
            if let Some(mut owner) = owner {
                owner.kill()?;
                owner.wait()?;
            }
        }
        // A program that reads late gets our text all the same.
        window.signal(Signal::STOP)?;
        let typed = std::thread::scope(|scope| {
            let typing = scope.spawn(|| driver.type_text("late"));
            std::thread::sleep(std::time::Duration::from_secs(2));
            window.signal(Signal::CONT)?;
            let typed = typing.join().expect("a driver does not panic");
            anyhow::Ok(typed?)
        })?;
        ensure!(
            typed.characters == 4 && window.holds("late")?.is_ok(),
            "{}",
            kind.name()
        );
    }
    Ok(())
}

/// What must be there again: all forms, but of an image only the one that it was given in.
fn kept(listed: &str) -> Vec<&str> {
    let lines = listed.lines().map(|line| line.trim_end_matches(','));
    lines
        .filter(|line| !line.contains("image/") || line.contains("image/png"))
        .collect()
}
