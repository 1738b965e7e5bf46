//! The store of what has no final yet: whatever happens in whatever order, no sample is lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use crate::speech::Utterance;
use crate::transcriber::kept::Manner;
use crate::transcriber::protocol::Step;
use crate::transcriber::unanswered::Unanswered;

/// What can happen to the store.
#[derive(Clone, Debug)]
enum Happens {
    Begins,
    Sounds(usize),
    Pauses,
    Resumes,
    Ends,
    Aborts,
    Cancels,
    /// So many steps are told.
    Tells(usize),
    /// The oldest utterance that was told whole gets its final.
    Answers,
    /// The server cuts the oldest utterance: this share of what it has heard, in thousandths.
    Cuts(usize),
    Disconnects,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        2 => Just(Happens::Begins),
        6 => (1_usize..400).prop_map(Happens::Sounds),
        1 => Just(Happens::Pauses),
        1 => Just(Happens::Resumes),
        2 => Just(Happens::Ends),
        1 => Just(Happens::Aborts),
        1 => Just(Happens::Cancels),
        6 => (1_usize..8).prop_map(Happens::Tells),
        2 => Just(Happens::Answers),
        3 => (1_usize..=1000).prop_map(Happens::Cuts),
        1 => Just(Happens::Disconnects),
    ]
}

/// What a server has heard under one name.
#[derive(Default)]
struct Name {
    /// Samples before the last cut.
    cut: usize,
    /// What came behind it.
    sound: Vec<i16>,
}

/// The server's side of one connection.
#[derive(Default)]
struct Heard {
    open: Option<u64>,
    last: u64,
    paused: bool,
    names: BTreeMap<u64, Name>,
    ended: VecDeque<u64>,
}

const SMALL_WINDOW: u64 = 500;

impl Heard {
    /// Fails on anything that breaks the protocol's rules.
    fn take(&mut self, step: Step) {
        match step {
            Step::Begin(opening) => {
                assert!(self.open.is_none() && opening.utterance > self.last);
                let unanswered: usize = self.names.values().map(|name| name.sound.len()).sum();
                assert!((unanswered as u64) < SMALL_WINDOW);
                (self.open, self.last) = (Some(opening.utterance), opening.utterance);
                self.paused = false;
                self.names.insert(opening.utterance, Name::default());
            }
            Step::Sound { utterance, samples } => {
                assert_eq!(self.open, Some(utterance));
                let name = self.names.get_mut(&utterance).unwrap();
                name.sound.extend(&*samples);
            }
            Step::Pause { utterance, sample } => {
                assert!(self.open == Some(utterance) && !self.paused);
                let name = &self.names[&utterance];
                assert!(sample <= (name.cut + name.sound.len()) as u64);
                self.paused = true;
            }
            Step::Resume { utterance } => {
                assert!(self.open == Some(utterance) && self.paused);
                self.paused = false;
            }
            Step::End { utterance } => {
                assert_eq!(self.open.take(), Some(utterance));
                self.ended.push_back(utterance);
            }
            Step::Cancel { utterance } => {
                self.names.remove(&utterance).expect("it has begun");
                self.ended.retain(|&ended| ended != utterance);
                self.open.take_if(|open| *open == utterance);
            }
        }
    }

    /// The oldest utterance without a final.
    fn oldest(&self) -> Option<u64> {
        self.ended.front().copied().or(self.open)
    }
}

/// What was said, and by which number it goes.
#[derive(Default)]
struct Said {
    /// What was said of each utterance that is neither answered nor given up.
    sound: BTreeMap<u64, Vec<i16>>,
    /// The number that an utterance's sound counts for now.
    goes_on_as: BTreeMap<u64, u64>,
}

impl Said {
    fn of(&mut self, heard_as: u64) -> Option<&mut Vec<i16>> {
        self.sound.get_mut(self.goes_on_as.get(&heard_as)?)
    }
}

