//! What comes to the window: keys by the map that is there with them, texts that are committed,
//! the clipboard. No output but the compositor's housekeeping.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use wayland_client::backend::ObjectId;
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_data_device::{self, WlDataDevice};
use wayland_client::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_client::protocol::wl_data_offer::{self, WlDataOffer};
use wayland_client::protocol::wl_keyboard::{self, KeyState, WlKeyboard};
use wayland_client::protocol::wl_shm::WlShm;
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{
    Connection, Dispatch, Proxy as _, QueueHandle, WEnum, delegate_noop, event_created_child,
};
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_manager_v3::ZwpTextInputManagerV3;
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_v3::{self, ZwpTextInputV3};
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::{self, XdgToplevel};
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};

use super::reading::Reading;
use crate::wayland::compositor::State;
use crate::wayland::keyboard::CONTROL;

/// More bytes than a keyboard map has.
const MOST_MAP: u32 = 1 << 20;

/// What has come.
#[derive(Debug, Default)]
pub(in crate::wayland) struct Told {
    reading: Reading,
    modifiers: u32,
    /// The compositor has said how large the window is, and waits until that is answered.
    pub(super) configured: Option<u32>,
    pub(super) has_focus: bool,
    pub(super) is_closed: bool,
    pub(super) text: String,
    /// Ctrl+V was pressed, and nothing has been fetched yet.
    pub(super) pastes: bool,
    /// The forms of what could be on the clipboard.
    offers: HashMap<ObjectId, Vec<String>>,
    pub(super) selection: Option<WlDataOffer>,
    /// Text that becomes true with the next `done` of the text field.
    committed: Option<String>,
    /// The text field was entered, or its text has changed: the compositor is to be told.
    pub(super) field_is_new: bool,
    pub(super) field_has_changed: bool,
}

impl Told {
    /// The form in which text is asked for, where the clipboard has one.
    pub(super) fn text_form(&self) -> Option<String> {
        let forms = self.offers.get(&self.selection.as_ref()?.id())?;
        let is_text = |form: &&String| form.starts_with("text/plain") || *form == "UTF8_STRING";
        forms.iter().find(is_text).cloned()
    }

    fn map(&mut self, file: OwnedFd, size: u32) {
        let mut map = vec![0; size.min(MOST_MAP) as usize];
        // A map that cannot be read gives no characters, which is seen.
        let read = File::from(file).read_exact_at(&mut map, 0);
        let map = String::from_utf8_lossy(if read.is_ok() { &map } else { &[] });
        self.reading = Reading::of(&map);
    }

    fn key(&mut self, code: u32) {
        let Some(char) = self.reading.character(code, self.modifiers) else {
            return;
        };
        if self.modifiers & CONTROL == 0 {
            self.text.push(char);
        } else if char.eq_ignore_ascii_case(&'v') {
            self.pastes = true;
        }
    }
}

impl Dispatch<WlKeyboard, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let told = &mut state.trial;
        match event {
            wl_keyboard::Event::Keymap { fd, size, .. } => told.map(fd, size),
            wl_keyboard::Event::Enter { .. } => told.has_focus = true,
            wl_keyboard::Event::Leave { .. } => told.has_focus = false,
            wl_keyboard::Event::Modifiers {
                mods_depressed,
                mods_latched,
                mods_locked,
                ..
            } => told.modifiers = mods_depressed | mods_latched | mods_locked,
            wl_keyboard::Event::Key {
                key,
                state: WEnum::Value(KeyState::Pressed),
                ..
            } => told.key(key),
            _ => {}
        }
    }
}

impl Dispatch<ZwpTextInputV3, ()> for State {
    fn event(
        state: &mut Self,
        _: &ZwpTextInputV3,
        event: zwp_text_input_v3::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let told = &mut state.trial;
        match event {
            zwp_text_input_v3::Event::Enter { .. } => told.field_is_new = true,
            zwp_text_input_v3::Event::CommitString { text } => told.committed = text,
            zwp_text_input_v3::Event::Done { .. } => {
                if let Some(text) = told.committed.take() {
                    told.text.push_str(&text);
                    told.field_has_changed = true;
                }
            }
            _ => {}
        }
    }
}

impl Dispatch<WlDataDevice, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlDataDevice,
        event: wl_data_device::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let told = &mut state.trial;
        match event {
            wl_data_device::Event::DataOffer { id } => {
                told.offers.insert(id.id(), Vec::new());
            }
            wl_data_device::Event::Selection { id } => {
                if let Some(before) = std::mem::replace(&mut told.selection, id) {
                    told.offers.remove(&before.id());
                    before.destroy();
                }
            }
            _ => {}
        }
    }

    event_created_child!(State, WlDataDevice, [
        wl_data_device::EVT_DATA_OFFER_OPCODE => (WlDataOffer, ()),
    ]);
}

impl Dispatch<WlDataOffer, ()> for State {
    fn event(
        state: &mut Self,
        offer: &WlDataOffer,
        event: wl_data_offer::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_data_offer::Event::Offer { mime_type } = event
            && let Some(forms) = state.trial.offers.get_mut(&offer.id())
        {
            forms.push(mime_type);
        }
    }
}

impl Dispatch<XdgWmBase, ()> for State {
    fn event(
        _: &mut Self,
        base: &XdgWmBase,
        event: xdg_wm_base::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            base.pong(serial);
        }
    }
}

impl Dispatch<XdgSurface, ()> for State {
    fn event(
        state: &mut Self,
        _: &XdgSurface,
        event: xdg_surface::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            state.trial.configured = Some(serial);
        }
    }
}

impl Dispatch<XdgToplevel, ()> for State {
    fn event(
        state: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_toplevel::Event::Close = event {
            state.trial.is_closed = true;
        }
    }
}

delegate_noop!(State: WlCompositor);
delegate_noop!(State: WlDataDeviceManager);
delegate_noop!(State: WlShmPool);
delegate_noop!(State: ZwpTextInputManagerV3);
delegate_noop!(State: ignore WlBuffer);
delegate_noop!(State: ignore WlShm);
delegate_noop!(State: ignore WlSurface);
