//! Whether a decode is to be believed.
//!
//! Enters: the text of a decode with the model's own figures, and what the sound alone tells.
//! Leaves: a verdict. Pure, so that thresholds can be tried on recorded figures.

/// What a decode says of itself and of the sound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The words, normalised: lower case, letters and digits only.
    pub words: Vec<String>,
    /// Mean logarithm of the probability of the chosen tokens, the end included.
    pub mean_logprob: f64,
    /// The model's probability that nothing is spoken.
    pub no_speech: f64,
    /// Whether the decoder came to an end by itself, and not before the voice did.
    pub ended: bool,
    /// Seconds of sound that may be voice.
    pub voiced_s: f64,
    /// Seconds of sound.
    pub seconds: f64,
}

/// What to do with a decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Good,
    /// Try again; take it if nothing better comes.
    Suspect,
    /// Nothing was said: the text is an invention.
    Nothing,
}

/// OpenAI's threshold for a decode that is likely to be an invention.
const LOGPROB: f64 = -1.0;

/// Below this a decode is worth repeating with all encoder positions: most of what the smaller
/// number spoils is found here, and about one utterance in five of the test corpus.
const DOUBTFUL_LOGPROB: f64 = -0.6;

/// OpenAI's threshold for "no speech". No utterance of the test corpus in which something is said
/// comes above it, noisy ones included; of what the models invent over noise nearly all does.
const NO_SPEECH: f64 = 0.6;

/// What the models invent over noise is short, "you" or "Thank you.", or has little voice under it.
/// More words than this, with more voice than this, are believed whatever the model thinks.
const INVENTED_WORDS: usize = 4;
const INVENTED_VOICED_S: f64 = 0.6;

/// Less sound above the floor than this holds no word.
const LEAST_VOICED_S: f64 = 0.1;

/// A decode this unlikely, of sound that the model itself takes for none at this probability, is an
/// invention whatever its length: "I'm going to put the meat in the pan." over running water. Of 425
/// decodes of speech by `base` none is, and a third of those over noise are.
const INVENTED_LOGPROB: f64 = -1.3;
const INVENTED_NO_SPEECH: f64 = 0.3;

/// A few words over so long a sound, fewer than this per second, are what the models write over
/// music: an utterance ends where nobody speaks. Unless they are likely ones.
const SPARSE_WORDS_PER_S: f64 = 0.25;
const SPARSE_LOGPROB: f64 = -0.8;

/// Words per second of sound that nobody can say, over a start that every utterance has; counted
/// against the voice in it where the model doubts that there is any.
const IMPOSSIBLE_WORDS_PER_S: f64 = 10.0;
const IMPOSSIBLE_START: f64 = 3.0;

/// Faster than anybody speaks: fast English has five words per second, auctioneers seven.
const MOST_WORDS_PER_S: f64 = 7.0;

/// Slower than anybody speaks, counted against sound that may be voice: an end that came too early.
const LEAST_WORDS_PER_S: f64 = 0.5;

/// Below this much voice the words are too few to count.
const COUNT_FROM_S: f64 = 4.0;

/// Judges a decode.
pub fn judge(evidence: &Evidence) -> Verdict {
    if evidence.words.is_empty() {
        // Long voice without a word may be an end that came too early.
        let suspicious = evidence.voiced_s > COUNT_FROM_S && evidence.no_speech < NO_SPEECH;
        return if suspicious {
            Verdict::Suspect
        } else {
            Verdict::Nothing
        };
    }
    let unlikely = evidence.mean_logprob < LOGPROB;
    let thin = evidence.words.len() <= INVENTED_WORDS || evidence.voiced_s < INVENTED_VOICED_S;
    if evidence.no_speech > NO_SPEECH && (unlikely || thin) {
        return Verdict::Nothing;
    }
    let is_silent_to_the_model = evidence.no_speech > INVENTED_NO_SPEECH;
    if evidence.voiced_s < LEAST_VOICED_S && (unlikely || is_silent_to_the_model) {
        return Verdict::Nothing;
    }
    let words = evidence.words.len() as f64;
    let unvoiced = words > IMPOSSIBLE_START + IMPOSSIBLE_WORDS_PER_S * evidence.voiced_s;
    if is_silent_to_the_model && (unvoiced || evidence.mean_logprob < INVENTED_LOGPROB) {
        return Verdict::Nothing;
    }
    if evidence.words.len() <= INVENTED_WORDS
        && words < SPARSE_WORDS_PER_S * evidence.seconds
        && evidence.mean_logprob < SPARSE_LOGPROB
    {
        return Verdict::Nothing;
    }
    if words > IMPOSSIBLE_START + IMPOSSIBLE_WORDS_PER_S * evidence.seconds {
        return Verdict::Nothing;
    }
    let too_fast = words > 4.0 && words > MOST_WORDS_PER_S * evidence.seconds;
    let too_slow =
        evidence.voiced_s > COUNT_FROM_S && words < LEAST_WORDS_PER_S * evidence.voiced_s;
    let repeats = repeats(&evidence.words) || loop_start(&evidence.words).is_some();
    let doubtful = evidence.mean_logprob < DOUBTFUL_LOGPROB;
    if doubtful || !evidence.ended || too_fast || too_slow || repeats {
        return Verdict::Suspect;
    }
    Verdict::Good
}

