//! Which key, with which modifiers, gives which character: the keyboard map without the server.

use std::collections::HashMap;

use xkeysym::Keysym;

/// Real modifiers by their bits.
pub(crate) const SHIFT: u8 = 1;
pub(crate) const LOCK: u8 = 2;
pub(crate) const CONTROL: u8 = 4;
/// Num Lock by convention: it changes nothing that is typed here.
pub(crate) const NUM: u8 = 16;

/// `NoSymbol`.
pub(crate) const NONE: u32 = 0;
const ISO_LEVEL3_SHIFT: u32 = 0xfe03;
/// Keys of the number pad give characters too, but which depends on Num Lock.
const KEYPAD: std::ops::RangeInclusive<u32> = 0xff80..=0xffbd;

/// How the modifiers choose a level of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Type {
    /// The modifiers that it looks at.
    pub(crate) mask: u8,
    pub(crate) levels: u8,
    /// Modifiers, and the level that they choose; any others choose the first.
    pub(crate) map: Vec<(u8, u8)>,
}

impl Type {
    fn level(&self, modifiers: u8) -> usize {
        let looked_at = modifiers & self.mask;
        let entry = self.map.iter().find(|(mods, _)| *mods == looked_at);
        entry.map_or(0, |&(_, level)| usize::from(level))
    }
}

/// What one key gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySyms {
    /// The type of each group, by number.
    pub(crate) types: [u8; 4],
    /// The number of groups, and what is done with one beyond it, as the protocol packs them.
    pub(crate) group_info: u8,
    /// Symbols for each group.
    pub(crate) width: u8,
    pub(crate) syms: Vec<u32>,
}

impl KeySyms {
    /// The group that counts where `group` is in effect.
    fn group(&self, group: u8) -> Option<usize> {
        let groups = self.group_info & 0x0f;
        let group = match groups {
            0 => return None,
            _ if group < groups => group,
            _ => match self.group_info & 0xc0 {
                0x40 => groups - 1,
                0x80 => ((self.group_info >> 4) & 3) % groups,
                _ => group % groups,
            },
        };
        Some(usize::from(group))
    }

    fn at(&self, group: usize, level: usize) -> u32 {
        let at = group * usize::from(self.width) + level;
        let there = level < usize::from(self.width);
        self.syms.get(at).copied().filter(|_| there).unwrap_or(NONE)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.syms.iter().all(|&sym| sym == NONE)
    }
}

/// A key to press, with modifiers to hold meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stroke {
    pub(crate) keycode: u8,
    /// For a character, of [`SHIFT`] and the third level's.
    pub(crate) modifiers: u8,
}

/// The keyboard map of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) first: u8,
    /// From `first` on.
    pub(crate) keys: Vec<KeySyms>,
    pub(crate) types: Vec<Type>,
    /// The modifiers that each key sets, by key code.
    pub(crate) modifiers: HashMap<u8, u8>,
}

impl Layout {
    pub(crate) fn key(&self, keycode: u8) -> Option<&KeySyms> {
        self.keys.get(usize::from(keycode.checked_sub(self.first)?))
    }

    pub(crate) fn keycodes(&self) -> impl Iterator<Item = (u8, &KeySyms)> {
        (self.first..=255).zip(&self.keys)
    }

    /// The symbol of a key where `group` is in effect and `modifiers` are down.
    pub(crate) fn sym(&self, keycode: u8, group: u8, modifiers: u8) -> u32 {
        let Some(key) = self.key(keycode) else {
            return NONE;
        };
        let Some(group) = key.group(group) else {
            return NONE;
        };
        let a_type = self.types.get(usize::from(key.types[group]));
        key.at(group, a_type.map_or(0, |a_type| a_type.level(modifiers)))
    }

    /// The modifier of the third level, if a key sets it.
    pub(crate) fn level3(&self) -> Option<u8> {
        self.holders(None).find_map(|(keycode, mods)| {
            let syms = self.key(keycode)?;
            (syms.at(0, 0) == ISO_LEVEL3_SHIFT).then_some(mods)
        })
    }

