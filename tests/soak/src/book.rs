//! What has come of everything: kept while it happens, read at the end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use wstream_api::keys;
use wstream_tests::{Follower, Seen};

use crate::usage::Usage;

/// An utterance without an end.
#[derive(Debug)]
struct Open {
    began: Instant,
    /// How many engines were killed before it.
    kills: usize,
}

/// An utterance's end.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Final { text: String, latency_ms: f64 },
    Failed(String),
    Cancelled,
}

/// A sound that was played while the microphone was open all the time.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    pub(crate) file: String,
    pub(crate) said: String,
    pub(crate) heard: String,
    /// From the end of the sound to the last final, where there was one.
    pub(crate) after: Option<Duration>,
}

/// See the module. One task writes at a time: all of them run on one thread.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) seed: u64,
    pub(crate) began: Instant,
    open: RefCell<HashMap<u64, Open>>,
    /// Ends in their order, with their moments.
    pub(crate) ends: RefCell<Vec<(Instant, End)>>,
    /// Failures that nothing explains.
    pub(crate) unexplained: RefCell<Vec<String>>,
    pub(crate) troubles: RefCell<HashMap<String, usize>>,
    pub(crate) spoken: RefCell<Vec<Spoken>>,
    pub(crate) happened: RefCell<HashMap<&'static str, usize>>,
    pub(crate) usage: RefCell<Vec<Usage>>,
    kills: Cell<usize>,
    /// Counts how often the microphone was opened or closed; odd: it is open.
    toggles: Cell<usize>,
}

impl Book {
    pub(crate) fn new(seed: u64) -> Self {
        Book {
            seed,
            began: Instant::now(),
            open: RefCell::default(),
            ends: RefCell::default(),
            unexplained: RefCell::default(),
            troubles: RefCell::default(),
            spoken: RefCell::default(),
            happened: RefCell::default(),
            usage: RefCell::default(),
            kills: Cell::default(),
            toggles: Cell::default(),
        }
    }

    /// Takes in every signal; ends only by an error.
    pub(crate) async fn follow(&self, follower: &mut Follower) -> Result<()> {
        loop {
            let seen = follower.next().await?;
            // Hours of them.
            follower.log.clear();
            self.take(seen);
        }
    }

    fn take(&self, seen: Seen) {
        let (utterance, end) = match seen {
            Seen::Started { utterance, .. } => {
                let open = Open {
                    began: Instant::now(),
                    kills: self.kills.get(),
                };
                self.open.borrow_mut().insert(utterance, open);
                return;
            }
            Seen::Final {
                utterance,
                text,
                details,
            } => {
                let latency = details.get(keys::LATENCY_MS);
                let latency = latency.and_then(|it| it.downcast_ref::<f64>().ok());
                let latency_ms = latency.unwrap_or(f64::NAN);
                (utterance, End::Final { text, latency_ms })
            }
            Seen::Failed {
                utterance,
                name,
                message,
            } => (utterance, End::Failed(format!("{name}: {message}"))),
            Seen::Cancelled { utterance } => (utterance, End::Cancelled),
            Seen::Trouble { name, .. } => {
                *self.troubles.borrow_mut().entry(name).or_default() += 1;
                return;
            }
            _ => return,
        };
        let open = self.open.borrow_mut().remove(&utterance);
        if let End::Failed(why) = &end {
            // Sound that seems to kill the engine twice is given up.
            let kills = open
                .as_ref()
                .map_or(0, |open| self.kills.get() - open.kills);
            if kills < 2 {
                let age = open.map(|open| open.began.elapsed());
                self.unexplained
                    .borrow_mut()
                    .push(format!("{why} ({kills} kills, {age:?} old)"));
            }
        }
        self.ends.borrow_mut().push((Instant::now(), end));
    }

    /// Waits until no utterance is open, but not for ever.
    pub(crate) async fn until_all_have_ended(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.open_count() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn open_count(&self) -> usize {
        self.open.borrow().len()
    }

    pub(crate) fn happened(&self, what: &'static str) {
        *self.happened.borrow_mut().entry(what).or_default() += 1;
    }

    pub(crate) fn killed_engine(&self) {
        self.kills.set(self.kills.get() + 1);
    }

    pub(crate) fn opened(&self) {
        self.toggles.set(self.toggles.get() + 1);
    }

    pub(crate) fn closed(&self) {
        self.toggles.set(self.toggles.get() + 1);
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.toggles.get() % 2 == 1
    }

    /// Changes whenever the microphone is opened or closed.
    pub(crate) fn toggles(&self) -> usize {
        self.toggles.get()
    }

    /// The finals since `from`, joined, and when the last of them came.
    pub(crate) fn heard_since(&self, from: Instant) -> (String, Option<Instant>) {
        let ends = self.ends.borrow();
        let mut texts = Vec::new();
        let mut last = None;
        for (at, end) in ends.iter().rev().take_while(|(at, _)| *at >= from) {
            if let End::Final { text, .. } = end
                && !text.is_empty()
            {
                last.get_or_insert(*at);
                texts.insert(0, text.clone());
            }
        }
        (texts.join(" "), last)
    }
}
