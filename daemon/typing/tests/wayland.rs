//! Typing on Wayland, read back from real windows.
//!
//! A cell is a driver and a window; a run types the whole corpus there, text by text. WSTREAM_RUNS
//! says how often instead of three times, RUN_SLOW_TESTS=1 two hundred times. WSTREAM_BESIDE=1 tells
//! what `wtype` makes of the same.

#[path = "desk/common.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod common;
mod sway;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use common::{corpus, runs};
use rustix::process::{Pid, Signal, kill_process};
use sway::{Forms, Kind, Sway, UserKeyboard, Window, list, own, read};
use wstream_typing::wayland::{Clipboard, InputMethod, Takes, Trial, VirtualKeyboard};
use wstream_typing::x11::X11;
use wstream_typing::{Driver, Key, Purpose, Session, Stopped, Target, Unable};

fn virtual_keyboard(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(VirtualKeyboard::open(session)?))
}

fn input_method(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(InputMethod::open(session)?))
}

fn clipboard(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(Clipboard::open(session)?))
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
        if std::env::var_os("WSTREAM_BESIDE").is_some() {
            beside(&sway, &mut window, kind, &texts)?;
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} texts are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// Has `wtype` type the same, and says how that went.
#[allow(clippy::print_stdout, reason = "for whoever runs it by hand")]
fn beside(sway: &Sway, window: &mut Window, kind: Kind, texts: &[(String, String)]) -> Result<()> {
    let start = std::time::Instant::now();
    let (mut exact, mut characters) = (0, 0);
    for (_, text) in texts.iter().cycle().take(texts.len() * runs()) {
        let typed = sway.command("wtype").args(["--", text]).status()?;
        let held = window.holds(text)?;
        exact += usize::from(typed.success() && held.is_ok());
        characters += text.chars().count();
        window.empty()?;
    }
    let speed = characters as f64 / start.elapsed().as_secs_f64();
    println!(
        "{:15} wtype: {exact} of {} exact, {speed:.0} characters per second",
        kind.name(),
        texts.len() * runs()
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
fn a_busy_core_changes_nothing() -> Result<()> {
    common::with_a_busy_core(|| {
        matrix(virtual_keyboard, &[Kind::Foot, Kind::Gtk4], false)?;
        matrix(input_method, &[Kind::Gtk3], true)
    })
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

/// A window that takes text from a driver that has it for a target.
fn begin(
    sway: &Sway,
    kind: Kind,
    open: fn(&Session) -> Result<Box<dyn Driver>, Unable>,
) -> Result<(Window, Box<dyn Driver>)> {
    let window = Window::open(sway, kind)?;
    let mut driver = open(&sway.session())?;
    ready(&mut *driver)?;
    Ok((window, driver))
}

#[test]
fn the_layout_of_the_users_keyboard_makes_no_difference() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let text = "Hello, wörld — Съешь εδώ $PATH \"quotes\" \\backslash 你好";
    // What the key right of the Tab key gives.
    for (layout, group, letter) in [
        ("us", 0, "q"),
        ("de", 0, "q"),
        ("fr", 0, "a"),
        ("ru", 0, "й"),
        ("gr", 0, ";"),
        ("us:dvorak", 0, "'"),
        ("us,ru", 0, "q"),
        ("us,ru", 1, "й"),
    ] {
        let mut keyboard = UserKeyboard::add(&sway, layout, group)?;
        for kind in [Kind::Foot, Kind::Gtk4] {
            let (mut window, mut driver) = begin(&sway, kind, virtual_keyboard)?;
            for _ in 0..runs() {
                keyboard.tap(16)?;
                driver.type_text(text)?;
                keyboard.tap(16)?;
                let wanted = format!("{letter}{text}{letter}");
                let held = window.holds(&wanted)?;
                ensure!(held.is_ok(), "{} {layout} {group}: {held:?}", kind.name());
                window.empty()?;
            }
        }
    }
    Ok(())
}

#[test]
fn modifiers_that_the_user_holds_do_no_harm() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let mut keyboard = UserKeyboard::add(&sway, "us", 0)?;
    // Shift, Control, Alt, Super, AltGr, and Caps Lock, as the layout counts them.
    let all = [(1, 0), (4, 0), (8, 0), (64, 0), (128, 0), (0, 2)];
    for (open, kind) in [
        (virtual_keyboard as fn(&Session) -> _, Kind::Foot),
        (virtual_keyboard, Kind::Gtk4),
        (input_method, Kind::Gtk3),
    ] {
        let (mut window, mut driver) = begin(&sway, kind, open)?;
        for (held, locked) in all {
            keyboard.hold(held, locked)?;
            driver.type_text("Hello, wörld — 你好")?;
            let text = window.holds("Hello, wörld — 你好")?;
            ensure!(text.is_ok(), "{} {held} {locked}: {text:?}", kind.name());
            keyboard.hold(0, 0)?;
            window.empty()?;
        }
    }
    Ok(())
}

#[test]
fn words_that_may_change_are_shown_and_then_replaced() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    for kind in [Kind::Gtk3, Kind::Gtk4] {
        let (window, mut driver) = begin(&sway, kind, input_method)?;
        let shown = |wanted: &str| {
            let file = window.beside("preedit");
            common::until("the words are shown", || {
                let lines = std::fs::read_to_string(&file).unwrap_or_default();
                let last = lines.lines().last().unwrap_or_default();
                Ok((last == format!("\"{wanted}\"")).then_some(()))
            })
        };
        driver.type_text("Hello")?;
        ensure!(driver.preedit(" wör")?, "{}", kind.name());
        shown(" wör")?;
        ensure!(driver.preedit(" wörld 你")?);
        shown(" wörld 你")?;
        picture(&sway, kind)?;
        ensure!(
            window.holds("Hello")?.is_ok(),
            "shown words are not there yet"
        );
        ensure!(driver.surrounding() == Some(("Hello".into(), String::new())));
        let typed = driver.type_text(" world")?;
        ensure!(typed.verified && window.holds("Hello world")?.is_ok());
        shown("")?;
        driver.preedit(" no")?;
        shown(" no")?;
        driver.preedit("")?;
        shown("")?;
        ensure!(window.holds("Hello world")?.is_ok());
    }
    Ok(())
}

