//! Typing through IBus, read back from real windows. WSTREAM_RUNS says how often each text is typed
//! instead of three times, RUN_SLOW_TESTS=1 two hundred times.

mod desk;

use anyhow::{Context as _, Result, ensure};
use desk::common::{picture_file, runs};
use desk::{Desk, Kind, Window, corpus, until};
use wstream_typing::ibus::IBus;
use wstream_typing::{Driver, Key, Session, Stopped, Unable};

/// The engine that the user has.
const USERS: &str = "xkb:us:euro:eng";

/// A desktop on which IBus runs, and windows take text from it; `None` where it is not installed.
fn raise() -> Result<Option<(Desk, Session)>> {
    if !desk::all_installed(&["ibus-daemon", "ibus"]) {
        return Ok(None);
    }
    let Some(mut desk) = Desk::raise(false)? else {
        return Ok(None);
    };
    desk.hint("GTK_IM_MODULE", "ibus");
    let quiet = [
        "--panel=disable",
        "--config=disable",
        "--emoji-extension=disable",
    ];
    desk.start("ibus-daemon", &quiet)?;
    let session = desk.session();
    until("IBus is there", || {
        Ok(IBus::open(&session).ok()).map(|it| it.map(|_| ()))
    })?;
    desk.run("ibus", &["engine", USERS])?;
    Ok(Some((desk, session)))
}

fn begin(desk: &Desk, session: &Session, kind: Kind) -> Result<(Window, IBus)> {
    let window = Window::open(desk, kind)?;
    let mut driver = IBus::open(session)?;
    until("the driver has a target", || Ok(driver.target().ok()))?;
    Ok((window, driver))
}

/// The engine in use; while one follows another, there is none.
fn engine(desk: &Desk) -> Result<String> {
    until("IBus has an engine", || {
        let said = desk.run("ibus", &["engine"]).ok();
        Ok(said.map(|said| said.trim().to_owned()))
    })
}

#[test]
fn what_is_committed_arrives_exactly_and_can_be_taken_away() -> Result<()> {
    let Some((desk, session)) = raise()? else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    for kind in [Kind::Gtk3, Kind::Gtk4] {
        let (mut window, mut driver) = begin(&desk, &session, kind)?;
        for (name, text) in corpus()?.iter().cycle().take(22 * runs()) {
            driver.type_text("keep é")?;
            let typed = driver.type_text(text);
            let all = window.holds(&format!("keep é{text}"))?;
            let erased = driver.erase(text);
            let wanted = match &erased {
                Ok(()) => "keep é".to_owned(),
                // What cannot be taken away for sure stays, and that is said.
                Err(_) => format!("keep é{text}"),
            };
            let rest = window.holds(&wanted)?;
            if typed.is_err() || all.is_err() || rest.is_err() {
                wrong.push(format!(
                    "{} {name}: {typed:?} {all:?} {erased:?} {rest:?}",
                    kind.name()
                ));
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
fn words_that_may_change_are_shown_and_then_replaced() -> Result<()> {
    let Some((desk, session)) = raise()? else {
        return Ok(());
    };
    for kind in [Kind::Gtk3, Kind::Gtk4] {
        let (window, mut driver) = begin(&desk, &session, kind)?;
        let shown = |wanted: &str| {
            let file = window.beside("preedit");
            until("the words are shown", || {
                let lines = std::fs::read_to_string(&file).unwrap_or_default();
                let last = lines.lines().last().unwrap_or_default();
                Ok((last == format!("\"{wanted}\"")).then_some(()))
            })
            .context(kind.name())
        };
        driver.type_text("Hello")?;
        ensure!(driver.preedit(" wörld 你")?);
        shown(" wörld 你")?;
        if let Some(file) = picture_file(&format!("IBus {}", kind.name())) {
            let file = file.display().to_string();
            desk.run("import", &["-window", "root", &file])?;
        }
        ensure!(
            window.holds("Hello")?.is_ok(),
            "shown words are not there yet"
        );
        driver.type_text(" world")?;
        ensure!(window.holds("Hello world")?.is_ok());
        shown("")?;
        driver.preedit(" no")?;
        shown(" no")?;
        driver.preedit("")?;
        shown("")?;
        ensure!(window.holds("Hello world")?.is_ok());
        if kind == Kind::Gtk3 {
            driver.press(Key::BackSpace, 2)?;
            ensure!(window.holds("Hello wor")?.is_ok());
        }
    }
    Ok(())
}

#[test]
fn the_users_engine_is_there_again_and_keys_go_on_meanwhile() -> Result<()> {
    let Some((desk, session)) = raise()? else {
        return Ok(());
    };
    let (window, mut driver) = begin(&desk, &session, Kind::Gtk3)?;
    driver.type_text("one ")?;
    ensure!(engine(&desk)? != USERS, "ours is in use");
    // Keys of the user go through ours as they are.
    desk.run("xdotool", &["key", "a", "b"])?;
    let held = window.holds("one ab")?;
    ensure!(held.is_ok(), "{held:?}");
    until("the user's engine is there again", || {
        Ok((engine(&desk)? == USERS).then_some(()))
    })?;
    driver.type_text(" two")?;
    ensure!(window.holds("one ab two")?.is_ok());
    until("the user's engine is there again", || {
        Ok((engine(&desk)? == USERS).then_some(()))
    })?;
    drop(driver);
    ensure!(engine(&desk)? == USERS);
    Ok(())
}

#[test]
fn where_ibus_has_no_field_or_ends_nothing_is_typed() -> Result<()> {
    let Some((mut desk, session)) = raise()? else {
        return Ok(());
    };
    let (window, mut driver) = begin(&desk, &session, Kind::Gtk4)?;
    driver.type_text("before")?;
    ensure!(window.holds("before")?.is_ok());
    drop(window);
    until("no field has the focus", || {
        Ok(matches!(driver.target(), Err(Unable::NoTarget(_))).then_some(()))
    })?;
    desk.kill_last()?;
    let Err(Stopped { characters: 0, why }) = driver.type_text("after") else {
        anyhow::bail!("it types without IBus");
    };
    ensure!(matches!(why, Unable::Gone(_)), "{why:?}");
    ensure!(matches!(IBus::open(&session), Err(Unable::Absent(_))));
    Ok(())
}
