//! Where in the sound the model looked when it wrote a token.
//!
//! Enters: the weights of the alignment heads for all tokens of a text. Leaves: a position. Pure.
//!
//! As in OpenAI's word timing (`timing.py`, `find_alignment`): each head's weights are
//! standardised over the tokens, so that places which are always looked at do not count; smoothed
//! by a median over neighbouring positions; and averaged over the heads. OpenAI then finds the
//! best path through all tokens, which needs the whole text; here each token has its maximum.

/// Positions of the median (`medfilt_width` in `timing.py`).
const MEDIAN: usize = 7;

/// The position that the token of slot `asked` looked at most. `weights` are `heads * positions`
/// numbers for each slot, `history` the slots of the text, `heard` the positions with sound.
pub(super) fn most_looked_at(
    weights: &[f32],
    history: &[usize],
    asked: usize,
    (heads, positions, heard): (usize, usize, usize),
) -> Option<f32> {
    let heard = heard.min(positions);
    if heads == 0 || heard == 0 {
        return None;
    }
    let row = |slot: usize, head: usize| &weights[(slot * heads + head) * positions..][..heard];
    let count = history.len() as f32;
    let mut total = vec![0.0; heard];
    let mut standard = vec![0.0; heard];
    for head in 0..heads {
        let mut sums = vec![0.0; heard];
        let mut squares = vec![0.0; heard];
        for &slot in history {
            for ((sum, square), weight) in sums.iter_mut().zip(&mut squares).zip(row(slot, head)) {
                *sum += weight;
                *square += weight * weight;
            }
        }
        for (position, weight) in row(asked, head).iter().enumerate() {
            let mean = sums[position] / count;
            let variance = (squares[position] / count - mean * mean).max(0.0);
            // With a single token nothing varies: its own weights must do.
            standard[position] = if history.len() < 2 {
                *weight
            } else {
                (weight - mean) / (variance.sqrt() + 1e-6)
            };
        }
        for (position, total) in total.iter_mut().enumerate() {
            *total += median_around(&standard, position);
        }
    }
    let (position, _) = total
        .iter()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    Some(position as f32)
}

/// The median of the neighbourhood; beyond either end the values are mirrored.
fn median_around(values: &[f32], position: usize) -> f32 {
    let last = values.len() as i64 - 1;
    let mut window = [0.0; MEDIAN];
    for (offset, value) in window.iter_mut().enumerate() {
        let at = (position + offset) as i64 - (MEDIAN / 2) as i64;
        let mirrored = if at > last { 2 * last - at } else { at }.unsigned_abs() as usize;
        *value = values[mirrored.min(values.len() - 1)];
    }
    window.sort_unstable_by(f32::total_cmp);
    window[MEDIAN / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_tokens_look_at_does_not_count() {
        // Three tokens, two heads, 40 positions: all look at the first one most, and a little at
        // their own.
        let (heads, positions) = (2, 40);
        let mut weights = vec![0.001; 3 * heads * positions];
        for slot in 0..3 {
            for head in 0..heads {
                let row = &mut weights[(slot * heads + head) * positions..][..positions];
                row[..4].fill(0.2);
                row[10 * slot + 6..10 * slot + 11].fill(0.1);
            }
        }
        for slot in 0..3 {
            let at = most_looked_at(&weights, &[0, 1, 2], slot, (heads, positions, 40)).unwrap();
            let middle = (10 * slot + 8) as f32;
            assert!((at - middle).abs() <= 2.0, "{slot}: {at}");
        }
        // Alone, and with sound in the first positions only.
        let at = most_looked_at(&weights, &[2], 2, (heads, positions, 40)).unwrap();
        assert!(at < 4.0, "{at}");
        let at = most_looked_at(&weights, &[0, 1, 2], 2, (heads, positions, 20)).unwrap();
        assert!(at < 20.0, "{at}");
        assert_eq!(most_looked_at(&weights, &[0], 0, (0, 0, 0)), None);
    }

    #[test]
    fn a_lone_spike_is_smoothed_away() {
        let mut values = vec![0.0; 20];
        values[5] = 9.0;
        values[10..14].fill(1.0);
        assert_eq!(median_around(&values, 5), 0.0);
        assert_eq!(median_around(&values, 12), 1.0);
        assert_eq!(median_around(&[2.0], 0), 2.0);
    }
}