/// How often a group of one word, and of more words, must come in a row to be a loop. People do say
/// "no no no" and "very, very"; nobody says the same four words three times.
const LOOP: [usize; 8] = [6, 4, 4, 3, 3, 3, 3, 3];

/// Words that are worth another look when they come twice in a row; fewer are said twice often.
pub(super) const REPEATED_WORDS: usize = 4;

/// Whether the same four or more words come twice in a row: what a decoder writes that does not
/// notice the end.
pub fn repeats<T: PartialEq>(words: &[T]) -> bool {
    (REPEATED_WORDS..=words.len() / 2).any(|length| {
        words
            .windows(2 * length)
            .any(|window| window[..length] == window[length..])
    })
}

/// Where a loop's second round begins: the same one to eight words again and again.
pub fn loop_start<T: PartialEq>(words: &[T]) -> Option<usize> {
    (0..words.len()).find_map(|start| {
        LOOP.iter().enumerate().find_map(|(index, &rounds)| {
            let length = index + 1;
            let group = words.get(start..start + length)?;
            let all = words.get(start..start + length * rounds)?;
            all.chunks(length)
                .all(|chunk| chunk == group)
                .then_some(start + length)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn good(text: &str) -> Evidence {
        Evidence {
            words: words(text),
            mean_logprob: -0.3,
            no_speech: 0.05,
            ended: true,
            voiced_s: 3.0,
            seconds: 4.0,
        }
    }

    #[test]
    fn verdicts() {
        let text = "the quick brown fox jumps over the lazy dog";
        let cases = [
            (good(text), Verdict::Good),
            (good("yes"), Verdict::Good),
            (good(""), Verdict::Nothing),
            (
                Evidence {
                    no_speech: 0.9,
                    ..good(text)
                },
                Verdict::Good,
            ),
            (
                Evidence {
                    mean_logprob: -1.2,
                    ..good(text)
                },
                Verdict::Suspect,
            ),
            (
                Evidence {
                    mean_logprob: -1.2,
                    no_speech: 0.9,
                    ..good(text)
                },
                Verdict::Nothing,
            ),
            (
                Evidence {
                    ended: false,
                    ..good(text)
                },
                Verdict::Suspect,
            ),
            (
                Evidence {
                    seconds: 1.0,
                    ..good(text)
                },
                Verdict::Suspect,
            ),
            (
                Evidence {
                    voiced_s: 20.0,
                    ..good(text)
                },
                Verdict::Suspect,
            ),
            (
                Evidence {
                    voiced_s: 9.0,
                    ..good("")
                },
                Verdict::Suspect,
            ),
            (
                good("one two three four one two three four"),
                Verdict::Suspect,
            ),
            (
                good("we fail better fail better fail better fail better"),
                Verdict::Suspect,
            ),
        ];
        for (evidence, expected) in cases {
            assert_eq!(judge(&evidence), expected, "{evidence:?}");
        }
    }

    /// What `base` wrote over water, music and a whale, and what it is told from.
    #[test]
    fn inventions_over_noise() {
        for (count, mean_logprob, no_speech, voiced_s, seconds, expected) in [
            (8, -1.61, 0.44, 3.9, 4.2, Verdict::Nothing),
            (8, -1.61, 0.25, 3.9, 4.2, Verdict::Suspect),
            (8, -1.22, 0.44, 3.9, 4.2, Verdict::Suspect),
            (2, -0.97, 0.15, 17.9, 20.2, Verdict::Nothing),
            (2, -0.40, 0.15, 3.9, 20.2, Verdict::Good),
            (2, -0.97, 0.15, 0.9, 1.2, Verdict::Suspect),
            (1, -0.48, 0.57, 0.0, 2.3, Verdict::Nothing),
            (1, -0.48, 0.57, 0.2, 2.3, Verdict::Good),
            (1, -0.48, 0.15, 0.0, 0.5, Verdict::Good),
            (27, -0.38, 0.57, 0.6, 20.2, Verdict::Nothing),
            (27, -0.38, 0.15, 0.6, 20.2, Verdict::Good),
        ] {
            let evidence = Evidence {
                words: (0..count).map(|n: usize| n.to_string()).collect(),
                mean_logprob,
                no_speech,
                ended: true,
                voiced_s,
                seconds,
            };
            assert_eq!(judge(&evidence), expected, "{evidence:?}");
        }
    }

    #[test]
    fn loops() {
        for (text, expected) in [
            ("no no no no no", None),
            ("no no no no no no", Some(1)),
            ("a fail better fail better fail better fail better", Some(3)),
            ("one two three four one two three four", None),
            (
                "one two three four one two three four one two three four",
                Some(4),
            ),
            ("very very good", None),
        ] {
            assert_eq!(loop_start(&words(text)), expected, "{text}");
        }
    }
}
