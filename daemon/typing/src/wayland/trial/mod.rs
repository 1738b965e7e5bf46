//! A window of our own that says which text came into it: to find out whether typing works on a
//! Wayland desktop without asking its user to look.

mod reading;
mod told;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_shm::{Format, WlShm};
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_manager_v3::ZwpTextInputManagerV3;
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_v3::{
    ChangeCause, ContentHint, ContentPurpose, ZwpTextInputV3,
};
use wayland_protocols::xdg::shell::client::xdg_surface::XdgSurface;
use wayland_protocols::xdg::shell::client::xdg_wm_base::XdgWmBase;

pub(super) use told::Told;

use super::clipboard::received;
use super::compositor::{Compositor, State};
use crate::{Session, Unable};

/// How long the compositor may take to show the window and give it the keys.
const SHOWN: Duration = Duration::from_secs(3);
/// How long what was pasted may take to come.
const PASTED: Duration = Duration::from_secs(5);
/// Of the window, in pixels.
const WIDTH: i32 = 240;
const HEIGHT: i32 = 40;
/// Of a pixel.
const BYTES: i32 = 4;

/// What of the window takes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Keys, and Ctrl+V.
    Keys,
    /// A text field as well, which an input method can write into.
    Field,
}

/// A window that reads what is typed and pasted into it, and goes when this is dropped.
#[derive(Debug)]
pub struct Trial {
    compositor: Compositor,
    surface: WlSurface,
    role: XdgSurface,
    field: Option<ZwpTextInputV3>,
}

impl Trial {
    /// Opens the window in a session, and waits until keys go there.
    ///
    /// Open the driver first: a seat without a keyboard gives nothing the focus.
    pub fn open(session: &Session, takes: Takes) -> Result<Self, Unable> {
        let mut compositor = Compositor::open(session)?;
        let seat = compositor.seat()?;
        let has_keyboard = |state: &mut State| state.has_keyboard.then_some(());
        if compositor.until(SHOWN, has_keyboard)?.is_none() {
            let why = "this seat has no keyboard, so that no window can have the focus";
            return Err(Unable::NoTarget(why.into()));
        }
        let handle = compositor.handle();
        seat.get_keyboard(&handle, ());
        let clipboard: WlDataDeviceManager = compositor.bind(1)?;
        clipboard.get_data_device(&seat, &handle, ());
        let field = match takes {
            Takes::Keys => None,
            Takes::Field => Some(text_field(&compositor, &seat)?),
        };
        let surfaces: WlCompositor = compositor.bind(4)?;
        let surface = surfaces.create_surface(&handle, ());
        let windows: XdgWmBase = compositor.bind(1)?;
        let role = windows.get_xdg_surface(&surface, &handle, ());
        let toplevel = role.get_toplevel(&handle, ());
        toplevel.set_title("wstream: trying to type".into());
        toplevel.set_app_id("wstream-trial".into());
        surface.commit();
        let mut trial = Trial {
            compositor,
            surface,
            role,
            field,
        };
        trial.show()?;
        Ok(trial)
    }

    fn show(&mut self) -> Result<(), Unable> {
        let until = Instant::now() + SHOWN;
        while self.compositor.state.trial.configured.is_none() {
            if !self.wait(until)? {
                return Err(not_shown());
            }
        }
        self.answer();
        self.draw()?;
        // A field is told of after the keys are.
        let mut is_entered = self.field.is_none();
        loop {
            is_entered |= self.compositor.state.trial.field_is_new;
            self.answer();
            if self.compositor.state.trial.has_focus && is_entered {
                // Whoever types may ask at once.
                return self.compositor.sync();
            }
            if !self.wait(until)? {
                return Err(not_shown());
            }
        }
    }

    /// Something to look at: a window without is not shown.
    fn draw(&self) -> Result<(), Unable> {
        let failed = |error: rustix::io::Errno| Unable::Absent(format!("no memory: {error}"));
        let size = WIDTH * HEIGHT * BYTES;
        let memory = memfd_create("window", MemfdFlags::CLOEXEC).map_err(failed)?;
        ftruncate(&memory, size as u64).map_err(failed)?;
        let shared: WlShm = self.compositor.bind(1)?;
        let handle = self.compositor.handle();
        let pool = shared.create_pool(memory.as_fd(), size, &handle, ());
        let row = WIDTH * BYTES;
        let buffer = pool.create_buffer(0, WIDTH, HEIGHT, row, Format::Xrgb8888, &handle, ());
        self.surface.attach(Some(&buffer), 0, 0);
        self.surface.damage(0, 0, WIDTH, HEIGHT);
        self.surface.commit();
        pool.destroy();
        Ok(())
    }

    /// Waits for whatever comes next; `false`: it is too late for that.
    fn wait(&mut self, until: Instant) -> Result<bool, Unable> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.compositor.state.trial.is_closed {
            return Ok(false);
        }
        self.compositor.sleep(Some(left), None)?;
        self.compositor.dispatch()?;
        Ok(true)
    }

    /// Answers what the compositor has asked, as every window does.
    fn answer(&mut self) {
        let told = &mut self.compositor.state.trial;
        if let Some(serial) = told.configured.take() {
            self.role.ack_configure(serial);
            self.surface.commit();
        }
        let is_new = std::mem::take(&mut told.field_is_new);
        let has_changed = std::mem::take(&mut told.field_has_changed);
        let Some(field) = self.field.as_ref().filter(|_| is_new || has_changed) else {
            return;
        };
        if is_new {
            field.enable();
            field.set_content_type(ContentHint::None, ContentPurpose::Normal);
        } else {
            field.set_text_change_cause(ChangeCause::InputMethod);
        }
        let end = told.text.len() as i32;
        field.set_surrounding_text(told.text.clone(), end, end);
        field.commit();
    }

    /// The text that comes until it has `characters`, or until `limit` has passed.
    pub fn read(&mut self, characters: usize, limit: Duration) -> Result<String, Unable> {
        let until = Instant::now() + limit;
        loop {
            self.answer();
            if std::mem::take(&mut self.compositor.state.trial.pastes) {
                let pasted = self.pasted()?;
                self.compositor.state.trial.text.push_str(&pasted);
            }
            let has_enough = self.compositor.state.trial.text.chars().count() >= characters;
            if has_enough || !self.wait(until)? {
                // What was answered last is to arrive.
                self.compositor.flush()?;
                return Ok(std::mem::take(&mut self.compositor.state.trial.text));
            }
        }
    }

    /// What is on the clipboard; empty: no text.
    fn pasted(&self) -> Result<String, Unable> {
        let told = &self.compositor.state.trial;
        let (Some(offer), Some(form)) = (&told.selection, told.text_form()) else {
            return Ok(String::new());
        };
        let until = Instant::now() + PASTED;
        let ask = |end: BorrowedFd<'_>| offer.receive(form, end);
        let data = received(&self.compositor, ask, until)?;
        Ok(String::from_utf8_lossy(&data).into_owned())
    }
}

fn text_field(compositor: &Compositor, seat: &WlSeat) -> Result<ZwpTextInputV3, Unable> {
    let fields: ZwpTextInputManagerV3 = compositor.bind(1)?;
    Ok(fields.get_text_input(seat, &compositor.handle(), ()))
}

fn not_shown() -> Unable {
    Unable::NoTarget("a window of its own got no focus: end what takes the keyboard".into())
}
