//! A keyboard map, read as far as telling which character a key gives. No input or output.
//!
//! The format is that of libxkbcommon ("The XKB keymap text format, V1"), as a compositor hands it
//! to windows: every include resolved. Two levels of the first group are enough for a map of ours.

use std::collections::HashMap;
use std::sync::OnceLock;

use xkeysym::Keysym;

/// Real modifiers, which every map counts alike.
const SHIFT: u32 = 1;
const LOCK: u32 = 2;

/// What the keys give: nothing, until a map has been read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// By the kernel's code: symbols without and with Shift.
    keys: HashMap<u32, [Option<char>; 2]>,
}

impl Reading {
    /// Reads a map; what is not understood in it gives nothing.
    pub(super) fn of(map: &str) -> Self {
        let section = |name: &str| map.split_once(name).map_or("", |(_, rest)| rest);
        let codes: HashMap<&str, u32> = section("xkb_keycodes")
            .lines()
            .take_while(|line| !line.contains("xkb_types"))
            .filter_map(code)
            .collect();
        let mut keys = HashMap::new();
        // A key ends with `};` even where it goes over several lines.
        for key in section("xkb_symbols").split("key <").skip(1) {
            let Some((name, rest)) = key.split_once('>') else {
                continue;
            };
            let Some(&code) = codes.get(name) else {
                continue;
            };
            keys.insert(code, symbols(rest.split("};").next().unwrap_or_default()));
        }
        Reading { keys }
    }

    /// The character of a key, by the kernel's code, with these modifiers.
    pub(super) fn character(&self, code: u32, modifiers: u32) -> Option<char> {
        let [plain, shifted] = *self.keys.get(&code)?;
        let is_letter = plain.is_some_and(char::is_alphabetic);
        let locks = is_letter && modifiers & LOCK != 0;
        if (modifiers & SHIFT != 0) != locks {
            return shifted.or(plain);
        }
        plain
    }
}

/// `<K10> = 10;`; the kernel counts eight less.
fn code(line: &str) -> Option<(&str, u32)> {
    let (name, code) = line.trim().strip_prefix('<')?.split_once('>')?;
    let code = code.trim().strip_prefix('=')?.trim().strip_suffix(';')?;
    Some((name, code.trim().parse::<u32>().ok()?.checked_sub(8)?))
}

/// The first two symbols of a key: `[ a, A ]`, or `type= "…", symbols[1]= [ a, A ]`.
fn symbols(key: &str) -> [Option<char>; 2] {
    let list = match key.split_once("symbols[") {
        Some((_, rest)) => rest.split_once('=').map_or("", |(_, list)| list),
        None => key,
    };
    let list = list.split_once('[').map_or("", |(_, list)| list);
    let mut names = list.split(']').next().unwrap_or_default().split(',');
    let mut next = || character(names.next()?.trim());
    [next(), next()]
}

fn character(name: &str) -> Option<char> {
    static NAMES: OnceLock<HashMap<&str, Keysym>> = OnceLock::new();
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    if let Some(char) = name.strip_prefix('U').and_then(number) {
        return char::from_u32(char);
    }
    if let Some(sym) = name.strip_prefix("0x").and_then(number) {
        return Keysym::new(sym).key_char();
    }
    // Symbols of old have sixteen bits; some of those that are made of Unicode's number have names
    // as well.
    let names = NAMES.get_or_init(|| {
        let named = |sym: u32| Some((Keysym::new(sym).name()?, Keysym::new(sym)));
        let bare = |(name, sym): (&'static str, _)| (name.trim_start_matches("XK_"), sym);
        (0..=0xffff)
            .chain(0x0100_0000..=0x0102_ffff)
            .filter_map(named)
            .map(bare)
            .collect()
    });
    names.get(name)?.key_char().filter(|it| !it.is_control())
}

#[cfg(test)]
mod tests {
    use super::super::super::keymap::Keymap;
    use super::*;

    #[test]
    fn a_map_is_read_as_libxkbcommon_writes_it() {
        let map = "xkb_keymap {\nxkb_keycodes \"x\" {\n\tminimum = 8;\n\t<AD01> = 24;\n\t<AE01> = 10;\n\t<AC10> = 47;\n\talias <X> = <AE01>;\n};\nxkb_types \"x\" {\n\ttype \"A\" {\n\t\tlevel_name[1]= \"Base\";\n\t};\n};\nxkb_symbols \"x\" {\n\tname[1]=\"x\";\n\tkey <AE01>               {\t[ 1, exclam ] };\n\tkey <AD01> {\n\t\ttype= \"ALPHABETIC\",\n\t\tsymbols[1]= [ adiaeresis, Adiaeresis ]\n\t};\n\tkey <AC10> {\t[ U1F600, combining_acute ] };\n\tmodifier_map Shift { <LFSH> };\n};\n};\n";
        let reading = Reading::of(map);
        for (code, modifiers, wanted) in [
            (2, 0, Some('1')),
            (2, SHIFT, Some('!')),
            (2, LOCK, Some('1')),
            (16, 0, Some('ä')),
            (16, SHIFT, Some('Ä')),
            (16, LOCK, Some('Ä')),
            (16, LOCK | SHIFT, Some('ä')),
            (39, 0, Some('😀')),
            (39, SHIFT, Some('\u{301}')),
            (40, 0, None),
        ] {
            assert_eq!(
                reading.character(code, modifiers),
                wanted,
                "{code} {modifiers}"
            );
        }
    }

    #[test]
    fn a_map_of_ours_gives_what_it_was_made_for() {
        let text: Vec<char> = "Zoë, 100 % Ω Жя 你好 €".chars().collect();
        let mut keymap = Keymap::default();
        keymap.fit(&text);
        let reading = Reading::of(&keymap.text());
        for &char in &text {
            let stroke = keymap.stroke(char).expect("it has been fitted");
            let modifiers = if stroke.shift { SHIFT } else { 0 };
            assert_eq!(
                reading.character(stroke.code, modifiers),
                Some(char),
                "{char}"
            );
        }
    }

    #[test]
    fn what_is_no_map_gives_nothing() {
        for map in [
            "",
            "xkb_keycodes",
            "xkb_symbols { key <A> { [",
            "<A> = 7; key <A>",
        ] {
            assert_eq!(Reading::of(map).character(30, 0), None, "{map}");
        }
    }
}
