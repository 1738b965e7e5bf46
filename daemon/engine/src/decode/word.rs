//! Words as a decode wrote them: their tokens, their text, their place in the sound.
//!
//! Enters: tokens with times. Leaves: words. Pure.

use super::quality::REPEATED_WORDS;
use super::rules::Token;
use super::vocabulary::Vocabulary;

/// A word with what belongs to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Word {
    /// Carries its own leading space where the script has spaces, and its punctuation.
    pub text: String,
    /// Its text's tokens.
    pub tokens: Vec<Token>,
    /// The timestamps that were written in front of it: one, or an end and a beginning.
    pub opening: Vec<Token>,
    /// Seconds from the beginning of the request's samples.
    pub start: f64,
    /// Seconds; never before `start`.
    pub end: f64,
}

impl Word {
    /// As it is compared: lower case, letters and digits only.
    pub fn plain(&self) -> String {
        let letters = self.text.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    }

    /// Geometric mean of its tokens' probabilities; 1 where there are none.
    pub fn probability(&self) -> f64 {
        let sum: f64 = self.tokens.iter().map(|t| f64::from(t.logprob)).sum();
        (sum / self.tokens.len().max(1) as f64).exp()
    }

    /// The same word, `seconds` earlier; later, if that is negative. Its timestamps would be wrong
    /// there.
    pub fn earlier(&self, seconds: f64) -> Word {
        Word {
            opening: Vec::new(),
            start: (self.start - seconds).max(0.0),
            end: (self.end - seconds).max(0.0),
            ..self.clone()
        }
    }
}

/// The text of `words`, one behind the other.
pub fn text_of(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect()
}

/// How far the times of words are off now and then, seconds.
const DOUBT_S: f64 = 0.1;

/// How many words at the beginning of `rest`, which was heard in the sound behind the second `end`,
/// were heard before: they are the last of `words`, and either of these the times say that they
/// begin behind `end` as well, or they are so many that nobody says them twice in a row. A sound
/// that begins in the middle of a word begins with another word.
pub(super) fn said_before(words: &[Word], rest: &[Word], end: f64) -> usize {
    let is_again = |count: usize, torn: usize| {
        let last = &words[words.len() - count..];
        let is_heard_there = last[0].start > end - DOUBT_S && count > torn;
        let mut pairs = last.iter().zip(&rest[torn..]);
        (is_heard_there || count >= REPEATED_WORDS)
            && pairs.all(|(word, again)| word.plain() == again.plain())
    };
    let torn_or_not = [0, 1].into_iter().flat_map(|torn| {
        let most = words.len().min(rest.len().saturating_sub(torn));
        (1..=most).map(move |count| (count, torn))
    });
    torn_or_not
        .filter(|&(count, torn)| is_again(count, torn))
        .map(|(count, torn)| count + torn)
        .max()
        .unwrap_or_default()
}

/// Divides `tokens` into words. `times` has the second at which each token begins, and in the end
/// the second at which the last one ends.
pub(super) fn split(tokens: &[Token], times: &[f64], vocabulary: &Vocabulary) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut open = Word::default();
    // Bytes of `open`; a character may be spread over several tokens.
    let mut bytes: Vec<u8> = Vec::new();
    let mut opening: Vec<Token> = Vec::new();
    let mut close = |open: &mut Word, bytes: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(bytes);
        // A character that was cut in two at the end is better missing than wrong.
        let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        if !text.trim().is_empty() {
            open.text = text.to_owned();
            words.push(std::mem::take(open));
        }
        *open = Word::default();
        bytes.clear();
    };
    for (index, token) in tokens.iter().enumerate() {
        if token.id >= vocabulary.first_timestamp {
            close(&mut open, &mut bytes);
            opening.push(*token);
            continue;
        }
        let piece = vocabulary.bytes(token.id);
        if !bytes.is_empty() && begins_word(&bytes, piece) {
            close(&mut open, &mut bytes);
        }
        if bytes.is_empty() {
            open.opening = std::mem::take(&mut opening);
            open.start = times[index];
        }
        bytes.extend_from_slice(piece);
        open.tokens.push(*token);
        open.end = times[index + 1].max(open.start);
    }
    close(&mut open, &mut bytes);
    words
}

/// Whether `piece` begins another word than the one that `before` is the beginning of.
fn begins_word(before: &[u8], piece: &[u8]) -> bool {
    let Ok(before) = std::str::from_utf8(before) else {
        // In the middle of a character.
        return false;
    };
    match piece.first() {
        // A sign alone behind a space belongs to what it follows: "5 %".
        Some(b' ') => piece
            .iter()
            .any(|&byte| byte != b' ' && !byte.is_ascii_punctuation()),
        Some(first) => {
            !first.is_ascii()
                && before
                    .chars()
                    .next_back()
                    .is_some_and(crate::text::is_unspaced)
        }
        None => false,
    }
}

