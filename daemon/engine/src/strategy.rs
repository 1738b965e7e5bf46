//! What goes in front of an utterance: text for the model to continue, sound for it to hear.
//!
//! Enters: what a session remembers of the utterance before. Leaves: requests for the decoder, and
//! the decoder's text without what belongs to the context. Pure.

use wstream_wire::{CONTEXT_SAMPLES, SAMPLE_RATE, Strategy};

use crate::decode::{Decoded, Effort, Language, Prompt, Request, Stretch};

/// What is remembered of the utterance before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// `previous_transcript`: the text of the last final.
    pub previous: String,
    /// `context_audio`: the last second of its sound, or less.
    pub context: Vec<f32>,
}

/// How an utterance is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// What is put in front.
    pub strategy: Strategy,
    /// What is spoken.
    pub language: Language,
    /// Most tokens of the previous text.
    pub prompt_tokens: usize,
}

/// The last second of `samples`.
pub fn context_of(samples: &[f32]) -> &[f32] {
    &samples[samples.len().saturating_sub(CONTEXT_SAMPLES)..]
}

/// Asks for `samples` to be decoded behind what `memory` holds.
pub fn request(manner: Manner, memory: &Memory, samples: &[f32], effort: Effort) -> Request {
    let context: &[f32] = if manner.strategy.uses_context() {
        &memory.context
    } else {
        &[]
    };
    let prompt = (manner.strategy.uses_prompt() && !memory.previous.is_empty()).then(|| Prompt {
        text: memory.previous.clone(),
        most_tokens: manner.prompt_tokens,
        vocabulary: Default::default(),
    });
    Request {
        samples: [context, samples].concat(),
        context_samples: context.len(),
        prompt,
        language: manner.language,
        effort,
        ..Request::default()
    }
}

/// What was said behind the context: stretches that end inside it are dropped, the times of the
/// others are shifted so that 0 is where the context ends.
pub fn behind_context(decoded: Decoded, context_samples: usize) -> Vec<Stretch> {
    let context_s = context_samples as f64 / f64::from(SAMPLE_RATE);
    decoded
        .stretches
        .into_iter()
        .filter(|stretch| context_samples == 0 || stretch.end > context_s)
        .map(|stretch| Stretch {
            start: (stretch.start - context_s).max(0.0),
            end: stretch.end - context_s,
            ..stretch
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        Memory {
            previous: "before".to_owned(),
            context: vec![0.5; 16_000],
        }
    }

    fn manner(strategy: Strategy) -> Manner {
        Manner {
            strategy,
            language: Language::Auto,
            prompt_tokens: 64,
        }
    }

    #[test]
    fn each_strategy_puts_its_own_in_front() {
        for (strategy, has_prompt, context) in [
            (Strategy::Prompt, true, 0),
            (Strategy::Context, false, 16_000),
            (Strategy::Hybrid, true, 16_000),
        ] {
            let request = request(manner(strategy), &memory(), &[0.1; 480], Effort::Quick);
            assert_eq!(request.prompt.is_some(), has_prompt, "{strategy}");
            assert_eq!(request.context_samples, context, "{strategy}");
            assert_eq!(request.samples.len(), context + 480, "{strategy}");
            assert_eq!(request.samples.last(), Some(&0.1));
        }
        let first = request(
            manner(Strategy::Hybrid),
            &Memory::default(),
            &[0.1; 480],
            Effort::Quick,
        );
        assert_eq!((first.prompt, first.context_samples), (None, 0));
    }

    #[test]
    fn what_ends_inside_the_context_is_dropped_and_the_rest_shifted() {
        let stretch = |start, end, text: &str| Stretch {
            start,
            end,
            text: text.to_owned(),
            ..Stretch::default()
        };
        let decoded = || Decoded {
            stretches: vec![
                stretch(0.0, 1.0, " inside"),
                stretch(0.5, 1.5, " across"),
                stretch(1.5, 3.0, " behind"),
            ],
            ..Decoded::default()
        };
        assert_eq!(
            behind_context(decoded(), 16_000),
            [stretch(0.0, 0.5, " across"), stretch(0.5, 2.0, " behind")]
        );
        assert_eq!(behind_context(decoded(), 0).len(), 3);
    }

    #[test]
    fn context_is_the_last_second_or_what_there_is() {
        let samples: Vec<f32> = (0..20_000).map(|i| i as f32).collect();
        assert_eq!(context_of(&samples).len(), 16_000);
        assert_eq!(context_of(&samples)[0], 4000.0);
        assert_eq!(context_of(&samples[..100]).len(), 100);
    }
}
