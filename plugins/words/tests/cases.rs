//! What was said and what is written, a case a line, from `cases/LANGUAGE.txt`.

use wstream_words::{Language, Numbers, Rules, Settings};

/// Reads `said => written`; `=` alone on the right: it stays as it is. `\n` is a new line.
fn check(code: &str, cases: &str, least: usize) {
    let language = Language::built_in(code).unwrap_or_else(|| panic!("{code} is built in"));
    let rules = Rules::new(&language, code, &Settings::default());
    let rules = rules.unwrap_or_else(|error| panic!("{code}: {error}"));
    let mut count = 0;
    let mut wrong = Vec::new();
    for line in cases.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (said, expected) = line
            .split_once(" => ")
            .unwrap_or_else(|| panic!("{code}: no ` => ` in {line}"));
        let expected = match expected {
            "=" => said.to_owned(),
            "(nothing)" => String::new(),
            text => text.replace("\\n", "\n"),
        };
        let written = rules.apply(said).text;
        if written != expected {
            wrong.push(format!(
                "{said}\n  expected {expected:?}\n  got      {written:?}"
            ));
        }
        count += 1;
    }
    assert!(
        wrong.is_empty(),
        "{code}: {} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= least, "{code}: only {count} cases");
}

#[test]
fn english() {
    check("en", include_str!("cases/en.txt"), 40);
}

#[test]
fn german() {
    check("de", include_str!("cases/de.txt"), 15);
}

#[test]
fn french() {
    check("fr", include_str!("cases/fr.txt"), 15);
}

#[test]
fn spanish() {
    check("es", include_str!("cases/es.txt"), 15);
}

#[test]
fn italian() {
    check("it", include_str!("cases/it.txt"), 15);
}

#[test]
fn portuguese() {
    check("pt", include_str!("cases/pt.txt"), 15);
}

fn english_with(settings: &Settings) -> Rules {
    Rules::new(
        &Language::built_in("en").expect("it is built in"),
        "en",
        settings,
    )
    .expect("the rules are right")
}

#[test]
fn a_key_is_asked_for_where_its_command_is_said_last() {
    let settings = Settings {
        keys: [("new-line".to_owned(), "Return".to_owned())].into(),
        ..Settings::default()
    };
    let rules = english_with(&settings);
    let written = rules.apply("Dear John, new line. Thank you. New line.");
    assert_eq!(written.text, "Dear John\nThank you.");
    assert_eq!(written.keys, ["Return"]);
    let written = rules.apply("New line.");
    assert_eq!((written.text.as_str(), written.keys.len()), ("", 1));
    assert!(
        english_with(&Settings::default())
            .apply("New line.")
            .keys
            .is_empty()
    );
}

#[test]
fn what_is_off_stays() {
    let off = Settings {
        off: vec!["comma".to_owned()],
        ..Settings::default()
    };
    let written = english_with(&off).apply("Um, hello comma world period.");
    assert_eq!(written.text, "Hello comma world.");
    let none = Settings {
        commands: false,
        fillers: false,
        ..Settings::default()
    };
    let text = "Um, hello, comma, world, period.";
    assert_eq!(english_with(&none).apply(text).text, text);
}

#[test]
fn numbers_are_written_as_asked() {
    let said = "Twenty-five percent, comma, three point five, period.";
    assert_eq!(
        english_with(&Settings::default()).apply(said).text,
        "Twenty-five percent, three point five."
    );
    let digits = Settings {
        numbers: Numbers::Digits,
        ..Settings::default()
    };
    assert_eq!(english_with(&digits).apply(said).text, "25 percent, 3.5.");
}

#[test]
fn a_users_words_are_replaced_and_can_speak_commands() {
    let mut language = Language::built_in("en").expect("it is built in");
    let own = Language::parse(
        "[[command]]\nname = \"comma\"\nsay = [\"comma\", \"coma\"]\nwrite = \",\"\n\
         [[command]]\nname = \"send\"\nsay = [\"send it now\"]\nkey = \"Return\"\n\
         [[replace]]\nword = \"w stream\"\nwith = \"wstream\"\n",
    );
    language.extend(own.expect("the file is right"));
    let rules = Rules::new(&language, "en", &Settings::default()).expect("the rules are right");
    let written = rules.apply("W stream, coma, is here. Send it now.");
    assert_eq!(written.text, "wstream, is here.");
    assert_eq!(written.keys, ["Return"]);
    // Not the last thing said: no command.
    assert_eq!(
        rules.apply("Send it now or later.").text,
        "Send it now or later."
    );
}
