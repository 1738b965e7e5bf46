//! Which words of an utterance are commands, and which only look like one.

use std::collections::{HashMap, HashSet};

use crate::language::{Act, Command, Language, Needs};
use crate::text::{Token, normal};

/// A language's commands and the words that speak for and against them, ready to be looked up.
#[derive(Debug)]
pub(crate) struct Commands {
    /// The commands that are on.
    pub(crate) all: Vec<Command>,
    /// First word → phrase and command, longest phrase first.
    phrases: HashMap<String, Vec<(Vec<String>, usize)>>,
    /// Per command: what the words around it say.
    guards: Vec<Guard>,
    never_after: HashSet<String>,
    determiners: HashSet<String>,
    adjective_endings: Vec<String>,
    intensifiers: HashSet<String>,
    common: HashSet<String>,
    numerals: HashSet<String>,
}

/// What the words next to a command say of it.
#[derive(Debug)]
struct Guard {
    surely_after: HashSet<String>,
    not_after: HashSet<String>,
    not_before: HashSet<String>,
}

/// A command where it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Index of its first token, and of the one behind its last.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Index in [`Commands::all`].
    pub(crate) command: usize,
}

/// How many times the neighbours of a command are looked at again: a row of more commands without
/// a pause is not said.
const ROUNDS: usize = 8;

impl Commands {
    pub(crate) fn new(language: &Language) -> Self {
        let all: Vec<Command> = language.command.clone();
        let mut phrases: HashMap<String, Vec<(Vec<String>, usize)>> = HashMap::new();
        for (index, command) in all.iter().enumerate() {
            for phrase in &command.say {
                let words = normal(phrase);
                if let Some(first) = words.first() {
                    let entry = phrases.entry(first.clone()).or_default();
                    entry.push((words, index));
                }
            }
        }
        for entry in phrases.values_mut() {
            entry.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
        }
        let guards = all
            .iter()
            .map(|command| Guard {
                surely_after: set(&command.surely_after),
                not_after: set(&command.not_after),
                not_before: set(&command.not_before),
            })
            .collect();
        Commands {
            all,
            phrases,
            guards,
            never_after: set(&language.never_after),
            determiners: set(&language.determiners),
            adjective_endings: normal(&language.adjective_endings),
            intensifiers: set(&language.intensifiers),
            common: set(&language.common),
            numerals: set(&language.numerals),
        }
    }

    /// Whether `word` is written small unless it begins a sentence.
    pub(crate) fn is_common(&self, word: &str) -> bool {
        self.common.contains(&word.to_lowercase().replace('’', "'"))
    }

