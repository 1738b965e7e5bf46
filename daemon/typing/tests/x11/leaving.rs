//! The focus, the window or the server goes while text is typed.

use anyhow::{Context as _, Result, ensure};
use wstream_typing::x11::X11;
use wstream_typing::{Driver as _, Stopped, Typed, Unable};

use crate::desk::{Desk, Kind, Window, corpus, until};

/// The whole corpus as one text.
fn text() -> Result<String> {
    Ok(corpus()?.into_iter().map(|(_, text)| text).collect())
}

/// Types the text, and does `what` once some of it is in the window.
fn meanwhile(
    driver: &mut X11,
    window: &Window,
    text: &str,
    what: impl FnOnce() -> Result<()>,
) -> Result<Result<Typed, Stopped>> {
    std::thread::scope(|scope| {
        let typing = scope.spawn(|| driver.type_text(text));
        until("text arrives", || {
            Ok((window.text()?.chars().count() > 20 || typing.is_finished()).then_some(()))
        })?;
        ensure!(!typing.is_finished(), "the text was there too soon");
        what()?;
        Ok(typing.join().expect("a driver does not panic"))
    })
}

/// The first characters of a text.
fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[test]
fn what_follows_a_lost_focus_is_kept_back() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let text = text()?;
    let mut other = Window::open(&desk, Kind::Gtk3)?;
    for kind in Kind::ALL {
        let mut window = Window::open(&desk, kind)?;
        let mut driver = X11::open(&desk.session())?;
        let typed = meanwhile(&mut driver, &window, &text, || other.focus(&desk))?;
        let stopped = typed.err().context("it did not stop")?;
        let told = matches!(&stopped.why, Unable::NoTarget(why) if why.contains("focus"));
        ensure!(told, "{}: {stopped:?}", kind.name());
        // Exactly what is counted is in the window. Of the rest one character at most, which was
        // under way when the focus went, is in the other.
        let counted = first(&text, stopped.characters);
        let held = window.holds(&counted)?;
        ensure!(
            held.is_ok(),
            "{}: {stopped:?} {held:?} other {:?}",
            kind.name(),
            other.text()
        );
        let next = text.chars().nth(stopped.characters).context("it was all")?;
        // The driver goes on as if nothing had happened.
        let typed = driver.type_text("after")?;
        let strayed = format!("{next}after");
        ensure!(
            typed.characters == 5
                && (other.holds("after")?.is_ok() || other.holds(&strayed)?.is_ok()),
            "{}: the other window holds {:?} instead of {next:?}",
            kind.name(),
            other.text()
        );
        window.clear(&desk)?;
        other.clear(&desk)?;
    }
    Ok(())
}

#[test]
fn a_window_that_closes_is_told() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let text = text()?;
    for kind in Kind::ALL {
        let window = Window::open(&desk, kind)?;
        let mut driver = X11::open(&desk.session())?;
        let typed = meanwhile(&mut driver, &window, &text, || {
            desk.run("xdotool", &["windowkill", &window.id]).map(|_| ())
        })?;
        let stopped = typed.err().context("it did not stop")?;
        ensure!(
            matches!(stopped.why, Unable::NoTarget(_)),
            "{}: {stopped:?}",
            kind.name()
        );
        // What was sent is counted; what a program had not read when it ended, it never read.
        let held = window.text()?;
        ensure!(
            first(&text, stopped.characters).starts_with(&held),
            "{}: {stopped:?} {held:?}",
            kind.name()
        );
        // The server and the driver live on.
        let window = Window::open(&desk, kind)?;
        driver.type_text("after")?;
        ensure!(window.holds("after")?.is_ok(), "{}", kind.name());
    }
    Ok(())
}

#[test]
fn a_server_that_dies_in_the_middle_is_told() -> Result<()> {
    for kind in Kind::ALL {
        let Some(mut desk) = Desk::raise(false)? else {
            return Ok(());
        };
        let text = text()?;
        let window = Window::open(&desk, kind)?;
        let mut driver = X11::open(&desk.session())?;
        let typed = meanwhile(&mut driver, &window, &text, || desk.kill_server())?;
        let stopped = typed.err().context("it did not stop")?;
        ensure!(
            matches!(stopped.why, Unable::Gone(_)),
            "{}: {stopped:?}",
            kind.name()
        );
        let held = window.text()?;
        ensure!(
            first(&text, stopped.characters + 1).starts_with(&held),
            "{}: {stopped:?} {held:?}",
            kind.name()
        );
        let again = driver.type_text("after").err().context("it types")?;
        ensure!(again.characters == 0 && matches!(again.why, Unable::Gone(_)));
    }
    Ok(())
}
