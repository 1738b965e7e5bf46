//! Repetition: a model that has lost its way says the same words again and again.

/// The longest repeated run of words that is looked for.
const LONGEST: usize = 10;

/// Whether `heard` repeats some words at once, oftener than `said` does: three times in a row,
/// four times for a single word, which people do say three times ("no, no, no").
pub fn is_loop<S: PartialEq>(heard: &[S], said: &[S]) -> bool {
    (1..=LONGEST).any(|length| {
        let most = repeats(heard, length);
        most >= if length == 1 { 4 } else { 3 } && most > repeats(said, length)
    })
}

/// The most times that any `length` words stand directly behind each other.
fn repeats<S: PartialEq>(words: &[S], length: usize) -> usize {
    let mut most = 0;
    for start in 0..words.len().saturating_sub(length - 1) {
        let first = &words[start..start + length];
        let again = words[start..]
            .chunks_exact(length)
            .take_while(|c| *c == first);
        most = most.max(again.count());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_told_from_emphasis() {
        for (heard, said, expected) in [
            ("no no no", "no", false),
            ("no no no no", "no", true),
            ("no no no no", "no no no no", false),
            ("fail better fail better", "fail better", false),
            ("x fail better fail better fail better", "fail better", true),
            ("", "", false),
            ("a b c", "a b c", false),
        ] {
            let words = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
            assert_eq!(is_loop(&words(heard), &words(said)), expected, "{heard}");
        }
    }
}
