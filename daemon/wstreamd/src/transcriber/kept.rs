//! One utterance without a final: its sound, what was published of it, and what the server of the
//! current connection has been told. No input or output.
//!
//! A server may cut a long utterance. What lies before the cut is answered then, and the rest is an
//! utterance of its own: with a new number here, while its sound still comes under the old one, and
//! the server still calls it by the old one too until the connection ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wstream_wire::{CONTEXT_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE, Segment, Strategy};

use super::protocol::Step;
use super::shown::Shown;
use crate::speech::Utterance;

/// The number under which no sound comes.
const NEVER_HEARD: u64 = 0;

/// How an utterance is to be transcribed; as it was when it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Manner {
    /// What is given to the model from the utterance before.
    pub(super) strategy: Strategy,
    /// ISO 639-1 or `auto`.
    pub(super) language: String,
    /// Which languages `auto` may find; empty: any.
    pub(super) languages: Arc<[String]>,
    /// Words to expect.
    pub(super) vocabulary: Arc<[String]>,
}

/// See the module. Sample numbers count from its own first sample, unless another is named.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its name and what its session asked for.
    pub(super) utterance: Utterance,
    /// How it is transcribed.
    pub(super) manner: Manner,
    /// What was published of it.
    pub(super) shown: Shown,
    /// How often a connection was lost while it was the oldest that the server knew of.
    pub(super) losses: u32,
    /// The number under which its sound comes.
    pub(super) heard_as: u64,
    /// Samples under that number that come before its first.
    before: u64,
    sound: Vec<Arc<[i16]>>,
    samples: u64,
    pause: Option<u64>,
    pub(super) ended: bool,
    pub(super) told: Told,
}

/// What the server of this connection knows of an utterance.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) begun: bool,
    /// The number by which the server knows it.
    pub(super) name: u64,
    /// Samples under that number that come before its first.
    before: u64,
    /// Samples that the committed text covers with which it began.
    pub(super) given: u64,
    pieces: usize,
    pub(super) samples: u64,
    pause: Option<u64>,
    pub(super) ended: bool,
}

/// Utterances that follow on each other for the strategies: what is dictated is one lineage, each
/// feed its own, so that what a file says does not depend on what was dictated before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lineage {
    /// What is dictated.
    Live,
    /// A file.
    Feed {
        /// Its session.
        session: u64,
    },
}

impl Kept {
    /// An utterance without sound, of which nobody has been told.
    pub(super) fn new(utterance: Utterance, manner: Manner) -> Self {
        Kept {
            heard_as: utterance.utterance,
            utterance,
            manner,
            shown: Shown::default(),
            losses: 0,
            before: 0,
            sound: Vec::new(),
            samples: 0,
            pause: None,
            ended: false,
            told: Told::default(),
        }
    }

    /// Its number.
    pub(super) fn number(&self) -> u64 {
        self.utterance.utterance
    }

    /// Whether the server knows of it.
    pub(super) fn is_told(&self) -> bool {
        self.told.begun
    }

    /// Whether the server knows all of it, so that the final is what is missing.
    pub(super) fn is_told_whole(&self) -> bool {
        self.told.ended
    }

    /// Samples that were heard.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Samples that the server knows of.
    pub(super) fn told_samples(&self) -> u64 {
        self.told.samples
    }

    /// An utterance costs at least a frame, so that the limit on sound bounds their number too.
    pub(super) fn cost(&self) -> u64 {
        self.samples.max(FRAME_SAMPLES as u64)
    }

    pub(super) fn lineage(&self) -> Lineage {
        if self.utterance.live {
            Lineage::Live
        } else {
            Lineage::Feed {
                session: self.utterance.session,
            }
        }
    }

    /// Its next samples.
    pub(super) fn push(&mut self, samples: Arc<[i16]>) {
        self.samples += samples.len() as u64;
        self.sound.push(samples);
    }

    /// Silence began at this sample of the sound's own utterance.
    pub(super) fn pause(&mut self, sample: u64) {
        self.pause = Some(sample.saturating_sub(self.before));
    }

