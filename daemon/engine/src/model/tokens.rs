//! The vocabulary: what bytes each token stands for.
//!
//! Text in, bytes out. GPT-2's vocabularies, and so Whisper's, are written in an alphabet of 256
//! printable characters, one for each byte; ggml files have the bytes themselves.

use std::collections::HashMap;

use serde::Deserialize;

use super::layout::Dimensions;

/// Tokens that are written to a ggml file; whisper.cpp names the special ones behind them itself.
pub const WORDS: usize = 50_257;

/// The last of [`WORDS`]: the end of text in English models, nothing in the others.
const END_OF_TEXT: &str = "<|endoftext|>";

/// Why a vocabulary is not Whisper's.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// Too few tokens.
    #[error("the vocabulary has {0} tokens and not the 50257 that Whisper's begins with")]
    TooFew(usize),
    /// A token in characters that stand for no byte.
    #[error(
        "token {index} of the vocabulary is not written in GPT-2's alphabet: this is not Whisper's"
    )]
    Alphabet {
        /// Its number.
        index: usize,
    },
    /// Not JSON, or of another shape.
    #[error("the vocabulary is no JSON of the expected shape")]
    Json(#[source] serde_json::Error),
}

/// The vocabulary from `vocabulary.txt`, one token a line.
pub fn from_lines(text: &str, dimensions: &Dimensions) -> Result<Vec<Vec<u8>>, TokensError> {
    // `lines` would also take a carriage return, which no token has.
    words(text.split('\n').map(Some), dimensions)
}

/// The vocabulary from `vocabulary.json`, an array of tokens.
pub fn from_array(json: &str, dimensions: &Dimensions) -> Result<Vec<Vec<u8>>, TokensError> {
    let tokens: Vec<String> = serde_json::from_str(json).map_err(TokensError::Json)?;
    words(tokens.iter().map(|token| Some(token.as_str())), dimensions)
}

/// The vocabulary from `vocab.json`, an object of tokens with their numbers.
pub fn from_numbers(json: &str, dimensions: &Dimensions) -> Result<Vec<Vec<u8>>, TokensError> {
    let numbers: HashMap<String, u64> = serde_json::from_str(json).map_err(TokensError::Json)?;
    by_number(&numbers, dimensions)
}

/// The vocabulary from `tokenizer.json`, where `vocab.json` is one of the fields.
pub fn from_tokenizer(json: &str, dimensions: &Dimensions) -> Result<Vec<Vec<u8>>, TokensError> {
    #[derive(Deserialize)]
    struct Tokenizer {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: HashMap<String, u64>,
    }
    let tokenizer: Tokenizer = serde_json::from_str(json).map_err(TokensError::Json)?;
    by_number(&tokenizer.model.vocab, dimensions)
}

fn by_number(
    numbers: &HashMap<String, u64>,
    dimensions: &Dimensions,
) -> Result<Vec<Vec<u8>>, TokensError> {
    let mut tokens = vec![None; WORDS];
    for (token, &number) in numbers {
        let slot = usize::try_from(number).ok().and_then(|n| tokens.get_mut(n));
        if let Some(slot) = slot {
            *slot = Some(token.as_str());
        }
    }
    // The last one is special and need not be in the vocabulary.
    let missing = tokens[..WORDS - 1].iter().position(Option::is_none);
    match missing {
        Some(index) => Err(TokensError::TooFew(index)),
        None => words(tokens.into_iter(), dimensions),
    }
}

fn words<'a>(
    tokens: impl Iterator<Item = Option<&'a str>>,
    dimensions: &Dimensions,
) -> Result<Vec<Vec<u8>>, TokensError> {
    let alphabet = alphabet();
    let mut words = Vec::with_capacity(WORDS);
    for (index, token) in tokens.take(WORDS - 1).enumerate() {
        let word = token.and_then(|token| decode(token, &alphabet));
        words.push(word.ok_or(TokensError::Alphabet { index })?);
    }
    if words.len() < WORDS - 1 {
        return Err(TokensError::TooFew(words.len()));
    }
    words.push(match dimensions.is_multilingual() {
        true => Vec::new(),
        false => END_OF_TEXT.into(),
    });
    Ok(words)
}

