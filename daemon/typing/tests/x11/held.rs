//! Keys that the user holds, or presses and lets go of, while text is typed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wstream_typing::x11::{Limits, X11};
use wstream_typing::{Driver as _, Stopped, Unable};
use xkeysym::key;

use crate::desk::{Desk, Kind, Window, until};
use crate::user::{State, User};

/// Keys of the layout, spare keys, both levels; nothing in it removes text as a shortcut.
const TEXT: &str =
    "The swift brown Fox, ÄÖÜß @ €: \"Привет\" 你好 — don't PANIC! $PATH \\back/slash ";

const MODIFIERS: [(&str, u32); 6] = [
    ("Shift", key::Shift_L),
    ("Ctrl", key::Control_L),
    ("Alt", key::Alt_L),
    ("Super", key::Super_L),
    ("AltGr", key::ISO_Level3_Shift),
    ("Caps Lock", key::Caps_Lock),
];

/// Modifiers are lifted soon; the others as they are.
const SHORT: Limits = Limits {
    modifiers: Duration::from_millis(100),
    shortcut: Duration::from_secs(60),
    taken: Duration::from_millis(500),
};

/// When the user lets go of the key that was held when typing began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    /// Before it is lifted.
    Soon,
    /// While text arrives.
    Meanwhile,
    /// Behind the text.
    Afterwards,
    /// Behind another text that follows.
    Later,
}

/// Tries with a text that is twice as long each time until it was still being typed when something
/// was to happen: a window that gets no processor may show its begin late.
fn in_time<T>(mut length: usize, mut attempt: impl FnMut(&str) -> Result<Option<T>>) -> Result<T> {
    /// Of a minute's typing.
    const LONGEST: usize = 1024;
    loop {
        if let Some(came) = attempt(&TEXT.repeat(length))? {
            return Ok(came);
        }
        length *= 2;
        ensure!(length <= LONGEST, "the text was always there too soon");
    }
}

/// Types while a key is held; answers with what is wrong, or `None` where the text was there before
/// the key was let go of.
fn hold(
    desk: &Desk,
    user: &User,
    driver: &mut X11,
    window: &mut Window,
    (keycode, release): (u8, Release),
    text: &str,
) -> Result<Option<Vec<String>>> {
    let before = user.state()?;
    user.press(keycode)?;
    let held = user.state()?;
    ensure!(held != before, "the key {keycode} does nothing");
    let result = std::thread::scope(|scope| {
        let typing = scope.spawn(|| driver.type_text(text));
        match release {
            Release::Soon => user.release(keycode)?,
            Release::Meanwhile => {
                until("text arrives", || {
                    Ok((!window.text()?.is_empty() || typing.is_finished()).then_some(()))
                })?;
                user.release(keycode)?;
            }
            Release::Afterwards | Release::Later => {}
        }
        let in_time = release != Release::Meanwhile || !typing.is_finished();
        anyhow::Ok((typing.join().expect("a driver does not panic"), in_time))
    });
    let (mut typed, in_time) = result?;
    if release == Release::Later {
        ensure!(window.holds(text)?.is_ok(), "the first text is wrong");
        window.clear(desk)?;
        typed = driver.type_text(text);
    }
    let exact = window.holds(text)?;
    let after = user.state()?;
    let to_the_end = matches!(release, Release::Afterwards | Release::Later);
    if to_the_end {
        user.release(keycode)?;
    }
    let free = user.state()?;
    // A lock that the key has switched stays on, and another press takes it off again.
    let locked = held.locked;
    let released = State {
        held: before.held,
        locked,
        down: before.down.clone(),
    };
    let wanted = if to_the_end { &held } else { &released };
    let mut wrong = Vec::new();
    if typed.as_ref().map(|typed| typed.characters) != Ok(text.chars().count()) {
        wrong.push(format!("{typed:?}"));
    }
    wrong.extend(exact.err());
    if after != *wanted {
        wrong.push(format!("the keyboard is left as {after:?}, not {wanted:?}"));
    }
    if free != released {
        wrong.push(format!("let go of, it is {free:?}, not {released:?}"));
    }
    unlock(user, keycode, &before)?;
    window.clear(desk)?;
    Ok((in_time || !wrong.is_empty()).then_some(wrong))
}