    /// The keys that set `modifier` and nothing else.
    pub(crate) fn keys_of(&self, modifier: u8) -> impl Iterator<Item = u8> {
        let third = self.level3() == Some(modifier);
        self.holders(Some(modifier))
            .map(|(keycode, _)| keycode)
            .filter(move |&keycode| {
                let first = self.key(keycode).map_or(NONE, |key| key.at(0, 0));
                !third || first == ISO_LEVEL3_SHIFT
            })
    }

    fn holders(&self, modifier: Option<u8>) -> impl Iterator<Item = (u8, u8)> {
        let mut holders: Vec<_> = self.modifiers.iter().map(|(&k, &m)| (k, m)).collect();
        holders.sort_unstable();
        holders
            .into_iter()
            .filter(move |&(_, mods)| modifier.is_none_or(|modifier| modifier == mods))
    }

    /// The number of a type with four levels, chosen by Shift and the third level alone, or else of
    /// one with two; and how many levels.
    pub(crate) fn spare_type(&self) -> Option<(u8, u8)> {
        let fits = |levels: u8| {
            let strokes = self.level_modifiers(levels);
            let known = self.types.iter().position(|a_type| {
                let chosen = strokes.iter().map(|&mods| a_type.level(mods));
                a_type.mask & LOCK == 0 && a_type.levels == levels && chosen.eq(0..strokes.len())
            })?;
            Some((u8::try_from(known).ok()?, levels))
        };
        let four = self.level3().and_then(|_| fits(4));
        four.or_else(|| fits(2))
    }

    /// The modifiers for each level of such a type.
    pub(crate) fn level_modifiers(&self, levels: u8) -> Vec<u8> {
        let third = self.level3().unwrap_or(0);
        let mut all = vec![0, SHIFT, third, third | SHIFT];
        all.truncate(usize::from(levels));
        all
    }

    /// The characters and other symbols that the keys give in `group` while `locked` modifiers
    /// are on, each with the fewest modifiers; no key that is `taken`.
    pub(crate) fn strokes(&self, group: u8, locked: u8, taken: impl Fn(u8) -> bool) -> Strokes {
        let mut strokes = Strokes::default();
        let can_hold = |modifier: &u8| self.keys_of(*modifier).next().is_some();
        let third = self.level3().filter(can_hold);
        let mut sets = vec![0, SHIFT];
        sets.extend(third.into_iter().flat_map(|third| [third, third | SHIFT]));
        for modifiers in sets {
            for (keycode, key) in self.keycodes().filter(|&(keycode, _)| !taken(keycode)) {
                let Some(group) = key.group(group) else {
                    continue;
                };
                let a_type = self.types.get(usize::from(key.types[group]));
                if a_type.is_some_and(|a_type| a_type.mask & NUM != 0) {
                    continue;
                }
                let level = a_type.map_or(0, |a_type| a_type.level(modifiers | locked));
                let sym = key.at(group, level);
                if sym == NONE || KEYPAD.contains(&sym) {
                    continue;
                }
                let stroke = Stroke { keycode, modifiers };
                strokes.syms.entry(sym).or_insert(stroke);
                if let Some(char) = character(sym) {
                    strokes.chars.entry(char).or_insert(stroke);
                }
            }
        }
        strokes
    }
}

/// What can be typed with the keys as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strokes {
    pub(crate) chars: HashMap<char, Stroke>,
    pub(crate) syms: HashMap<u32, Stroke>,
}

/// The character that a symbol stands for.
pub(crate) fn character(sym: u32) -> Option<char> {
    Keysym::new(sym).key_char().filter(|c| !c.is_control())
}

/// The symbol for a character on a spare key: every program knows those of Latin-1 and the ones
/// that are made of Unicode's number.
pub(crate) fn symbol(char: char) -> u32 {
    match u32::from(char) {
        latin @ (0x20..=0x7e | 0xa0..=0xff) => latin,
        other => 0x0100_0000 | other,
    }
}
