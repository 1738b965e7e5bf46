//! What the tokens of a loaded model mean.
//!
//! Enters: a loaded model. Leaves: the numbers of the special tokens, the tokens of sounds that
//! are not speech, and each text token's bytes. Read by every decoding thread, never changed.

use std::collections::{BTreeSet, HashMap};

use whisper_rs::{WhisperContext, WhisperError};

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
    /// The bytes of each text token.
    text: Vec<Vec<u8>>,
}

/// `non_speech_tokens` of OpenAI's tokenizer.
const SYMBOLS: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 << >> <<< >>> \
    -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪ ♩ ♪ ♫ ♬ ♭ ♮ ♯";

impl Vocabulary {
    /// Reads what `context` knows.
    pub(super) fn of(context: &WhisperContext) -> Result<Vocabulary, WhisperError> {
        let size = context.n_vocab() as usize;
        let end_of_text = context.token_eot();
        let start = context.token_sot();
        let mut text = Vec::with_capacity(end_of_text as usize);
        for id in 0..end_of_text {
            text.push(context.token_to_bytes(id)?.to_vec());
        }
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
        let languages = if context.is_multilingual() {
            // The language tokens lie between the start and the tasks.
            (start + 1..context.token_translate()).collect()
        } else {
            Vec::new()
        };
        Ok(Vocabulary {
            size,
            end_of_text,
            start,
            previous: context.token_prev(),
            no_speech: context.token_nosp(),
            transcribe: context.token_transcribe(),
            first_timestamp: context.token_beg(),
            languages,
            not_speech,
            text,
        })
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
            text: (0..end_of_text)
                .map(|id| format!(" w{id}").into_bytes())
                .collect(),
        }
    }
}
