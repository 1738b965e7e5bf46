//! The daemon's way to the chain of filters: never waits, never reorders, and goes around it where
//! nobody filters.

#![allow(
    clippy::vec_box,
    reason = "finals go on in the boxes in which they came"
)]

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::FinalText;
use crate::fault::{Fault, FaultKind};
use crate::filters::{Filtered, Registry, Request};

/// Requests under way to the chain. It gets the next one when it has answered the one before, so
/// that all but those that are given up lie here, where they can be given up.
pub const FILTER_QUEUE: usize = 1;

/// Finals that wait for the one in the chain: half an hour of speech, of which filters at their
/// slowest pass a sentence in a minute. Beyond it all that wait go on unfiltered.
const WAITING: usize = 1024;

#[derive(Debug)]
pub(super) struct Filtering {
    pub(super) registry: Registry,
    to_chain: mpsc::Sender<Request>,
    keys: Arc<[String]>,
    under_way: Option<UnderWay>,
    waiting: VecDeque<Box<FinalText>>,
    next_number: u64,
}

/// The final that the chain has. Dropping this takes it back.
#[derive(Debug)]
struct UnderWay {
    number: u64,
    /// As it was before.
    text: Box<FinalText>,
    _wanted: oneshot::Sender<()>,
}

impl Filtering {
    pub(super) fn new(to_chain: mpsc::Sender<Request>, keys: &[String]) -> Self {
        Filtering {
            registry: Registry::default(),
            to_chain,
            keys: keys.into(),
            under_way: None,
            waiting: VecDeque::new(),
            next_number: 0,
        }
    }

    /// Which keys filters may ask for from now on.
    pub(super) fn allow_keys(&mut self, keys: &[String]) {
        self.keys = keys.into();
    }

