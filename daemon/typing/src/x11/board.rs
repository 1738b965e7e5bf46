//! The keyboard map of the server, read and extended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use x11rb::protocol::xkb::{self, ConnectionExt as _, MapPart};
use x11rb::protocol::xproto::{AtomEnum, PropMode};
use x11rb::wrapper::ConnectionExt as _;

use super::layout::{KeySyms, Layout, Stroke, Strokes, Type};
use super::look::Look;
use super::server::{Server, gone};
use super::spares::Spares;
use crate::Unable;

/// The keyboard: what it gives, and what it was made to give.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) layout: Layout,
    spares: Spares,
    /// Whether the map was read, and is still what the server has.
    read: bool,
}

/// How the beginning of a text is typed.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) strokes: Vec<Stroke>,
    /// What the keyboard must be made to give before.
    pub(super) changes: BTreeMap<u8, KeySyms>,
    /// It takes away what some program may still want to look up.
    pub(super) takes_away: bool,
}

impl Board {
    /// The map has changed, or may have.
    pub(super) fn forget(&mut self) {
        self.read = false;
    }

    /// Reads the map where it is not known.
    pub(super) fn read(&mut self, server: &Server) -> Result<(), Unable> {
        if self.read {
            return Ok(());
        }
        self.layout = layout(server)?;
        let mut given = self.spares.given();
        if given.is_empty() {
            given = self.given_before(server)?;
        }
        let mut spares = Spares::of(&self.layout, &given);
        spares.remember(&self.spares);
        self.spares = spares;
        self.read = true;
        Ok(())
    }

    /// The keys of the layout as they are.
    pub(super) fn strokes(&self, look: &Look) -> Strokes {
        // What spare keys give may be taken away: they are not the layout's own.
        let taken = |keycode| look.down.has(keycode) || self.spares.has(keycode);
        self.layout.strokes(look.group, look.locked, taken)
    }

    /// Plans how as much of `text` is typed as there is room for at once.
    pub(super) fn plan(&mut self, text: &[char], look: &Look) -> Result<Plan, Unable> {
        let own = self.strokes(look).chars;
        let taken = |keycode| look.down.has(keycode);
        let room = self.spares.room(taken);
        let mut wanted = BTreeSet::new();
        let mut fits = 0;
        for char in text {
            if !own.contains_key(char) && !wanted.contains(char) {
                if wanted.len() == room {
                    break;
                }
                wanted.insert(*char);
            }
            fits += 1;
        }
        if fits == 0 && !text.is_empty() {
            let why = "no key of the keyboard map is free for characters that the layout lacks: use another driver";
            return Err(Unable::Absent(why.into()));
        }
        let changes = self.spares.give(&wanted, taken);
        let stroke = |char: &char| {
            let own = own.get(char).copied();
            own.or_else(|| self.spares.stroke(*char, taken))
        };
        Ok(Plan {
            strokes: text[..fits].iter().filter_map(stroke).collect(),
            changes: changes.keys,
            takes_away: changes.takes_away,
        })
    }

    /// Makes the keyboard give what a plan needs.
    pub(super) fn change(
        &self,
        server: &mut Server,
        changes: &BTreeMap<u8, KeySyms>,
    ) -> Result<(), Unable> {
        // Said before it is done: what was said and not done is an empty key to whoever reads it.
        let mut said = Vec::new();
        for (keycode, key) in self.spares.given() {
            said.extend([u32::from(keycode), key.syms.len() as u32]);
            said.extend(key.syms);
        }
        let property = server.atoms._WSTREAM_SPARE_KEYS;
        server
            .connection
            .change_property32(
                PropMode::REPLACE,
                server.root,
                property,
                AtomEnum::CARDINAL,
                &said,
            )
            .map_err(gone)?;
        for (&keycode, key) in changes {
            set(server, keycode, key)?;
        }
        server.sync()
    }

    /// What spare keys were given by a process before this one.
    fn given_before(&self, server: &Server) -> Result<BTreeMap<u8, KeySyms>, Unable> {
        let mut given = BTreeMap::new();
        let said = server.numbers(server.root, server.atoms._WSTREAM_SPARE_KEYS)?;
        let mut rest = said.as_slice();
        let a_type = self.layout.spare_type().map_or(0, |(a_type, _)| a_type);
        while let [keycode, count, syms @ ..] = rest {
            let Some((syms, behind)) = syms.split_at_checked(*count as usize) else {
                break;
            };
            rest = behind;
            given.insert(
                *keycode as u8,
                KeySyms {
                    types: [a_type, 0, 0, 0],
                    group_info: 1,
                    width: *count as u8,
                    syms: syms.to_vec(),
                },
            );
        }
        Ok(given)
    }
}

fn layout(server: &Server) -> Result<Layout, Unable> {
    let parts = MapPart::KEY_TYPES | MapPart::KEY_SYMS | MapPart::MODIFIER_MAP;
    let none = MapPart::from(0u16);
    let asked = server
        .connection
        .xkb_get_map(
            server.keyboard,
            parts,
            none,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            xkb::VMod::from(0u16),
            0,
            0,
            0,
            0,
            0,
            0,
        )
        .map_err(gone)?;
    let reply = asked.reply().map_err(gone)?;
    let bits = |mods| u16::from(mods) as u8;
    let types = reply.map.types_rtrn.unwrap_or_default().into_iter();
    let types = types.map(|a_type| Type {
        mask: bits(a_type.mods_mask),
        levels: a_type.num_levels,
        map: a_type
            .map
            .iter()
            .filter(|entry| entry.active)
            .map(|entry| (bits(entry.mods_mask), entry.level))
            .collect(),
    });
    let keys = reply.map.syms_rtrn.unwrap_or_default().into_iter();
    let keys = keys.map(|key| KeySyms {
        types: std::array::from_fn(|group| {
            let counts = group < usize::from(key.group_info & 0x0f);
            if counts { key.kt_index[group] } else { 0 }
        }),
        group_info: key.group_info,
        width: key.width,
        syms: key.syms,
    });
    let modifiers: HashMap<u8, u8> = reply
        .map
        .modmap_rtrn
        .unwrap_or_default()
        .iter()
        .map(|key| (key.keycode, bits(key.mods)))
        .collect();
    Ok(Layout {
        first: reply.first_key_sym,
        keys: keys.collect(),
        types: types.collect(),
        modifiers,
    })
}

fn set(server: &Server, keycode: u8, key: &KeySyms) -> Result<(), Unable> {
    let setup = x11rb::connection::Connection::setup(&server.connection);
    let syms = xkb::KeySymMap {
        kt_index: key.types,
        group_info: key.group_info,
        width: key.width,
        syms: key.syms.clone(),
    };
    let values = xkb::SetMapAux::new().syms(vec![syms]);
    server
        .connection
        .xkb_set_map(
            server.keyboard,
            xkb::SetMapFlags::from(0u16),
            setup.min_keycode,
            setup.max_keycode,
            0,
            0,
            keycode,
            1,
            key.syms.len() as u16,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            xkb::VMod::from(0u16),
            &values,
        )
        .map_err(gone)?
        .check()
        .map_err(gone)
}
