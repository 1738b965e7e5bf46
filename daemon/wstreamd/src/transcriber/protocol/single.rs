//! What the protocols share whose connections serve one utterance each: which it is, what was told
//! of it, and what its server has said. No input or output.

use std::borrow::Cow;

use wstream_wire::{SAMPLE_RATE, Segment, language};

use super::told::{Told, check_length};
use super::{NotUnderstood, Opening, Output, Said};
use crate::transcriber::kept::Manner;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Single {
    state: State,
    /// Samples that the server was told.
    samples: u64,
    told: Told,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing was told.
    #[default]
    Fresh,
    /// This utterance is under way.
    Open(u64),
    /// All of this one's sound has been told: its final is owed.
    Ended(u64),
    /// It has its final, or nobody wants it.
    Over,
}

impl Single {
    /// Whether the utterance can still begin.
    pub(super) fn is_fresh(&self) -> bool {
        self.state == State::Fresh
    }

    /// Whether a final is owed.
    pub(super) fn is_owed(&self) -> bool {
        self.utterance().is_some()
    }

    /// The utterance begins.
    pub(super) fn begin(&mut self, opening: &Opening) {
        self.state = State::Open(opening.utterance);
    }

    /// All of its sound has been told.
    pub(super) fn end(&mut self) {
        if let State::Open(utterance) = self.state {
            self.state = State::Ended(utterance);
        }
    }

    /// So many samples more were told.
    pub(super) fn push(&mut self, samples: usize) {
        self.samples += samples as u64;
    }

    /// How much was told, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(SAMPLE_RATE)
    }

    /// The final is not wanted.
    pub(super) fn cancel(&mut self) {
        self.state = State::Over;
    }

    /// The server's text so far.
    pub(super) fn partial(
        &mut self,
        committed: &str,
        tentative: &str,
        out: &mut Output,
    ) -> Result<(), NotUnderstood> {
        check_length(committed.len() + tentative.len())?;
        if let Some(utterance) = self.utterance() {
            self.told.partial(utterance, committed, tentative, out);
        }
        Ok(())
    }

    /// The server's last word. Before the end of the sound it would leave words out.
    pub(super) fn finish(
        &mut self,
        text: &str,
        segments: Vec<Segment>,
        language: String,
        out: &mut Output,
    ) -> Result<(), NotUnderstood> {
        check_length(text.len())?;
        match self.state {
            State::Ended(utterance) => {
                self.state = State::Over;
                let said = Said {
                    utterance,
                    text: text.to_owned(),
                    segments,
                    language,
                    ..Said::default()
                };
                self.told.finish(said, out);
            }
            State::Fresh | State::Open(_) => {
                let what = "an answer before the end of the sound".to_owned();
                return Err(NotUnderstood::Other(what));
            }
            State::Over => {}
        }
        Ok(())
    }

    fn utterance(&self) -> Option<u64> {
        match self.state {
            State::Open(utterance) | State::Ended(utterance) => Some(utterance),
            State::Fresh | State::Over => None,
        }
    }
}

/// The language that is asked for; `None`: the server is to recognise it.
pub(super) fn asked_language(manner: &Manner) -> Option<&str> {
    (manner.language != language::AUTO && !manner.language.is_empty())
        .then_some(manner.language.as_str())
}

/// Splits a text that grows at its end by anything, also by parts of words, before its last word:
/// what comes in front of that stays. Nothing of a text without spaces is sure before its end.
pub(super) fn split_last_word(text: &str) -> (&str, &str) {
    text.split_at(text.trim_end().rfind(char::is_whitespace).unwrap_or(0))
}

/// `text` with one space wherever there was white space, and none around it.
pub(super) fn tidy(text: &str) -> Cow<'_, str> {
    let is_tidy = text.split(' ').all(|word| !word.is_empty()) && text.trim() == text;
    if is_tidy && !text.contains(|c: char| c.is_whitespace() && c != ' ') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_not_sure() {
        for (text, sure, rest) in [
            ("", "", ""),
            ("one", "", "one"),
            ("one two", "one", " two"),
            ("one two ", "one", " two "),
            ("one  two", "one ", " two"),
            ("你好世界", "", "你好世界"),
        ] {
            assert_eq!(split_last_word(text), (sure, rest));
        }
    }

    #[test]
    fn white_space_is_tidied() {
        for (text, tidied) in [
            ("", ""),
            ("one two", "one two"),
            (" one  two\n", "one two"),
            ("one\ttwo", "one two"),
            ("one\u{a0}two", "one two"),
        ] {
            assert_eq!(tidy(text), tidied);
        }
    }
}
