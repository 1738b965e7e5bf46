//! The lists of words and languages, in the file and as options of a session, and of plugins: what
//! is allowed.

use wstream_wire::language;

/// Most words to expect: more than the engine's prompt has room for (64 tokens) would be without
/// effect, and ten times that is surely a misunderstanding.
const VOCABULARY_WORDS: usize = 100;

/// Longest of them, in characters: a long name with its title.
const WORD_CHARACTERS: usize = 64;

/// Longest name of a plugin: with `wstream-` in front it must be one of a file and of a unit.
const PLUGIN_CHARACTERS: usize = 64;

/// An entry, or a list, that is not allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadList {
    /// The key, with the entry's place in it.
    pub(crate) key: String,
    /// What is set there.
    pub(crate) value: String,
    /// What is wrong with it and what is allowed.
    pub(crate) problem: String,
}

/// Words to expect: bounded in number and length, each with something in it to be heard.
pub(crate) fn check_vocabulary(words: &[String]) -> Result<(), BadList> {
    if words.len() > VOCABULARY_WORDS {
        return Err(BadList {
            key: "vocabulary".to_owned(),
            value: format!("{} entries", words.len()),
            problem: format!("too many: use at most {VOCABULARY_WORDS}"),
        });
    }
    for (index, word) in words.iter().enumerate() {
        let problem = if !word.contains(char::is_alphanumeric) {
            "has no word in it: remove it".to_owned()
        } else if word.contains(char::is_control) {
            "has a control character in it: use one entry for each word or name".to_owned()
        } else if word.chars().count() > WORD_CHARACTERS {
            format!("too long: use at most {WORD_CHARACTERS} characters")
        } else {
            continue;
        };
        return Err(bad("vocabulary", index, word, problem));
    }
    Ok(())
}

/// Languages that may be found: those that Whisper knows.
pub(crate) fn check_languages(languages: &[String]) -> Result<(), BadList> {
    let unknown = |code: &String| !language::CODES.contains(&code.as_str());
    match languages.iter().position(unknown) {
        None => Ok(()),
        Some(index) => {
            let problem = "not a language that Whisper knows: use ISO 639-1 codes such as \"en\"";
            let code = &languages[index];
            Err(bad("languages", index, code, problem.to_owned()))
        }
    }
}

/// Names of plugins: parts of a program's name, each once.
pub(crate) fn check_plugins(names: &[String]) -> Result<(), BadList> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for (index, name) in names.iter().enumerate() {
        let problem = if name.is_empty() || name.starts_with('-') || !name.chars().all(is_plain) {
            "not a plugin's name: use NAME of the program wstream-NAME, such as \"notify\""
        } else if name.len() > PLUGIN_CHARACTERS {
            "too long for the name of a program: use a shorter one"
        } else if names[..index].contains(name) {
            "there already: remove it"
        } else {
            continue;
        };
        return Err(bad("plugins.run", index, name, problem.to_owned()));
    }
    Ok(())
}

/// Keys that filters may ask for: those of the contract.
pub(crate) fn check_plugin_keys(keys: &[String]) -> Result<(), BadList> {
    match crate::filters::check_keys(keys) {
        Ok(()) => Ok(()),
        Err(index) => {
            let known = wstream_api::FILTER_KEYS.join(", ");
            let problem = format!("not a key that filters may ask for: use some of {known}");
            Err(bad("plugins.keys", index, &keys[index], problem))
        }
    }
}

/// Typing drivers: those that there are, each once.
pub(crate) fn check_drivers(names: &[String]) -> Result<(), BadList> {
    let known: Vec<&str> = wstream_typing::DRIVERS
        .iter()
        .map(|(name, _)| *name)
        .collect();
    for (index, name) in names.iter().enumerate() {
        let problem = if !known.contains(&name.as_str()) {
            format!("not a typing driver: use some of {}", known.join(", "))
        } else if names[..index].contains(name) {
            "there already: remove it".to_owned()
        } else {
            continue;
        };
        return Err(bad("typing.drivers", index, name, problem));
    }
    Ok(())
}

fn bad(key: &str, index: usize, value: &str, problem: String) -> BadList {
    BadList {
        key: format!("{key}[{index}]"),
        value: format!("{value:?}"),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn words_and_names_are_taken() {
        let long = "x".repeat(WORD_CHARACTERS);
        assert_eq!(check_vocabulary(&[]), Ok(()));
        assert_eq!(
            check_vocabulary(&list(&["Żółkiewski", "C++", "São Paulo", "東京", &long])),
            Ok(())
        );
        assert_eq!(check_vocabulary(&vec!["word".to_owned(); 100]), Ok(()));
        assert_eq!(check_languages(&list(&["en", "de", "yue"])), Ok(()));
    }

    #[test]
    fn plugins_and_keys_are_names_that_can_be() {
        assert_eq!(check_plugins(&list(&["notify", "my-words2"])), Ok(()));
        let long = "x".repeat(PLUGIN_CHARACTERS + 1);
        for name in ["", "-x", "../sh", "a b", "Notify", "notify", long.as_str()] {
            let refused = check_plugins(&list(&["notify", name])).unwrap_err();
            assert_eq!(refused.key, "plugins.run[1]");
        }
        assert_eq!(check_plugin_keys(&list(&["Return", "BackSpace"])), Ok(()));
        let refused = check_plugin_keys(&list(&["Return", "return"])).unwrap_err();
        assert_eq!(refused.key, "plugins.keys[1]");
    }

    #[test]
    fn what_is_refused_is_named() {
        let long = "ü".repeat(WORD_CHARACTERS + 1);
        for word in ["", " ", "...", "two\nlines", long.as_str()] {
            let refused = check_vocabulary(&list(&["good", word])).unwrap_err();
            assert_eq!(refused.key, "vocabulary[1]");
        }
        let refused = check_vocabulary(&vec!["word".to_owned(); 101]).unwrap_err();
        assert_eq!(refused.value, "101 entries");
        for code in ["auto", "EN", "english", ""] {
            let refused = check_languages(&list(&["en", code])).unwrap_err();
            assert_eq!(refused.key, "languages[1]");
        }
    }
}
