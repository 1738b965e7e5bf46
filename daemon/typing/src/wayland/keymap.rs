//! A keyboard map of our own: which key gives which character. No input or output.
//!
//! Characters of a US keyboard are where they are there, so that programs which look at key codes
//! see what a user would press. Others take places whose characters the text does not need. Only
//! keys are used that nobody binds anything to.

use std::collections::HashMap;
use std::fmt::Write as _;

/// How a key is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stroke {
    /// The kernel's code.
    pub(super) code: u32,
    /// With Shift.
    pub(super) shift: bool,
}

/// Keys by the kernel's codes, and what a US keyboard gives without and with Shift.
const TYPEWRITER: [(u32, char, char); 48] = [
    (2, '1', '!'),
    (3, '2', '@'),
    (4, '3', '#'),
    (5, '4', '$'),
    (6, '5', '%'),
    (7, '6', '^'),
    (8, '7', '&'),
    (9, '8', '*'),
    (10, '9', '('),
    (11, '0', ')'),
    (12, '-', '_'),
    (13, '=', '+'),
    (16, 'q', 'Q'),
    (17, 'w', 'W'),
    (18, 'e', 'E'),
    (19, 'r', 'R'),
    (20, 't', 'T'),
    (21, 'y', 'Y'),
    (22, 'u', 'U'),
    (23, 'i', 'I'),
    (24, 'o', 'O'),
    (25, 'p', 'P'),
    (26, '[', '{'),
    (27, ']', '}'),
    (30, 'a', 'A'),
    (31, 's', 'S'),
    (32, 'd', 'D'),
    (33, 'f', 'F'),
    (34, 'g', 'G'),
    (35, 'h', 'H'),
    (36, 'j', 'J'),
    (37, 'k', 'K'),
    (38, 'l', 'L'),
    (39, ';', ':'),
    (40, '\'', '"'),
    (41, '`', '~'),
    (43, '\\', '|'),
    (44, 'z', 'Z'),
    (45, 'x', 'X'),
    (46, 'c', 'C'),
    (47, 'v', 'V'),
    (48, 'b', 'B'),
    (49, 'n', 'N'),
    (50, 'm', 'M'),
    (51, ',', '<'),
    (52, '.', '>'),
    (53, '/', '?'),
    // Beside the left Shift.
    (86, '\0', '\0'),
];

/// Keys of keyboards for Japanese and Portuguese, and codes that no key has.
const SPARE: [u32; 15] = [
    84, 89, 90, 91, 92, 93, 94, 95, 124, 195, 196, 197, 198, 199, 212,
];

/// Keys that give no character: code, symbol.
const OTHERS: [(u32, &str); 6] = [
    (RETURN, "Return"),
    (TAB, "Tab"),
    (BACK_SPACE, "BackSpace"),
    (INSERT, "Insert"),
    (42, "Shift_L"),
    (29, "Control_L"),
];
pub(super) const RETURN: u32 = 28;
pub(super) const TAB: u32 = 15;
pub(super) const BACK_SPACE: u32 = 14;
pub(super) const INSERT: u32 = 110;
const SPACE: u32 = 57;

#[derive(Clone, Debug)]
struct Place {
    stroke: Stroke,
    char: Option<char>,
    /// The last text that had its character.
    used: u64,
}

/// What becomes of the map for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// Of how many characters it has the keys.
    pub(super) reach: usize,
    pub(super) changed: bool,
    /// A character of the text before is not there any more.
    pub(super) takes_away: bool,
}

/// Which characters the keys give.
#[derive(Clone, Debug)]
pub(super) struct Keymap {
    /// Two places on each key, without and with Shift.
    places: Vec<Place>,
    /// Counts texts.
    texts: u64,
    by_char: HashMap<char, usize>,
    natural: HashMap<char, usize>,
}

