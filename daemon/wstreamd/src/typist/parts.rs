//! What of a text may be typed, and as what. No input or output.

use wstream_typing::{Key, Purpose};

/// What may go out beside plain characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Line breaks, as Return.
    pub(super) newlines: bool,
    /// Tabulators, as Tab.
    pub(super) tabs: bool,
    /// Return in terminals, where it runs what stands there.
    pub(super) enter_in_terminals: bool,
}

/// A piece of a text on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Key(Key),
}

impl Allowed {
    /// Whether a key may be pressed in a field of this purpose.
    pub(super) fn key(self, key: Key, purpose: Purpose) -> bool {
        key != Key::Return || purpose != Purpose::Terminal || self.enter_in_terminals
    }

    /// Takes a text apart. Line breaks and tabulators that may not go out become spaces, other
    /// control characters go, and so do the marks that change the direction of what follows them,
    /// with which a text can look like another one.
    pub(super) fn parts(self, text: &str, purpose: Purpose) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            let key = match char {
                '\r' if chars.peek() == Some(&'\n') => continue,
                '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => {
                    (self.newlines && self.key(Key::Return, purpose)).then_some(Key::Return)
                }
                '\t' => self.tabs.then_some(Key::Tab),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => continue,
                char if char.is_control() => continue,
                char => {
                    plain.push(char);
                    continue;
                }
            };
            match key {
                Some(key) => {
                    flush(&mut plain, &mut parts);
                    parts.push(Part::Key(key));
                }
                None if plain.ends_with(' ') || chars.peek() == Some(&' ') => {}
                None => plain.push(' '),
            }
        }
        flush(&mut plain, &mut parts);
        parts
    }
}

fn flush(plain: &mut String, parts: &mut Vec<Part>) {
    if !plain.is_empty() {
        parts.push(Part::Text(std::mem::take(plain)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Allowed = Allowed {
        newlines: true,
        tabs: true,
        enter_in_terminals: false,
    };

    fn shown(parts: Vec<Part>) -> String {
        let shown = parts.into_iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Key(key) => format!("<{key:?}>"),
        });
        shown.collect()
    }

    #[test]
    fn only_what_is_allowed_goes_out() {
        for (allowed, purpose, text, expected) in [
            (ALL, Purpose::Text, "one\n\ttwo", "one<Return><Tab>two"),
            (ALL, Purpose::Terminal, "one\ntwo\t", "one two<Tab>"),
            (
                Allowed::default(),
                Purpose::Text,
                "one\r\n two\tx",
                "one two x",
            ),
            (
                Allowed::default(),
                Purpose::Text,
                "a\u{1b}[31m\0b\u{7f}\u{9b}c",
                "a[31mbc",
            ),
            (ALL, Purpose::Text, "x\u{202e}evil\u{2066}", "xevil"),
            (ALL, Purpose::Text, "é 你好 👩‍👩‍👧", "é 你好 👩‍👩‍👧"),
            (ALL, Purpose::Text, "\u{2028}", "<Return>"),
            (ALL, Purpose::Text, "", ""),
        ] {
            assert_eq!(shown(allowed.parts(text, purpose)), expected, "{text:?}");
        }
        let trusting = Allowed {
            enter_in_terminals: true,
            ..ALL
        };
        assert_eq!(
            shown(trusting.parts("ls\n", Purpose::Terminal)),
            "ls<Return>"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_control_character_ever_goes_out(text in "\\PC*|.*|[\\x00-\\xa0]*") {
            for part in ALL.parts(&text, Purpose::Terminal) {
                match part {
                    Part::Text(text) => proptest::prop_assert!(!text.contains(char::is_control)),
                    Part::Key(key) => proptest::prop_assert_ne!(key, Key::Return),
                }
            }
        }
    }
}
