//! What the tokens of a loaded model mean.
//!
//! Enters: what a model's file says. Leaves: the numbers of the special tokens, the tokens of sounds that
//! are not speech, and each text token's bytes. Read by every decoding thread, never changed.

use std::collections::{BTreeSet, HashMap};

use super::tokenizer::Tokenizer;

/// Tokens of one model.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Number of tokens.
    pub size: usize,
    /// Ends every answer; everything before it is text.
    pub end_of_text: i32,
    /// Begins every answer.
    pub start: i32,
    /// Stands before the prompt.
    pub previous: i32,
    /// Its score right after `start` tells how likely there is no speech.
    pub no_speech: i32,
    /// Asks for the spoken language's text rather than for English.
    pub transcribe: i32,
    /// 0.00 s; each following token is 20 ms later, up to the last one.
    pub first_timestamp: i32,
    /// The languages' tokens in the order of whisper.cpp's language numbers; empty where the model
    /// knows English alone.
    pub languages: Vec<i32>,
    /// Text tokens that stand for sounds or typography, as OpenAI's decoder suppresses them.
    pub not_speech: BTreeSet<i32>,
    /// From text to tokens.
    tokenizer: Tokenizer,
    /// The bytes of each text token.
    text: Vec<Vec<u8>>,
}

/// The tokens of a model for English alone; others have more.
const ENGLISH_SIZE: usize = 51_864;

/// `non_speech_tokens` of OpenAI's tokenizer.
const SYMBOLS: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 << >> <<< >>> \
    -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪ ♩ ♪ ♫ ♬ ♭ ♮ ♯";

impl Vocabulary {
    /// What follows from the number of tokens (`size`) and from the `text` of those that the file
    /// spells out. The numbers of the special tokens are those of OpenAI's tokenizer.
    pub(super) fn new(size: usize, mut text: Vec<Vec<u8>>) -> Vocabulary {
        let is_multilingual = size > ENGLISH_SIZE;
        let end_of_text = if is_multilingual { 50_257 } else { 50_256 };
        text.resize(end_of_text as usize, Vec::new());
        let start = end_of_text + 1;
        // A model for English has the 99 languages' places as well.
        let languages = if is_multilingual {
            size as i32 - 51_766
        } else {
            99
        };
        let translate = start + 1 + languages;
        let by_text: HashMap<&[u8], i32> = text.iter().map(Vec::as_slice).zip(0..).collect();
        let mut not_speech: BTreeSet<i32> = SYMBOLS
            .split_ascii_whitespace()
            .flat_map(|symbol| [symbol.to_owned(), format!(" {symbol}")])
            // Hyphens and apostrophes stay allowed inside a word, not at its beginning.
            .chain([" -".to_owned(), " '".to_owned()])
            .filter_map(|symbol| by_text.get(symbol.as_bytes()).copied())
            .collect();
        // Every note begins with the same two bytes, which are a token of their own.
        not_speech.extend(by_text.get(" ♪".as_bytes()));
        Vocabulary {
            size,
            end_of_text,
            start,
            previous: translate + 3,
            no_speech: translate + 4,
            transcribe: translate + 1,
            first_timestamp: translate + 6,
            languages: if is_multilingual {
                (start + 1..translate).collect()
            } else {
                Vec::new()
            },
            not_speech,
            tokenizer: Tokenizer::new(&text),
            text,
        }
    }

    /// The tokens of a text.
    pub(super) fn tokens(&self, text: &str) -> Vec<i32> {
        self.tokenizer.tokens(text)
    }

    /// A text token's bytes; not always whole characters. Nothing for other tokens.
    pub(super) fn bytes(&self, id: i32) -> &[u8] {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.text.get(id))
            .map_or(&[], Vec::as_slice)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(
        end_of_text: i32,
        first_timestamp: i32,
        size: usize,
        not_speech: &[i32],
    ) -> Vocabulary {
        let text: Vec<Vec<u8>> = (0..end_of_text)
            .map(|id| format!(" w{id}").into_bytes())
            .collect();
        Vocabulary {
            size,
            end_of_text,
            start: end_of_text + 1,
            previous: end_of_text + 2,
            no_speech: end_of_text + 3,
            transcribe: end_of_text + 4,
            first_timestamp,
            languages: Vec::new(),
            not_speech: not_speech.iter().copied().collect(),
            tokenizer: Tokenizer::new(&text),
            text,
        }
    }
}
