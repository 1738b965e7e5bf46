//! The rules of a language, made ready once and applied to each utterance.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::fillers::Fillers;
use crate::find::Commands;
use crate::language::Language;
use crate::numbers::Numerals;
use crate::replace::{ReplaceError, Replacements};
use crate::text::tokens;
use crate::write::{Writer, Written};

/// What is done at all. The commented default file says what each key means.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Spoken punctuation and commands.
    pub commands: bool,
    /// Names of commands that are not wanted.
    pub off: Vec<String>,
    /// Sounds that are no words are left out.
    pub fillers: bool,
    /// A sentence that a command begins is begun with a capital.
    pub capitalise: bool,
    /// How numbers are written.
    pub numbers: Numbers,
    /// Place among the filters.
    pub priority: i32,
    /// Commands that press a key instead of writing, where they are said last: name → key.
    pub keys: BTreeMap<String, String>,
    /// Replacements for every language, after the language's own.
    pub replace: Vec<crate::Replace>,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// As the model wrote them.
    #[default]
    AsWritten,
    /// With digits.
    Digits,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            commands: true,
            off: Vec::new(),
            fillers: true,
            capitalise: true,
            numbers: Numbers::AsWritten,
            // Behind nothing and before what works on finished sentences.
            priority: 10,
            keys: BTreeMap::new(),
            replace: Vec::new(),
        }
    }
}

/// The rules of a language.
#[derive(Debug)]
pub struct Rules {
    commands: Option<Commands>,
    fillers: Option<Fillers>,
    numbers: Option<Numerals>,
    own: Replacements,
    general: Replacements,
    capitalise: bool,
}

impl Rules {
    /// Makes the rules of `language`, whose ISO 639-1 code is `code`.
    pub fn new(language: &Language, code: &str, settings: &Settings) -> Result<Self, ReplaceError> {
        let mut language = language.clone();
        language
            .command
            .retain(|command| !settings.off.contains(&command.name));
        for command in &mut language.command {
            if let Some(key) = settings.keys.get(&command.name) {
                command.key = Some(key.clone());
            }
        }
        Ok(Rules {
            commands: settings.commands.then(|| Commands::new(&language)),
            fillers: settings.fillers.then(|| Fillers::new(&language)),
            numbers: match settings.numbers {
                Numbers::AsWritten => None,
                Numbers::Digits => Numerals::of(code),
            },
            own: Replacements::new(&language.replace)?,
            general: Replacements::new(&settings.replace)?,
            capitalise: settings.capitalise,
        })
    }

    /// What is to be written for `text`. Text that no rule concerns stays as it is, byte for byte.
    pub fn apply(&self, text: &str) -> Written {
        let mut written = Written {
            text: text.to_owned(),
            keys: Vec::new(),
        };
        if let Some(text) = self.fillers.as_ref().and_then(|f| f.remove(&written.text)) {
            written.text = text;
        }
        if let Some(commands) = &self.commands {
            let (all, tail) = tokens(&written.text);
            let said = commands.find(&all);
            if !said.is_empty() {
                written = Writer::new(commands, self.capitalise).write(&all, tail, &said);
            }
        }
        if let Some(numerals) = &self.numbers {
            written.text = numerals.digits(&written.text);
        }
        for replacements in [&self.own, &self.general] {
            if let Some(text) = replacements.make(&written.text) {
                written.text = text;
            }
        }
        written
    }
}
