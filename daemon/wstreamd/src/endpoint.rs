//! Where utterances begin and end: frames with and without voice in, starts and ends out. No sound
//! device, no clock, no thread.
//!
//! Frames are of [`FRAME`] samples. Every sample belongs to at most one utterance, and an utterance
//! is one unbroken stretch of the sound that was pushed in.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Deserialize;

use crate::vad::Heard;

/// Samples per second of everything behind the sources.
pub const RATE: u32 = wstream_wire::SAMPLE_RATE;

/// Samples in a frame: 30 ms, the longest that the voice detector takes.
pub const FRAME: usize = wstream_wire::FRAME_SAMPLES;

/// Milliseconds in a frame.
pub const FRAME_MS: u32 = 30;

/// Frames without voice after which a beginning that was not confirmed is taken for noise: the
/// closure of a stop consonant (about 100 ms) does not end it, the gap between two key strokes does.
const CANDIDATE_GAP: usize = 4;

/// Frames with a pitch that make voice credible as speech: a short syllable has four and more. With
/// two, three times as many bursts of typing pass as with four; neither loses a word of the corpus.
const PITCHED: u32 = 3;

/// Those frames with a pitch must come within so many frames of voice: most of speech is sung, most
/// of what a keyboard or a room does is not. With fewer than seven single digits of the corpus are
/// missed.
const PITCHED_WITHIN: usize = 9;
const PITCHED_MASK: u16 = (1 << PITCHED_WITHIN) - 1;

/// Frames of voice that are believed without a pitch, for those who whisper. Nothing is lost
/// meanwhile, the utterance is only announced later.
const WHISPERED: usize = 33;

/// Where in an utterance (1 is the longest allowed) patience with silence shrinks, and to how many
/// frames of it. At the default bound of 28 s: from 15 s on 150 ms suffice (a pause at a comma),
/// from 23 s on 60 ms (a gap between words). A server that cuts where its text is settled does so
/// before, and knows words from gaps.
const PATIENCE: [(f64, usize); 2] = [(0.82, 2), (0.54, 5)];

/// From here on (25 s of 28) the first quiet frame ends the utterance, voiced or not.
const URGENT: f64 = 0.9;

/// How quiet a frame must be to end an urgent utterance, as a share of the mean level of its
/// voice: at first a real dip (-14 dB), at the last moment any weak syllable (-6 dB).
const DIP: [f64; 2] = [0.2, 0.5];

/// When utterances begin and end. Times are rounded to whole frames of 30 ms.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointSettings {
    /// Voice without a break that makes speech likely.
    pub onset_ms: u32,
    /// Sound kept from before the first voiced frame, so that the first word is whole.
    pub pre_roll_ms: u32,
    /// Silence that ends an utterance.
    pub hangover_ms: u32,
    /// How much of that silence the utterance keeps, so that the last word is whole.
    pub tail_ms: u32,
    /// Voice in all before an utterance is announced; with less it was a noise.
    pub min_speech_ms: u32,
    /// The longest utterance. Before it, shorter and shorter silences suffice to end it.
    pub max_utterance_s: u32,
}

impl EndpointSettings {
    /// One frame to half a second: later, `Started` would come after a short word has ended.
    pub const ONSET_MS: RangeInclusive<u32> = 30..=500;
    /// None to one second.
    pub const PRE_ROLL_MS: RangeInclusive<u32> = 0..=1000;
    /// Below 90 ms words are torn at stop consonants; beyond 3 s nobody waits.
    pub const HANGOVER_MS: RangeInclusive<u32> = 90..=3000;
    /// None to one second; no more than the hangover is ever there to be kept.
    pub const TAIL_MS: RangeInclusive<u32> = 0..=1000;
    /// One frame to one second.
    pub const MIN_SPEECH_MS: RangeInclusive<u32> = 30..=1000;
    /// Whisper hears 30 s at most; below 5 s ordinary sentences are torn.
    pub const MAX_UTTERANCE_S: RangeInclusive<u32> = 5..=29;
}

impl Default for EndpointSettings {
    /// Tuned on read and spontaneous English: no word lost at the edges.
    fn default() -> Self {
        EndpointSettings {
            onset_ms: 90,
            pre_roll_ms: 600,
            hangover_ms: 300,
            tail_ms: 300,
            min_speech_ms: 150,
            max_utterance_s: 28,
        }
    }
}

/// What follows from a frame. For one utterance: `Begin`, then `Sound`, `Pause` and `Resume`, then
/// `End`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An utterance begins.
    Begin {
        /// Samples from the first frame pushed to the utterance's first sample.
        at: u64,
    },
    /// Its next samples; the first are the pre-roll and all that came until it was announced.
    Sound(Arc<[i16]>),
    /// The first frame without voice.
    Pause {
        /// Samples from the utterance's first to where the silence began.
        sample: u64,
    },
    /// Voice again.
    Resume,
    /// The utterance is over.
    End {
        /// Samples in it.
        samples: u64,
    },
}

