//! Text from outside on its way to a terminal: harmless characters, and how many columns they
//! take. No input or output.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar as _;

/// `text` with nothing in it that moves the cursor, changes colours or turns the direction of
/// writing: white space becomes a space, the rest U+FFFD. Also keeps it on one line.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| harmless(c) != c) {
        return Cow::Borrowed(text);
    }
    text.chars().map(harmless).collect()
}

/// Columns that `text` takes, at most: terminals differ over joined emoji, and a line that is
/// too short is better than one that wraps.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

/// The longest end of `text` that fits into `room` columns and does not begin within a character
/// of several parts.
pub(crate) fn tail(text: &str, room: usize) -> &str {
    let mut taken = 0;
    let mut from = text.len();
    for (index, c) in text.char_indices().rev() {
        taken += char_columns(c);
        if taken > room {
            break;
        }
        // A mark alone belongs to the character before it.
        if char_columns(c) > 0 && c != EMOJI_PRESENTATION {
            from = index;
        }
    }
    if taken <= room { text } else { &text[from..] }
}

/// Makes the character before it an emoji, which takes one column more than that character.
const EMOJI_PRESENTATION: char = '\u{fe0f}';

fn char_columns(c: char) -> usize {
    if c == EMOJI_PRESENTATION {
        return 1;
    }
    c.width().unwrap_or(0)
}

fn harmless(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        // Marks and overrides of the direction of writing (UAX 9).
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_pass() {
        for (text, expected) in [
            ("plain text, naïve 語", "plain text, naïve 語"),
            ("two\nlines\tand\rmore", "two lines and more"),
            ("\u{1b}[31mred\u{7}", "\u{fffd}[31mred\u{fffd}"),
            ("\u{9b}2J", "\u{fffd}2J"),
            ("\u{7f}", "\u{fffd}"),
            ("a\u{202e}b\u{2066}", "a\u{fffd}b\u{fffd}"),
            ("line\u{2028}line", "line line"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn tails_fit_and_begin_with_a_whole_character() {
        for (text, room, expected) in [
            ("hello", 9, "hello"),
            ("hello", 5, "hello"),
            ("hello", 3, "llo"),
            ("hello", 0, ""),
            ("", 0, ""),
            // Wide characters take two columns and are never halved.
            ("日本語", 6, "日本語"),
            ("日本語", 5, "本語"),
            ("日本語", 1, ""),
            // e with a combining accent is one character.
            ("caffe\u{301}", 1, "e\u{301}"),
            ("cafe\u{301}s", 1, "s"),
            // A heart made an emoji takes two columns.
            ("a❤\u{fe0f}", 2, "❤\u{fe0f}"),
            ("a❤\u{fe0f}", 1, ""),
        ] {
            let found = tail(text, room);
            assert_eq!(found, expected, "{text:?} in {room}");
            assert!(columns(found) <= room, "{text:?} in {room}");
        }
    }
}
