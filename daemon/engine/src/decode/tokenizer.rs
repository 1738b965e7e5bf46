//! From text to tokens: byte-pair encoding as GPT-2 does it.
//!
//! Enters: text that is to stand as a prompt. Leaves: tokens. Pure; read by every decoding thread.
//!
//! A text is cut into words first (`gpt2/src/encoder.py`: contractions, runs of letters, of digits
//! and of other signs, each with the space in front of it, and runs of white space). In each word
//! the pair of neighbours that was merged first in training is merged, again and again. A token's
//! number is the place of its merge, so that no other table is needed.

use std::collections::HashMap;

/// Finds tokens by their bytes.
#[derive(Debug)]
pub(super) struct Tokenizer {
    by_bytes: HashMap<Box<[u8]>, i32>,
}

/// A longer word is cut: merging takes time that grows with its square, and no word is as long.
const MOST_WORD_BYTES: usize = 256;

impl Tokenizer {
    /// From the bytes of each token, in order.
    pub(super) fn new(text: &[Vec<u8>]) -> Tokenizer {
        let mut by_bytes = HashMap::with_capacity(text.len());
        for (bytes, id) in text.iter().zip(0..) {
            if !bytes.is_empty() {
                by_bytes
                    .entry(bytes.clone().into_boxed_slice())
                    .or_insert(id);
            }
        }
        Tokenizer { by_bytes }
    }

    /// The tokens of `text`. Bytes that no token stands for are left out; every real vocabulary
    /// has a token for each byte.
    pub(super) fn tokens(&self, text: &str) -> Vec<i32> {
        let mut tokens = Vec::new();
        for word in words(text) {
            for piece in word.as_bytes().chunks(MOST_WORD_BYTES) {
                self.merge(piece, &mut tokens);
            }
        }
        tokens
    }

    fn merge(&self, word: &[u8], tokens: &mut Vec<i32>) {
        if let Some(&id) = self.by_bytes.get(word) {
            tokens.push(id);
            return;
        }
        // Where each piece begins, and the end.
        let mut borders: Vec<usize> = (0..=word.len()).collect();
        loop {
            let earliest = borders
                .windows(3)
                .enumerate()
                .filter_map(|(index, three)| {
                    let id = self.by_bytes.get(&word[three[0]..three[2]])?;
                    Some((*id, index))
                })
                .min();
            let Some((_, index)) = earliest else { break };
            borders.remove(index + 1);
        }
        let pieces = borders.windows(2).map(|two| &word[two[0]..two[1]]);
        tokens.extend(pieces.filter_map(|piece| self.by_bytes.get(piece)));
    }
}

/// Cuts a text into words; together they are the text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let length = word_length(rest)?;
        let (word, behind) = rest.split_at(length);
        rest = behind;
        Some(word)
    })
}

/// The bytes of the first word; `None` where nothing is left.
fn word_length(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    for contraction in ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"] {
        if text.starts_with(contraction) {
            return Some(contraction.len());
        }
    }
    let run = |text: &str, is_same: fn(char) -> bool| {
        let length = text.find(|c| !is_same(c)).unwrap_or(text.len());
        (length > 0).then_some(length)
    };
    let (space, behind) = match text.strip_prefix(' ') {
        Some(behind) => (1, behind),
        None => (0, text),
    };
    let kinds: [fn(char) -> bool; 3] = [char::is_alphabetic, char::is_numeric, |c| {
        !c.is_whitespace() && !c.is_alphabetic() && !c.is_numeric()
    }];
    for is_same in kinds {
        if let Some(length) = run(behind, is_same) {
            return Some(space + length);
        }
    }
    // White space: all of it but the last sign, which belongs to the word behind it.
    let length = run(text, char::is_whitespace).unwrap_or(first.len_utf8());
    if length == text.len() {
        return Some(length);
    }
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    Some(if length > last { length - last } else { length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_gpt_2_cuts_them() {
        for (text, expected) in [
            ("", vec![]),
            (" Hello, world", vec![" Hello", ",", " world"]),
            (" I don't know", vec![" I", " don", "'t", " know"]),
            ("we'll see 42nd", vec!["we", "'ll", " see", " 42", "nd"]),
            ("a  b \n", vec!["a", " ", " b", " \n"]),
            (" --'s", vec![" --'", "s"]),
            (" 广州 é", vec![" 广州", " é"]),
        ] {
            let cut: Vec<&str> = words(text).collect();
            assert_eq!(cut, expected, "{text:?}");
        }
    }

    #[test]
    fn earlier_merges_come_first() {
        let vocabulary: Vec<Vec<u8>> = ["a", "b", "c", "bc", "ab", "abc"]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
        let tokenizer = Tokenizer::new(&vocabulary);
        assert_eq!(tokenizer.tokens("abc"), [5], "a word that is a token");
        // The longest beginning is "ab", but "bc" was merged first.
        assert_eq!(tokenizer.tokens("abca"), [5, 0]);
        assert_eq!(tokenizer.tokens("aabcc"), [0, 5, 2]);
        assert_eq!(
            tokenizer.tokens("xab"),
            [4],
            "what no token stands for is left out"
        );
        let long = "ab".repeat(5000);
        assert_eq!(tokenizer.tokens(&long).len(), 5000);
    }
}
