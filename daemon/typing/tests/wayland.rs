//! Typing on Wayland, read back from real windows.
//!
//! A cell is a driver and a window; a run types the whole corpus there, text by text. WSTREAM_RUNS
//! says how often instead of three times, RUN_SLOW_TESTS=1 two hundred times.

#[path = "desk/common.rs"]
mod common;
mod sway;

use anyhow::{Result, ensure};
use common::corpus;
use sway::{Kind, Sway, Window};
use wstream_typing::wayland::{InputMethod, VirtualKeyboard};
use wstream_typing::{Driver, Session, Unable};

fn runs() -> usize {
    let told = std::env::var("WSTREAM_RUNS").ok();
    let slow = std::env::var_os("RUN_SLOW_TESTS").map_or(3, |_| 200);
    told.and_then(|told| told.parse().ok()).unwrap_or(slow)
}

fn virtual_keyboard(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(VirtualKeyboard::open(session)?))
}

fn input_method(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(InputMethod::open(session)?))
}

/// The driver, once it has the window for a target: a field becomes active some time after its
/// window has got the focus.
fn ready(driver: &mut dyn Driver) -> Result<()> {
    common::until("the driver has a target", || Ok(driver.target().ok())).map(|_| ())
}

/// Types the corpus into each window, and has it read back.
#[allow(
    clippy::print_stdout,
    reason = "the speed is for whoever runs it by hand"
)]
fn matrix(
    open: fn(&Session) -> Result<Box<dyn Driver>, Unable>,
    kinds: &[Kind],
    verifies: bool,
) -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let texts = corpus()?;
    let characters: usize = texts.iter().map(|(_, text)| text.chars().count()).sum();
    let mut wrong = Vec::new();
    for &kind in kinds {
        let mut window = Window::open(&sway, kind)?;
        let mut driver = open(&sway.session())?;
        ready(&mut *driver)?;
        let start = std::time::Instant::now();
        for (name, text) in texts.iter().cycle().take(texts.len() * runs()) {
            let typed = driver.type_text(text);
            let held = window.holds(text)?;
            let said = typed.as_ref().map(|it| (it.characters, it.verified));
            let wanted = (text.chars().count(), verifies && kind != Kind::Foot);
            if said != Ok(wanted) || held.is_err() {
                wrong.push(format!("{} {name}: {typed:?} {held:?}", kind.name()));
            }
            window.empty()?;
        }
        let speed = (characters * runs()) as f64 / start.elapsed().as_secs_f64();
        println!(
            "{:15} {speed:.0} characters per second, reading back included",
            kind.name()
        );
    }
    ensure!(
        wrong.is_empty(),
        "{} texts are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn keys_of_a_virtual_keyboard_arrive_exactly() -> Result<()> {
    let kinds = [Kind::Foot, Kind::Gtk3, Kind::Gtk3Simple, Kind::Gtk4];
    matrix(virtual_keyboard, &kinds, false)
}

#[test]
fn what_an_input_method_commits_arrives_exactly() -> Result<()> {
    matrix(input_method, &[Kind::Gtk3, Kind::Gtk4, Kind::Foot], true)
}

#[test]
fn a_seat_without_a_keyboard_loses_no_character() -> Result<()> {
    for kind in [Kind::Foot, Kind::Gtk3, Kind::Gtk4] {
        let Some(sway) = Sway::raise()? else {
            return Ok(());
        };
        let window = Window::open(&sway, kind)?;
        let mut driver = VirtualKeyboard::open(&sway.session())?;
        driver.type_text("Hello, wörld")?;
        let held = window.holds("Hello, wörld")?;
        ensure!(held.is_ok(), "{}: {held:?}", kind.name());
    }
    Ok(())
}
