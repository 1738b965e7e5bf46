//! The sound of every utterance that has no final yet, in order, and how much of it the server of
//! the current connection has been told. No input or output.
//!
//! Enters: utterances as they are heard, and their ends. Leaves: [`Step`]s for the server, each
//! once for each connection; utterances that end.

use std::collections::VecDeque;
use std::sync::Arc;

use wstream_wire::{CONTEXT_SAMPLES, FRAME_SAMPLES, Strategy};

use super::protocol::{Opening, Step};
use super::shown::Shown;
use crate::speech::Utterance;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// By number. Only the last can be under way; those that the server knows of come first.
    kept: VecDeque<Kept>,
    /// What `kept` costs, in samples.
    samples: u64,
    /// What the strategies need of the last answered utterance.
    memory: Option<Memory>,
    /// Utterances that the server knows of and that are not wanted any more; at most as many as
    /// the server was told of.
    cancels: VecDeque<u64>,
    /// Whose previous final the server remembers.
    remembered: Option<Lineage>,
    /// Whether a final has come on this connection.
    answered: bool,
}

/// An utterance without a final.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its name and what its session asked for.
    pub(super) utterance: Utterance,
    /// As it was when it began.
    pub(super) strategy: Strategy,
    /// As it was when it began.
    pub(super) language: String,
    /// What was published of it.
    pub(super) shown: Shown,
    /// How often a connection was lost while it was the oldest that the server knew of.
    pub(super) losses: u32,
    sound: Vec<Arc<[i16]>>,
    samples: u64,
    pause: Option<u64>,
    ended: bool,
    told: Told,
}

/// What the server of this connection knows of an utterance.
#[derive(Debug, Default)]
struct Told {
    begun: bool,
    pieces: usize,
    samples: u64,
    pause: Option<u64>,
    ended: bool,
}

/// Utterances that follow on each other for the strategies: what is dictated is one lineage, each
/// feed its own, so that what a file says does not depend on what was dictated before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lineage {
    Live,
    Feed { session: u64 },
}

/// What the strategies need of an answered utterance.
#[derive(Debug)]
struct Memory {
    lineage: Lineage,
    /// Text goes only where it came from.
    backend: String,
    text: String,
    context: Arc<[i16]>,
}

impl Kept {
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
    fn cost(&self) -> u64 {
        self.samples.max(FRAME_SAMPLES as u64)
    }

    fn lineage(&self) -> Lineage {
        if self.utterance.live {
            Lineage::Live
        } else {
            Lineage::Feed {
                session: self.utterance.session,
            }
        }
    }

    /// The last second of it, all of it if it is shorter.
    fn context(&self) -> Arc<[i16]> {
        let mut context: Vec<i16> = Vec::with_capacity(CONTEXT_SAMPLES);
        let mut skip = self.samples.saturating_sub(CONTEXT_SAMPLES as u64) as usize;
        for piece in &self.sound {
            context.extend(piece.iter().skip(skip));
            skip = skip.saturating_sub(piece.len());
        }
        context.into()
    }