impl Default for Keymap {
    fn default() -> Self {
        let keys = TYPEWRITER.iter().copied();
        let spare = SPARE.iter().map(|&code| (code, '\0', '\0'));
        let mut keymap = Keymap {
            places: Vec::new(),
            texts: 0,
            by_char: HashMap::new(),
            natural: HashMap::new(),
        };
        for (code, plain, shifted) in keys.chain(spare) {
            for (char, shift) in [(plain, false), (shifted, true)] {
                let place = keymap.places.len();
                let char = (char != '\0').then_some(char);
                let stroke = Stroke { code, shift };
                keymap.places.push(Place {
                    stroke,
                    char,
                    used: 0,
                });
                if let Some(char) = char {
                    keymap.natural.insert(char, place);
                    keymap.by_char.insert(char, place);
                }
            }
        }
        keymap
    }
}

impl Keymap {
    /// How a character is typed, if the map has it.
    pub(super) fn stroke(&self, char: char) -> Option<Stroke> {
        if char == ' ' {
            return Some(Stroke {
                code: SPACE,
                shift: false,
            });
        }
        self.by_char
            .get(&char)
            .map(|&place| self.places[place].stroke)
    }

    /// Makes the map have the characters at the beginning of `text`. What was used longest ago
    /// makes room, since a program may look a key up late.
    pub(super) fn fit(&mut self, text: &[char]) -> Fit {
        let mut wanted: Vec<char> = Vec::new();
        let mut fit = Fit {
            reach: text.len(),
            changed: false,
            takes_away: false,
        };
        for (at, &char) in text.iter().enumerate() {
            if char == ' ' || wanted.contains(&char) {
                continue;
            }
            if wanted.len() == self.places.len() {
                fit.reach = at;
                break;
            }
            wanted.push(char);
        }
        let before = self.texts;
        self.texts += 1;
        for &char in &wanted {
            let place = match self.by_char.get(&char) {
                Some(&place) => place,
                None => {
                    let place = self.place_for(char, &wanted);
                    fit.changed = true;
                    fit.takes_away |= before > 0 && self.places[place].used == before;
                    self.put(place, char);
                    place
                }
            };
            self.places[place].used = self.texts;
        }
        fit
    }

    /// Its own place, or an empty one, or that of the character that was wanted longest ago.
    fn place_for(&self, char: char, wanted: &[char]) -> usize {
        let is_free = |place: &Place| place.char.is_none_or(|there| !wanted.contains(&there));
        let natural = self.natural.get(&char).copied();
        let empty = || self.places.iter().position(|place| place.char.is_none());
        let oldest = || {
            let free = self.places.iter().enumerate().filter(|(_, it)| is_free(it));
            free.min_by_key(|(_, it)| it.used).map(|(at, _)| at)
        };
        natural
            .filter(|&place| is_free(&self.places[place]))
            .or_else(empty)
            .or_else(oldest)
            .expect("there are as many places as wanted characters")
    }

    fn put(&mut self, place: usize, char: char) {
        if let Some(before) = self.places[place].char.replace(char) {
            self.by_char.remove(&before);
        }
        self.by_char.insert(char, place);
    }