fn decode(token: &str, alphabet: &HashMap<char, u8>) -> Option<Vec<u8>> {
    // An empty line is the end of a file that is too short and no token.
    if token.is_empty() {
        return None;
    }
    token
        .chars()
        .map(|character| alphabet.get(&character).copied())
        .collect()
}

/// The character that GPT-2's vocabulary writes for each byte: itself if it is printable in
/// Latin-1, else the next one from U+0100 on.
fn alphabet() -> HashMap<char, u8> {
    let mut next = 0x100;
    (0..=255_u8)
        .map(|byte| {
            let character = match byte {
                b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
                _ => {
                    next += 1;
                    char::from_u32(next - 1).expect("U+0100 to U+0143 are letters")
                }
            };
            (character, byte)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::published;
    use super::*;

    /// A vocabulary of single letters, with some tokens in front.
    fn tokens(first: &[&str]) -> Vec<String> {
        let rest = std::iter::repeat_n("a".to_owned(), WORDS);
        first.iter().map(|&t| t.to_owned()).chain(rest).collect()
    }

    #[test]
    fn the_alphabet_has_a_character_for_every_byte() {
        let alphabet = alphabet();
        assert_eq!(alphabet.len(), 256);
        for (character, byte) in [
            ('A', b'A'),
            ('Ġ', b' '),
            ('Ċ', b'\n'),
            ('Ń', 0xad),
            ('Ā', 0),
        ] {
            assert_eq!(alphabet.get(&character), Some(&byte), "{character}");
        }
    }

    #[test]
    fn tokens_become_the_bytes_that_they_stand_for() {
        let tokens = tokens(&["!", "Ġthe", "ÃŁ", "åĽ", "ĊĊ"]);
        let english = published("tiny.en");
        let words = from_lines(&tokens.join("\n"), &english).unwrap();
        let expected: [&[u8]; 5] = [b"!", b" the", "ß".as_bytes(), &[0xe5, 0x9b], b"\n\n"];
        assert_eq!(words[..5], expected);
        assert_eq!(words.len(), WORDS);
        assert_eq!(words[WORDS - 1], b"<|endoftext|>");

        let json = serde_json::to_string(&tokens).unwrap();
        assert_eq!(from_array(&json, &english).unwrap(), words);
        let multilingual = from_array(&json, &published("base")).unwrap();
        assert_eq!(multilingual[WORDS - 1], b"");
        assert_eq!(multilingual[..WORDS - 1], words[..WORDS - 1]);
    }

    #[test]
    fn numbered_tokens_come_in_their_order() {
        let mut numbers: serde_json::Map<_, _> = (0..WORDS as u64 - 1)
            .map(|number| (format!("x{number}"), number.into()))
            .collect();
        let json = serde_json::Value::Object(numbers.clone()).to_string();
        let english = published("tiny.en");
        let words = from_numbers(&json, &english).unwrap();
        assert_eq!(words[40_000], b"x40000");
        let tokenizer = format!(r#"{{"model":{{"vocab":{json}}},"added_tokens":[]}}"#);
        assert_eq!(from_tokenizer(&tokenizer, &english).unwrap(), words);

        numbers.remove("x77");
        let json = serde_json::Value::Object(numbers).to_string();
        let error = from_numbers(&json, &english).unwrap_err();
        assert!(matches!(error, TokensError::TooFew(77)), "{error}");
    }

    #[test]
    fn what_is_no_vocabulary_of_whispers_is_refused() {
        let base = published("base");
        let short = vec!["a"; WORDS - 2].join("\n");
        assert!(matches!(
            from_lines(&short, &base),
            Err(TokensError::TooFew(_))
        ));
        let ends_early = format!("{short}\n");
        assert!(from_lines(&ends_early, &base).is_err());
        let foreign = tokens(&["a", "▁the"]).join("\n");
        let error = from_lines(&foreign, &base).unwrap_err();
        assert!(
            matches!(error, TokensError::Alphabet { index: 1 }),
            "{error}"
        );
        assert!(matches!(from_array("{}", &base), Err(TokensError::Json(_))));
        assert!(from_array("[]", &base).is_err());
        assert!(from_numbers(r#"{"a": -1}"#, &base).is_err());
    }
}
