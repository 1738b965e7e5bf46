//! The keyboard map without a server.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{KeySyms, LOCK, Layout, NONE, NUM, SHIFT, Stroke, Type};
use super::spares::Spares;

/// The modifier of the third level.
const THIRD: u8 = 128;
const SHIFT_KEY: u8 = 50;
const THIRD_KEY: u8 = 92;

fn types() -> Vec<Type> {
    let a_type = |mask, levels, map: &[(u8, u8)]| Type {
        mask,
        levels,
        map: map.to_vec(),
    };
    vec![
        a_type(0, 1, &[]),
        a_type(SHIFT, 2, &[(SHIFT, 1)]),
        a_type(SHIFT | LOCK, 2, &[(SHIFT, 1), (LOCK, 1)]),
        a_type(SHIFT | NUM, 2, &[(SHIFT, 1), (NUM, 1)]),
        a_type(
            SHIFT | THIRD,
            4,
            &[(SHIFT, 1), (THIRD, 2), (SHIFT | THIRD, 3)],
        ),
    ]
}

fn key(a_type: u8, groups: &[&[u32]]) -> KeySyms {
    let width = groups.iter().map(|syms| syms.len()).max().unwrap_or(0);
    let mut syms = Vec::new();
    for group in groups {
        syms.extend(*group);
        syms.resize(syms.len().next_multiple_of(width.max(1)), NONE);
    }
    let mut types = [0; 4];
    types[..groups.len()].fill(a_type);
    KeySyms {
        types,
        group_info: groups.len() as u8,
        width: width as u8,
        syms,
    }
}

/// A keyboard with the letter A in two groups, an at sign on the third level, a digit of the number
/// pad, a dead key, and `spare` keys that give nothing.
fn layout(spare: u8) -> Layout {
    let first = 8;
    let mut keys = vec![KeySyms::default(); usize::from(200 + spare)];
    for key in &mut keys {
        *key = self::key(0, &[&[0xff7f]]);
    }
    let mut put = |code: u8, key: KeySyms| keys[usize::from(code - first)] = key;
    put(38, key(2, &[&[0x61, 0x41], &[0x6c6, 0x6e6]]));
    put(24, key(4, &[&[0x71, 0x51, 0x40, NONE]]));
    put(90, key(3, &[&[0xff9e, 0xffb0]]));
    put(48, key(1, &[&[0xfe51, 0xfe50]]));
    put(SHIFT_KEY, key(0, &[&[0xffe1]]));
    put(THIRD_KEY, key(0, &[&[0xfe03]]));
    for spare in 0..spare {
        put(208 + spare, KeySyms::default());
    }
    Layout {
        first,
        keys,
        types: types(),
        modifiers: [(SHIFT_KEY, SHIFT), (THIRD_KEY, THIRD)].into(),
    }
}

#[test]
fn the_layouts_own_keys_give_what_is_in_the_current_group() {
    let layout = layout(2);
    let none = |_| false;
    let cases = [
        ('a', 0, 0, Some((38, 0))),
        ('A', 0, 0, Some((38, SHIFT))),
        ('@', 0, 0, Some((24, THIRD))),
        ('@', 1, 0, Some((24, THIRD))),
        ('ф', 0, 0, None),
        ('ф', 1, 0, Some((38, 0))),
        ('Ф', 1, 0, Some((38, SHIFT))),
        ('a', 1, 0, None),
        // With Caps Lock on, Shift gives what it gives with it.
        ('A', 0, LOCK, Some((38, 0))),
        // Neither the number pad nor a dead key.
        ('0', 0, 0, None),
        ('´', 0, 0, None),
    ];
    for (char, group, locked, wanted) in cases {
        let stroke = layout
            .strokes(group, locked, none)
            .chars
            .get(&char)
            .copied();
        let wanted = wanted.map(|(keycode, modifiers)| Stroke { keycode, modifiers });
        assert_eq!(stroke, wanted, "{char} in group {group}, locks {locked}");
    }
    let held = layout.strokes(0, 0, |keycode| keycode == 38);
    assert_eq!(held.chars.get(&'a'), None, "a key that is held");
}

/// What the keys of `layout` give after `changes`.
fn apply(layout: &mut Layout, changes: &BTreeMap<u8, KeySyms>) {
    for (keycode, key) in changes {
        layout.keys[usize::from(keycode - layout.first)] = key.clone();
    }
}

fn typed(layout: &Layout, spares: &Spares, text: &str) -> String {
    let mut typed = String::new();
    for char in text.chars() {
        let stroke = spares.stroke(char, |_| false).expect("it has a place");
        let level = layout.level_modifiers(4);
        let level = level.iter().position(|&mods| mods == stroke.modifiers);
        let key = layout.key(stroke.keycode).expect("there is such a key");
        let sym = key.syms[level.expect("a level")];
        typed.extend(xkeysym::Keysym::new(sym).key_char());
    }
    typed
}

#[test]
fn spare_keys_are_reused_only_when_that_is_said() {
    let mut layout = layout(2);
    let none = |_| false;
    let mut spares = Spares::of(&layout, &BTreeMap::new());
    assert_eq!(spares.room(none), 8);
    for (text, takes_away, keys) in [
        ("жзий", false, 1),
        ("жзиклм", false, 1),
        ("зж", false, 0),
        // Room for one more, then the ones that were used longest ago go.
        ("ж😀", false, 1),
        ("ξз", true, 1),
        ("αβγδεζηθ", true, 2),
        ("θηζεδγβα", false, 0),
    ] {
        let wanted: BTreeSet<char> = text.chars().collect();
        let changes = spares.give(&wanted, none);
        assert_eq!(changes.takes_away, takes_away, "{text}");
        assert_eq!(changes.keys.len(), keys, "{text}");
        apply(&mut layout, &changes.keys);
        assert_eq!(typed(&layout, &spares, text), text);
        // Read back, as after a notice of the change.
        let mut again = Spares::of(&layout, &spares.given());
        again.remember(&spares);
        assert_eq!(typed(&layout, &again, text), text);
        spares = again;
    }
    let lost = Spares::of(&layout, &BTreeMap::new());
    assert_eq!(lost.room(none), 0, "keys of somebody else stay as they are");
    let held = spares.room(|keycode| keycode == 208);
    assert_eq!(held, 4, "a key that is held cannot be pressed");
}