    /// Takes a final; answers with those that go on now, in their order, and what there is to tell.
    pub(super) fn pass(&mut self, text: Box<FinalText>) -> (Vec<Box<FinalText>>, Option<Fault>) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(text);
            return (self.next(), None);
        }
        let mut unfiltered = self.release();
        unfiltered.push(text);
        let message = format!(
            "{WAITING} texts waited for the filters and went on as they were: `wstreamctl plugins` shows which one is slow"
        );
        tracing::warn!("{message}");
        (
            unfiltered,
            Some(Fault::new(FaultKind::FilterFailed, message)),
        )
    }

    /// Takes what the chain has done; answers with the finals that go on now.
    pub(super) fn filtered(&mut self, filtered: Filtered) -> Vec<Box<FinalText>> {
        self.registry.count(&filtered.turns);
        let is_wanted = |under_way: &mut UnderWay| under_way.number == filtered.number;
        let done = match self.under_way.take_if(is_wanted) {
            Some(under_way) => Some(filtered.text.unwrap_or(under_way.text)),
            None => None,
        };
        done.into_iter().chain(self.next()).collect()
    }

    /// Takes all of them back as they were: there is no more time to wait for filters.
    pub(super) fn release(&mut self) -> Vec<Box<FinalText>> {
        let first = self.under_way.take().map(|under_way| under_way.text);
        let rest = std::mem::take(&mut self.waiting);
        first.into_iter().chain(rest).collect()
    }

    /// Nobody waits for any of them any more.
    pub(super) fn give_up(&mut self) {
        self.under_way = None;
        self.waiting.clear();
    }

    /// Hands the chain the next one; answers with those in front of it that need no filter.
    fn next(&mut self) -> Vec<Box<FinalText>> {
        let mut unfiltered = Vec::new();
        while self.under_way.is_none() {
            let Some(text) = self.waiting.pop_front() else {
                break;
            };
            if self.registry.is_empty() || text.text.is_empty() {
                unfiltered.push(text);
                continue;
            }
            match self.to_chain.try_reserve() {
                Ok(room) => {
                    self.next_number += 1;
                    let (wanted, given_up) = oneshot::channel();
                    room.send(Request {
                        number: self.next_number,
                        text: text.clone(),
                        filters: self.registry.in_order(),
                        keys: self.keys.clone(),
                        given_up,
                    });
                    self.under_way = Some(UnderWay {
                        number: self.next_number,
                        text,
                        _wanted: wanted,
                    });
                }
                // One that was given up is still before it, and will be answered.
                Err(mpsc::error::TrySendError::Full(())) => {
                    self.waiting.push_front(text);
                    break;
                }
                // The chain ends only with the process.
                Err(mpsc::error::TrySendError::Closed(())) => unfiltered.push(text),
            }
        }
        unfiltered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::Wanted;

    fn text(utterance: u64, text: &str) -> Box<FinalText> {
        Box::new(FinalText {
            utterance,
            text: text.to_owned(),
            ..FinalText::default()
        })
    }

    fn filtering() -> (Filtering, mpsc::Receiver<Request>) {
        let (to_chain, requests) = mpsc::channel(FILTER_QUEUE);
        let mut filtering = Filtering::new(to_chain, &[]);
        let wanted = Wanted {
            caller: ":1".to_owned(),
            path: "/a".to_owned(),
            priority: 0,
            timeout_ms: 100,
            pid: None,
            name: "x".to_owned(),
        };
        filtering.registry.add(wanted).unwrap();
        (filtering, requests)
    }

    /// What the chain answers when the one filter says everything louder.
    fn louder(request: Request) -> Filtered {
        let mut text = request.text;
        text.text = text.text.to_uppercase();
        Filtered {
            number: request.number,
            text: Some(text),
            turns: Vec::new(),
            troubles: Vec::new(),
        }
    }

    fn texts(finals: Vec<Box<FinalText>>) -> Vec<String> {
        finals.into_iter().map(|text| text.text).collect()
    }

    #[test]
    fn without_filters_and_without_words_nothing_waits() {
        let (mut filtering, mut requests) = filtering();
        assert_eq!(texts(filtering.pass(text(1, "")).0), [""]);
        filtering.registry.caller_left(":1");
        assert_eq!(texts(filtering.pass(text(2, "two")).0), ["two"]);
        assert!(requests.try_recv().is_err());
    }

    #[test]
    fn one_after_the_other_in_their_order() {
        let (mut filtering, mut requests) = filtering();
        for (utterance, said) in [(1, "one"), (2, ""), (3, "three"), (4, "four")] {
            assert!(filtering.pass(text(utterance, said)).0.is_empty());
        }
        let first = requests.try_recv().unwrap();
        assert!(requests.try_recv().is_err());
        // The empty one waited for the one before it only.
        assert_eq!(texts(filtering.filtered(louder(first))), ["ONE", ""]);
        let third = requests.try_recv().unwrap();
        // Those that come when there is no filter any more still wait for those before them.
        filtering.registry.caller_left(":1");
        assert!(filtering.pass(text(5, "five")).0.is_empty());
        assert_eq!(
            texts(filtering.filtered(louder(third))),
            ["THREE", "four", "five"]
        );
    }

    #[test]
    fn what_is_given_up_never_comes_and_holds_nothing_up() {
        let (mut filtering, mut requests) = filtering();
        filtering.pass(text(1, "one"));
        filtering.pass(text(2, "two"));
        filtering.give_up();
        // The chain has not seen yet that the first one was given up.
        assert!(filtering.pass(text(3, "three")).0.is_empty());
        let mut first = requests.try_recv().unwrap();
        assert!(first.given_up.try_recv().is_err(), "the chain can tell");
        assert!(filtering.filtered(louder(first)).is_empty());
        let third = requests.try_recv().unwrap();
        assert_eq!(texts(filtering.filtered(louder(third))), ["THREE"]);
    }

    #[test]
    fn too_many_go_on_as_they_are() {
        let (mut filtering, mut requests) = filtering();
        let total = WAITING as u64 + 2;
        for utterance in 1..total {
            let (passed, trouble) = filtering.pass(text(utterance, "x"));
            assert!(passed.is_empty() && trouble.is_none());
        }
        let (passed, trouble) = filtering.pass(text(total, "x"));
        let numbers: Vec<u64> = passed.iter().map(|text| text.utterance).collect();
        assert_eq!(numbers, (1..=total).collect::<Vec<_>>());
        assert!(trouble.is_some());
        // The late answer is nobody's; the next text is filtered again.
        let first = requests.try_recv().unwrap();
        assert!(filtering.filtered(louder(first)).is_empty());
        filtering.pass(text(total + 1, "y"));
        let next = requests.try_recv().unwrap();
        assert_eq!(texts(filtering.filtered(louder(next))), ["Y"]);
    }
}