    /// The commands among `tokens`, in order; they do not overlap.
    pub(crate) fn find(&self, tokens: &[Token<'_>]) -> Vec<Said> {
        let words: Vec<Vec<String>> = tokens.iter().map(|token| normal(token.word)).collect();
        let candidates = self.candidates(tokens, &words);
        if candidates.is_empty() {
            return candidates;
        }
        let utterance = Utterance { tokens, words };
        // A command next to one that was found is set off by it, so it is looked at again.
        let mut found: Vec<bool> = vec![false; candidates.len()];
        for _ in 0..ROUNDS {
            let mut changed = false;
            for index in 0..candidates.len() {
                if !found[index] && self.is_meant(&utterance, &candidates, &found, index) {
                    found[index] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        self.without_literals(candidates, &found)
    }

    /// Everything that has a command's words, from left to right, the longest first.
    fn candidates(&self, tokens: &[Token<'_>], words: &[Vec<String>]) -> Vec<Said> {
        let mut candidates = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let said = words[at].first().and_then(|first| {
                let entry = self.phrases.get(first)?;
                entry.iter().find_map(|(phrase, command)| {
                    let to = spans(phrase, tokens, words, at)?;
                    Some(Said {
                        from: at,
                        to,
                        command: *command,
                    })
                })
            });
            match said {
                Some(said) => {
                    candidates.push(said);
                    at = said.to;
                }
                None => at += 1,
            }
        }
        candidates
    }

    fn is_meant(
        &self,
        utterance: &Utterance<'_>,
        candidates: &[Said],
        found: &[bool],
        index: usize,
    ) -> bool {
        let said = candidates[index];
        let command = &self.all[said.command];
        let tokens = utterance.tokens;
        let touches = |other: Option<usize>, edge: fn(Said) -> usize, at: usize| {
            other.is_some_and(|other| {
                other < candidates.len() && found[other] && edge(candidates[other]) == at
            })
        };
        let behind_command = touches(index.checked_sub(1), |other| other.to, said.from);
        let before_command = touches(Some(index + 1), |other| other.from, said.to);

        let last = tokens[said.to - 1];
        let first_of_all = said.from == 0;
        let end_of_all = said.to == tokens.len();
        let ends = last.ends() || end_of_all;
        // What a noise or a dash separates is set off as well.
        let pause_before = first_of_all
            || behind_command
            || tokens[said.from - 1].pauses()
            || !tokens[said.from].open.is_empty();
        let pause_after = end_of_all || before_command || last.pauses();

        if !self.has_its_object(command, tokens, candidates, index) {
            return false;
        }
        if command.decimal && self.is_between_numbers(utterance, said, pause_before) {
            return false;
        }
        let before = (!pause_before)
            .then(|| utterance.before(said.from))
            .flatten();
        let after = (!pause_after).then(|| utterance.after(said.to)).flatten();
        let guard = &self.guards[said.command];
        // Whoever says `literal` before a command knows what it does.
        let sure = command.act == Some(Act::Literal)
            || before.is_some_and(|word| guard.surely_after.contains(word));
        if let Some(word) = before
            && !sure
            && (guard.not_after.contains(word) || self.never_after.contains(word))
        {
            return false;
        }
        if after.is_some_and(|word| guard.not_before.contains(word)) {
            return false;
        }
        if command.needs == Needs::Phrase {
            return true;
        }
        let begins_sentence = first_of_all || (!behind_command && tokens[said.from - 1].ends());
        if pause_before && pause_after {
            // `Dash, come here!` is somebody's name; `Dash.` is not.
            return !begins_sentence || ends || before_command;
        }
        let alone =
            sure || !self.is_in_noun_phrase(utterance, said.from, command.needs, pause_before);
        let sentence_follows = command.needs == Needs::End
            && tokens.get(said.to).is_some_and(|next| {
                next.word.starts_with(char::is_uppercase) && self.is_common(next.word)
            });
        alone && (ends || before_command || sentence_follows)
    }

    /// What acts on the next word needs one; `literal` needs a command.
    fn has_its_object(
        &self,
        command: &Command,
        tokens: &[Token<'_>],
        candidates: &[Said],
        index: usize,
    ) -> bool {
        let said = candidates[index];
        match command.act {
            Some(Act::Literal) => candidates
                .get(index + 1)
                .is_some_and(|next| next.from == said.to),
            None if command.write.is_none() => said.to == tokens.len(),
            Some(Act::Upper | Act::Capital | Act::Lower | Act::NoSpace) => {
                // In the same sentence.
                let next = tokens.get(said.to);
                !tokens[said.to - 1].ends() && next.is_some_and(|next| !next.word.is_empty())
            }
            _ => true,
        }
    }

    fn is_between_numbers(&self, utterance: &Utterance<'_>, said: Said, pause: bool) -> bool {
        let is_number = |word: Option<&str>| {
            word.is_some_and(|word| {
                self.numerals.contains(word) || word.chars().all(|c| c.is_ascii_digit())
            })
        };
        !pause && is_number(utterance.before(said.from)) && is_number(utterance.after(said.to))
    }

    /// Whether what stands before token `at` makes a noun of it: `the Victorian …`.
    fn is_in_noun_phrase(
        &self,
        utterance: &Utterance<'_>,
        at: usize,
        needs: Needs,
        pause_before: bool,
    ) -> bool {
        if pause_before {
            return false;
        }
        // The word in front of token `at`, within the same pause.
        let before = |at: usize| {
            let word = utterance.before(at)?;
            let paused = at
                .checked_sub(1)
                .is_none_or(|at| utterance.tokens[at].pauses());
            (!paused).then_some(word)
        };
        let determines = |at: usize| before(at).is_some_and(|word| self.determiners.contains(word));
        if needs == Needs::Apart {
            return determines(at) || at > 0 && determines(at - 1) || at > 1 && determines(at - 2);
        }
        // An article, then nothing but adjectives.
        let mut at = at;
        while at > 0 && before(at).is_some_and(|word| self.is_adjective(word)) {
            at -= 1;
            if determines(at) {
                return true;
            }
        }
        false
    }

    fn is_adjective(&self, word: &str) -> bool {
        let mut endings = self.adjective_endings.iter();
        self.intensifiers.contains(word)
            || endings.any(|end| word.len() > end.len() + 1 && word.ends_with(end.as_str()))
    }

    /// Keeps what was found, except what stands behind `literal`.
    fn without_literals(&self, candidates: Vec<Said>, found: &[bool]) -> Vec<Said> {
        let mut kept: Vec<Said> = Vec::with_capacity(candidates.len());
        for (index, said) in candidates.into_iter().enumerate() {
            let literal = kept.last().is_some_and(|before| {
                before.to == said.from && self.all[before.command].act == Some(Act::Literal)
            });
            if found[index] && !literal {
                kept.push(said);
            }
        }
        kept
    }
}

/// The tokens with their words as they are compared.
struct Utterance<'a> {
    tokens: &'a [Token<'a>],
    words: Vec<Vec<String>>,
}

impl Utterance<'_> {
    fn before(&self, at: usize) -> Option<&str> {
        self.words[at.checked_sub(1)?].last().map(String::as_str)
    }

    fn after(&self, at: usize) -> Option<&str> {
        self.words.get(at)?.first().map(String::as_str)
    }
}

/// Where `phrase` ends if the tokens from `at` on say it, without a pause in between.
fn spans(
    phrase: &[String],
    tokens: &[Token<'_>],
    words: &[Vec<String>],
    at: usize,
) -> Option<usize> {
    let mut left = phrase;
    let mut to = at;
    while !left.is_empty() {
        let has_pause =
            to > at && (!tokens[to - 1].close.is_empty() || !tokens.get(to)?.open.is_empty());
        let said = words.get(to).filter(|said| !said.is_empty())?;
        if has_pause || !left.starts_with(said) {
            return None;
        }
        left = &left[said.len()..];
        to += 1;
    }
    Some(to)
}

fn set(words: &str) -> HashSet<String> {
    words
        .split_whitespace()
        .map(|word| word.to_lowercase())
        .collect()
}