proptest! {
    /// On each connection every sample of every utterance is told once and in order, and in the end
    /// every utterance has been heard whole, wherever it was cut.
    #[test]
    fn every_sample_is_told_once_and_in_order(story in prop::collection::vec(happens(), 0..120)) {
        let mut unanswered = Unanswered::default();
        let mut heard = Heard::default();
        let mut said = Said::default();
        let (mut number, mut open, mut sample) = (0, None, 0_i16);
        let mut answered_samples = Arc::default();
        for happens in story {
            match happens {
                Happens::Begins if open.is_none() => {
                    number += 1;
                    open = Some(number);
                    said.sound.insert(number, Vec::new());
                    said.goes_on_as.insert(number, number);
                    answered_samples = Arc::default();
                    let utterance = Utterance {
                        utterance: number,
                        session: number,
                        live: true,
                        options: Arc::default(),
                        answered_samples: Arc::clone(&answered_samples),
                    };
                    unanswered.begin(utterance, Manner::default());
                }
                Happens::Begins => {}
                Happens::Sounds(count) => if let Some(open) = open {
                    let samples: Vec<i16> = (0..count as i16).map(|i| sample.wrapping_add(i)).collect();
                    sample = sample.wrapping_add(count as i16);
                    if let Some(said) = said.of(open) {
                        said.extend(&samples);
                    }
                    unanswered.sound(open, samples.into());
                },
                Happens::Pauses => if let Some(open) = open {
                    // Anywhere in what was said, also before a cut.
                    let before = answered_samples.load(Ordering::Relaxed);
                    let whole = before + said.of(open).map_or(0, |said| said.len()) as u64;
                    unanswered.pause(open, whole / 2);
                },
                Happens::Resumes => if let Some(open) = open {
                    unanswered.resume(open);
                },
                Happens::Ends => if let Some(open) = open.take() {
                    unanswered.end(open);
                },
                Happens::Aborts => if let Some(open) = open.take() {
                    unanswered.abort(open);
                    said.sound.remove(&said.goes_on_as[&open]);
                },
                Happens::Cancels => if let Some(head) = unanswered.head() {
                    // One utterance, one session; what is under way goes on being said.
                    let (number, session) = (head.number(), head.utterance.session);
                    unanswered.cancel(session);
                    said.sound.remove(&number);
                },
                Happens::Tells(steps) => for _ in 0..steps {
                    if let Some(step) = unanswered.next_step(SMALL_WINDOW, "b", |kept| Some(kept.manner.clone())) {
                        heard.take(step);
                    }
                },
                Happens::Answers => if let Some(&name) = heard.ended.front() {
                    // Given up meanwhile, perhaps, and the server has not been told yet.
                    if let Some(answered) = unanswered.find_told(name).map(|kept| kept.number()) {
                        heard.ended.pop_front();
                        let sound = heard.names.remove(&name).unwrap().sound;
                        prop_assert_eq!(Some(sound), said.sound.remove(&answered));
                        prop_assert!(unanswered.answered(answered, "t", "b").is_some());
                    }
                },
                Happens::Cuts(share) => if let Some(name) = heard.oldest() {
                    let at_server = heard.names.get_mut(&name).unwrap();
                    let samples = at_server.sound.len() * share / 1000;
                    if let Some(kept) = unanswered.find_told(name)
                        && samples > 0
                    {
                        let (cut, heard_as) = (kept.number(), kept.heard_as);
                        let is_open = open == Some(heard_as);
                        let own = kept.own_sample((at_server.cut + samples) as u64);
                        prop_assert_eq!(own, samples as u64);
                        prop_assert_eq!(unanswered.head().map(|head| head.number()), Some(cut));
                        number += 1;
                        unanswered.cut(own, number, "t", "b");
                        let mut before = said.sound.remove(&cut).unwrap();
                        said.sound.insert(number, before.split_off(samples));
                        said.goes_on_as.insert(heard_as, number);
                        let answered: Vec<i16> = at_server.sound.drain(..samples).collect();
                        prop_assert_eq!(answered, before);
                        at_server.cut += samples;
                        if is_open {
                            // Whatever connections there were in between.
                            let before = answered_samples.load(Ordering::Relaxed) as usize;
                            prop_assert!(before >= at_server.cut);
                        }
                    }
                },
                Happens::Disconnects => {
                    unanswered.disconnected();
                    heard = Heard::default();
                }
            }
            let kept: u64 = said.sound.values().map(|said| said.len().max(480) as u64).sum();
            prop_assert_eq!(unanswered.samples(), kept);
        }
        // A last connection that works.
        unanswered.disconnected();
        heard = Heard::default();
        if let Some(open) = open {
            unanswered.end(open);
        }
        while let Some(step) = unanswered.next_step(SMALL_WINDOW, "b", |kept| Some(kept.manner.clone())) {
            heard.take(step);
            while let Some(name) = heard.ended.pop_front() {
                let answered = unanswered.find_told(name).unwrap().number();
                let sound = heard.names.remove(&name).unwrap().sound;
                prop_assert_eq!(Some(sound), said.sound.remove(&answered));
                unanswered.answered(answered, "t", "b");
            }
        }
        prop_assert!(said.sound.is_empty() && unanswered.is_empty());
        prop_assert_eq!(unanswered.samples(), 0);
    }
}
