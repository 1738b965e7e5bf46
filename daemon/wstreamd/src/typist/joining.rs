//! How a text goes on from what stands before it: spaces and capitals. No input or output.

use std::time::Duration;

/// What was typed longer ago than this tells nothing of what stands before the cursor now.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Words that begin no sentence by themselves, by language: where one follows an unfinished
/// sentence, its capital is the model's, which takes every utterance for a sentence. Only words
/// that are never names; German has no articles here, which could begin a heading.
const SMALL_WORDS: &[(&str, &[&str])] = &[
    (
        "en",
        &[
            "a", "an", "and", "as", "at", "because", "but", "by", "for", "from", "if", "in", "of",
            "on", "or", "so", "than", "that", "the", "then", "to", "when", "where", "which",
            "while", "who", "with",
        ],
    ),
    (
        "de",
        &[
            "aber", "als", "auf", "aus", "bei", "damit", "dass", "denn", "doch", "mit", "nach",
            "ob", "obwohl", "oder", "sondern", "und", "von", "weil", "wenn", "zu",
        ],
    ),
    (
        "fr",
        &[
            "au", "avec", "car", "chez", "dans", "de", "des", "donc", "du", "en", "et", "la", "le",
            "les", "mais", "ou", "où", "par", "parce", "pour", "que", "qui", "sans", "sur",
        ],
    ),
    (
        "es",
        &[
            "a", "al", "con", "cuando", "de", "del", "donde", "el", "en", "la", "las", "los", "o",
            "para", "pero", "por", "porque", "que", "si", "sin", "y",
        ],
    ),
    (
        "it",
        &[
            "a", "al", "che", "con", "da", "del", "della", "di", "dove", "e", "il", "in", "la",
            "le", "ma", "o", "per", "perché", "quando", "se",
        ],
    ),
    (
        "pt",
        &[
            "a", "as", "ao", "com", "da", "de", "do", "e", "em", "mas", "na", "no", "o", "onde",
            "os", "ou", "para", "por", "porque", "quando", "que", "se", "sem",
        ],
    ),
];

/// What stands before the cursor, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing is known.
    Unknown,
    /// This, which the program itself has told.
    Told(String),
    /// This was typed last into the same window, so long ago.
    Typed(String, Duration),
}

/// What goes in front of `text`, and `text` with the capital that belongs there.
pub(super) fn join(before: &Before, text: &str, language: &str) -> String {
    let text = text.trim_matches(' ');
    let before = match before {
        Before::Unknown => return text.to_owned(),
        Before::Typed(_, ago) if *ago > REMEMBERED => return text.to_owned(),
        Before::Told(before) | Before::Typed(before, _) => before,
    };
    let (Some(last), Some(first)) = (before.chars().last(), text.chars().next()) else {
        return text.to_owned();
    };
    let text = capital(before, text, language);
    if needs_space(last, first) {
        format!(" {text}")
    } else {
        text
    }
}

fn needs_space(last: char, first: char) -> bool {
    let is_open = |c: char| "([{<«‹“‘„‚¿¡/\\-–—_@#".contains(c);
    let hugs = |c: char| ".,;:!?%…)]}>»›”’'\"、。，．！？：；）」』".contains(c);
    !(last.is_whitespace()
        || first.is_whitespace()
        || is_open(last)
        || hugs(first)
        || (is_solid(last) && (is_solid(first) || first.is_numeric()))
        || (last.is_numeric() && is_solid(first)))
}

/// Scripts that have no spaces between words.
fn is_solid(c: char) -> bool {
    matches!(c,
        // Thai, Lao, Tibetan, Burmese, Khmer.
        '\u{0e00}'..='\u{0eff}' | '\u{0f00}'..='\u{0fff}' | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        // Punctuation, kana, ideographs, wide forms; not Hangul, which has spaces.
        | '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff01}'..='\u{ff60}' | '\u{20000}'..='\u{323af}')
}

/// Whether a sentence is over behind `before`.
fn is_over(before: &str) -> bool {
    let end = before.trim_end();
    let end = end.trim_end_matches(['"', '\'', ')', ']', '}', '”', '’', '»', '›']);
    end.is_empty()
        || before.ends_with('\n')
        || end.ends_with(['.', '!', '?', '…', '。', '！', '？', ':'])
}

fn capital(before: &str, text: &str, language: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    if is_over(before) {
        // An ellipsis may go on, and a colon mostly does.
        let ends = before.trim_end();
        if ends.ends_with(['…', ':']) || ends.ends_with("...") {
            return text.to_owned();
        }
        return first.to_uppercase().chain(chars).collect();
    }
    let word: String = text.chars().take_while(|c| c.is_alphabetic()).collect();
    let followed = text[word.len()..].chars().next();
    let small = word.to_lowercase();
    let is_small = SMALL_WORDS
        .iter()
        .any(|(code, words)| *code == language && words.contains(&small.as_str()));
    let is_one_capital = word.chars().skip(1).all(char::is_lowercase);
    if is_small && is_one_capital && followed == Some(' ') {
        return first.to_lowercase().chain(chars).collect();
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_on_from_what_stands_there() {
        for (before, text, language, expected) in [
            ("", "Hello.", "en", "Hello."),
            ("Hello.", "How are you?", "en", " How are you?"),
            ("Hello. ", "How are you?", "en", "How are you?"),
            ("Hello.\n", "How are you?", "en", "How are you?"),
            ("Hello.", "how are you?", "en", " How are you?"),
            ("She said", ", come in.", "en", ", come in."),
            ("She said", "...", "en", "..."),
            ("in (", "or near) it", "en", "or near) it"),
            ("He said “", "Come.", "en", "Come."),
            ("He said “Come.”", "she did", "en", " She did"),
            ("I went home", "And slept.", "en", " and slept."),
            ("I went home,", "And slept.", "en", " and slept."),
            ("I went to", "Anderson.", "en", " Anderson."),
            ("I met", "The Beatles.", "en", " the Beatles."),
            ("Then", "I left.", "en", " I left."),
            ("Then", "AND gates", "en", " AND gates"),
            ("Ich kam", "Und sah.", "de", " und sah."),
            ("Ich sah", "Haus und Hof.", "de", " Haus und Hof."),
            ("Je viens", "Mais tard.", "fr", " mais tard."),
            ("Only this:", "the rest", "en", " the rest"),
            ("Well...", "and then", "en", " and then"),
            ("你好。", "世界", "zh", "世界"),
            ("你好", "2026年", "zh", "2026年"),
            ("你好", "world", "zh", " world"),
            ("สวัสดี", "ครับ", "th", "ครับ"),
            ("안녕", "하세요", "ko", " 하세요"),
            ("user@", "example", "en", "example"),
            ("one", "  two  ", "en", " two"),
            ("ja", "Çelik", "tr", " Çelik"),
            ("Ende.", "über", "de", " Über"),
            ("one", "", "en", ""),
        ] {
            let told = Before::Told(before.to_owned());
            assert_eq!(join(&told, text, language), expected, "{before:?} {text:?}");
            let typed = Before::Typed(before.to_owned(), Duration::from_secs(5));
            assert_eq!(
                join(&typed, text, language),
                expected,
                "{before:?} {text:?}"
            );
        }
    }

    #[test]
    fn what_is_not_known_or_long_ago_changes_nothing() {
        let long_ago = Before::Typed("one".to_owned(), REMEMBERED + Duration::from_secs(1));
        for before in [Before::Unknown, long_ago] {
            assert_eq!(join(&before, " And two", "en"), "And two");
        }
    }
}
