//! The data file of a language: which words are commands and which are not. Ours are compiled in;
//! the user's files add to them, and change or remove single commands by their names.

use serde::Deserialize;

/// The languages that come with the program: ISO 639-1 code and file.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("de", include_str!("../languages/de.toml")),
    ("en", include_str!("../languages/en.toml")),
    ("es", include_str!("../languages/es.toml")),
    ("fr", include_str!("../languages/fr.toml")),
    ("it", include_str!("../languages/it.toml")),
    ("pt", include_str!("../languages/pt.toml")),
];

/// A language's file. The README describes every key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Language {
    /// Sounds that are no words.
    pub fillers: Vec<String>,
    /// Of those, the ones to keep; for the user's file.
    pub not_fillers: Vec<String>,
    /// Words behind which no command is expected, separated by spaces: articles, "of", "the word".
    pub never_after: String,
    /// Those of them that begin a noun phrase, as "the" in "the Victorian period".
    pub determiners: String,
    /// How words end that stand between such a word and its noun.
    pub adjective_endings: String,
    /// Words that may stand before those, as "very".
    pub intensifiers: String,
    /// Words that are written small unless they begin a sentence.
    pub common: String,
    /// Number words: between two of them, a command that may also be a decimal separator is one.
    pub numerals: String,
    /// The commands.
    pub command: Vec<Command>,
    /// Words to write otherwise.
    pub replace: Vec<Replace>,
}

/// Words that do something.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What it is called, in all languages.
    pub name: String,
    /// What is said for it; nothing: the command is off.
    pub say: Vec<String>,
    /// What is written in its place.
    pub write: Option<String>,
    /// Or what is done with the words around it.
    #[serde(rename = "do")]
    pub act: Option<Act>,
    /// Or a key to be pressed after the text, where it is the last that is said.
    pub key: Option<String>,
    /// On which sides what is written stands without a space.
    #[serde(default)]
    pub join: Join,
    /// What must hold for the words to be a command.
    #[serde(default)]
    pub needs: Needs,
    /// Between two numbers it is a decimal separator and no command.
    #[serde(default)]
    pub decimal: bool,
    /// Words behind which it is a command even though `never_after` or an article speaks against
    /// it, separated by spaces.
    #[serde(default)]
    pub surely_after: String,
    /// Words before it that make it no command, separated by spaces.
    #[serde(default)]
    pub not_after: String,
    /// Words after it that make it no command, separated by spaces.
    #[serde(default)]
    pub not_before: String,
}

/// What a command does with the words around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Removes everything that was said before it in this utterance.
    Scratch,
    /// Writes the command after it as words.
    Literal,
    /// The next word in capitals.
    Upper,
    /// All words from here on in capitals.
    UpperOn,
    /// Until here.
    UpperOff,
    /// The next word with a capital.
    Capital,
    /// All words from here on with a capital.
    CapitalOn,
    /// Until here.
    CapitalOff,
    /// The next word in small letters.
    Lower,
    /// All words from here on in small letters.
    LowerOn,
    /// Until here.
    LowerOff,
    /// No space before the next word.
    NoSpace,
    /// No spaces from here on.
    NoSpaceOn,
    /// Until here.
    NoSpaceOff,
}

/// Where what is written touches its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Join {
    /// The word before it, as a comma does.
    #[default]
    Left,
    /// The word after it, as an opening bracket.
    Right,
    /// Both, as a hyphen.
    Both,
    /// None, as a dash.
    None,
}

/// How sure it must be that words are meant as a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Needs {
    /// They are said for nothing else: anywhere, unless the words around them say otherwise.
    #[default]
    Phrase,
    /// They are set off by pauses, or end a sentence.
    End,
    /// As `end`, and no article or the like is near.
    Apart,
}

/// Words to write otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// Whole words, in capitals or not.
    pub word: Option<String>,
    /// Or a regular expression, in the syntax of Rust's regex crate.
    pub regex: Option<String>,
    /// What to write; behind `regex`, `$1` or `${name}` is what a group has found.
    pub with: String,
}

impl Language {
    /// Reads a file; the error's text has line and caret.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Ours for the language with this code.
    pub fn built_in(code: &str) -> Option<Self> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == code)?;
        // A test reads every one of them.
        Some(Self::parse(text).expect("the built-in languages are right"))
    }

    /// Adds the user's file: a command of the same name takes the place of ours.
    pub fn extend(&mut self, with: Language) {
        self.fillers.extend(with.fillers);
        self.not_fillers.extend(with.not_fillers);
        for (ours, theirs) in [
            (&mut self.never_after, &with.never_after),
            (&mut self.determiners, &with.determiners),
            (&mut self.adjective_endings, &with.adjective_endings),
            (&mut self.intensifiers, &with.intensifiers),
            (&mut self.common, &with.common),
            (&mut self.numerals, &with.numerals),
        ] {
            ours.push(' ');
            ours.push_str(theirs);
        }
        for command in with.command {
            self.command.retain(|ours| ours.name != command.name);
            self.command.push(command);
        }
        self.replace.extend(with.replace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_languages_are_right() {
        for (code, text) in BUILT_IN {
            let language = Language::parse(text).unwrap_or_else(|error| panic!("{code}: {error}"));
            assert!(language.command.len() > 20, "{code}");
            assert!(!language.fillers.is_empty(), "{code}");
            for command in &language.command {
                let does = [
                    command.write.is_some(),
                    command.act.is_some(),
                    command.key.is_some(),
                ];
                let count = does.iter().filter(|does| **does).count();
                assert_eq!(count, 1, "{code}: {}", command.name);
                assert!(!command.say.is_empty(), "{code}: {}", command.name);
            }
        }
        assert!(Language::built_in("la").is_none());
    }

    #[test]
    fn a_users_file_changes_single_commands() {
        let mut language = Language::built_in("en").unwrap();
        let count = language.command.len();
        let own = "
            fillers = [\"like\"]
            [[command]]
            name = \"dash\"
            say = []
            write = \"-\"
            [[command]]
            name = \"shrug\"
            say = [\"shrug emoji\"]
            write = \"🤷\"
            join = \"none\"
        ";
        language.extend(Language::parse(own).unwrap());
        assert_eq!(language.command.len(), count + 1);
        assert!(language.fillers.contains(&"like".to_owned()));
        let dash = language.command.iter().find(|c| c.name == "dash");
        assert!(dash.unwrap().say.is_empty());
    }

    #[test]
    fn mistakes_are_shown_with_line_and_caret() {
        let error = Language::parse("[[command]]\nname = \"x\"\nsays = []\n").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("line 3") && text.contains('^'), "{text}");
    }
}
