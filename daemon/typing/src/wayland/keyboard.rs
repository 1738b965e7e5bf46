//! A virtual keyboard, and text through it.
//!
//! A program gets a new keyboard map in order with the keys before and behind it, so one may be
//! sent at any time. Only windows of XWayland look keys up in the map that is there when they get
//! to it: for them characters keep their places as long as there is room, and it is waited then
//! until they have read what was typed.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use wayland_client::{Connection, Dispatch, QueueHandle};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::{
    self as manager, ZwpVirtualKeyboardManagerV1,
};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::{
    self as keyboard, ZwpVirtualKeyboardV1,
};

use super::compositor::{Compositor, State};
use super::keymap::{BACK_SPACE, Keymap, RETURN, Stroke, TAB};
use crate::x11::removal::{Stretch, depends_on_editor, in_terminal, stretches};
use crate::{Key, Purpose, Session, Target, Unable, x11};

/// `XKB_V1` of `wl_keyboard`.
const FORMAT: u32 = 1;
/// Modifiers, as the map counts them.
pub(super) const SHIFT: u32 = 1;
pub(super) const CONTROL: u32 = 4;

/// Strokes that go out at once. Fewer would tell more exactly where a text stopped; more of them
/// make fewer messages for a program that does not read, whose connection the compositor ends when
/// a few hundred wait.
const BURST: usize = 4;
/// Pause between bursts: about 2000 characters in a second, which no window seen is slower than.
const PAUSE: Duration = Duration::from_millis(2);
/// What was just typed stays in the map for so long, where it has to make room for something else
/// and nobody tells what a window has read.
const LATE: Duration = Duration::from_millis(250);
/// Nobody tells when a program has got its keyboard, where the seat had none before. Windows were
/// seen to take 5 ms; what they miss is lost.
const FIRST: Duration = Duration::from_millis(300);

/// A keyboard that no hand touches.
#[derive(Debug)]
pub(super) struct Keyboard {
    object: ZwpVirtualKeyboardV1,
    keymap: Keymap,
    since: Instant,
    /// When keys of a text were pressed last.
    last: Instant,
    /// Not before this does every program know of it.
    ready: Option<Instant>,
    session: Session,
}

impl Keyboard {
    /// Adds a keyboard to the seat.
    pub(super) fn open(compositor: &mut Compositor, session: &Session) -> Result<Self, Unable> {
        let seat = compositor.seat()?;
        let manager: ZwpVirtualKeyboardManagerV1 = compositor.bind(1)?;
        compositor.sync()?;
        let had_one = compositor.state.has_keyboard;
        let object = manager.create_virtual_keyboard(&seat, &compositor.handle(), ());
        let mut keyboard = Keyboard {
            object,
            keymap: Keymap::default(),
            since: Instant::now(),
            last: Instant::now(),
            ready: None,
            session: session.clone(),
        };
        keyboard.send_keymap()?;
        keyboard.object.modifiers(0, 0, 0, 0);
        compositor.sync()?;
        keyboard.ready = (!had_one).then(|| Instant::now() + FIRST);
        Ok(keyboard)
    }

    fn send_keymap(&self) -> Result<(), Unable> {
        let failed = |error: std::io::Error| Unable::Absent(format!("no memory: {error}"));
        // It ends with a zero.
        let text = self.keymap.text() + "\0";
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("keymap", flags).map_err(|error| failed(error.into()))?;
        let mut file = std::fs::File::from(file);
        file.write_all(text.as_bytes()).map_err(failed)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW;
        fcntl_add_seals(&file, seals).map_err(|error| failed(error.into()))?;
        self.object.keymap(FORMAT, file.as_fd(), text.len() as u32);
        Ok(())
    }

