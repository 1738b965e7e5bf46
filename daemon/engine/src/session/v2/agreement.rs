//! Which words may be promised, and which may be shown: those on which two decodes of growing sound
//! agree.
//!
//! Enters: the words of the last two decodes. Leaves: how many of them are committed from now on,
//! and how many are shown. Pure. LocalAgreement-2 of Macháček et al., "Turning Whisper into
//! Real-Time Transcription System" (2023), on normalised words, and stricter: never the last word,
//! nothing of which the model is not sure so near to the end of the sound, nothing that repeats
//! itself.

use crate::decode::{Word, quality};

/// How much sound must follow a word before it is promised, in seconds, by the least probability
/// that it has in the two decodes (their geometric mean). What follows may still change what it is
/// heard as, and the model knows: on half of the English test corpus words promised 0.7 s behind
/// their end differed from what the whole utterance was heard as in 2.2 % of all words, with this
/// table in 0.3 %, and no fewer are promised. Words of which it is never sure wait 8 s, so that they
/// do not hold up long speech.
const PROMISED: [(f64, f64); 4] = [(0.7, 0.5), (0.5, 2.0), (0.4, 4.0), (0.0, 8.0)];

/// The same for showing a word of which two decodes say the same.
const SHOWN: [(f64, f64); 4] = [(0.65, 0.0), (0.5, 0.8), (0.3, 1.5), (0.0, 2.5)];

/// In front of a pause nothing will change any more what a word of that probability is heard as.
const SURE_AT_PAUSE: f64 = 0.5;

/// A word of which the model is as sure as this is shown after one decode; others need two.
const SURE: f64 = 0.85;

/// The first words of an utterance are shown as far as the model is at least as sure as this: what
/// comes first is waited for most. After so many seconds of voice without any, less will do: the
/// slowest one in twenty utterances showed nothing for 1.6 s otherwise, mostly for one odd name.
const SURE_AT_FIRST: [(f64, f64); 2] = [(0.7, 0.05), (0.0, 0.3)];

/// The last word is shown when it ends so long before the end of the sound; until then it is half a
/// word as often as not. 300 ms.
const SETTLED_S: f64 = 0.3;

/// How much sound must follow a word of that probability, by `table`.
fn behind(table: &[(f64, f64)], probability: f64) -> f64 {
    let row = table.iter().find(|(least, _)| probability >= *least);
    row.map_or(f64::INFINITY, |(_, seconds)| *seconds)
}

fn probability(old: &Word, new: &Word) -> f64 {
    (old.probability() * new.probability()).sqrt()
}

/// How many words at the beginning are the same.
fn alike(before: &[Word], newest: &[Word]) -> usize {
    let pairs = before.iter().zip(newest);
    pairs
        .take_while(|(old, new)| old.plain() == new.plain())
        .count()
}

/// How sure the model must be of a word to show it after one decode: `voiced` seconds of voice have
/// been heard without showing anything, or something is shown.
pub(super) fn sure(voiced: Option<f64>) -> f64 {
    let row = voiced.and_then(|voiced| SURE_AT_FIRST.iter().find(|(from, _)| voiced >= *from));
    row.map_or(SURE, |(_, probability)| *probability)
}

/// How many of the words of `newest` are to be shown, behind a decode that wrote `before`; a word
/// as probable as `sure` needs no second decode. `newest` has heard `seconds` of sound, and the
/// first `committed` words are promised.
pub(super) fn visible(
    before: &[Word],
    newest: &[Word],
    committed: usize,
    sure: f64,
    seconds: f64,
) -> usize {
    let alike = alike(before, newest);
    let is_visible = |index: usize| {
        let word = &newest[index];
        let is_due = || {
            let probability = probability(&before[index], word);
            seconds - word.end >= behind(&SHOWN, probability)
        };
        index < committed || word.probability() >= sure || index < alike && is_due()
    };
    let all = 0..newest.len();
    let mut count = all.take_while(|&index| is_visible(index)).count();
    let is_half = |last: &Word| last.end > seconds - SETTLED_S;
    if count == newest.len() && newest.last().is_some_and(is_half) {
        count -= 1;
    }
    count
}

