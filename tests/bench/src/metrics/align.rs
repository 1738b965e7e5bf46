//! Which word of one text is which of another, by the fewest edits (Levenshtein).

/// One step of an alignment: both indices for words that stand for each other, equal or not; one
/// for a word that only one side has.
pub type Pair = (Option<usize>, Option<usize>);

/// The alignment of `left` with `right`. Among equally good ones, that which pairs early words of
/// `right` early.
pub fn align<T: PartialEq>(left: &[T], right: &[T]) -> Vec<Pair> {
    let width = right.len() + 1;
    let mut cost = vec![0u32; (left.len() + 1) * width];
    for i in 0..=left.len() {
        for j in 0..width {
            cost[i * width + j] = match (i, j) {
                (0, _) => j as u32,
                (_, 0) => i as u32,
                _ => {
                    let replaced = cost[(i - 1) * width + j - 1];
                    let replaced = replaced + u32::from(left[i - 1] != right[j - 1]);
                    let one_side = cost[(i - 1) * width + j].min(cost[i * width + j - 1]) + 1;
                    replaced.min(one_side)
                }
            };
        }
    }
    let (mut i, mut j) = (left.len(), right.len());
    let mut pairs = Vec::with_capacity(i.max(j));
    while i > 0 || j > 0 {
        let here = cost[i * width + j];
        let both = i > 0 && j > 0;
        if both && here == cost[(i - 1) * width + j - 1] + u32::from(left[i - 1] != right[j - 1]) {
            i -= 1;
            j -= 1;
            pairs.push((Some(i), Some(j)));
        } else if i > 0 && here == cost[(i - 1) * width + j] + 1 {
            i -= 1;
            pairs.push((Some(i), None));
        } else {
            j -= 1;
            pairs.push((None, Some(j)));
        }
    }
    pairs.reverse();
    pairs
}

/// The number of edits between the two.
pub fn edits<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    let wrong = |pair: &&Pair| match **pair {
        (Some(i), Some(j)) => left[i] != right[j],
        _ => true,
    };
    align(left, right).iter().filter(wrong).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn edits_are_counted() {
        for (left, right, count) in [
            ("a b c", "a b c", 0),
            ("a b c", "a x c", 1),
            ("a b c", "a c", 1),
            ("a c", "a b c", 1),
            ("", "a b", 2),
            ("a b", "", 2),
            ("the cat sat", "cat sat down", 2),
        ] {
            assert_eq!(
                edits(&words(left), &words(right)),
                count,
                "{left} / {right}"
            );
        }
    }

    #[test]
    fn words_find_each_other() {
        let pairs = align(&words("the cat sat"), &words("cat sat down"));
        let expected = [
            (Some(0), None),
            (Some(1), Some(0)),
            (Some(2), Some(1)),
            (None, Some(2)),
        ];
        assert_eq!(pairs, expected);
    }
}
