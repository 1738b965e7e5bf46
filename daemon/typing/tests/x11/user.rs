//! Somebody at a keyboard of their own, who holds keys while text is typed.

use anyhow::{Context as _, Result, ensure};
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::xinput::{self, ConnectionExt as _};
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use crate::desk::Desk;

/// The extension's events of pressed and released keys, behind its first one.
const PRESS: u8 = 1;
const RELEASE: u8 = 2;

/// A keyboard that is not the one through which drivers press keys.
#[derive(Debug)]
pub(crate) struct User {
    connection: RustConnection,
    root: u32,
    device: u8,
    first_event: u8,
}

/// What the server says of modifiers and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Modifiers that keys hold, as every program sees them.
    pub(crate) held: u16,
    pub(crate) locked: u16,
    /// Keys that are down.
    pub(crate) down: Vec<u8>,
}

impl User {
    pub(crate) fn sit_down(desk: &Desk) -> Result<Self> {
        let (connection, screen) = x11rb::connect(Some(&desk.display))?;
        let root = connection.setup().roots[screen].root;
        let extension = connection
            .extension_information(xinput::X11_EXTENSION_NAME)?
            .context("the server has no XInput")?;
        connection.xinput_xi_query_version(2, 2)?.reply()?;
        connection.xkb_use_extension(1, 0)?.reply()?;
        let devices = connection
            .xinput_xi_query_device(xinput::Device::ALL)?
            .reply()?;
        let keyboard = devices.infos.iter().find(|device| {
            device.type_ == xinput::DeviceType::SLAVE_KEYBOARD
                && !String::from_utf8_lossy(&device.name).contains("XTEST")
        });
        let device = keyboard.context("the server has no keyboard")?.deviceid;
        let device = u8::try_from(device)?;
        connection.xinput_open_device(device)?.reply()?;
        Ok(User {
            connection,
            root,
            device,
            first_event: extension.first_event,
        })
    }

    pub(crate) fn press(&self, keycode: u8) -> Result<()> {
        self.fake(PRESS, keycode)
    }

    pub(crate) fn release(&self, keycode: u8) -> Result<()> {
        self.fake(RELEASE, keycode)
    }

    fn fake(&self, what: u8, keycode: u8) -> Result<()> {
        let event = self.first_event + what;
        self.connection
            .xtest_fake_input(event, keycode, 0, self.root, 0, 0, self.device)?
            .check()?;
        Ok(())
    }

    /// The key that gives a symbol at its first level.
    pub(crate) fn key(&self, sym: u32) -> Result<u8> {
        let setup = self.connection.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let map = self
            .connection
            .get_keyboard_mapping(first, last - first + 1)?
            .reply()?;
        let keys = map.keysyms.chunks(usize::from(map.keysyms_per_keycode));
        let found = (first..=last).zip(keys).find(|(_, syms)| syms[0] == sym);
        Ok(found.with_context(|| format!("no key gives {sym:#x}"))?.0)
    }

    pub(crate) fn state(&self) -> Result<State> {
        let device = xkb::ID::USE_CORE_KBD.into();
        let state = self.connection.xkb_get_state(device)?.reply()?;
        let pointer = self.connection.query_pointer(self.root)?.reply()?;
        let effective = u16::from(state.mods);
        ensure!(
            u16::from(pointer.mask) & 0xff == effective,
            "programs see other modifiers: {pointer:?} {state:?}"
        );
        let keys = self.connection.query_keymap()?.reply()?.keys;
        let is_down = |keycode: &u8| keys[usize::from(keycode / 8)] & (1 << (keycode % 8)) != 0;
        Ok(State {
            held: u16::from(state.base_mods),
            locked: u16::from(state.locked_mods),
            down: (0..=255).filter(is_down).collect(),
        })
    }
}
