//! What an answer of a filter may hold. No input or output.

use wstream_api::FILTER_KEYS;

use super::RawAnswer;

/// Longest text that a filter may answer, in bytes: the words of an hour. More is a fault of the
/// filter's, and would be in every program that follows the bus.
const TEXT_BYTES: usize = 64 * 1024;

/// Most keys behind one text. More than that nobody asks for by a word.
pub(super) const KEYS: usize = 16;

/// An answer that may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) text: String,
    /// Those that are allowed.
    pub(super) keys: Vec<String>,
    /// The first one that is not.
    pub(super) refused_key: Option<String>,
}

/// Takes an answer apart; an error says what is wrong with its text.
pub(super) fn check(answer: RawAnswer, allowed_keys: &[String]) -> Result<Checked, &'static str> {
    if answer.text.len() > TEXT_BYTES {
        return Err("a text of more than 64 KiB");
    }
    // Lines and columns are part of a text; other controls are acted on by terminals.
    let is_bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    if answer.text.contains(is_bad) {
        return Err("a text with control characters");
    }
    let is_allowed = |key: &String| allowed_keys.contains(key);
    let (mut keys, mut refused): (Vec<_>, Vec<_>) = answer.keys.into_iter().partition(is_allowed);
    if keys.len() > KEYS {
        refused.extend(keys.drain(KEYS..));
    }
    Ok(Checked {
        text: answer.text,
        keys,
        refused_key: refused.into_iter().next(),
    })
}

/// Keys that filters may be allowed to ask for; an error is the place of another one.
pub(crate) fn check_keys(keys: &[String]) -> Result<(), usize> {
    let unknown = |key: &String| !FILTER_KEYS.contains(&key.as_str());
    keys.iter().position(unknown).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, keys: &[&str]) -> RawAnswer {
        RawAnswer {
            text: text.to_owned(),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
        }
    }

    fn allowed() -> Vec<String> {
        vec!["Return".to_owned(), "Tab".to_owned()]
    }

    #[test]
    fn texts_with_lines_pass_and_controls_do_not() {
        for good in ["", "one", "one\n\ttwo", "Ünïcödé 東京"] {
            let checked = check(answer(good, &[]), &allowed()).unwrap();
            assert_eq!(checked.text, good);
        }
        for bad in ["\u{1b}[31m", "a\0", "a\rb", "\u{9b}2J"] {
            assert!(check(answer(bad, &[]), &allowed()).is_err(), "{bad:?}");
        }
        let long = "x".repeat(TEXT_BYTES);
        assert!(check(answer(&long, &[]), &allowed()).is_ok());
        assert!(check(answer(&(long + "x"), &[]), &allowed()).is_err());
    }

    #[test]
    fn only_allowed_keys_stay_in_their_order() {
        let checked = check(
            answer("x", &["Tab", "F4", "Return", "BackSpace"]),
            &allowed(),
        )
        .unwrap();
        assert_eq!(checked.keys, ["Tab", "Return"]);
        assert_eq!(checked.refused_key.as_deref(), Some("F4"));
        let many = check(answer("x", &["Tab"; KEYS + 1]), &allowed()).unwrap();
        assert_eq!(many.keys.len(), KEYS);
        assert_eq!(many.refused_key.as_deref(), Some("Tab"));
    }

    #[test]
    fn the_configuration_may_name_only_known_keys() {
        assert_eq!(check_keys(&allowed()), Ok(()));
        assert_eq!(check_keys(&["Tab".to_owned(), "F4".to_owned()]), Err(1));
    }
}
