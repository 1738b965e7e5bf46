//! Numbers as digits, by a library: eight languages' numerals with their compounds, decimals and
//! ordinals are not twenty lines.

use text2num::{Language, get_interpreter_for};

/// Below it a number that stands alone is better read as a word: "one of them".
const LEAST: f64 = 10.0;

/// The numerals of a language.
pub(crate) struct Numerals(Language);

impl Numerals {
    /// Those of the language with this code, where the library has some.
    pub(crate) fn of(code: &str) -> Option<Self> {
        get_interpreter_for(code).map(Numerals)
    }

    /// `text` with its numbers in digits.
    pub(crate) fn digits(&self, text: &str) -> String {
        text2num::replace_numbers_in_text(text, &self.0, LEAST)
    }
}

impl std::fmt::Debug for Numerals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The library's type says nothing of itself.
        f.debug_struct("Numerals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_digits_and_the_rest_stays() {
        for (code, said, expected) in [
            (
                "en",
                "About twenty-five people,\n\nnot one of  them.",
                "About 25 people,\n\nnot one of  them.",
            ),
            ("en", "Three point one four.", "3.14."),
            ("de", "Es sind dreiundzwanzig Leute.", "Es sind 23 Leute."),
            ("de", "Drei Komma fünf Liter.", "3,5 Liter."),
            ("fr", "Quatre-vingt-dix-sept euros.", "97 euros."),
            ("es", "Tengo cuarenta y dos años.", "Tengo 42 años."),
            ("it", "Ho quarantadue anni.", "Ho 42 anni."),
            ("pt", "Tenho quarenta e dois anos.", "Tenho 42 anos."),
        ] {
            assert_eq!(Numerals::of(code).unwrap().digits(said), expected);
        }
        assert!(Numerals::of("ja").is_none());
    }
}
