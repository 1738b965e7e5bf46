//! Sounds that are no words, with the commas that Whisper set around them.

use std::collections::HashSet;

use crate::language::Language;
use crate::text::{capitalised, is_mark, tokens, without};

/// The sounds of a language.
#[derive(Debug)]
pub(crate) struct Fillers(HashSet<String>);

impl Fillers {
    pub(crate) fn new(language: &Language) -> Self {
        let kept: HashSet<&String> = language.not_fillers.iter().collect();
        let fillers = language.fillers.iter().filter(|f| !kept.contains(f));
        Fillers(fillers.map(|filler| filler.to_lowercase()).collect())
    }

    /// `text` without them; `None` where there are none.
    pub(crate) fn remove(&self, text: &str) -> Option<String> {
        let (all, tail) = tokens(text);
        let is_filler = |word: &str| self.0.contains(&word.to_lowercase());
        if !all.iter().any(|token| is_filler(token.word)) {
            return None;
        }
        let mut kept = String::with_capacity(text.len());
        // Where the punctuation behind the last word that stays begins.
        let mut marks_at = 0;
        let mut space_at_start = None;
        // A quote or bracket that a filler stood behind.
        let mut open = "";
        // A filler began the sentence, so the next word does.
        let mut begins = false;
        for token in &all {
            if !is_filler(token.word) {
                // The first word that stays has the space that the text began with.
                let space = space_at_start.take().unwrap_or(token.space);
                kept.push_str(if kept.is_empty() { space } else { token.space });
                kept.push_str(std::mem::take(&mut open));
                kept.push_str(token.open);
                let word = if begins {
                    capitalised(token.word)
                } else {
                    token.word.to_owned()
                };
                kept.push_str(&word);
                marks_at = kept.len();
                kept.push_str(token.close);
                begins = false;
                continue;
            }
            if kept.is_empty() {
                space_at_start.get_or_insert(token.space);
            }
            begins |= token.word.starts_with(char::is_uppercase);
            if open.is_empty() {
                open = token.open;
            }
            let behind = &kept[marks_at..];
            let rest = if token.pauses() && !behind.contains(['.', '!', '?', '…']) {
                // Both commas were the filler's; the end of a sentence was not.
                let rest = without(behind, |c| matches!(c, ',' | '-' | '–' | '—'));
                let end = without(token.close, |c| matches!(c, ',' | '-' | '–' | '—'));
                let at_start = kept.len() == behind.len() && behind.is_empty();
                rest + if at_start { "" } else { &end }
            } else {
                behind.to_owned() + &without(token.close, is_mark)
            };
            kept.truncate(marks_at);
            kept.push_str(&rest);
        }
        // Punctuation alone is nothing that was said.
        if !kept.contains(char::is_alphanumeric) {
            return Some(String::new());
        }
        kept.push_str(tail);
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_go_with_their_commas() {
        let english = Fillers::new(&Language::built_in("en").unwrap());
        for (said, expected) in [
            ("I, um, think so.", "I think so."),
            ("Um, hello there.", "Hello there."),
            ("Um. hello there.", "Hello there."),
            (" Uh, I see.", " I see."),
            ("We went, uh.", "We went."),
            ("We went uh.", "We went."),
            ("I think... um... yes.", "I think... yes."),
            ("Well, that is, uh, um, all.", "Well, that is all."),
            ("He said \"um, no\".", "He said \"no\"."),
            ("What is that? Um, a bird.", "What is that? A bird."),
            ("Um.", ""),
            ("Uh, um...", ""),
        ] {
            assert_eq!(english.remove(said).as_deref(), Some(expected), "{said}");
        }
        for said in ["An umbrella.", "Hamburger, err.", ""] {
            assert_eq!(english.remove(said), None);
        }
    }

    #[test]
    fn a_user_keeps_some() {
        let mut language = Language::built_in("en").unwrap();
        language.not_fillers = vec!["hmm".to_owned()];
        let english = Fillers::new(&language);
        assert_eq!(english.remove("Hmm, well."), None);
    }
}