/// Whether `piece` goes on with the word that `before` ends with, so that it may not follow a word
/// that has been shown as finished.
pub(super) fn continues_word(before: &str, piece: &[u8]) -> bool {
    if before
        .chars()
        .next_back()
        .is_none_or(crate::text::is_unspaced)
    {
        return false;
    }
    match piece {
        [] | [b' ', ..] => false,
        // An apostrophe or a hyphen with letters behind it, and digits behind a point.
        [first, ..] if first.is_ascii_punctuation() => {
            piece.iter().any(u8::is_ascii_alphanumeric) || matches!(first, b'\'' | b'-')
        }
        // Letters, and the beginnings of letters, but not the signs of U+2000 to U+206F.
        [0xE2, 0x80 | 0x81, ..] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_with_a_space() {
        // Every text token is " wN"; 15 is 0.00 s.
        let vocabulary = Vocabulary::for_tests(10, 15, 1516, &[]);
        let token = |id| Token { id, logprob: 0.0 };
        let tokens: Vec<Token> = [15, 1, 2, 65, 66, 3, 115].map(token).to_vec();
        let times = [0.0, 0.0, 0.5, 1.0, 1.0, 1.1, 2.0, 2.0];
        let words = split(&tokens, &times, &vocabulary);
        let seen: Vec<_> = words
            .iter()
            .map(|w| (w.text.as_str(), w.start, w.end, w.opening.len()))
            .collect();
        assert_eq!(
            seen,
            [
                (" w1", 0.0, 0.5, 1),
                (" w2", 0.5, 1.0, 0),
                (" w3", 1.1, 2.0, 2)
            ]
        );
        assert_eq!(text_of(&words), " w1 w2 w3");
        assert_eq!(words[2].plain(), "w3");
        assert_eq!(words[2].earlier(1.0).start, 1.1 - 1.0);
        assert!(words[2].earlier(1.0).opening.is_empty());
    }

    #[test]
    fn what_is_heard_again_behind_an_end_that_came_too_early() {
        // A word a second.
        let words = |text: &str, from: usize| -> Vec<Word> {
            let at = |index: usize, word: &str| Word {
                text: format!(" {word}"),
                start: (from + index) as f64,
                end: (from + index + 1) as f64,
                ..Word::default()
            };
            let words = text.split(' ').enumerate();
            words.map(|(index, word)| at(index, word)).collect()
        };
        for (text, end, rest, expected) in [
            ("write it down for me", 3.0, "for me.", 2),
            ("write it down for me", 3.0, "For me and read", 2),
            ("write it down for me", 3.0, "and read", 0),
            // The end lay in the middle of a word.
            ("write it down for me", 2.5, "own for me and", 3),
            ("write it down for me", 3.5, "or me and", 0),
            // Said again, if only a little.
            ("no", 1.0, "no", 0),
            ("very", 0.8, "very good", 0),
            ("very very", 2.0, "very good", 0),
            // The times are wrong.
            ("write it down for me", 5.0, "it down for me", 4),
            ("write it down for me", 5.0, "down for me", 0),
            ("", 0.0, "for me", 0),
        ] {
            let said = match text {
                "" => Vec::new(),
                text => words(text, 0),
            };
            let count = said_before(&said, &words(rest, end as usize), end);
            assert_eq!(count, expected, "{text:?} {end} {rest:?}");
        }
    }

    #[test]
    fn pieces_that_go_on_with_a_word() {
        for (before, piece, expected) in [
            ("play", "ing", true),
            ("play", " in", false),
            ("play", ",", false),
            ("play", "'s", true),
            ("play", "'", true),
            ("3", ".5", true),
            ("play", ".", false),
            ("play", "é", true),
            ("play", "…", false),
            ("广", "州", false),
            ("", "ing", false),
        ] {
            assert_eq!(
                continues_word(before, piece.as_bytes()),
                expected,
                "{before}{piece}"
            );
            if !before.is_empty() && piece.starts_with(' ') {
                assert!(begins_word(before.as_bytes(), piece.as_bytes()));
            }
        }
        assert!(begins_word("广".as_bytes(), "州".as_bytes()));
        assert!(!begins_word(&"广".as_bytes()[..2], "州".as_bytes()));
        assert!(!begins_word(b"5", b" %"));
    }
}
