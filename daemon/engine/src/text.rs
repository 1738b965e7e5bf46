//! Words and how texts are put together.
//!
//! Enters: texts. Leaves: texts. Pure, called by sessions and decoders alike.

/// The words of `text` as they are compared: lower case, without punctuation; each with the byte
/// where it ends in `text`.
pub fn words(text: &str) -> Vec<(String, usize)> {
    let mut words = Vec::new();
    let mut position = 0;
    for part in text.split_inclusive(char::is_whitespace) {
        position += part.len();
        let end = position - (part.len() - part.trim_end().len());
        let word: String = part
            .chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect();
        if !word.is_empty() {
            words.push((word, end));
        }
    }
    words
}

/// Puts `next` behind `text`: with a space where the script has spaces, and none is there.
pub fn join(text: &mut String, next: &str) {
    let next = if text.is_empty() {
        next.trim_start()
    } else {
        next
    };
    let (Some(last), Some(first)) = (text.chars().next_back(), next.chars().next()) else {
        text.push_str(next);
        return;
    };
    let is_spaced = last.is_whitespace() || first.is_whitespace();
    let closes = matches!(
        first,
        '.' | ',' | ';' | ':' | '!' | '?' | '…' | ')' | '%' | '\''
    );
    let needs_none = closes || (is_unspaced(last) && is_unspaced(first));
    if !is_spaced && !needs_none {
        text.push(' ');
    }
    text.push_str(next);
}

/// Scripts that are written without spaces between words: Chinese, Japanese, Thai, Lao, Khmer and
/// Burmese, with their punctuation.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3000..=0x30FF | 0x3400..=0x9FFF
        | 0xF900..=0xFAFF | 0xFF00..=0xFF65 | 0x20000..=0x3FFFF)
}

/// At most `most` bytes of the beginning of `text`, in whole characters.
pub fn first_bytes(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// At most `most` bytes of the end of `text`, in whole characters.
pub fn last_bytes(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// Most words that an overlap is looked for in; five as whisper_streaming does.
const LONGEST_OVERLAP: usize = 5;

/// Drops the words at the beginning of `next` that `text` ends with: sound that was given again is
/// sometimes written again. A single word is kept, since people do repeat one.
pub fn without_overlap<'a>(text: &str, next: &'a str) -> &'a str {
    let before = words(text);
    let after = words(next);
    for count in (2..=LONGEST_OVERLAP.min(before.len()).min(after.len())).rev() {
        let tail = before[before.len() - count..].iter().map(|(word, _)| word);
        let head = after[..count].iter().map(|(word, _)| word);
        if tail.eq(head) {
            return &next[after[count - 1].1..];
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_with_one_space_where_the_script_has_spaces() {
        for (text, next, expected) in [
            ("", " one", "one"),
            ("one", " two", "one two"),
            ("one", "two", "one two"),
            ("one ", "two", "one two"),
            ("one", "", "one"),
            ("one", ", two", "one, two"),
            ("广州", "市", "广州市"),
            ("广州", "two", "广州 two"),
        ] {
            let mut joined = text.to_owned();
            join(&mut joined, next);
            assert_eq!(joined, expected);
        }
    }

    #[test]
    fn drops_words_that_were_written_already() {
        for (text, next, expected) in [
            ("He came in.", " He came in, and sat.", " and sat."),
            ("the cat came in", "Came in and sat", " and sat"),
            ("no", " no", " no"),
            ("I know that", " that is so", " that is so"),
            ("", " one two", " one two"),
            ("one two", "", ""),
        ] {
            assert_eq!(without_overlap(text, next), expected);
        }
    }

    #[test]
    fn bytes_are_cut_between_characters() {
        for most in 0..8 {
            let (first, last) = (first_bytes("aéb", most), last_bytes("aéb", most));
            assert!(first.len() <= most && "aéb".starts_with(first));
            assert!(last.len() <= most && "aéb".ends_with(last));
        }
        assert_eq!((first_bytes("aéb", 2), last_bytes("aéb", 2)), ("a", "b"));
        assert_eq!((first_bytes("aéb", 3), last_bytes("aéb", 3)), ("aé", "éb"));
        assert_eq!(
            (first_bytes("aéb", 9), last_bytes("aéb", 9)),
            ("aéb", "aéb")
        );
    }

    #[test]
    fn words_are_compared_without_case_and_punctuation() {
        let text = "It's  \"Fine\", – yes. ";
        let words: Vec<_> = words(text)
            .into_iter()
            .map(|(word, end)| (word, &text[..end]))
            .collect();
        assert_eq!(
            words,
            [
                ("its".to_owned(), "It's"),
                ("fine".to_owned(), "It's  \"Fine\","),
                ("yes".to_owned(), "It's  \"Fine\", – yes."),
            ]
        );
    }
}
