//! The settings of a transcription session.

use serde_json::{Map, Value, json};

use super::RATE;
use crate::transcriber::kept::Manner;
use crate::transcriber::protocol::Asked;
use crate::transcriber::protocol::single::asked_language;

/// What OpenAI recommends for sound as it comes.
const DEFAULT_MODEL: &str = "gpt-live-transcribe";

/// Models that take lists of languages and of words, in place of one language and a prompt.
const NEW_MODELS: [&str; 2] = ["gpt-live-transcribe", "gpt-transcribe"];

/// The session that `asked` and `manner` want.
pub(super) fn session(asked: &Asked, manner: &Manner, previous: &str) -> Value {
    let turn_detection = asked.server_vad.then(|| json!({"type": "server_vad"}));
    json!({
        "type": "transcription",
        "audio": {"input": {
            "format": {"type": "audio/pcm", "rate": RATE},
            "transcription": transcription(model(asked), manner, previous),
            "turn_detection": turn_detection,
        }},
    })
}

/// The model that is asked for.
pub(super) fn model(asked: &Asked) -> &str {
    asked.model.as_deref().unwrap_or(DEFAULT_MODEL)
}

fn transcription(model: &str, manner: &Manner, previous: &str) -> Value {
    let language = asked_language(manner);
    let is_told = manner.strategy.uses_prompt() && !previous.is_empty();
    let previous = is_told.then(|| previous.to_owned());
    let mut wanted = Map::new();
    wanted.insert("model".to_owned(), json!(model));
    let mut want = |name: &str, value: Option<Value>| {
        wanted.extend(value.map(|value| (name.to_owned(), value)));
    };
    if NEW_MODELS.iter().any(|new| model.starts_with(new)) {
        let one = language.map(|language| vec![language.to_owned()]);
        let languages = one.unwrap_or_else(|| manner.languages.to_vec());
        let vocabulary = &manner.vocabulary;
        want(
            "languages",
            (!languages.is_empty()).then(|| json!(languages)),
        );
        want(
            "keywords",
            (!vocabulary.is_empty()).then(|| json!(**vocabulary)),
        );
        want("prompt", previous.map(Value::from));
    } else {
        let vocabulary = manner.vocabulary.join(", ");
        let vocabulary = (!vocabulary.is_empty()).then_some(vocabulary);
        let prompt: Vec<String> = [vocabulary, previous].into_iter().flatten().collect();
        want("language", language.map(Value::from));
        want(
            "prompt",
            (!prompt.is_empty()).then(|| json!(prompt.join(". "))),
        );
    }
    Value::Object(wanted)
}

#[cfg(test)]
mod tests {
    use wstream_wire::Strategy;

    use super::*;

    fn asked(model: Option<&str>, server_vad: bool) -> Asked {
        Asked {
            model: model.map(str::to_owned),
            server_vad,
            ..Asked::default()
        }
    }

    fn manner(strategy: Strategy, language: &str, vocabulary: &[&str]) -> Manner {
        Manner {
            strategy,
            language: language.to_owned(),
            languages: ["en".to_owned(), "de".to_owned()].into(),
            vocabulary: vocabulary.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    #[test]
    fn each_model_gets_the_fields_that_it_knows() {
        let words = ["Wyoming", "Whittemore"];
        for (model, strategy, language, vocabulary, wanted) in [
            (
                None,
                Strategy::Context,
                "auto",
                &[][..],
                json!({"model": "gpt-live-transcribe", "languages": ["en", "de"]}),
            ),
            (
                None,
                Strategy::Prompt,
                "fr",
                &words[..],
                json!({"model": "gpt-live-transcribe", "languages": ["fr"],
                       "keywords": words, "prompt": "It rains."}),
            ),
            (
                Some("gpt-4o-transcribe"),
                Strategy::Context,
                "auto",
                &[],
                json!({"model": "gpt-4o-transcribe"}),
            ),
            (
                Some("whisper-1"),
                Strategy::Hybrid,
                "fr",
                &words,
                json!({"model": "whisper-1", "language": "fr",
                       "prompt": "Wyoming, Whittemore. It rains."}),
            ),
        ] {
            let manner = manner(strategy, language, vocabulary);
            let session = session(&asked(model, false), &manner, "It rains.");
            assert_eq!(session["audio"]["input"]["transcription"], wanted);
        }
    }

    #[test]
    fn the_ends_of_speech_are_ours_unless_asked_for() {
        let manner = manner(Strategy::Context, "en", &[]);
        let session = |server_vad| session(&asked(None, server_vad), &manner, "");
        assert_eq!(session(false)["type"], "transcription");
        let input = &session(false)["audio"]["input"];
        assert_eq!(input["turn_detection"], Value::Null);
        assert_eq!(input["format"], json!({"type": "audio/pcm", "rate": 24000}));
        let input = &session(true)["audio"]["input"];
        assert_eq!(input["turn_detection"]["type"], "server_vad");
    }
}