/// A picture of the screen, for whoever wants to look at it.
fn picture(sway: &Sway, kind: Kind) -> Result<()> {
    match common::picture_file(kind.name()) {
        Some(file) => {
            ensure!(sway.command("grim").arg(file).status()?.success());
            Ok(())
        }
        None => Ok(()),
    }
}

#[test]
fn what_was_typed_can_be_taken_away_again() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    for (open, kind, always) in [
        (input_method as fn(&Session) -> _, Kind::Gtk3, true),
        (input_method, Kind::Gtk4, true),
        (input_method, Kind::FootLine, false),
        (virtual_keyboard, Kind::Gtk3Simple, false),
        (virtual_keyboard, Kind::Gtk4, false),
        (clipboard, Kind::Gtk3, false),
        (clipboard, Kind::Gtk4, false),
        (clipboard, Kind::FootLine, false),
    ] {
        let (mut window, mut driver) = begin(&sway, kind, open)?;
        for (name, text) in corpus()? {
            driver.type_text("keep é")?;
            driver.type_text(&text)?;
            let erased = driver.erase(&text);
            let line = kind == Kind::FootLine;
            if line {
                driver.press(Key::Return, 1)?;
            }
            let end = if line { "\n" } else { "" };
            // What cannot be taken away for sure stays, and that is said.
            let wanted = match &erased {
                Ok(()) => format!("keep é{end}"),
                Err(_) => format!("keep é{text}{end}"),
            };
            let held = window.holds(&wanted)?;
            if held.is_err() || (always && erased.is_err()) {
                let driver = driver.name();
                wrong.push(format!(
                    "{driver} {} {name}: {erased:?} {held:?}",
                    kind.name()
                ));
            }
            window.empty()?;
        }
        // What stands there now is not what was typed.
        if always {
            driver.type_text("one")?;
            ensure!(matches!(
                driver.erase("two"),
                Err(Stopped {
                    characters: 0,
                    why: Unable::Unsafe(_)
                })
            ));
            ensure!(window.holds("one")?.is_ok());
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
fn fields_and_windows_are_told_apart() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let (secret, mut driver) = begin(&sway, Kind::Gtk4Password, input_method)?;
    ensure!(driver.target()?.purpose == Purpose::Password);
    let foot = Window::open(&sway, Kind::Foot)?;
    let of_foot = until_target(&mut *driver, |it| it.app == "foot")?;
    ensure!(of_foot.purpose == Purpose::Terminal && !of_foot.id.is_empty());
    secret.focus(&sway)?;
    until_target(&mut *driver, |it| it.purpose == Purpose::Password)?;
    foot.focus(&sway)?;
    let again = until_target(&mut *driver, |it| it.app == "foot")?;
    ensure!(again == of_foot, "{again:?} {of_foot:?}");
    // A window whose text fields know no input method is none for this driver, but for keys.
    let simple = Window::open(&sway, Kind::Gtk3Simple)?;
    common::until("the field is not active", || {
        Ok(matches!(driver.target(), Err(Unable::NoTarget(_))).then_some(()))
    })?;
    drop((secret, foot, simple));
    let mut keys = VirtualKeyboard::open(&sway.session())?;
    common::until("no window has the focus", || {
        Ok(matches!(keys.target(), Err(Unable::NoTarget(_))).then_some(()))
    })?;
    // The seat has one input method only.
    ensure!(matches!(
        InputMethod::open(&sway.session()),
        Err(Unable::Absent(_))
    ));
    Ok(())
}

fn until_target(driver: &mut dyn Driver, wanted: impl Fn(&Target) -> bool) -> Result<Target> {
    common::until("the target is another", || {
        Ok(driver.target().ok().filter(&wanted))
    })
}

#[test]
fn a_text_stops_where_the_focus_goes_and_nothing_is_lost_of_what_was_said() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let text = "Съешь же ещё этих мягких французских булок, да выпей чаю. ".repeat(40);
    for closes in [false, true] {
        let other = Window::open(&sway, Kind::Gtk4)?;
        let (window, mut driver) = begin(&sway, Kind::Foot, virtual_keyboard)?;
        let (typed, held) = std::thread::scope(|scope| {
            let typing = scope.spawn(|| driver.type_text(&text));
            common::until("some of it is there", || {
                Ok((window.text()?.chars().count() > 100).then_some(()))
            })?;
            if closes {
                window.signal(Signal::KILL)?;
            } else {
                other.focus(&sway)?;
            }
            let typed = typing.join().expect("a driver does not panic");
            anyhow::Ok((typed, window.text()?))
        })?;
        let Err(Stopped { characters, why }) = typed else {
            anyhow::bail!("it goes on into another window");
        };
        ensure!(matches!(why, Unable::NoTarget(_)), "{why:?}");
        // Keys of one burst may have gone to either.
        let strayed = other.text()?;
        ensure!(strayed.chars().count() <= 4, "{strayed:?}");
        if !closes {
            ensure!(text.starts_with(&held), "{held:?}");
            let came = held.chars().count();
            ensure!(
                (characters..=characters + 4).contains(&came),
                "{characters} {came}"
            );
        }
    }
    Ok(())
}