/// Decides frame by frame where utterances begin and end.
#[derive(Debug)]
pub struct Endpointer {
    onset: usize,
    pre_roll: usize,
    hangover: usize,
    tail: usize,
    min_speech: usize,
    /// Most samples in an utterance.
    longest: usize,
    state: State,
    /// The newest sound that belongs to no utterance: at most the pre-roll while all is quiet, that
    /// and what may become an utterance while one may begin, the silence that is held back while
    /// one is open.
    held: Vec<i16>,
    /// Samples pushed so far.
    position: u64,
    /// Frames for which the first voiced frame begins an utterance at once, because the one before
    /// was ended early for its length.
    continuing: usize,
}

#[derive(Debug)]
enum State {
    Quiet,
    /// Voice was heard, perhaps only a noise.
    Candidate {
        /// Voiced frames in all.
        voiced: usize,
        /// Voiced frames in a row, newest last.
        run: usize,
        /// Which of the last voiced frames had a pitch, a bit for each, the newest lowest.
        pitched: u16,
        /// Whether `run` once was long enough.
        confirmed: bool,
        /// Frames without voice in a row.
        silent: usize,
    },
    Open {
        /// Samples given so far.
        samples: usize,
        /// Samples of these that a server has answered already: they make it no longer.
        answered: usize,
        /// Frames without voice in a row.
        silent: usize,
        /// Sum of the levels of the voiced frames, and how many they are.
        level: (f64, u32),
    },
}

impl Endpointer {
    /// Begins in silence.
    pub fn new(settings: &EndpointSettings) -> Self {
        let frames = |ms: u32| (ms / FRAME_MS) as usize;
        Endpointer {
            onset: frames(settings.onset_ms).max(1),
            pre_roll: frames(settings.pre_roll_ms) * FRAME,
            hangover: frames(settings.hangover_ms).max(1),
            tail: frames(settings.tail_ms),
            min_speech: frames(settings.min_speech_ms).max(1),
            longest: settings.max_utterance_s as usize * RATE as usize,
            state: State::Quiet,
            held: Vec::new(),
            position: 0,
            continuing: 0,
        }
    }

    /// Whether an utterance is open.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Samples pushed so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The open utterance's samples up to this one are answered: what its length asks for (patience
    /// that shrinks, the longest allowed) counts from there.
    pub fn answered(&mut self, sample: u64) {
        if let State::Open {
            samples, answered, ..
        } = &mut self.state
        {
            *answered = (*samples).min(sample as usize);
        }
    }

    /// Takes the next frame; appends what follows from it to `actions`.
    pub fn push(&mut self, frame: &[i16; FRAME], heard: Heard, actions: &mut Vec<Action>) {
        self.position += FRAME as u64;
        match self.state {
            State::Quiet => self.push_quiet(frame, heard, actions),
            State::Candidate { .. } => self.push_candidate(frame, heard, actions),
            State::Open { .. } if heard != Heard::Silence => {
                self.push_voice(frame, heard, actions);
            }
            State::Open { .. } => self.push_silence(frame, actions),
        }
    }

    /// The sound is over; `rest` is what is left of it, less than a frame. Ends an open utterance,
    /// and begins one if there was voice enough that only the sound's end kept it from beginning.
    pub fn finish(&mut self, rest: &[i16], actions: &mut Vec<Action>) {
        if let State::Candidate {
            confirmed,
            voiced,
            pitched,
            ..
        } = self.state
        {
            // Cut off by the end: what was heard is judged less strictly.
            if pitched > 0 && (confirmed || voiced >= self.min_speech) {
                self.begin(actions);
            }
        }
        self.position += rest.len() as u64;
        if let State::Open {
            samples,
            answered,
            silent,
            ..
        } = &mut self.state
        {
            let heard = *samples - *answered + rest.len();
            if *silent < self.tail && !rest.is_empty() && heard <= self.longest {
                *samples += rest.len();
                actions.push(Action::Sound(rest.into()));
            }
            self.end(actions);
        }
        self.forget();
    }

    /// Forgets an open utterance and all held sound without a word: what comes next does not
    /// continue what was before.
    pub fn forget(&mut self) {
        self.state = State::Quiet;
        self.held.clear();
        self.continuing = 0;
    }

    fn push_quiet(&mut self, frame: &[i16; FRAME], heard: Heard, actions: &mut Vec<Action>) {
        if heard == Heard::Silence {
            self.continuing = self.continuing.saturating_sub(1);
            self.held.extend_from_slice(frame);
            self.trim_held();
        } else if self.continuing > 0 {
            self.held.extend_from_slice(frame);
            self.begin(actions);
        } else {
            self.state = State::Candidate {
                voiced: 0,
                run: 0,
                pitched: 0,
                confirmed: false,
                silent: 0,
            };
            self.push_candidate(frame, heard, actions);
        }
    }

