//! What a hook is told: text for its standard input, variables for its environment. No input or
//! output.

use wstream_api::{Details, Said, keys};
use zbus::Variant;

/// What each hook of a folder gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occasion {
    /// For standard input.
    pub(crate) text: String,
    /// For the environment.
    pub(crate) variables: Vec<(String, String)>,
}

impl Occasion {
    /// A final, for those who only look.
    pub(crate) fn of_final(utterance: u64, text: &str, details: &Details) -> Self {
        let mut occasion = Self::new("final", text);
        occasion.set("UTTERANCE", utterance.to_string());
        occasion.set_details(details);
        occasion
    }

    /// A final, for those who may change it.
    pub(crate) fn of_filter(said: &Said) -> Self {
        let mut occasion = Self::new("filter", &said.text);
        occasion.set("UTTERANCE", said.utterance.to_string());
        occasion.set_details(&said.details);
        occasion
    }

    /// The text so far.
    pub(crate) fn of_partial(
        utterance: u64,
        committed: &str,
        tentative: &str,
        details: &Details,
    ) -> Self {
        let mut occasion = Self::new("partial", &format!("{committed}{tentative}"));
        occasion.set("UTTERANCE", utterance.to_string());
        occasion.set("COMMITTED_BYTES", committed.len().to_string());
        occasion.set_details(details);
        occasion
    }

    /// Another state.
    pub(crate) fn of_state(state: &str) -> Self {
        let mut occasion = Self::new("state", state);
        occasion.set("STATE", state.to_owned());
        occasion
    }

    fn new(event: &str, text: &str) -> Self {
        let mut occasion = Occasion {
            text: text.to_owned(),
            variables: Vec::new(),
        };
        occasion.set("EVENT", event.to_owned());
        occasion
    }

    fn set(&mut self, name: &str, value: String) {
        self.variables.push((format!("WSTREAM_{name}"), value));
    }

    /// Numbers, words and lists of words. What was dictated is on standard input alone: other
    /// programs can read an environment.
    fn set_details(&mut self, details: &Details) {
        for (key, value) in details.iter().filter(|(key, _)| *key != keys::RAW) {
            let value = match value {
                Variant::Str(text) => text.to_string(),
                Variant::Bool(truth) => u8::from(*truth).to_string(),
                Variant::U32(number) => number.to_string(),
                Variant::U64(number) => number.to_string(),
                Variant::F64(number) => number.to_string(),
                Variant::Array(_) if key == keys::KEYS => details.texts(key).join(" "),
                _ => continue,
            };
            self.set(&key.to_ascii_uppercase(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn details() -> Details {
        Details::of(&HashMap::from([
            ("session", Variant::from(3u64)),
            ("language", Variant::from("en")),
            ("confidence", Variant::from(0.5)),
            ("continues", Variant::from(true)),
            ("raw", Variant::from("what was said")),
            ("keys", Variant::from(vec!["Return", "Tab"])),
            ("segments", Variant::from(vec![(0.0, 1.0, "what was said")])),
        ]))
    }

    #[test]
    fn details_are_in_the_environment_and_text_is_not() {
        let occasion = Occasion::of_final(7, "What was said: $(rm -rf ~)", &details());
        assert_eq!(occasion.text, "What was said: $(rm -rf ~)");
        let mut variables: Vec<String> = occasion
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        variables.sort();
        assert_eq!(
            variables,
            [
                "WSTREAM_CONFIDENCE=0.5",
                "WSTREAM_CONTINUES=1",
                "WSTREAM_EVENT=final",
                "WSTREAM_KEYS=Return Tab",
                "WSTREAM_LANGUAGE=en",
                "WSTREAM_SESSION=3",
                "WSTREAM_UTTERANCE=7",
            ]
        );
    }

    #[test]
    fn a_partial_says_how_much_of_it_stays() {
        let occasion = Occasion::of_partial(7, "Größe", " zwei", &Details::default());
        assert_eq!(occasion.text, "Größe zwei");
        let bytes = ("WSTREAM_COMMITTED_BYTES".to_owned(), "7".to_owned());
        assert!(occasion.variables.contains(&bytes));
        assert_eq!(Occasion::of_state("idle").text, "idle");
    }
}