#[test]
fn nothing_goes_into_a_locked_screen() -> Result<()> {
    if !common::all_installed(&["swaylock"]) {
        return Ok(());
    }
    for (open, kind) in [
        (virtual_keyboard as fn(&Session) -> _, Kind::Foot),
        (input_method, Kind::Gtk4),
    ] {
        let Some(sway) = Sway::raise()? else {
            return Ok(());
        };
        let (window, mut driver) = begin(&sway, kind, open)?;
        driver.type_text("before")?;
        let mut lock = sway.command("swaylock").arg("--color=000000").spawn()?;
        common::until("the screen is locked", || {
            Ok(matches!(driver.target(), Err(Unable::NoTarget(_))).then_some(()))
        })?;
        ensure!(driver.type_text("secret").is_err());
        let pid = Pid::from_raw(i32::try_from(lock.id())?).context("a process")?;
        kill_process(pid, Signal::USR1)?;
        lock.wait()?;
        // Sway 1.7 itself gives it to no window then.
        window.focus(&sway)?;
        ready(&mut *driver)?;
        driver.type_text(" after")?;
        let held = window.holds("before after")?;
        ensure!(held.is_ok(), "{}: {held:?}", kind.name());
    }
    Ok(())
}

#[test]
fn a_compositor_that_dies_is_told() -> Result<()> {
    for open in [
        virtual_keyboard as fn(&Session) -> _,
        input_method,
        clipboard,
    ] {
        let Some(mut sway) = Sway::raise()? else {
            return Ok(());
        };
        let (window, mut driver) = begin(&sway, Kind::Gtk4, open)?;
        driver.type_text("before")?;
        ensure!(window.holds("before")?.is_ok());
        sway.kill()?;
        let Err(Stopped { characters, why }) = driver.type_text("after") else {
            anyhow::bail!("it types without a compositor");
        };
        ensure!(characters == 0 && matches!(why, Unable::Gone(_)), "{why:?}");
    }
    Ok(())
}

