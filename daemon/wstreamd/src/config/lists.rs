//! The lists of words and languages, in the file and as options of a session: what is allowed.

use wstream_wire::language;

/// Most words to expect: more than the engine's prompt has room for (64 tokens) would be without
/// effect, and ten times that is surely a misunderstanding.
const VOCABULARY_WORDS: usize = 100;

/// Longest of them, in characters: a long name with its title.
const WORD_CHARACTERS: usize = 64;

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