    /// Types a text, and counts what has gone into the window; `stays` says before each burst
    /// whether it is still there.
    pub(super) fn type_chars(
        &mut self,
        compositor: &mut Compositor,
        text: &[char],
        done: &mut usize,
        stays: impl Fn(&State) -> Result<(), Unable>,
    ) -> Result<(), Unable> {
        self.wait();
        compositor.sync()?;
        stays(&compositor.state)?;
        while *done < text.len() {
            let fit = self.keymap.fit(&text[*done..]);
            if fit.takes_away {
                std::thread::sleep(LATE.saturating_sub(self.last.elapsed()));
                x11::wait_until_read(&self.session)?;
            }
            if fit.changed {
                self.send_keymap()?;
            }
            let part = text[*done..*done + fit.reach].to_vec();
            for burst in part.chunks(BURST) {
                for &char in burst {
                    let stroke = self.keymap.stroke(char);
                    self.stroke(stroke.expect("the map has been made to fit"), 0);
                }
                compositor.sync()?;
                // Those of this burst may have gone elsewhere.
                stays(&compositor.state)?;
                *done += burst.len();
                self.last = Instant::now();
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Presses and releases a key some times, and counts.
    pub(super) fn press(
        &mut self,
        compositor: &mut Compositor,
        key: Key,
        times: usize,
        done: &mut usize,
        stays: impl Fn(&State) -> Result<(), Unable>,
    ) -> Result<(), Unable> {
        let code = match key {
            Key::Return => RETURN,
            Key::Tab => TAB,
            Key::BackSpace => BACK_SPACE,
        };
        self.wait();
        compositor.sync()?;
        stays(&compositor.state)?;
        while *done < times {
            let burst = BURST.min(times - *done);
            for _ in 0..burst {
                self.stroke(Stroke { code, shift: false }, 0);
            }
            compositor.sync()?;
            stays(&compositor.state)?;
            *done += burst;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Presses and releases the key of V with modifiers, as a shortcut.
    pub(super) fn chord(
        &mut self,
        compositor: &mut Compositor,
        modifiers: u32,
    ) -> Result<(), Unable> {
        self.wait();
        // Programs look for the letter, with and without Shift.
        if self.keymap.fit(&['v', 'V']).changed {
            self.send_keymap()?;
        }
        let stroke = self.keymap.stroke('v');
        self.stroke(stroke.expect("the map has been made to fit"), modifiers);
        compositor.sync()
    }

    /// Removes a text before the cursor of `target` with BackSpace, and counts what is gone; only
    /// what every program removes alike.
    pub(super) fn erase(
        &mut self,
        compositor: &mut Compositor,
        target: &Target,
        text: &str,
        stays: impl Fn(&State) -> Result<(), Unable>,
    ) -> Result<(), Unable> {
        let times = if target.purpose == Purpose::Terminal {
            if depends_on_editor(text) {
                let why = "whether the terminal's line is edited by the shell cannot be told: nothing is removed";
                return Err(Unable::Unsafe(why.into()));
            }
            in_terminal(text, true)
        } else {
            let disputed = |stretch: &Stretch<'_>| matches!(stretch, Stretch::Disputed(_));
            if stretches(text).iter().any(disputed) {
                let why =
                    "programs do not agree on how BackSpace removes this text: nothing is removed";
                return Err(Unable::Unsafe(why.into()));
            }
            text.chars().count() as u32
        };
        let mut done = 0;
        self.press(compositor, Key::BackSpace, times as usize, &mut done, stays)
    }

    fn stroke(&self, stroke: Stroke, modifiers: u32) {
        let modifiers = modifiers | if stroke.shift { SHIFT } else { 0 };
        let time = self.since.elapsed().as_millis() as u32;
        if modifiers != 0 {
            self.object.modifiers(modifiers, 0, 0, 0);
        }
        self.object.key(time, stroke.code, 1);
        self.object.key(time, stroke.code, 0);
        if modifiers != 0 {
            self.object.modifiers(0, 0, 0, 0);
        }
    }

    fn wait(&mut self) {
        if let Some(ready) = self.ready.take() {
            std::thread::sleep(ready.saturating_duration_since(Instant::now()));
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.object.destroy();
    }
}

impl Dispatch<ZwpVirtualKeyboardManagerV1, ()> for State {
    fn event(
        _: &mut Self,
        _: &ZwpVirtualKeyboardManagerV1,
        _: manager::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<ZwpVirtualKeyboardV1, ()> for State {
    fn event(
        _: &mut Self,
        _: &ZwpVirtualKeyboardV1,
        _: keyboard::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}