    /// The next step after `Begin`; `None`: the server knows all that there is.
    fn step(&mut self) -> Option<Step> {
        let utterance = self.number();
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

impl Unanswered {
    /// An utterance begins, and one that has not ended ends. Numbers rise.
    pub(super) fn begin(&mut self, utterance: Utterance, strategy: Strategy, language: String) {
        if let Some(last) = self.kept.back_mut() {
            last.ended = true;
        }
        let kept = Kept {
            utterance,
            strategy,
            language,
            shown: Shown::default(),
            losses: 0,
            sound: Vec::new(),
            samples: 0,
            pause: None,
            ended: false,
            told: Told::default(),
        };
        self.samples += kept.cost();
        self.kept.push_back(kept);
    }

    /// Its next samples. Sound of an utterance that is not kept any more is forgotten, as are its
    /// pauses and its end.
    pub(super) fn sound(&mut self, utterance: u64, samples: Arc<[i16]>) {
        if samples.is_empty() {
            return;
        }
        let Some(kept) = self.kept.back_mut() else {
            return;
        };
        if kept.number() != utterance || kept.ended {
            return;
        }
        self.samples -= kept.cost();
        kept.samples += samples.len() as u64;
        kept.sound.push(samples);
        self.samples += kept.cost();
    }

    /// Silence has begun.
    pub(super) fn pause(&mut self, utterance: u64, sample: u64) {
        if let Some(kept) = self.find(utterance) {
            kept.pause = Some(sample);
        }
    }

    /// It was no end.
    pub(super) fn resume(&mut self, utterance: u64) {
        if let Some(kept) = self.find(utterance) {
            kept.pause = None;
        }
    }

    /// All sound has come.
    pub(super) fn end(&mut self, utterance: u64) {
        if let Some(kept) = self.find(utterance) {
            kept.ended = true;
        }
    }

    /// Forgets an utterance, answered or not, and tells the server if it knows of it.
    pub(super) fn give_up(&mut self, utterance: u64) -> Option<Kept> {
        let kept = self.remove(utterance)?;
        if kept.told.begun {
            self.cancels.push_back(utterance);
            // A server that has answered nothing may have forgotten with it what it was given.
            if !self.answered && !self.kept.iter().any(Kept::is_told) {
                self.remembered = None;
            }
        }
        Some(kept)
    }

    /// Forgets the utterances of every session up to and including this one.
    pub(super) fn cancel(&mut self, session: u64) {
        let cancelled: Vec<u64> = (self.kept.iter())
            .filter(|kept| kept.utterance.session <= session)
            .map(Kept::number)
            .collect();
        for utterance in cancelled {
            self.give_up(utterance);
        }
    }

    /// An utterance has its final: its sound is freed but for what the strategies need.
    pub(super) fn answered(&mut self, utterance: u64, text: &str, backend: &str) -> Option<Kept> {
        let kept = self.remove(utterance)?;
        self.answered = true;
        self.memory = Some(Memory {
            lineage: kept.lineage(),
            backend: backend.to_owned(),
            text: text.to_owned(),
            context: kept.context(),
        });
        Some(kept)
    }

    /// The server has ended an utterance without a final.
    pub(super) fn failed(&mut self, utterance: u64) -> Option<Kept> {
        self.remove(utterance)
    }

    /// The next thing to tell a server that takes `window_samples` unanswered; `serves` says
    /// whether an utterance is for this server. Each step comes once for each connection.
    pub(super) fn next_step(
        &mut self,
        window_samples: u64,
        backend: &str,
        serves: impl Fn(&Kept) -> bool,
    ) -> Option<Step> {
        if let Some(utterance) = self.cancels.pop_front() {
            return Some(Step::Cancel { utterance });
        }
        let told = self.kept.iter().map(Kept::told_samples).sum::<u64>();
        let kept = self.kept.iter_mut().find(|kept| !kept.told.ended)?;
        if kept.told.begun {
            return kept.step();
        }
        if told >= window_samples.max(1) || !serves(kept) {
            return None;
        }
        kept.told.begun = true;
        let lineage = kept.lineage();
        let mut opening = Opening {
            utterance: kept.number(),
            strategy: kept.strategy,
            language: kept.language.clone(),
            // Without knowing which sound it covers a server would say it all again behind it; then
            // its answer is aligned here instead.
            committed: kept.shown.committed().filter(|it| it.sample > 0),
            ..Opening::default()
        };
        if self.remembered != Some(lineage) {
            match &self.memory {
                Some(memory) if memory.lineage == lineage && memory.backend == backend => {
                    opening.previous = Some(memory.text.clone());
                    opening.context = memory.context.clone();
                }
                // What the server remembers is another's.
                _ if self.remembered.is_some() => opening.previous = Some(String::new()),
                _ => {}
            }
            self.remembered = Some(lineage);
        }
        Some(Step::Begin(opening))
    }

    /// The connection is gone, and with it everything that its server knew.
    pub(super) fn disconnected(&mut self) {
        for kept in &mut self.kept {
            kept.told = Told::default();
        }
        self.cancels.clear();
        self.remembered = None;
        self.answered = false;
    }

    /// The utterance with this number.
    pub(super) fn find(&mut self, utterance: u64) -> Option<&mut Kept> {
        let index = (self.kept).binary_search_by_key(&utterance, Kept::number);
        self.kept.get_mut(index.ok()?)
    }

    /// Whether the utterance is owed.
    pub(super) fn has(&self, utterance: u64) -> bool {
        let found = self.kept.binary_search_by_key(&utterance, Kept::number);
        found.is_ok()
    }

    /// The oldest utterance.
    pub(super) fn head(&self) -> Option<&Kept> {
        self.kept.front()
    }

    /// Every utterance, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// Whether nothing is owed and nothing is left to say.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.cancels.is_empty()
    }

    /// Samples of sound kept.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    fn remove(&mut self, utterance: u64) -> Option<Kept> {
        let index = (self.kept).binary_search_by_key(&utterance, Kept::number);
        let kept = self.kept.remove(index.ok()?)?;
        self.samples -= kept.cost();
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
        Some(kept)
    }
}
