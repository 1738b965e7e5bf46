//! The keyboard of a user, with a layout, on which single keys are pressed.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use anyhow::Result;
use rustix::fs::{MemfdFlags, memfd_create};
use wayland_client::globals::{GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, delegate_noop};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;

use super::Sway;

/// A keyboard.
#[derive(Debug)]
pub(crate) struct UserKeyboard {
    queue: EventQueue<Nothing>,
    keyboard: ZwpVirtualKeyboardV1,
}

#[derive(Debug)]
struct Nothing;

impl UserKeyboard {
    /// Adds one to the seat, with a layout as `setxkbmap` names it, and a colon before its variant.
    pub(crate) fn add(sway: &Sway, layout: &str, group: u32) -> Result<Self> {
        let connection = Connection::from_socket(UnixStream::connect(sway.socket())?)?;
        let (globals, mut queue) = registry_queue_init::<Nothing>(&connection)?;
        let handle = queue.handle();
        let seat: WlSeat = globals.bind(&handle, 1..=1, ())?;
        let manager: ZwpVirtualKeyboardManagerV1 = globals.bind(&handle, 1..=1, ())?;
        let keyboard = manager.create_virtual_keyboard(&seat, &handle, ());
        let symbols: Vec<String> = layout
            .split(',')
            .enumerate()
            .map(|(at, layout)| {
                let (name, variant) = layout.split_once(':').unwrap_or((layout, ""));
                let variant = match variant {
                    "" => String::new(),
                    variant => format!("({variant})"),
                };
                format!("{name}{variant}:{}", at + 1)
            })
            .collect();
        let text = format!(
            "xkb_keymap {{ xkb_keycodes {{ include \"evdev+aliases(qwerty)\" }};
            xkb_types {{ include \"complete\" }}; xkb_compat {{ include \"complete\" }};
            xkb_symbols {{ include \"pc+{}+inet(evdev)\" }}; }};\0",
            symbols.join("+")
        );
        let mut file = std::fs::File::from(memfd_create("keymap", MemfdFlags::CLOEXEC)?);
        file.write_all(text.as_bytes())?;
        keyboard.keymap(1, file.as_fd(), u32::try_from(text.len())?);
        keyboard.modifiers(0, 0, 0, group);
        queue.roundtrip(&mut Nothing)?;
        Ok(UserKeyboard { queue, keyboard })
    }

    /// Holds these modifiers, as the layout counts them.
    pub(crate) fn hold(&mut self, modifiers: u32, locked: u32) -> Result<()> {
        self.keyboard.modifiers(modifiers, 0, locked, 0);
        self.queue.roundtrip(&mut Nothing)?;
        Ok(())
    }

    /// Presses and releases a key, by the kernel's code.
    pub(crate) fn tap(&mut self, code: u32) -> Result<()> {
        self.keyboard.key(0, code, 1);
        self.keyboard.key(0, code, 0);
        self.queue.roundtrip(&mut Nothing)?;
        Ok(())
    }
}

delegate_noop!(Nothing: ignore WlSeat);
delegate_noop!(Nothing: ignore ZwpVirtualKeyboardManagerV1);
delegate_noop!(Nothing: ignore ZwpVirtualKeyboardV1);

impl Dispatch<WlRegistry, GlobalListContents> for Nothing {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}