#[test]
fn a_window_of_xwayland_gets_keys_exactly() -> Result<()> {
    let Some(mut sway) = Sway::raise()? else {
        return Ok(());
    };
    sway.start_x()?;
    let mut window = Window::open(&sway, Kind::Xterm)?;
    let mut driver = VirtualKeyboard::open(&sway.session())?;
    ready(&mut driver)?;
    let target = driver.target()?;
    ensure!(target.purpose == Purpose::Terminal, "{target:?}");
    let mut wrong = Vec::new();
    let texts = corpus()?;
    // The server inside has the map of the keyboard that was used last.
    for layout in ["us", "de", "ru"] {
        let mut keyboard = UserKeyboard::add(&sway, layout, 0)?;
        for (name, text) in texts.iter().cycle().take(texts.len() * runs()) {
            keyboard.tap(57)?;
            let typed = driver.type_text(text);
            let held = window.holds(&format!(" {text}"))?;
            if typed.is_err() || held.is_err() {
                wrong.push(format!("{layout} {name}: {typed:?} {held:?}"));
            }
            window.empty()?;
        }
    }
    // And texts that follow each other without a pause.
    let all: String = texts.iter().map(|(_, text)| text.as_str()).collect();
    for (_, text) in &texts {
        driver.type_text(text)?;
    }
    if let Err(held) = window.holds(&all)? {
        wrong.push(format!("all of it: {held}"));
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
fn keys_of_the_x_server_inside_are_refused() -> Result<()> {
    let Some(mut sway) = Sway::raise()? else {
        return Ok(());
    };
    sway.start_x()?;
    // Without a keyboard the seat gives the focus to nothing.
    let _keyboard = UserKeyboard::add(&sway, "us", 0)?;
    let window = Window::open(&sway, Kind::Xterm)?;
    let mut driver = X11::open(&sway.session())?;
    let mut typed = None;
    for (_, text) in corpus()? {
        let target = driver.target();
        ensure!(matches!(target, Err(Unable::NoTarget(_))), "{target:?}");
        let stopped = driver.type_text(&text);
        ensure!(
            matches!(
                &stopped,
                Err(Stopped {
                    characters: 0,
                    why: Unable::NoTarget(_)
                })
            ),
            "{stopped:?}"
        );
        typed = Some(text);
    }
    ensure!(typed.is_some() && window.text()?.is_empty());
    Ok(())
}

#[test]
fn the_clipboard_holds_afterwards_what_it_held() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let form = |name: &str, data: &[u8]| (name.to_owned(), data.to_vec());
    let contents: [(&str, Forms); 4] = [
        ("nothing", Forms::new()),
        (
            "image",
            [
                form("image/png", &[7; 3 << 20]),
                form("image/bmp", &[8; 1 << 20]),
            ]
            .into(),
        ),
        (
            "files",
            [
                form("text/uri-list", b"file:///etc/hostname\r\n"),
                form(
                    "x-special/gnome-copied-files",
                    b"copy\nfile:///etc/hostname",
                ),
            ]
            .into(),
        ),
        (
            "text",
            [
                form("text/plain;charset=utf-8", "naïve 你好".as_bytes()),
                form("text/html", "<b>naïve</b>".as_bytes()),
            ]
            .into(),
        ),
    ];
    let text = "Hello, wörld — 你好 😀 \"quotes\"";
    for kind in [Kind::Foot, Kind::Gtk3, Kind::Gtk4] {
        let (mut window, mut driver) = begin(&sway, kind, clipboard)?;
        for (what, forms) in &contents {
            if !forms.is_empty() {
                own(&sway, forms)?;
            }
            let before = read(&sway)?;
            driver
                .type_text(text)
                .with_context(|| format!("{} {what}", kind.name()))?;
            let held = window.holds(text)?;
            ensure!(held.is_ok(), "{} {what}: {held:?}", kind.name());
            until_restored(&sway).with_context(|| format!("{} {what}", kind.name()))?;
            ensure!(read(&sway)? == before, "{} {what}", kind.name());
            window.empty()?;
        }
        // A program that reads late gets our text all the same.
        window.signal(Signal::STOP)?;
        let typed = std::thread::scope(|scope| {
            let typing = scope.spawn(|| driver.type_text("late"));
            std::thread::sleep(Duration::from_secs(2));
            window.signal(Signal::CONT)?;
            let typed = typing.join().expect("a driver does not panic");
            anyhow::Ok(typed?)
        })?;
        let held = window.holds("late")?;
        ensure!(
            typed.characters == 4 && held.is_ok(),
            "{} {held:?}",
            kind.name()
        );
        until_restored(&sway)?;
    }
    // What somebody copies meanwhile stays.
    let (_window, mut driver) = begin(&sway, Kind::Gtk4, clipboard)?;
    driver.type_text(text)?;
    let newer: Forms = [form("text/plain", b"newer")].into();
    own(&sway, &newer)?;
    // Longer than ours would have stayed.
    std::thread::sleep(Duration::from_millis(1500));
    ensure!(read(&sway)? == newer);
    Ok(())
}

/// Waits until the text that is only there to be pasted is not there any more.
fn until_restored(sway: &Sway) -> Result<()> {
    common::until("the clipboard is restored", || {
        let forms = list(sway)?;
        Ok((!forms.iter().any(|form| form == "x-kde-passwordManagerHint")).then_some(()))
    })
}

#[test]
fn a_text_can_be_copied() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let serving = wstream_typing::copy(&sway.session(), "wörld")?;
    let serves = std::thread::spawn(move || serving.wait());
    let there = read(&sway)?;
    ensure!(there.get("text/plain;charset=utf-8").map(Vec::as_slice) == Some("wörld".as_bytes()));
    own(
        &sway,
        &[("text/plain".to_owned(), b"other".to_vec())].into(),
    )?;
    serves.join().expect("it does not panic")?;
    Ok(())
}