    fn push_candidate(&mut self, frame: &[i16; FRAME], heard: Heard, actions: &mut Vec<Action>) {
        self.held.extend_from_slice(frame);
        let State::Candidate {
            voiced,
            run,
            pitched,
            confirmed,
            silent,
        } = &mut self.state
        else {
            return;
        };
        if heard != Heard::Silence {
            *voiced += 1;
            *pitched = (*pitched << 1 | u16::from(heard == Heard::Pitch)) & PITCHED_MASK;
            *run += 1;
            *silent = 0;
            *confirmed |= *run >= self.onset;
            let sung = pitched.count_ones() >= PITCHED;
            let credible = sung || *voiced >= WHISPERED;
            if *confirmed && credible && *voiced >= self.min_speech {
                self.begin(actions);
            }
        } else {
            *run = 0;
            *silent += 1;
            if *silent >= CANDIDATE_GAP {
                self.state = State::Quiet;
                self.trim_held();
            }
        }
    }

    fn push_voice(&mut self, frame: &[i16; FRAME], heard: Heard, actions: &mut Vec<Action>) {
        let State::Open {
            samples,
            answered,
            silent,
            level,
        } = &mut self.state
        else {
            return;
        };
        if *samples - *answered + self.held.len() + FRAME > self.longest {
            // The held silence and this frame do not fit any more: the next utterance has them.
            self.end(actions);
            self.continuing = self.hangover;
            self.push_quiet(frame, heard, actions);
            return;
        }
        if *silent > 0 {
            *silent = 0;
            actions.push(Action::Resume);
        }
        let loudness = rms(frame);
        level.0 += loudness;
        level.1 += 1;
        self.held.extend_from_slice(frame);
        *samples += self.held.len();
        let progress = (*samples - *answered) as f64 / self.longest as f64;
        let urgency = (progress - URGENT) / (1.0 - URGENT);
        let dip = DIP[0] + (DIP[1] - DIP[0]) * urgency;
        let mean = level.0 / f64::from(level.1);
        actions.push(Action::Sound(self.held.as_slice().into()));
        self.held.clear();
        if (urgency >= 0.0 && loudness < dip * mean) || self.is_full() {
            self.end(actions);
            self.continuing = self.hangover;
        }
    }

    fn push_silence(&mut self, frame: &[i16; FRAME], actions: &mut Vec<Action>) {
        let State::Open {
            samples,
            answered,
            silent,
            ..
        } = &mut self.state
        else {
            return;
        };
        if *silent == 0 {
            actions.push(Action::Pause {
                sample: *samples as u64,
            });
        }
        *silent += 1;
        self.held.extend_from_slice(frame);
        let heard = *samples - *answered + self.held.len();
        if *silent <= self.tail && heard <= self.longest {
            *samples += self.held.len();
            actions.push(Action::Sound(self.held.as_slice().into()));
            self.held.clear();
        }
        let patience = patience(heard as f64 / self.longest as f64).min(self.hangover);
        if *silent >= patience || heard >= self.longest {
            let silent = *silent;
            self.end(actions);
            // Only early: a word that follows soon belongs to what was said.
            self.continuing = self.hangover.saturating_sub(silent);
        }
    }

    /// Whether not one more frame fits.
    fn is_full(&self) -> bool {
        matches!(self.state, State::Open { samples, answered, .. }
            if samples - answered + FRAME > self.longest)
    }

    fn begin(&mut self, actions: &mut Vec<Action>) {
        actions.push(Action::Begin {
            at: self.position - self.held.len() as u64,
        });
        actions.push(Action::Sound(self.held.as_slice().into()));
        self.state = State::Open {
            samples: self.held.len(),
            answered: 0,
            silent: 0,
            level: (0.0, 0),
        };
        self.held.clear();
        self.continuing = 0;
    }

    fn end(&mut self, actions: &mut Vec<Action>) {
        if let State::Open { samples, .. } = self.state {
            actions.push(Action::End {
                samples: samples as u64,
            });
            self.state = State::Quiet;
            self.trim_held();
        }
    }

    fn trim_held(&mut self) {
        let surplus = self.held.len().saturating_sub(self.pre_roll);
        self.held.drain(..surplus);
    }
}

/// Frames of silence that end an utterance of this length; see [`PATIENCE`].
fn patience(progress: f64) -> usize {
    if progress >= URGENT {
        return 1;
    }
    PATIENCE
        .iter()
        .find(|(from, _)| progress >= *from)
        .map_or(usize::MAX, |(_, frames)| *frames)
}

/// Root mean square of samples, 0..1.
pub fn rms(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    (sum / samples.len().max(1) as f64).sqrt() / 32_768.0
}

#[cfg(test)]
mod tests;
