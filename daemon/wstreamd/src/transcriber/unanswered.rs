//! The sound of every utterance that has no final yet, in order, and how much of it the server of
//! the current connection has been told. No input or output.
//!
//! Enters: utterances as they are heard, and their ends. Leaves: [`Step`]s for the server, each
//! once for each connection; utterances that end.
//!
//! An utterance has up to three numbers: its own, the one under which its sound comes, and the one
//! by which the server knows it; see [`Kept`]. They are the same until a server cuts.

use std::collections::VecDeque;
use std::sync::Arc;

use super::kept::{Kept, Lineage, Manner};
use super::protocol::{Opening, Step};
use crate::speech::Utterance;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// In the order of their sound; their numbers need not rise, those under which their sound
    /// comes do. Only the last can be under way; those that the server knows of come first.
    kept: VecDeque<Kept>,
    /// What `kept` costs, in samples.
    samples: u64,
    /// What the strategies need of the last answered utterance.
    memory: Option<Memory>,
    /// Utterances that the server knows of by these numbers and that are not wanted any more; at
    /// most as many as the server was told of.
    cancels: VecDeque<u64>,
    /// The last number that the server was told; they rise.
    last_name: u64,
    /// Whose previous final the server remembers.
    remembered: Option<Lineage>,
    /// Whether a final has come on this connection.
    answered: bool,
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

impl Unanswered {
    /// An utterance begins, and one that has not ended ends.
    pub(super) fn begin(&mut self, utterance: Utterance, manner: Manner) {
        if let Some(last) = self.kept.back_mut() {
            last.ended = true;
        }
        let kept = Kept::new(utterance, manner);
        self.samples += kept.cost();
        self.kept.push_back(kept);
    }

    /// An utterance whose sound is all there already; none may be under way.
    pub(super) fn append(&mut self, kept: Kept) {
        self.samples += kept.cost();
        self.kept.push_back(kept);
    }

    /// Whether sound of an utterance still comes.
    pub(super) fn is_under_way(&self) -> bool {
        self.kept.back().is_some_and(|last| !last.ended)
    }

    /// Its next samples. Sound of an utterance that is not kept any more is forgotten, as are its
    /// pauses and its end.
    pub(super) fn sound(&mut self, heard_as: u64, samples: Arc<[i16]>) {
        if samples.is_empty() {
            return;
        }
        let Some(kept) = self.kept.back_mut() else {
            return;
        };
        if kept.heard_as != heard_as || kept.ended {
            return;
        }
        self.samples -= kept.cost();
        kept.push(samples);
        self.samples += kept.cost();
    }

    /// Silence has begun.
    pub(super) fn pause(&mut self, heard_as: u64, sample: u64) {
        if let Some(kept) = self.find_heard(heard_as) {
            kept.pause(sample);
        }
    }

    /// It was no end.
    pub(super) fn resume(&mut self, heard_as: u64) {
        if let Some(kept) = self.find_heard(heard_as) {
            kept.resume();
        }
    }

    /// All sound has come.
    pub(super) fn end(&mut self, heard_as: u64) {
        if let Some(kept) = self.find_heard(heard_as) {
            kept.ended = true;
        }
    }

    /// What is left of the utterance under whose number sound came is given up, see
    /// [`Unanswered::give_up`].
    pub(super) fn abort(&mut self, heard_as: u64) {
        if let Some(utterance) = self.find_heard(heard_as).map(|kept| kept.number()) {
            self.give_up(utterance);
        }
    }

    /// Forgets an utterance, answered or not, and tells the server if it knows of it.
    pub(super) fn give_up(&mut self, utterance: u64) -> Option<Kept> {
        let kept = self.remove(utterance)?;
        if kept.told.begun {
            self.cancels.push_back(kept.told.name);
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
        self.remember(&kept, kept.samples(), text, backend);
        Some(kept)
    }

    /// The oldest utterance has its final up to `sample`; behind it, it goes on as the utterance
    /// `number`.
    pub(super) fn cut(&mut self, sample: u64, number: u64, text: &str, backend: &str) {
        let Some(mut kept) = self.kept.pop_front() else {
            return;
        };
        self.remember(&kept, sample, text, backend);
        self.samples -= kept.cost();
        kept.cut(sample, number);
        self.samples += kept.cost();
        self.kept.push_front(kept);
    }

    fn remember(&mut self, kept: &Kept, end: u64, text: &str, backend: &str) {
        self.answered = true;
        self.memory = Some(Memory {
            lineage: kept.lineage(),
            backend: backend.to_owned(),
            text: text.to_owned(),
            context: kept.context(end),
        });
    }

    /// The server has ended an utterance without a final.
    pub(super) fn failed(&mut self, utterance: u64) -> Option<Kept> {
        self.remove(utterance)
    }

    /// The next thing to tell a server that takes `window_samples` unanswered; `asks` says how an
    /// utterance is to be transcribed there, `None`: it is not for this server, or not yet. Each
    /// step comes once for each connection.
    pub(super) fn next_step(
        &mut self,
        window_samples: u64,
        backend: &str,
        asks: impl Fn(&Kept) -> Option<Manner>,
    ) -> Option<Step> {
        if let Some(utterance) = self.cancels.pop_front() {
            return Some(Step::Cancel { utterance });
        }
        let told = self.kept.iter().map(Kept::told_samples).sum::<u64>();
        let kept = self.kept.iter_mut().find(|kept| !kept.told.ended)?;
        if kept.told.begun {
            return kept.step();
        }
        if told >= window_samples.max(1) {
            return None;
        }
        let manner = asks(kept)?;
        kept.told.begun = true;
        kept.told.name = kept.number().max(self.last_name + 1);
        self.last_name = kept.told.name;
        // Without knowing which sound it covers a server would say it all again behind it; then its
        // answer is aligned here instead.
        let committed = kept.shown.committed().filter(|it| it.sample > 0);
        kept.told.given = committed.as_ref().map_or(0, |it| it.sample);
        let lineage = kept.lineage();
        let mut opening = Opening {
            utterance: kept.told.name,
            manner,
            committed,
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
            kept.told = Default::default();
        }
        self.cancels.clear();
        self.last_name = 0;
        self.remembered = None;
        self.answered = false;
    }

    /// The utterance with this number.
    pub(super) fn find(&mut self, utterance: u64) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.number() == utterance)
    }

    /// The utterance that the server knows by this number.
    pub(super) fn find_told(&mut self, name: u64) -> Option<&mut Kept> {
        let is_meant = |kept: &&mut Kept| kept.is_told() && kept.told.name == name;
        self.kept.iter_mut().find(is_meant)
    }

    /// The utterance whose sound comes under this number. What comes concerns the last, unless that
    /// has been given up.
    fn find_heard(&mut self, heard_as: u64) -> Option<&mut Kept> {
        let last = self.kept.back_mut();
        last.filter(|kept| kept.heard_as == heard_as)
    }

    /// Whether the utterance is owed.
    pub(super) fn has(&self, utterance: u64) -> bool {
        self.kept.iter().any(|kept| kept.number() == utterance)
    }

    /// The oldest utterance.
    pub(super) fn head(&self) -> Option<&Kept> {
        self.kept.front()
    }

    /// The newest utterance.
    pub(super) fn last(&self) -> Option<&Kept> {
        self.kept.back()
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
        let index = (self.kept.iter()).position(|kept| kept.number() == utterance);
        let kept = self.kept.remove(index?)?;
        self.samples -= kept.cost();
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
        Some(kept)
    }
}
