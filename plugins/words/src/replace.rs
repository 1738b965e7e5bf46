//! Words that the user wants to be written otherwise.

use regex::{NoExpand, Regex, RegexBuilder};

use crate::language::Replace;

/// A user's list beyond this is surely a misunderstanding.
const MOST: usize = 1000;

/// Bytes of a compiled expression; the regex crate's own default is ten times that, and a list of
/// those would be felt.
const EXPRESSION_BYTES: usize = 1024 * 1024;

/// Why a replacement cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The expression is wrong; the text of the parser shows where.
    #[error("replace[{index}].regex: {source}")]
    Regex {
        /// Which one, from 0.
        index: usize,
        /// What is wrong.
        source: Box<regex::Error>,
    },
    /// Neither or both of `word` and `regex`.
    #[error("replace[{0}]: give either `word` or `regex`")]
    Kind(usize),
    /// Nothing to look for.
    #[error("replace[{0}].word: has no letter or digit: use `regex` for signs")]
    Empty(usize),
    /// Too many.
    #[error("replace: {0} entries are too many: use at most {MOST}")]
    Many(usize),
}

/// Replacements, ready to be made.
#[derive(Debug)]
pub(crate) struct Replacements(Vec<(Regex, String, bool)>);

impl Replacements {
    pub(crate) fn new(all: &[Replace]) -> Result<Self, ReplaceError> {
        if all.len() > MOST {
            return Err(ReplaceError::Many(all.len()));
        }
        let compiled = all.iter().enumerate().map(|(index, replace)| {
            let (pattern, expands) = match (&replace.word, &replace.regex) {
                (Some(word), None) => (whole(word).ok_or(ReplaceError::Empty(index))?, false),
                (None, Some(regex)) => (regex.clone(), true),
                _ => return Err(ReplaceError::Kind(index)),
            };
            let regex = RegexBuilder::new(&pattern)
                .case_insensitive(!expands)
                .size_limit(EXPRESSION_BYTES)
                .build()
                .map_err(|source| ReplaceError::Regex {
                    index,
                    source: Box::new(source),
                })?;
            Ok((regex, replace.with.clone(), expands))
        });
        Ok(Replacements(compiled.collect::<Result<_, _>>()?))
    }

    /// `text` with all of them made, one after the other; `None` where none fits.
    pub(crate) fn make(&self, text: &str) -> Option<String> {
        let mut changed: Option<String> = None;
        for (regex, with, expands) in &self.0 {
            let now = changed.as_deref().unwrap_or(text);
            if !regex.is_match(now) {
                continue;
            }
            let next = if *expands {
                regex.replace_all(now, with.as_str()).into_owned()
            } else {
                regex.replace_all(now, NoExpand(with)).into_owned()
            };
            changed = Some(next);
        }
        changed
    }
}

/// An expression for `words` as whole words with any white space between them.
fn whole(words: &str) -> Option<String> {
    if !words.contains(char::is_alphanumeric) {
        return None;
    }
    let parts: Vec<String> = words.split_whitespace().map(regex::escape).collect();
    let edge = |c: Option<char>| {
        if c.is_some_and(char::is_alphanumeric) {
            r"\b"
        } else {
            ""
        }
    };
    let words = words.trim();
    let (first, last) = (edge(words.chars().next()), edge(words.chars().next_back()));
    Some(format!("{first}{}{last}", parts.join(r"\s+")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(replace: &str, text: &str) -> String {
        let language = crate::Language::parse(replace).unwrap();
        let replacements = Replacements::new(&language.replace).unwrap();
        replacements.make(text).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn words_and_expressions() {
        let words = "[[replace]]\nword = \"w stream\"\nwith = \"wstream$1\"\n";
        assert_eq!(made(words, "W Stream, w  stream!"), "wstream$1, wstream$1!");
        assert_eq!(made(words, "now streaming"), "now streaming");
        let sign = "[[replace]]\nword = \"c++\"\nwith = \"C++\"\n";
        assert_eq!(made(sign, "Use c++, not abc++"), "Use C++, not abc++");
        let regex = "[[replace]]\nregex = '(\\d+) percent'\nwith = \"${1}%\"\n";
        assert_eq!(made(regex, "about 20 percent"), "about 20%");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("[[replace]]\nregex = '('\nwith = \"\"", "replace[0].regex"),
            ("[[replace]]\nwith = \"\"", "either `word` or `regex`"),
            ("[[replace]]\nword = \"-\"\nwith = \"\"", "no letter"),
        ] {
            let language = crate::Language::parse(text).unwrap();
            let error = Replacements::new(&language.replace)
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