/// Takes the lock off that a key may have switched on.
fn unlock(user: &User, keycode: u8, before: &State) -> Result<()> {
    if user.state()?.locked != before.locked {
        user.press(keycode)?;
        user.release(keycode)?;
        ensure!(user.state()? == *before, "the lock stays on");
    }
    Ok(())
}

/// A desk with somebody at its German keyboard, which has every modifier.
fn german() -> Result<Option<(Desk, User)>> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(None);
    };
    desk.layout("de")?;
    let user = User::sit_down(&desk)?;
    Ok(Some((desk, user)))
}

/// One that lifts modifiers soon.
fn driver(desk: &Desk) -> Result<X11> {
    let mut driver = X11::open(&desk.session())?;
    driver.set_limits(SHORT);
    Ok(driver)
}

/// Does something with each modifier in each window; it answers with what is wrong.
fn everywhere(
    each: impl Fn(&Desk, &User, &mut X11, &mut Window, u8) -> Result<Vec<String>>,
) -> Result<()> {
    let Some((desk, user)) = german()? else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    for kind in Kind::ALL {
        let mut window = Window::open(&desk, kind)?;
        let mut driver = driver(&desk)?;
        for (name, sym) in MODIFIERS {
            let found = each(&desk, &user, &mut driver, &mut window, user.key(sym)?)?;
            let found = found
                .iter()
                .map(|it| format!("{} {name}: {it}", kind.name()));
            wrong.extend(found);
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_held_modifier_does_no_harm_and_stays_held() -> Result<()> {
    everywhere(|desk, user, driver, window, keycode| {
        let mut wrong = Vec::new();
        for release in [
            Release::Soon,
            Release::Meanwhile,
            Release::Afterwards,
            Release::Later,
        ] {
            let found = in_time(4, |text| {
                hold(desk, user, driver, window, (keycode, release), text)
            })?;
            wrong.extend(found.iter().map(|it| format!("{release:?}: {it}")));
        }
        Ok(wrong)
    })
}

/// A defect of ours while a modifier is lifted takes the thread with it, and nothing else.
#[test]
fn a_driver_that_panics_puts_modifiers_back() -> Result<()> {
    let Some((desk, user)) = german()? else {
        return Ok(());
    };
    let window = Window::open(&desk, Kind::Xterm)?;
    for (name, sym) in MODIFIERS {
        let keycode = user.key(sym)?;
        let before = user.state()?;
        user.press(keycode)?;
        let held = user.state()?;
        let mut driver = driver(&desk)?;
        let panicked = std::thread::spawn(move || {
            driver.with_free_hands(|| std::panic::resume_unwind(Box::new("a defect")))
        });
        ensure!(panicked.join().is_err(), "{name}: it did not panic");
        ensure!(
            user.state()? == held,
            "{name}: {:?}, not {held:?}",
            user.state()?
        );
        user.release(keycode)?;
        unlock(&user, keycode, &before)?;
    }
    drop(window);
    Ok(())
}

/// Presses a key while text arrives, and lets go of it behind the text; answers with what is wrong,
/// or `None` where the text was there before.
///
/// What was pressed between a look at the keys and the next character spoils that one; the driver
/// must say so, and stop.
fn press(
    desk: &Desk,
    user: &User,
    driver: &mut X11,
    window: &mut Window,
    keycode: u8,
    text: &str,
) -> Result<Option<Vec<String>>> {
    let before = user.state()?;
    let pressed = std::thread::scope(|scope| {
        let typing = scope.spawn(|| driver.type_text(text));
        until("text arrives", || {
            Ok((!window.text()?.is_empty() || typing.is_finished()).then_some(()))
        })?;
        if typing.is_finished() {
            return Ok(None);
        }
        user.press(keycode)?;
        let typed = typing.join().expect("a driver does not panic");
        anyhow::Ok(Some((user.state()?, typed)))
    })?;
    let Some((mut held, typed)) = pressed else {
        until("all of it is there", || {
            Ok((window.text()? == text).then_some(()))
        })?;
        window.clear(desk)?;
        return Ok(None);
    };
    let mut wrong = Vec::new();
    let whole = text.chars().count();
    if !held.down.contains(&keycode) {
        wrong.push(format!("the key is not down any more: {held:?}"));
    }
    match typed {
        Ok(typed) => {
            if typed.characters != whole {
                wrong.push(format!("{typed:?}"));
            }
            wrong.extend(window.holds(text)?.err());
        }
        Err(Stopped { characters, why }) => {
            let told = matches!(&why, Unable::Unsafe(why) if why.contains("may be wrong"));
            if !told || characters >= whole {
                wrong.push(format!("{characters} {why:?}"));
            }
            // What it counts is there.
            let counted: String = text.chars().take(characters).collect();
            until("what was typed is there", || {
                Ok(window.text()?.starts_with(&counted).then_some(()))
            })
            .with_context(|| format!("{characters} {why:?} {:?}", window.text()))?;
            // The spoilt character may have been a dead key, which waits for the next one.
            user.release(keycode)?;
            *window = Window::open(desk, window.kind)?;
            user.press(keycode)?;
            // Pressed twice, Caps Lock is as it was.
            held.locked = before.locked;
        }
    }
    user.release(keycode)?;
    let free = user.state()?;
    let released = State {
        locked: held.locked,
        ..before.clone()
    };
    if free != released {
        wrong.push(format!("let go of, it is {free:?}, not {released:?}"));
    }
    unlock(user, keycode, &before)?;
    window.clear(desk)?;
    Ok(Some(wrong))
}

#[test]
fn a_modifier_pressed_while_text_arrives_is_lifted_or_told() -> Result<()> {
    everywhere(|desk, user, driver, window, keycode| {
        let mut wrong = Vec::new();
        for _ in 0..times() {
            wrong.extend(in_time(12, |text| {
                press(desk, user, driver, window, keycode, text)
            })?);
        }
        Ok(wrong)
    })
}

/// A modifier that every character of a text needs itself: it is pressed and let go of with each,
/// and still held behind the text by whoever has pressed it meanwhile.
#[test]
fn a_modifier_that_the_characters_need_stays_held() -> Result<()> {
    let Some((desk, user)) = german()? else {
        return Ok(());
    };
    let window = Window::open(&desk, Kind::Xterm)?;
    let mut driver = driver(&desk)?;
    let before = user.state()?;
    for (sym, text) in [(key::Shift_L, "FOX"), (key::ISO_Level3_Shift, "@€{")] {
        let keycode = user.key(sym)?;
        user.press(keycode)?;
        let held = user.state()?;
        user.release(keycode)?;
        let text = text.repeat(100);
        let (mut stopped, mut tries) = (0, 0);
        // A press falls into a character often, but not each time.
        while stopped < times() {
            ensure!(tries < 100 * times(), "no press fell into a character");
            tries += 1;
            let typed = std::thread::scope(|scope| {
                let old = window.text()?.len();
                let typing = scope.spawn(|| driver.type_text(&text));
                until("text arrives", || {
                    let arrives = window.text()?.len() > old || typing.is_finished();
                    Ok(arrives.then_some(()))
                })?;
                user.press(keycode)?;
                anyhow::Ok(typing.join().expect("a driver does not panic"))
            })?;
            stopped += usize::from(typed.is_err());
            let after = user.state()?;
            ensure!(
                after == held,
                "{typed:?} leaves {after:?} behind try {tries}, not {held:?}"
            );
            user.release(keycode)?;
            let free = user.state()?;
            ensure!(free == before, "let go of, it is {free:?}, not {before:?}");
        }
    }
    Ok(())
}

/// How often each key is pressed in each window.
fn times() -> usize {
    std::env::var_os("RUN_SLOW_TESTS").map_or(2, |_| 40)
}
