//! Text that comes while push to talk is held: whoever waits for the key's release gets it.

use std::time::Duration;

use anyhow::{Result, ensure};
use wstream_typing::Driver as _;
use wstream_typing::x11::X11;
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xinput::{self, ConnectionExt as _, XIEventMask};
use x11rb::protocol::xproto::{ConnectionExt as _, GrabMode, ModMask};
use x11rb::rust_connection::RustConnection;
use xkeysym::key;

use crate::desk::{Desk, Kind, Window, until};
use crate::user::User;

const TEXT: &str = "What was said: ÄÖÜß €, Привет 你好 \"quotes\" and $PATH";

const KEYS: [(&str, u32); 2] = [("F9", key::F9), ("Super", key::Super_L)];

/// A program that listens while a key is held.
struct Talk {
    connection: RustConnection,
}

impl Talk {
    /// It takes the key for itself, as hotkey programs do; the server gives it all other keys too
    /// for as long as that one is held.
    fn taking(desk: &Desk, keycode: u8) -> Result<Self> {
        let (connection, screen) = x11rb::connect(Some(&desk.display))?;
        let root = connection.setup().roots[screen].root;
        let (any, mode) = (ModMask::ANY, GrabMode::ASYNC);
        connection
            .grab_key(false, root, any, keycode, mode, mode)?
            .check()?;
        Ok(Talk { connection })
    }

    /// It hears all keys without taking them.
    fn hearing(desk: &Desk) -> Result<Self> {
        let (connection, screen) = x11rb::connect(Some(&desk.display))?;
        let root = connection.setup().roots[screen].root;
        connection.xinput_xi_query_version(2, 2)?.reply()?;
        let keys = xinput::EventMask {
            deviceid: u8::from(xinput::Device::ALL_MASTER).into(),
            mask: vec![XIEventMask::RAW_KEY_PRESS | XIEventMask::RAW_KEY_RELEASE],
        };
        connection.xinput_xi_select_events(root, &[keys])?.check()?;
        Ok(Talk { connection })
    }

    /// The keys that it was told of since the last call, and whether they were pressed.
    fn heard(&self) -> Result<Vec<(u8, bool)>> {
        self.connection.get_input_focus()?.reply()?;
        let mut heard = Vec::new();
        while let Some(event) = self.connection.poll_for_event()? {
            match event {
                Event::KeyPress(key) => heard.push((key.detail, true)),
                Event::KeyRelease(key) => heard.push((key.detail, false)),
                Event::XinputRawKeyPress(key) => heard.push((u8::try_from(key.detail)?, true)),
                Event::XinputRawKeyRelease(key) => heard.push((u8::try_from(key.detail)?, false)),
                _ => {}
            }
        }
        Ok(heard)
    }
}

#[test]
fn a_text_waits_for_who_has_taken_the_keys() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let user = User::sit_down(&desk)?;
    for kind in [Kind::Xterm, Kind::Gtk3, Kind::Gtk4, Kind::Qt5] {
        let mut window = Window::open(&desk, kind)?;
        let mut driver = X11::open(&desk.session())?;
        for (name, sym) in KEYS {
            let keycode = user.key(sym)?;
            let talk = Talk::taking(&desk, keycode)?;
            user.press(keycode)?;
            let typed = std::thread::scope(|scope| {
                let typing = scope.spawn(|| driver.type_text(TEXT));
                // Long enough for a driver that does not wait.
                std::thread::sleep(Duration::from_millis(300));
                let early = window.text()?;
                ensure!(early.is_empty() && !typing.is_finished(), "{early:?}");
                user.release(keycode)?;
                Ok(typing.join().expect("a driver does not panic"))
            })?;
            let held = window.holds(TEXT)?;
            let heard = talk.heard()?;
            ensure!(
                typed.is_ok() && held.is_ok() && heard == [(keycode, true), (keycode, false)],
                "{} {name}: {typed:?} {held:?} {heard:?}",
                kind.name()
            );
            window.clear(&desk)?;
        }
    }
    Ok(())
}

#[test]
fn a_release_is_heard_by_who_only_listens() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let user = User::sit_down(&desk)?;
    let talk = Talk::hearing(&desk)?;
    // In a terminal F9 itself is text.
    for kind in [Kind::Gtk3, Kind::Gtk4, Kind::Qt5] {
        let mut window = Window::open(&desk, kind)?;
        let mut driver = X11::open(&desk.session())?;
        for (name, sym) in KEYS {
            let keycode = user.key(sym)?;
            let before = user.state()?;
            user.press(keycode)?;
            talk.heard()?;
            let typed = driver.type_text(TEXT);
            let held = window.holds(TEXT)?;
            let meanwhile = user.state()?;
            talk.heard()?;
            user.release(keycode)?;
            let mut heard = Vec::new();
            until("the release is heard", || {
                heard.extend(talk.heard()?);
                Ok(heard.contains(&(keycode, false)).then_some(()))
            })?;
            ensure!(
                typed.is_ok()
                    && held.is_ok()
                    && meanwhile.down.contains(&keycode)
                    && user.state()? == before,
                "{} {name}: {typed:?} {held:?} {meanwhile:?} {:?}",
                kind.name(),
                user.state()?
            );
            window.clear(&desk)?;
        }
    }
    Ok(())
}
