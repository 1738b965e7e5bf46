//! Properties that hold for any text.

use std::collections::HashSet;

use proptest::prelude::*;
use wstream_words::{BUILT_IN, Language, Numbers, Rules, Settings};

/// Every language with its rules, made once.
fn rules() -> &'static [(&'static str, Rules, HashSet<String>)] {
    static RULES: std::sync::LazyLock<Vec<(&'static str, Rules, HashSet<String>)>> =
        std::sync::LazyLock::new(|| BUILT_IN.iter().map(|(code, _)| of(code)).collect());
    &RULES
}

/// The rules of a language, and the first words of its commands with its fillers.
fn of(code: &'static str) -> (&'static str, Rules, HashSet<String>) {
    let language = Language::built_in(code).expect("it is built in");
    let rules = Rules::new(&language, code, &Settings::default()).expect("the rules are right");
    let firsts = language.command.iter().flat_map(|command| &command.say);
    let firsts = firsts.filter_map(|say| say.split([' ', '-']).next());
    let special = firsts.chain(language.fillers.iter().map(String::as_str));
    let special = special.map(str::to_lowercase).collect();
    (code, rules, special)
}

/// Whether a word of `text`, however it is cut out, may begin a command or be a filler.
fn is_special(text: &str, special: &HashSet<String>) -> bool {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’')
        .any(|word| {
            special.contains(&word.replace('’', "'"))
                || word.split(['\'', '’']).any(|part| special.contains(part))
        })
}

/// Something like a sentence: words of many kinds with punctuation and space of many kinds.
fn sentence() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-zA-Zäöüéñçà]{1,9}",
        1 => "[0-9]{1,4}",
        1 => "[A-Z][a-z]{1,6}('|’|-)[a-z]{1,4}",
        1 => "\\PC{1,4}",
    ];
    let gap = prop_oneof![
        8 => Just(" ".to_owned()),
        2 => Just(", ".to_owned()),
        2 => Just(". ".to_owned()),
        1 => Just(" ? ".to_owned()),
        1 => Just(" — ".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => "[ \\t.,;:!?…\"«»()]{1,4}",
    ];
    proptest::collection::vec((word, gap), 0..20).prop_map(|parts| {
        parts
            .into_iter()
            .flat_map(|(word, gap)| [word, gap])
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn text_without_commands_stays_byte_for_byte(text in sentence()) {
        for (code, rules, special) in rules() {
            if is_special(&text, special) {
                continue;
            }
            let written = rules.apply(&text);
            prop_assert_eq!(&written.text, &text, "{}", code);
            prop_assert!(written.keys.is_empty());
        }
    }

    /// Commands in any order, with any punctuation: no panic, and no word is lost but those that
    /// were commands, fillers, or scratched.
    #[test]
    fn words_that_are_no_commands_stay(picks in proptest::collection::vec((0usize..1000, 0usize..5), 0..30)) {
        for (code, rules, _) in rules() {
            let language = Language::built_in(code).expect("it is built in");
            let phrases: Vec<&String> = language
                .command
                .iter()
                .filter(|command| command.name != "scratch-that")
                .flat_map(|command| &command.say)
                .collect();
            let marks = ["", ",", ".", "?", " —"];
            let mut text = String::new();
            for (index, (pick, mark)) in picks.iter().enumerate() {
                text.push_str(phrases[pick % phrases.len()]);
                text.push_str(marks[*mark]);
                text.push_str(&format!(" wort{index}x "));
            }
            let written = rules.apply(&text).text.to_lowercase();
            for index in 0..picks.len() {
                let word = format!("wort{index}x");
                prop_assert!(written.contains(&word), "{}: {} in {:?} from {:?}", code, word, written, text);
            }
        }
    }

    #[test]
    fn numbers_keep_what_is_no_number(text in sentence()) {
        let settings = Settings { numbers: Numbers::Digits, ..Settings::default() };
        for (code, _, special) in rules() {
            let language = Language::built_in(code).expect("it is built in");
            let rules = Rules::new(&language, code, &settings).expect("the rules are right");
            let letters = text.chars().any(char::is_alphabetic);
            if !letters && !is_special(&text, special) {
                prop_assert_eq!(rules.apply(&text).text, text.clone());
            }
            // Whatever it is: an answer.
            rules.apply(&text);
        }
    }
}