/// How many of the words of `newest` agree with those of `before`, the first `committed` of which
/// are promised already. `newest` has heard `seconds` of sound.
pub(super) fn agreed(before: &[Word], newest: &[Word], committed: usize, seconds: f64) -> usize {
    promised(before, newest, committed, |old, new| {
        seconds - new.end >= behind(&PROMISED, probability(old, new))
    })
}

/// The same in front of a pause.
pub(super) fn agreed_at_pause(before: &[Word], newest: &[Word], committed: usize) -> usize {
    promised(before, newest, committed, |old, new| {
        probability(old, new) >= SURE_AT_PAUSE
    })
}

fn promised(
    before: &[Word],
    newest: &[Word],
    committed: usize,
    is_settled: impl Fn(&Word, &Word) -> bool,
) -> usize {
    let agreeing = alike(before, newest).min(newest.len().saturating_sub(1));
    let pairs = before.iter().zip(newest).take(agreeing).skip(committed);
    let most =
        committed.min(agreeing) + pairs.take_while(|(old, new)| is_settled(old, new)).count();
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

    /// Words of which the model is so sure.
    fn guessed(text: &str, probability: f32) -> Vec<Word> {
        let token = crate::decode::Token {
            id: 1,
            logprob: probability.ln(),
        };
        let words = words(text).into_iter();
        words
            .map(|word| Word {
                tokens: vec![token],
                ..word
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
            ("one two three", "one two three", 1.35, 1),
            ("one two three", "one two three", 1.45, 2),
            ("one", "", 5.0, 0),
        ] {
            let count = agreed(&words(before), &words(newest), 0, seconds);
            assert_eq!(count, expected, "{before:?} {newest:?} {seconds}");
        }
    }

    #[test]
    fn what_is_shown_has_been_heard_twice_or_is_sure() {
        for (before, newest, seconds, expected) in [
            ("", "one two three", 5.0, 3),
            ("", "one two three", 1.5, 2),
            ("one", "one two three", 5.0, 1),
            ("one two", "one two three", 5.0, 2),
            ("one two three", "one two three", 5.0, 3),
            ("one two three", "one two three", 1.5, 1),
            ("one two three", "one two three", 1.9, 2),
            ("one two three", "one two three", 2.4, 3),
            ("one two three", "two three", 5.0, 0),
            ("one", "", 5.0, 0),
        ] {
            let (before, newest) = (guessed(before, 0.55), guessed(newest, 0.55));
            let voiced = before.is_empty().then_some(0.4);
            let count = visible(&before, &newest, 0, sure(voiced), seconds);
            assert_eq!(count, expected, "{before:?} {newest:?} {seconds}");
        }
        let doubtful = guessed("one two three", 0.2);
        assert_eq!(visible(&[], &doubtful, 0, sure(Some(0.6)), 5.0), 0);
        assert_eq!(visible(&[], &doubtful, 0, sure(Some(0.8)), 5.0), 3);
        assert_eq!(visible(&[], &doubtful, 0, sure(Some(0.8)), 1.5), 2);
        assert_eq!(visible(&doubtful, &doubtful, 0, sure(Some(0.6)), 5.0), 3);
        // Words without tokens are sure.
        assert_eq!(
            visible(
                &guessed("one", 0.5),
                &words("one two three"),
                0,
                sure(None),
                5.0
            ),
            3
        );
    }

    #[test]
    fn doubtful_words_wait() {
        let old = guessed("one two three", 0.9);
        for (probability, seconds, expected) in [
            (0.6, 1.45, 2),
            (0.4, 1.45, 0),
            (0.4, 2.45, 1),
            (0.4, 2.95, 2),
            (0.2, 4.3, 0),
            (0.2, 4.95, 2),
            (0.01, 8.3, 0),
            (0.01, 8.95, 2),
        ] {
            let newest = guessed("one two three", probability);
            let count = agreed(&old, &newest, 0, seconds);
            assert_eq!(count, expected, "{probability} {seconds}");
            assert_eq!(agreed(&old, &newest, 1, seconds), expected.max(1));
        }
        // A pause settles what comes before it, unless the model guesses.
        let count = |probability| agreed_at_pause(&old, &guessed("one two three", probability), 0);
        assert_eq!((count(0.4), count(0.2)), (2, 0));
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
