//! Text that will be given, with what belongs to it, put together from words.
//!
//! Enters: words with times. Leaves: text, segments, confidence. Pure.

use wstream_wire::Segment;

use crate::decode::{Decoded, Word, text_of};
use crate::text;

/// What has been said since the last final.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) segments: Vec<Segment>,
    pub(super) language: &'static str,
    pub(super) suspect: bool,
    pub(super) processing_time_ms: f64,
    tokens: usize,
    probability: f64,
}

impl Said {
    /// Text that the client has shown already, byte for byte.
    pub(super) fn given(text: String) -> Said {
        Said {
            text,
            ..Said::default()
        }
    }

    /// Goes on with `words`, whose times count from the second `at_s` of the utterance.
    pub(super) fn append(&mut self, words: &[Word], at_s: f64) {
        let mut from = 0;
        for to in 1..=words.len() {
            // An end and a beginning in front of a word: another segment.
            if words.get(to).is_some_and(|next| next.opening.len() < 2) {
                continue;
            }
            let part = &words[from..to];
            from = to;
            let words = text_of(part);
            if words.trim().is_empty() {
                continue;
            }
            text::join(&mut self.text, words.trim_end());
            let start = (at_s + part[0].start).max(0.0);
            self.segments.push(Segment {
                start,
                end: (at_s + part[part.len() - 1].end).max(start),
                text: words.trim().to_owned(),
            });
        }
        for token in words.iter().flat_map(|word| &word.tokens) {
            self.tokens += 1;
            self.probability += f64::from(token.logprob.exp());
        }
    }

    /// What a decode tells besides its words.
    pub(super) fn note(&mut self, decoded: &Decoded) {
        // A language that was told by some words counts more than one told by none.
        if self.language.is_empty() || !decoded.words.is_empty() {
            self.language = decoded.language;
        }
        self.suspect |= decoded.suspect;
    }

    /// Mean probability of the tokens; 0 without text.
    pub(super) fn confidence(&self) -> f64 {
        if self.tokens == 0 {
            0.0
        } else {
            self.probability / self.tokens as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Token;

    #[test]
    fn words_become_text_and_segments() {
        let token = Token {
            id: 1,
            logprob: 0.5_f32.ln(),
        };
        let word = |text: &str, start: f64, opening: usize| Word {
            text: text.to_owned(),
            tokens: vec![token],
            opening: vec![token; opening],
            start,
            end: start + 0.5,
        };
        let mut said = Said::given("  Given,  so".to_owned());
        said.append(&[], 0.0);
        assert_eq!(
            (said.text.as_str(), said.confidence()),
            ("  Given,  so", 0.0)
        );
        let words = [
            word(" One", 0.5, 1),
            word(" two.", 1.0, 0),
            word(" Three", 2.0, 2),
        ];
        said.append(&words, -1.0);
        assert_eq!(said.text, "  Given,  so One two. Three");
        let segments: Vec<_> = said
            .segments
            .iter()
            .map(|s| (s.start, s.end, s.text.as_str()))
            .collect();
        assert_eq!(segments, [(0.0, 0.5, "One two."), (1.0, 1.5, "Three")]);
        assert!((said.confidence() - 0.5).abs() < 1e-6);
    }
}
