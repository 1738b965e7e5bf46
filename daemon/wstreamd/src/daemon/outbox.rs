//! The daemon's way to the signals task: never waits, never reorders.

use std::collections::VecDeque;

use tokio::sync::{mpsc, watch};

use super::Signal;

/// Signals under way to the task that emits them. When the bus is slower than that, more wait in
/// the backlog.
pub const SIGNAL_QUEUE: usize = 64;

/// Signals that wait for room in the queue. Beyond it the oldest is reported undelivered and
/// dropped; its text is still among the recent finals.
const BACKLOG: usize = 1024;

/// A partial on its way; a newer one replaces it.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are those of the bus signal, see wstream_api"
)]
pub struct LatestPartial {
    pub utterance: u64,
    pub session: u64,
    pub committed: String,
    pub tentative: String,
    pub heard_s: f64,
    pub processing_time_ms: f64,
}

#[derive(Debug)]
pub(super) struct Outbox {
    to_signals: mpsc::Sender<Signal>,
    to_partials: watch::Sender<Option<LatestPartial>>,
    backlog: VecDeque<Signal>,
}

impl Outbox {
    pub(super) fn new(
        to_signals: mpsc::Sender<Signal>,
        to_partials: watch::Sender<Option<LatestPartial>>,
    ) -> Self {
        Outbox {
            to_signals,
            to_partials,
            backlog: VecDeque::new(),
        }
    }

    pub(super) fn send(&mut self, signal: Signal) {
        if let Signal::Final(_) | Signal::Failed { .. } | Signal::Cancelled { .. } = signal {
            // No partial may follow an end. The signals task takes this queue before the partial.
            let ended = ended_utterance(&signal);
            self.to_partials.send_if_modified(|waiting| {
                let stale = waiting.as_ref().map(|partial| partial.utterance) == ended;
                if stale {
                    *waiting = None;
                }
                false
            });
        }
        let signal = if self.backlog.is_empty() {
            match self.to_signals.try_send(signal) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(signal)) => signal,
                // The signals task ends only with the process.
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        } else {
            signal
        };
        // Loudness is worth nothing late.
        if let Signal::Level { .. } = signal {
            return;
        }
        if self.backlog.len() == BACKLOG {
            let oldest = self.backlog.pop_front();
            let utterance = oldest.as_ref().and_then(ended_utterance);
            tracing::warn!(
                ?utterance,
                "the bus is too slow: a signal was not delivered"
            );
        }
        self.backlog.push_back(signal);
    }

    pub(super) fn partial(&mut self, partial: LatestPartial) {
        // While signals wait, this one's `Started` may be among them, and must come first.
        if self.backlog.is_empty() {
            self.to_partials.send_replace(Some(partial));
        }
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Waits for room and moves one signal from the backlog into the queue. Safe to drop at any
    /// time.
    pub(super) async fn flush(&mut self) {
        match self.to_signals.reserve().await {
            Ok(permit) => {
                if let Some(signal) = self.backlog.pop_front() {
                    permit.send(signal);
                }
            }
            Err(_) => self.backlog.clear(),
        }
    }
}

fn ended_utterance(signal: &Signal) -> Option<u64> {
    match signal {
        Signal::Final(text) => Some(text.utterance),
        Signal::Failed { utterance, .. } | Signal::Cancelled { utterance } => Some(*utterance),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(utterance: u64) -> LatestPartial {
        LatestPartial {
            utterance,
            session: 1,
            committed: String::new(),
            tentative: "word".to_owned(),
            heard_s: 1.0,
            processing_time_ms: 1.0,
        }
    }

    #[tokio::test]
    async fn order_is_kept_through_a_full_queue_and_partials_wait() {
        let (to_signals, mut signals) = mpsc::channel(2);
        let (to_partials, partials) = watch::channel(None);
        let mut outbox = Outbox::new(to_signals, to_partials);
        for utterance in 1..=5 {
            outbox.send(Signal::Cancelled { utterance });
        }
        assert!(outbox.has_backlog());
        outbox.partial(partial(6));
        assert_eq!(*partials.borrow(), None);
        let mut seen = Vec::new();
        while seen.len() < 5 {
            if let Ok(Signal::Cancelled { utterance }) = signals.try_recv() {
                seen.push(utterance);
            } else {
                outbox.flush().await;
            }
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
        outbox.partial(partial(6));
        assert_eq!(*partials.borrow(), Some(partial(6)));
        outbox.send(Signal::Cancelled { utterance: 6 });
        assert_eq!(*partials.borrow(), None);
    }

    #[tokio::test]
    async fn the_backlog_is_bounded_and_keeps_the_newest() {
        let (to_signals, mut signals) = mpsc::channel(1);
        let (to_partials, _partials) = watch::channel(None);
        let mut outbox = Outbox::new(to_signals, to_partials);
        let total = BACKLOG as u64 + 10;
        for utterance in 0..total {
            outbox.send(Signal::Cancelled { utterance });
        }
        let mut last = None;
        while outbox.has_backlog() {
            while let Ok(signal) = signals.try_recv() {
                last = Some(signal);
            }
            outbox.flush().await;
        }
        while let Ok(signal) = signals.try_recv() {
            last = Some(signal);
        }
        assert!(matches!(last, Some(Signal::Cancelled { utterance }) if utterance == total - 1));
    }
}
