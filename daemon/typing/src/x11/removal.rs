//! How many keys take a text away again: without a server.
//!
//! BackSpace removes a code point in Qt and in the kernel's line editing; a whole character as the
//! user sees it, or only its last mark, by script and version, in GTK; and a code point with what
//! has no width of its own behind it in readline. Where these differ, the text is selected first.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthChar as _;

/// A stretch of a text that is removed in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stretch<'a> {
    /// BackSpace for each code point.
    Plain(&'a str),
    /// What programs do not agree about.
    Disputed(&'a str),
}

/// Cuts a text, from its end to its beginning.
pub(crate) fn stretches(text: &str) -> Vec<Stretch<'_>> {
    let mut stretches: Vec<(bool, usize)> = Vec::new();
    for (start, grapheme) in text.grapheme_indices(true) {
        let plain = is_plain(grapheme);
        if stretches.last().is_none_or(|&(before, _)| before != plain) {
            stretches.push((plain, start));
        }
    }
    let ends = stretches.iter().skip(1).map(|&(_, start)| start);
    let ends: Vec<usize> = ends.chain([text.len()]).collect();
    let cut = stretches.iter().zip(ends).map(|(&(plain, start), end)| {
        let stretch = &text[start..end];
        if plain {
            Stretch::Plain(stretch)
        } else {
            Stretch::Disputed(stretch)
        }
    });
    let mut cut: Vec<_> = cut.collect();
    cut.reverse();
    cut
}

/// One code point that BackSpace removes whole everywhere: tried with GTK 3 and 4, which take some
/// characters apart before they remove a mark.
fn is_plain(grapheme: &str) -> bool {
    let mut chars = grapheme.chars();
    let (Some(char), None) = (chars.next(), chars.next()) else {
        return false;
    };
    matches!(u32::from(char),
        0x20..=0x24f            // Latin
        | 0x1e00..=0x1eff       // more of it
        | 0x370..=0x3ff | 0x1f00..=0x1fff // Greek
        | 0x400..=0x482 | 0x48a..=0x52f // Cyrillic
        | 0x5d0..=0x5ea         // Hebrew letters
        | 0x621..=0x64a         // Arabic letters
        | 0x2010..=0x2027 | 0x2030..=0x205e | 0x20a0..=0x20bf // punctuation, currencies
        | 0x3001..=0x3029 | 0x3041..=0x3096 | 0x30a1..=0x30ff // Japanese
        | 0x3400..=0x9fff       // Chinese characters
        | 0xac00..=0xd7a3       // Korean syllables
        | 0xff01..=0xff5e       // wide forms
        | 0x1f300..=0x1f3fa | 0x1f400..=0x1f64f | 0x1f680..=0x1f6ff | 0x1f900..=0x1f9ff // pictures
    )
}

/// How often BackSpace removes a text in a terminal: by code points in the kernel's line editing,
/// else as readline does, with what has no width.
pub(crate) fn in_terminal(text: &str, kernel_edits: bool) -> u32 {
    let counts = |char: &char| kernel_edits || char.width() != Some(0);
    text.chars().filter(counts).count() as u32
}

/// Whether it makes a difference who edits the line of a terminal.
pub(crate) fn depends_on_editor(text: &str) -> bool {
    in_terminal(text, true) != in_terminal(text, false)
}

/// Whether a text runs from right to left where it begins to run anywhere.
pub(crate) fn right_to_left(text: &str) -> bool {
    let strong = text.chars().find(|char| char.is_alphabetic());
    strong.is_some_and(|char| matches!(u32::from(char), 0x590..=0x8ff | 0xfb1d..=0xfefc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_do_not_agree_about_is_set_apart() {
        use Stretch::{Disputed, Plain};
        let cases: [(&str, &[Stretch<'_>]); 7] = [
            ("", &[]),
            ("Hello, wörld", &[Plain("Hello, wörld")]),
            ("e\u{301}", &[Disputed("e\u{301}")]),
            (
                "ab\u{301}c",
                &[Plain("c"), Disputed("b\u{301}"), Plain("a")],
            ),
            ("a≠", &[Disputed("≠"), Plain("a")]),
            ("x 👍🏽👍", &[Plain("👍"), Disputed("👍🏽"), Plain("x ")]),
            ("\u{301}a", &[Plain("a"), Disputed("\u{301}")]),
        ];
        for (text, wanted) in cases {
            assert_eq!(stretches(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_terminal_counts_by_who_edits_the_line() {
        for (text, kernel, readline) in [
            ("Hello", 5, 5),
            ("e\u{301}", 2, 1),
            ("❤\u{fe0f}", 2, 1),
            ("你好", 2, 2),
        ] {
            assert_eq!(in_terminal(text, true), kernel, "{text}");
            assert_eq!(in_terminal(text, false), readline, "{text}");
            assert_eq!(depends_on_editor(text), kernel != readline, "{text}");
        }
    }

    #[test]
    fn direction_is_that_of_the_first_letter() {
        for (text, wanted) in [("12 مُحَمَّد", true), ("a مُ", false), ("שָׁ", true), ("…", false)]
        {
            assert_eq!(right_to_left(text), wanted, "{text}");
        }
    }
}
