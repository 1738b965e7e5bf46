//! Which words may be promised: those on which two decodes of growing sound agree.
//!
//! Enters: the words of the last two decodes. Leaves: how many of them are committed from now on.
//! Pure. LocalAgreement-2 of Macháček et al., "Turning Whisper into Real-Time Transcription
//! System" (2023), on normalised words, and stricter: never the last word, nothing at the edge of
//! the sound, nothing that repeats itself.

use crate::decode::{Word, quality};

/// A word that ends nearer than this to the end of the sound may be half a word: 200 ms, about a
/// syllable.
const EDGE_S: f64 = 0.2;

/// How many of the words of `newest` agree with those of `before`, the first `committed` of which
/// are promised already. `newest` has heard `seconds` of sound.
pub(super) fn agreed(before: &[Word], newest: &[Word], committed: usize, seconds: f64) -> usize {
    let agreeing = before
        .iter()
        .zip(newest)
        .take_while(|(old, new)| old.plain() == new.plain())
        .count();
    let inside = newest
        .iter()
        .take_while(|word| word.end <= seconds - EDGE_S)
        .count();
    let most = agreeing.min(inside).min(newest.len().saturating_sub(1));
    let plain: Vec<String> = newest[..most].iter().map(Word::plain).collect();
    // Two decodes agree on a loop as well. What comes before it may be right, but not the round
    // that made it one.
    if quality::loop_start(&plain).is_some() || quality::repeats(&plain) {
        return committed;
    }
    most.max(committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split_inclusive(' ')
            .enumerate()
            .map(|(index, word)| Word {
                text: format!(" {}", word.trim()),
                start: index as f64 * 0.5,
                end: index as f64 * 0.5 + 0.4,
                ..Word::default()
            })
            .collect()
    }

    #[test]
    fn what_two_decodes_say_is_committed_but_not_the_last_word() {
        for (before, newest, seconds, expected) in [
            ("", "one two three", 5.0, 0),
            ("one two three", "one two three", 5.0, 2),
            ("one two", "One, two three four", 5.0, 2),
            ("one two three", "one too three", 5.0, 1),
            ("one two three", "two three", 5.0, 0),
            // The second word ends at 0.9 s.
            ("one two three", "one two three", 1.0, 1),
            ("one two three", "one two three", 1.15, 2),
            ("one", "", 5.0, 0),
        ] {
            let count = agreed(&words(before), &words(newest), 0, seconds);
            assert_eq!(count, expected, "{before:?} {newest:?} {seconds}");
        }
    }

    #[test]
    fn what_is_committed_stays() {
        assert_eq!(agreed(&words("one two"), &words("one"), 1, 5.0), 1);
        assert_eq!(agreed(&words("a b c d"), &words("a b x y"), 3, 5.0), 3);
    }

    #[test]
    fn a_loop_is_not_promised() {
        let text = "no fail better fail better fail better fail better fail better";
        assert_eq!(agreed(&words(text), &words(text), 1, 60.0), 1);
        let twice = "one two three four one two three four five";
        assert_eq!(agreed(&words(twice), &words(twice), 0, 60.0), 0);
        assert_eq!(
            agreed(
                &words("very very good day"),
                &words("very very good day"),
                0,
                60.0
            ),
            3
        );
    }
}
