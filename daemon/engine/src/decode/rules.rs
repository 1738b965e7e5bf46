//! Which token may come next.
//!
//! Enters: the decoder's raw scores for every token, and the tokens chosen so far. Leaves: the
//! token to take, with its probability. Pure arithmetic, on the thread that decodes.
//!
//! The rules are those of OpenAI's decoder (`decoding.py`): no special tokens, no tokens of sounds
//! that are not speech, timestamps in pairs and never going back, and a timestamp whenever the
//! timestamps together are more likely than any single word.

use super::vocabulary::Vocabulary;

/// A token that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// Its number.
    pub id: i32,
    /// The natural logarithm of its probability among the tokens that were allowed.
    pub logprob: f32,
}

/// The timestamps that the text may start with, in steps of 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstTimestamp {
    /// The earliest.
    pub earliest: i32,
    /// The latest.
    pub latest: i32,
}

impl FirstTimestamp {
    /// OpenAI's limit: the first segment begins within the first second.
    const SPAN: i32 = 50;

    /// The text starts within a second from `seconds` on.
    pub(super) fn from_seconds(seconds: f64) -> FirstTimestamp {
        let earliest = (seconds * 50.0).floor() as i32;
        FirstTimestamp {
            earliest,
            latest: earliest + Self::SPAN,
        }
    }
}

/// Takes the likeliest allowed token. `scores` are changed on the way.
pub(super) fn choose(
    scores: &mut [f32],
    chosen: &[Token],
    vocabulary: &Vocabulary,
    first: FirstTimestamp,
) -> Token {
    mask(scores, chosen, vocabulary, first);
    let (text, timestamps) = scores.split_at_mut(vocabulary.first_timestamp as usize);
    let likeliest_text = maximum(text);
    if log_sum_exp(timestamps) > likeliest_text {
        text.fill(f32::NEG_INFINITY);
    }
    let total = log_sum_exp(scores);
    let mut best = Token {
        id: vocabulary.end_of_text,
        logprob: f32::NEG_INFINITY,
    };
    for (id, &score) in scores.iter().enumerate() {
        if score - total > best.logprob {
            best = Token {
                id: id as i32,
                logprob: score - total,
            };
        }
    }
    best
}

fn mask(scores: &mut [f32], chosen: &[Token], vocabulary: &Vocabulary, first: FirstTimestamp) {
    const NEVER: f32 = f32::NEG_INFINITY;
    let end_of_text = vocabulary.end_of_text as usize;
    let first_timestamp = vocabulary.first_timestamp as usize;
    let is_timestamp = |token: &Token| token.id >= vocabulary.first_timestamp;

    scores[end_of_text + 1..first_timestamp].fill(NEVER);
    for &id in &vocabulary.not_speech {
        scores[id as usize] = NEVER;
    }
    let Some(last) = chosen.last() else {
        scores[..first_timestamp].fill(NEVER);
        let timestamps = &mut scores[first_timestamp..];
        let last_step = timestamps.len() - 1;
        let earliest = (first.earliest.max(0) as usize).min(last_step);
        let latest = (first.latest.max(0) as usize).min(last_step);
        timestamps[..earliest].fill(NEVER);
        timestamps[latest + 1..].fill(NEVER);
        return;
    };
    let before_last_is_timestamp = chosen.len() < 2 || is_timestamp(&chosen[chosen.len() - 2]);
    if is_timestamp(last) {
        if before_last_is_timestamp {
            scores[first_timestamp..].fill(NEVER);
        } else {
            scores[..end_of_text].fill(NEVER);
        }
    }
    if let Some(previous) = chosen.iter().rev().find(|token| is_timestamp(token)) {
        // A segment may start where the last one ended, but none is empty.
        let pair_is_open = is_timestamp(last) && !before_last_is_timestamp;
        let earliest = previous.id as usize + usize::from(!pair_is_open);
        scores[first_timestamp..earliest.min(vocabulary.size)].fill(NEVER);
    }
}

fn maximum(scores: &[f32]) -> f32 {
    scores.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The logarithm of the sum of the exponentials, without overflow.
pub(super) fn log_sum_exp(scores: &[f32]) -> f32 {
    let maximum = maximum(scores);
    if maximum == f32::NEG_INFINITY {
        return f32::NEG_INFINITY;
    }
    let sum: f32 = scores.iter().map(|&score| (score - maximum).exp()).sum();
    maximum + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens 0..10 are text, 10 ends it, 11 to 14 are special, 15 to 40 are timestamps.
    fn vocabulary() -> Vocabulary {
        Vocabulary::for_tests(10, 15, 41, &[3])
    }

    fn take(chosen: &[i32], likely: &[(i32, f32)]) -> i32 {
        let chosen: Vec<Token> = chosen
            .iter()
            .map(|&id| Token { id, logprob: 0.0 })
            .collect();
        let mut scores = vec![0.0; 41];
        for &(id, score) in likely {
            scores[id as usize] = score;
        }
        let first = FirstTimestamp {
            earliest: 2,
            latest: 4,
        };
        choose(&mut scores, &chosen, &vocabulary(), first).id
    }

    #[test]
    fn starts_with_a_timestamp_in_the_allowed_range() {
        assert_eq!(take(&[], &[(5, 9.0), (16, 8.0), (17, 2.0), (20, 7.0)]), 17);
        assert_eq!(take(&[], &[(19, 2.0), (20, 7.0)]), 19);
    }

    #[test]
    fn special_tokens_and_sounds_are_never_taken() {
        assert_eq!(take(&[17], &[(12, 9.0), (3, 9.0), (4, 5.0)]), 4);
    }

    #[test]
    fn timestamps_come_in_pairs_and_never_go_back() {
        // After the opening one: text, not another timestamp.
        assert_eq!(take(&[17], &[(30, 9.0), (4, 1.0)]), 4);
        // After text and a closing one: the opening one of the next segment, or the end.
        assert_eq!(take(&[17, 4, 20], &[(4, 9.0), (18, 9.0), (20, 5.0)]), 20);
        assert_eq!(take(&[17, 4, 20], &[(4, 9.0), (10, 9.0)]), 10);
        // A segment that has begun ends later than it began.
        assert_eq!(take(&[17, 4, 20, 20, 5], &[(20, 9.0), (21, 8.0)]), 21);
    }

    #[test]
    fn many_likely_timestamps_win_over_one_likelier_word() {
        let mut likely = vec![(4, 3.0)];
        likely.extend((18..40).map(|id| (id, 2.0)));
        assert!(take(&[17, 5], &likely) >= 15);
        assert_eq!(take(&[17, 5], &[(4, 9.0), (30, 2.0)]), 4);
    }
}
