//! How much of what was shown was taken back.

use wstream_tests::sound::words;

/// Words shown and taken back, beside the words of the final; normalised erasure is their ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Erasure {
    pub erased: usize,
    pub kept: usize,
}

impl Erasure {
    pub fn add(&mut self, other: Erasure) {
        self.erased += other.erased;
        self.kept += other.kept;
    }

    /// Erased words per word of the finals; `None` when nothing was said.
    pub fn normalised(self) -> Option<f64> {
        (self.kept > 0).then(|| self.erased as f64 / self.kept as f64)
    }
}

/// Of a display that showed `texts` one after the other; the last is the final. As written.
pub fn raw<S: AsRef<str>>(texts: &[S]) -> Erasure {
    of(texts
        .iter()
        .map(|text| text.as_ref().split_whitespace().collect::<Vec<_>>()))
}

/// The same, not counting changes of case and punctuation.
pub fn normalised<S: AsRef<str>>(texts: &[S]) -> Erasure {
    of(texts.iter().map(|text| words(text.as_ref())))
}

/// Characters of committed text taken back: each text must begin with the one before it, byte for
/// byte.
pub fn committed<S: AsRef<str>>(texts: &[S]) -> usize {
    let lost = |pair: &[S]| {
        let (before, after) = (pair[0].as_ref(), pair[1].as_ref());
        let same = before
            .chars()
            .zip(after.chars())
            .take_while(|(b, a)| b == a);
        before.chars().count() - same.count()
    };
    texts.windows(2).map(lost).sum()
}

fn of<W: PartialEq>(texts: impl Iterator<Item = Vec<W>>) -> Erasure {
    let mut erased = 0;
    let mut before: Vec<W> = Vec::new();
    for text in texts {
        let same = before.iter().zip(&text).take_while(|(b, t)| b == t).count();
        erased += before.len() - same;
        before = text;
    }
    Erasure {
        erased,
        kept: before.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_counts() {
        let erasure = |erased, kept| Erasure { erased, kept };
        for (texts, as_written, without_case) in [
            (&["a", "a b", "a b c"][..], erasure(0, 3), erasure(0, 3)),
            // Everything behind the first difference goes.
            (&["a b c", "a x c", "a x c d"], erasure(2, 4), erasure(2, 4)),
            (
                &["so it is.", "So it is, then."],
                erasure(3, 4),
                erasure(0, 4),
            ),
            (&["a b", ""], erasure(2, 0), erasure(2, 0)),
            (&[], erasure(0, 0), erasure(0, 0)),
        ] {
            assert_eq!(raw(texts), as_written, "{texts:?}");
            assert_eq!(normalised(texts), without_case, "{texts:?}");
        }
        assert_eq!(erasure(1, 4).normalised(), Some(0.25));
        assert_eq!(erasure(1, 0).normalised(), None);
    }

    #[test]
    fn committed_text_must_stay_to_the_letter() {
        assert_eq!(committed(&["", "So", "So it", "So it is."]), 0);
        assert_eq!(committed(&["So it", "so it"]), 5);
        assert_eq!(committed(&["So it is", "So it"]), 3);
    }
}