    /// It was no end.
    pub(super) fn resume(&mut self) {
        self.pause = None;
    }

    /// The server's `sample` as one of this utterance's own. It cannot have heard more than it was
    /// told.
    pub(super) fn own_sample(&self, sample: u64) -> u64 {
        let own = sample.saturating_sub(self.told.before);
        own.min(self.told.samples)
    }

    /// The server's segments with times from this utterance's start.
    pub(super) fn own_segments(&self, mut segments: Vec<Segment>) -> Vec<Segment> {
        let before = self.told.before as f64 / f64::from(SAMPLE_RATE);
        if before > 0.0 {
            for segment in &mut segments {
                segment.start = (segment.start - before).max(0.0);
                segment.end = (segment.end - before).max(0.0);
            }
        }
        segments
    }

    /// The last second before `end`, all of it if there is less.
    pub(super) fn context(&self, end: u64) -> Arc<[i16]> {
        let mut context: Vec<i16> = Vec::with_capacity(CONTEXT_SAMPLES);
        let mut skip = end.saturating_sub(CONTEXT_SAMPLES as u64) as usize;
        let mut left = end as usize;
        for piece in &self.sound {
            context.extend(piece.iter().take(left).skip(skip));
            skip = skip.saturating_sub(piece.len());
            left = left.saturating_sub(piece.len());
        }
        context.into()
    }

    /// Frees what comes before `sample`, which the server knows of; what is behind it is the
    /// utterance `number` from now on. The audio thread is told how far the sound is answered.
    pub(super) fn cut(&mut self, sample: u64, number: u64) {
        let mut left = sample as usize;
        let whole = (self.sound.iter())
            .take_while(|piece| {
                let fits = piece.len() <= left;
                left -= if fits { piece.len() } else { 0 };
                fits
            })
            .count();
        self.sound.drain(..whole);
        if left > 0
            && let Some(piece) = self.sound.first_mut()
        {
            *piece = piece[left..].into();
        }
        self.samples -= sample;
        self.before += sample;
        self.pause = self.pause.map(|pause| pause.saturating_sub(sample));
        self.told.pieces -= whole;
        self.told.samples -= sample;
        self.told.before += sample;
        self.told.given = self.told.given.saturating_sub(sample);
        self.told.pause = self.told.pause.map(|pause| pause.saturating_sub(sample));
        self.utterance.utterance = number;
        self.shown = Shown::default();
        self.losses = 0;
        self.utterance
            .answered_samples
            .store(self.before, Ordering::Relaxed);
    }

    /// The same sound as an utterance of another session, of which nothing was published yet.
    pub(super) fn again(mut self, number: u64, session: u64) -> Self {
        self.utterance.utterance = number;
        self.utterance.session = session;
        // It has a place of its own among the utterances, so nothing is taken over from another.
        self.utterance.live = false;
        self.utterance.answered_samples = Arc::default();
        self.heard_as = NEVER_HEARD;
        self.before = 0;
        self.shown = Shown::default();
        self.losses = 0;
        self.told = Told::default();
        self
    }

    /// The next step after `Begin`; `None`: the server knows all that there is.
    pub(super) fn step(&mut self) -> Option<Step> {
        let utterance = self.told.name;
        if self.told.pause.is_some() && self.told.pause != self.pause {
            self.told.pause = None;
            return Some(Step::Resume { utterance });
        }
        if let Some(sample) = self.pause
            && self.told.pause.is_none()
            && self.told.samples >= sample
            && !self.ended
        {
            self.told.pause = Some(sample);
            let sample = self.told.before + sample;
            return Some(Step::Pause { utterance, sample });
        }
        if let Some(samples) = self.sound.get(self.told.pieces) {
            self.told.pieces += 1;
            self.told.samples += samples.len() as u64;
            let samples = samples.clone();
            return Some(Step::Sound { utterance, samples });
        }
        if self.ended && !self.told.ended {
            self.told.ended = true;
            return Some(Step::End { utterance });
        }
        None
    }
}
