//! The rules of every language that is spoken, made when it is first heard and made anew when one
//! of the user's files has changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use wstream_settings::{BadValue, File, Stamp, complain, parse_named, read};

use crate::{Language, Rules, Settings, Written};

impl wstream_settings::Settings for Settings {
    const NAME: &'static str = "words";
    const DEFAULT_TEXT: &'static str = include_str!("../../../packaging/words.toml");

    fn check(&self) -> Result<(), BadValue> {
        if self.priority.abs() > 1000 {
            return Err(BadValue {
                key: "priority".to_owned(),
                value: self.priority.to_string(),
                problem: "out of range: use -1000 to 1000".to_owned(),
            });
        }
        let keys = wstream_api::FILTER_KEYS;
        if let Some((name, key)) = self
            .keys
            .iter()
            .find(|(_, key)| !keys.contains(&key.as_str()))
        {
            return Err(BadValue {
                key: format!("keys.{name}"),
                value: format!("{key:?}"),
                problem: format!(
                    "no key that can be asked for: use one of {}",
                    keys.join(", ")
                ),
            });
        }
        Ok(())
    }
}

/// The user's settings and the rules that were made of them.
#[derive(Debug)]
pub struct Library {
    settings: Settings,
    file: File<Settings>,
    /// The folder with the user's language files.
    dir: PathBuf,
    /// By language, with the user's file as it was.
    made: HashMap<String, (Stamp, Rules)>,
}

impl Library {
    /// With `settings` read from `file`; language files are in the folder `words` beside it.
    pub fn new(settings: Settings, file: File<Settings>) -> Self {
        let dir = file.path().with_file_name("words");
        Library {
            settings,
            file,
            dir,
            made: HashMap::new(),
        }
    }

    /// What is to be written for `text` in the language with this ISO 639-1 code.
    pub fn apply(&mut self, text: &str, code: &str) -> Written {
        match self.file.load_if_changed() {
            Some(Ok(settings)) => {
                self.settings = settings;
                self.made.clear();
            }
            Some(Err(error)) => {
                complain::<Settings>(&format!("{error}; what was set before stays in force"))
            }
            None => {}
        }
        self.rules(code).apply(text)
    }

    /// Makes the rules of all languages that the user has files for, and of ours.
    pub fn check(&self) -> Result<(), String> {
        let ours = crate::BUILT_IN.iter().map(|(code, _)| (*code).to_owned());
        let mut codes: Vec<String> = ours.collect();
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                codes.extend(
                    path.file_stem()
                        .map(|stem| stem.to_string_lossy().into_owned()),
                );
            }
        }
        codes.sort();
        codes.dedup();
        codes.iter().try_for_each(|code| self.make(code).map(drop))
    }

    fn rules(&mut self, code: &str) -> &Rules {
        let stamp = Stamp::of(&self.path_of(code));
        let is_made = self
            .made
            .get(code)
            .is_some_and(|(made_of, _)| *made_of == stamp);
        if !is_made {
            let rules = match (self.make(code), self.made.remove(code)) {
                (Ok(rules), _) => rules,
                (Err(problem), before) => {
                    complain::<Settings>(&problem);
                    before.map_or_else(|| self.without_users_file(code), |(_, rules)| rules)
                }
            };
            self.made.insert(code.to_owned(), (stamp, rules));
        }
        &self.made[code].1
    }

    fn path_of(&self, code: &str) -> PathBuf {
        self.dir.join(format!("{code}.toml"))
    }

    fn make(&self, code: &str) -> Result<Rules, String> {
        let path = self.path_of(code);
        let mut language = Language::built_in(code).unwrap_or_default();
        let text = read(&path).map_err(|error| error.to_string())?;
        let mut named: &Path = self.file.path();
        if let Some(text) = text {
            language.extend(parse_named(&path, &text).map_err(|error| error.to_string())?);
            named = &path;
        }
        Rules::new(&language, code, &self.settings)
            .map_err(|error| format!("{}: {error}", named.display()))
    }

    /// What is left when a file is wrong: ours, or nothing at all.
    fn without_users_file(&self, code: &str) -> Rules {
        let language = Language::built_in(code).unwrap_or_default();
        let plain = Settings {
            replace: Vec::new(),
            ..self.settings.clone()
        };
        Rules::new(&language, code, &self.settings)
            .or_else(|_| Rules::new(&language, code, &plain))
            .expect("the built-in languages are right")
    }
}

#[cfg(test)]
mod tests {
    use wstream_settings::{Settings as _, uncommented};

    use super::*;

    fn library(dir: &Path) -> Library {
        let mut file = File::at(dir.join("words.toml"));
        Library::new(file.load().unwrap(), file)
    }

    #[test]
    fn the_installed_default_is_the_default() {
        let parsed: Settings = toml::from_str(Settings::DEFAULT_TEXT).unwrap();
        assert_eq!(parsed, Settings::default());
        let all = uncommented(Settings::DEFAULT_TEXT);
        let mut parsed: Settings = toml::from_str(&all).unwrap();
        // These two are examples; an empty list of them is the default.
        assert_eq!(parsed.keys.len(), 1);
        assert_eq!(parsed.replace.len(), 1);
        parsed.keys.clear();
        parsed.replace.clear();
        assert_eq!(parsed, Settings::default());
        let table: toml::Table = all.parse().unwrap();
        assert_eq!(table.len(), 8);
    }

    #[test]
    fn files_count_from_the_next_text_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut library = library(dir.path());
        assert_eq!(
            library.apply("Hello comma world.", "en").text,
            "Hello, world."
        );
        std::fs::write(dir.path().join("words.toml"), "off = [\"comma\"]\n").unwrap();
        let text = "Hello comma world.";
        assert_eq!(library.apply(text, "en").text, text);
        std::fs::create_dir(dir.path().join("words")).unwrap();
        let own = "[[replace]]\nword = \"hello\"\nwith = \"Goodbye\"\n";
        std::fs::write(dir.path().join("words/en.toml"), own).unwrap();
        assert_eq!(library.apply(text, "en").text, "Goodbye comma world.");
        // A wrong file leaves what was before.
        std::fs::write(dir.path().join("words/en.toml"), "replaces = 3").unwrap();
        assert_eq!(library.apply(text, "en").text, "Goodbye comma world.");
        assert!(library.check().unwrap_err().contains("words/en.toml"));
        // A language of the user's own.
        let own = "[[command]]\nname = \"comma\"\nsay = [\"przecinek\"]\nwrite = \",\"\n";
        std::fs::write(dir.path().join("words/pl.toml"), own).unwrap();
        std::fs::write(dir.path().join("words.toml"), "").unwrap();
        assert_eq!(library.apply("Tak przecinek nie.", "pl").text, "Tak, nie.");
        assert_eq!(library.apply("日本語。", "ja").text, "日本語。");
    }

    #[test]
    fn values_that_are_not_allowed_are_named() {
        for (text, key) in [
            ("priority = 5000", "priority"),
            ("[keys]\nnew-line = \"F4\"", "keys.new-line"),
        ] {
            let settings: Settings = toml::from_str(text).unwrap();
            assert_eq!(settings.check().unwrap_err().key, key);
        }
    }
}