    /// The map as libxkbcommon reads it. It includes nothing, and has the four types that an X
    /// server insists on.
    pub(super) fn text(&self) -> String {
        let mut codes = String::new();
        let mut symbols = String::new();
        let mut key = |code: u32, of: &str| {
            // Protocols count eight more than the kernel.
            let _ = writeln!(codes, "<K{code}> = {};", code + 8);
            let _ = writeln!(symbols, "key <K{code}> {{ {of} }};");
        };
        for pair in self.places.chunks_exact(2) {
            let symbol = |place: &Place| match place.char {
                Some(char) => format!("U{:04X}", u32::from(char)),
                None => "NoSymbol".to_owned(),
            };
            let (plain, shifted) = (symbol(&pair[0]), symbol(&pair[1]));
            key(
                pair[0].stroke.code,
                &format!("type = \"TWO_LEVEL\", symbols[Group1] = [ {plain}, {shifted} ]"),
            );
        }
        for (code, symbol) in [(SPACE, "space")].iter().chain(&OTHERS) {
            key(
                *code,
                &format!("type = \"ONE_LEVEL\", symbols[Group1] = [ {symbol} ]"),
            );
        }
        format!(
            "xkb_keymap {{
xkb_keycodes \"wstream\" {{
minimum = 8;
maximum = 255;
{codes}}};
xkb_types \"wstream\" {{
virtual_modifiers NumLock;
type \"ONE_LEVEL\" {{ modifiers = none; level_name[Level1] = \"Any\"; }};
type \"TWO_LEVEL\" {{ modifiers = Shift; map[Shift] = Level2; level_name[Level1] = \"Base\"; level_name[Level2] = \"Shift\"; }};
type \"ALPHABETIC\" {{ modifiers = Shift+Lock; map[Shift] = Level2; map[Lock] = Level2; level_name[Level1] = \"Base\"; level_name[Level2] = \"Caps\"; }};
type \"KEYPAD\" {{ modifiers = Shift+NumLock; map[Shift] = Level2; map[NumLock] = Level2; level_name[Level1] = \"Base\"; level_name[Level2] = \"Number\"; }};
}};
xkb_compatibility \"wstream\" {{
interpret Any+AnyOf(all) {{ action = SetMods(modifiers = modMapMods, clearLocks); }};
}};
xkb_symbols \"wstream\" {{
name[Group1] = \"wstream\";
{symbols}modifier_map Shift {{ <K42> }};
modifier_map Control {{ <K29> }};
}};
}};
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn what_a_us_keyboard_has_is_where_it_is_there() {
        let mut keymap = Keymap::default();
        let fit = keymap.fit(&chars("Hello, \"x\" ~"));
        assert_eq!((fit.reach, fit.changed, fit.takes_away), (12, false, false));
        for (char, code, shift) in [
            ('a', 30, false),
            ('A', 30, true),
            ('"', 40, true),
            (' ', 57, false),
        ] {
            assert_eq!(keymap.stroke(char), Some(Stroke { code, shift }), "{char}");
        }
        assert_eq!(keymap.stroke('ä'), None);
    }

    #[test]
    fn every_character_of_a_text_has_a_place_of_its_own() {
        let mut keymap = Keymap::default();
        for text in [
            "wörld — 你好 😀",
            "Съешь же ещё этих мягких французских булок, да выпей чаю",
            "Hello, wörld",
        ] {
            let text = chars(text);
            assert_eq!(keymap.fit(&text).reach, text.len());
            let mut seen: HashMap<(u32, bool), char> = HashMap::new();
            for &char in &text {
                let stroke = keymap.stroke(char).expect("it has been fitted");
                let there = seen.insert((stroke.code, stroke.shift), char);
                assert!(there.is_none_or(|there| there == char), "{char}");
            }
            assert!(!keymap.fit(&text).changed, "the second time it is there");
        }
    }

    #[test]
    fn what_does_not_fit_at_once_comes_in_batches() {
        let mut keymap = Keymap::default();
        let text: Vec<char> = (0..300)
            .filter_map(|it| char::from_u32(0x4e00 + it))
            .collect();
        let mut at = 0;
        let mut batches = 0;
        while at < text.len() {
            let fit = keymap.fit(&text[at..]);
            assert!(fit.changed && fit.reach > 0);
            assert_eq!(fit.takes_away, at > 0);
            for &char in &text[at..at + fit.reach] {
                assert!(keymap.stroke(char).is_some());
            }
            at += fit.reach;
            batches += 1;
        }
        assert_eq!(batches, 3);
        // Then letters are where they were.
        assert!(keymap.fit(&chars("a")).changed);
        assert_eq!(keymap.stroke('a').map(|it| it.code), Some(30));
    }

    #[test]
    fn what_was_just_typed_stays_as_long_as_there_is_room() {
        let mut keymap = Keymap::default();
        for text in [
            "Съешь же ещё этих мягких",
            "Ξεσκεπάζω τὴν ψυχοφθόρα",
            "zażółć",
        ] {
            assert!(!keymap.fit(&chars(text)).takes_away, "{text}");
        }
        assert!(keymap.stroke('ж').is_some());
    }

    #[test]
    fn a_map_names_each_key_once() {
        let mut keymap = Keymap::default();
        keymap.fit(&chars("ä😀"));
        let text = keymap.text();
        assert!(text.contains("U00E4") && text.contains("U1F600"));
        let names = text.lines().filter(|line| line.starts_with("<K"));
        let mut names: Vec<&str> = names.collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
