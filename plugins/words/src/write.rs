//! Writes an utterance anew: its words as they were, and what its commands ask for.

use crate::find::{Commands, Said};
use crate::language::{Act, Command, Join};
use crate::text::{Token, capitalised, ends_sentence, is_mark, uncapitalised, without};

/// How the words from here on are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Case {
    #[default]
    AsSaid,
    Upper,
    Capital,
    Lower,
}

/// The text so far, and what counts for the word that comes next.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    commands: &'a Commands,
    /// Whether a word that begins a sentence because of a command gets a capital.
    capitalise: bool,
    text: String,
    keys: Vec<String>,
    /// Where the punctuation behind the last word begins; it was Whisper's, not asked for.
    marks_at: Option<usize>,
    /// The white space that the utterance began with.
    lead: String,
    /// The next word touches what is there.
    joined: bool,
    /// The next word begins a sentence.
    begins: bool,
    /// The next word does not begin a sentence any more.
    goes_on: bool,
    /// For the next word only.
    next_case: Case,
    /// Until it is switched off.
    case: Case,
    /// No spaces until it is switched off.
    no_spaces: bool,
}

/// What was written, and the keys to be pressed after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The text.
    pub text: String,
    /// Names of keys, as `Return`.
    pub keys: Vec<String>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(commands: &'a Commands, capitalise: bool) -> Self {
        Writer {
            commands,
            capitalise,
            text: String::new(),
            keys: Vec::new(),
            marks_at: None,
            lead: String::new(),
            joined: true,
            begins: false,
            goes_on: false,
            next_case: Case::AsSaid,
            case: Case::AsSaid,
            no_spaces: false,
        }
    }

    /// Writes `tokens`, of which those in `said` are commands.
    pub(crate) fn write(mut self, tokens: &[Token<'_>], tail: &str, said: &[Said]) -> Written {
        if let Some(first) = tokens.first() {
            self.lead = first.space.to_owned();
            // The capital of a command that begins the utterance goes to the word after it.
            self.begins = said.first().is_some_and(|said| said.from == 0)
                && first.word.starts_with(char::is_uppercase);
        }
        let mut said = said.iter().peekable();
        let mut at = 0;
        while at < tokens.len() {
            match said.next_if(|said| said.from == at) {
                Some(said) => {
                    let command = &self.commands.all[said.command];
                    let is_last = said.to == tokens.len();
                    self.carry_out(
                        command,
                        tokens[said.from].open,
                        tokens[said.to - 1],
                        is_last,
                    );
                    at = said.to;
                }
                None => {
                    self.word(&tokens[at]);
                    at += 1;
                }
            }
        }
        self.text.push_str(tail);
        Written {
            text: self.text,
            keys: self.keys,
        }
    }

    fn word(&mut self, token: &Token<'_>) {
        if self.text.is_empty() {
            self.text.push_str(&self.lead);
        } else if !self.joined && !self.no_spaces {
            self.text.push_str(token.space);
        }
        self.text.push_str(token.open);
        let case = match self.next_case {
            Case::AsSaid => self.case,
            next => next,
        };
        let is_word = !token.word.is_empty();
        match case {
            Case::Upper => self.text.push_str(&token.word.to_uppercase()),
            Case::Lower => self.text.push_str(&token.word.to_lowercase()),
            Case::Capital => self.text.push_str(&capitalised(token.word)),
            Case::AsSaid if self.begins && self.capitalise => {
                self.text.push_str(&capitalised(token.word));
            }
            Case::AsSaid if self.goes_on && self.commands.is_common(token.word) => {
                self.text.push_str(&uncapitalised(token.word));
            }
            Case::AsSaid => self.text.push_str(token.word),
        }
        self.marks_at = Some(self.text.len());
        self.text.push_str(token.close);
        self.joined = false;
        if is_word {
            self.begins = false;
            self.goes_on = false;
            self.next_case = Case::AsSaid;
        }
    }

    /// `open` and `last.close` are the punctuation around the command.
    fn carry_out(&mut self, command: &Command, open: &str, last: Token<'_>, is_last: bool) {
        if let Some(act) = command.act {
            self.act(act, last);
        } else if let Some(key) = command.key.as_ref().filter(|_| is_last) {
            self.drop_marks(|c| c == ',');
            self.keys.push(key.clone());
        } else if let Some(write) = &command.write {
            self.insert(write, command.join, open, last);
        }
    }

    fn insert(&mut self, write: &str, join: Join, open: &str, last: Token<'_>) {
        let starts_with = write.trim_start_matches(' ').chars().next().unwrap_or(' ');
        let is_line = starts_with == '\n';
        let is_pair = matches!(starts_with, '"' | '»' | '“' | '”' | ')' | ']' | '}' | '\'');
        let ended = ends_sentence(&self.text);
        let kept = |c: char| !is_mark(c) && !matches!(c, '-' | '–' | '—');
        // What Whisper wrote where it heard the pause before the command.
        let dropped = if is_mark(starts_with) {
            self.drop_marks(|c| !kept(c))
        } else if matches!(join, Join::Right) && matches!(starts_with, '"' | '“' | '„' | '«') {
            // He said, "…
            false
        } else if is_line || is_pair || matches!(join, Join::Right) {
            self.drop_marks(|c| c == ',')
        } else {
            self.drop_marks(|c| matches!(c, ',' | '.' | ';' | ':'))
        };
        let gap = match join {
            Join::Left | Join::Both => "",
            Join::Right | Join::None if self.joined || self.no_spaces => "",
            Join::Right | Join::None => " ",
        };
        self.text.push_str(gap);
        let outer = without(open, |c| !kept(c));
        self.text.push_str(&outer);
        self.text.push_str(write);
        // A sentence that Whisper ended behind a closing quote ends there.
        let rest: String = if is_pair && !ended {
            without(last.close, |c| c == ',')
        } else {
            without(last.close, |c| !kept(c))
        };
        self.text.push_str(&rest);
        self.marks_at = None;
        self.joined = matches!(join, Join::Right | Join::Both);

        let was_ended = dropped && ended || last.ends();
        if is_line {
            self.begins = ended || write.starts_with("\n\n") || self.text.trim().is_empty();
        } else if write.ends_with('…') {
            // It may go on: the next word stays as it is.
            self.begins = false;
        } else if ends_sentence(write) {
            self.begins = true;
        } else if matches!(join, Join::Right) {
            // What stands in quotes or brackets keeps the case that it was given.
        } else {
            self.begins = false;
            self.goes_on = was_ended && !(is_pair && ends_sentence(&self.text));
        }
    }

    fn act(&mut self, act: Act, last: Token<'_>) {
        // Commas on both sides were pauses before and after the command.
        if matches!(act, Act::Upper | Act::Capital | Act::Lower) && last.close.contains(',') {
            self.drop_marks(|c| c == ',');
        }
        match act {
            Act::Scratch => {
                self.text.clear();
                self.keys.clear();
                self.marks_at = None;
                self.joined = true;
                self.begins = true;
            }
            // The words behind it are written as they are.
            Act::Literal => {}
            Act::Upper => self.next_case = Case::Upper,
            Act::UpperOn => self.case = Case::Upper,
            Act::Capital => self.next_case = Case::Capital,
            Act::CapitalOn => self.case = Case::Capital,
            Act::Lower => self.next_case = Case::Lower,
            Act::LowerOn => self.case = Case::Lower,
            Act::UpperOff | Act::CapitalOff | Act::LowerOff => {
                self.switched_off(last, Case::AsSaid)
            }
            Act::NoSpace => {
                self.drop_marks(|c| c == ',');
                self.joined = true;
            }
            Act::NoSpaceOn => self.no_spaces = true,
            Act::NoSpaceOff => {
                self.no_spaces = false;
                self.switched_off(last, self.case);
            }
        }
    }

    /// The mark behind a word that switches something off ends what was said before it.
    fn switched_off(&mut self, last: Token<'_>, case: Case) {
        self.case = case;
        if last.ends() {
            self.drop_marks(|c| c == ',');
            if !ends_sentence(&self.text) {
                self.text.push_str(last.close);
            }
        }
    }

    /// Removes marks behind the last word, unless a command wrote them; whether there were any.
    fn drop_marks(&mut self, unwanted: impl Fn(char) -> bool) -> bool {
        let Some(at) = self.marks_at else {
            return false;
        };
        let rest = without(&self.text[at..], unwanted);
        let dropped = rest.len() < self.text.len() - at;
        self.text.truncate(at);
        self.text.push_str(&rest);
        dropped
    }
}
