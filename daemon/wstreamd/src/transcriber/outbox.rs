//! Facts on their way to the daemon: finals in order, of partials only the newest. No input or
//! output.

use std::collections::VecDeque;

use crate::event::Event;

/// Beyond this many facts the transcriber stops listening to the server until the daemon has taken
/// some; what the server then owes stays bounded by the limit on unanswered sound.
const MOST: usize = 256;

/// See the module. At most one partial of each utterance waits.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    events: VecDeque<Event>,
}

impl Outbox {
    /// Puts a fact behind those that wait; a partial takes the place of an older one, and an
    /// utterance's end that of its partial.
    pub(super) fn push(&mut self, event: Event) {
        let utterance = match &event {
            Event::Partial { utterance, .. } | Event::Failed { utterance, .. } => Some(*utterance),
            Event::Final(transcript) | Event::Cut { transcript, .. } => Some(transcript.utterance),
            _ => None,
        };
        if matches!(event, Event::Server(_)) {
            self.events
                .retain(|waiting| !matches!(waiting, Event::Server(_)));
        }
        if utterance.is_some() {
            self.events.retain(|waiting| {
                !matches!(waiting, Event::Partial { utterance: other, .. } if utterance == Some(*other))
            });
        }
        self.events.push_back(event);
    }

    /// Forgets the partials of the utterances that `is_owed` denies.
    pub(super) fn keep_partials(&mut self, is_owed: impl Fn(u64) -> bool) {
        self.events.retain(|waiting| match waiting {
            Event::Partial { utterance, .. } => is_owed(*utterance),
            _ => true,
        });
    }

    /// The next fact.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether the daemon is so far behind that nothing more should be asked for.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= MOST
    }

    /// Forgets everything: nobody listens any more.
    pub(super) fn clear(&mut self) {
        self.events.clear();
    }
}
