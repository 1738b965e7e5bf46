//! What was published of an utterance, and how a server's text goes on behind it: committed text
//! is never taken back, whatever a server says. No input or output.

use wstream_wire::v2::Committed;

/// What was published of one utterance as committed.
#[derive(Debug, Default)]
pub(super) struct Shown {
    committed: String,
    /// Samples that `committed` covers; 0: not known.
    sample: u64,
}

impl Shown {
    /// The committed text, if there is any, with the sound that it covers; 0: not known.
    pub(super) fn committed(&self) -> Option<Committed> {
        (!self.committed.is_empty()).then(|| Committed {
            text: self.committed.clone(),
            sample: self.sample,
        })
    }

    /// A server's final that does not reach the end of the sound: its text is committed.
    pub(super) fn commit(&mut self, text: &str, sample: u64) {
        self.committed = self.finish(text);
        self.sample = sample;
    }

    /// Takes a server's partial and returns what is to be published: committed and tentative.
    /// `sample`: how much of the sound the server's committed text covers; 0: it does not say.
    pub(super) fn partial(
        &mut self,
        committed: &str,
        sample: u64,
        tentative: &str,
    ) -> (String, String) {
        let text = [committed, tentative].concat();
        let behind = behind(&self.committed, &text);
        if committed.len() > behind {
            let grown = join(&self.committed, &text[behind..committed.len()]);
            // Where the text has not grown, what was known of it still holds.
            if grown != self.committed || sample > self.sample {
                self.committed = grown;
                self.sample = sample;
            }
            return (self.committed.clone(), tentative.to_owned());
        }
        let whole = join(&self.committed, &text[behind..]);
        let tentative = whole[self.committed.len()..].to_owned();
        (self.committed.clone(), tentative)
    }

    /// Takes a server's final and returns what is to be published; it begins with everything that
    /// was committed.
    pub(super) fn finish(&self, text: &str) -> String {
        join(&self.committed, &text[behind(&self.committed, text)..])
    }
}

/// `rest` behind `committed`, with a space where two words would run into each other.
fn join(committed: &str, rest: &str) -> String {
    let glued = !committed.is_empty() && !is_word_end(committed, rest);
    let space = if glued { " " } else { "" };
    [committed, space, rest].concat()
}

/// Whether the last word of `text` ends where `rest` begins.
fn is_word_end(text: &str, rest: &str) -> bool {
    if text.chars().next_back().is_none_or(is_unspaced) || rest.starts_with(is_unspaced) {
        return true;
    }
    let word = rest.split(char::is_whitespace).next().unwrap_or_default();
    !word.contains(char::is_alphanumeric)
}

/// Where in `text` that begins which follows on `committed`. Where a server says the same again
/// the answer is plain; where it says the beginning a little differently, words are aligned with
/// the fewest changes.
fn behind(committed: &str, text: &str) -> usize {
    if let Some(rest) = text.strip_prefix(committed)
        && is_word_end(committed, rest)
    {
        return committed.len();
    }
    let known: Vec<String> = words(committed).into_iter().map(|word| word.0).collect();
    let said = words(text);
    // One row of the edit distance at a time: `changes[k]` between the known words so far and the
    // first `k` words said.
    let mut changes: Vec<usize> = (0..=said.len()).collect();
    for (index, word) in known.iter().enumerate() {
        let mut diagonal = changes[0];
        changes[0] = index + 1;
        for k in 1..=said.len() {
            let replaced = diagonal + usize::from(*word != said[k - 1].0);
            diagonal = changes[k];
            changes[k] = replaced.min(changes[k] + 1).min(changes[k - 1] + 1);
        }
    }
    // Of equals the one that is as long as what is known; then the shorter, since a word twice is
    // better than a word lost.
    let best = (0..changes.len()).min_by_key(|&k| (changes[k], k.abs_diff(known.len()), k));
    match best {
        Some(k) if k > 0 => said[k - 1].1,
        _ => 0,
    }
}

/// The words of `text` as they are compared, each with where it ends, punctuation included.
fn words(text: &str) -> Vec<(String, usize)> {
    let mut words: Vec<(String, usize)> = Vec::new();
    // Whether the next letter, or the next sign, belongs to the word before.
    let (mut inside, mut attached) = (false, false);
    for (at, character) in text.char_indices() {
        let end = at + character.len_utf8();
        if character.is_whitespace() {
            (inside, attached) = (false, false);
        } else if !character.is_alphanumeric() {
            if let Some(word) = words.last_mut().filter(|_| attached) {
                word.1 = end;
            }
        } else if inside && !is_unspaced(character) {
            if let Some(word) = words.last_mut() {
                word.0.extend(character.to_lowercase());
                word.1 = end;
            }
        } else {
            words.push((character.to_lowercase().collect(), end));
            (inside, attached) = (!is_unspaced(character), true);
        }
    }
    words
}

/// Whether a character belongs to a script that writes no spaces between words: each is taken as a
/// word of its own.
fn is_unspaced(character: char) -> bool {
    // Thai and Lao, Myanmar, Khmer, everything from CJK radicals to Yi, compatibility ideographs,
    // full-width forms, ideographs beyond the basic plane. Hangul writes spaces.
    matches!(character,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{2E80}'..='\u{A4CF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FFEF}'
        | '\u{20000}'..='\u{3FFFF}')
}