#[test]
fn a_window_of_our_own_reads_what_each_driver_types() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    let session = sway.session();
    for (open, takes) in [
        (virtual_keyboard as fn(&Session) -> _, Takes::Keys),
        (input_method, Takes::Field),
        (clipboard, Takes::Keys),
    ] {
        let mut driver = open(&session)?;
        let mut trial = Trial::open(&session, takes)?;
        for (name, text) in corpus()? {
            let (typed, read) = std::thread::scope(|scope| {
                let typing = scope.spawn(|| driver.type_text(&text));
                let read = trial.read(text.chars().count(), Duration::from_secs(10));
                (typing.join().expect("typing does not panic"), read)
            });
            let typed = typed.with_context(|| format!("{} {name}", driver.name()))?;
            ensure!(read? == text, "{} {name}", driver.name());
            ensure!(
                typed.verified == (takes == Takes::Field),
                "{} {name}: {typed:?}",
                driver.name()
            );
        }
    }
    Ok(())
}

#[test]
fn a_window_of_our_own_needs_the_focus() -> Result<()> {
    let Some(sway) = Sway::raise()? else {
        return Ok(());
    };
    // A seat without a keyboard gives the focus to nothing.
    let refused = Trial::open(&sway.session(), Takes::Keys).map(|_| ());
    ensure!(matches!(refused, Err(Unable::NoTarget(_))), "{refused:?}");
    Ok(())
}
