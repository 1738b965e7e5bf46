//! The daemon's way to the transcriber: never waits, so that the two can never wait for each
//! other.

use tokio::sync::mpsc;

use crate::transcriber::ToTranscriber;

/// Commands under way to the transcriber, which takes them between any two messages.
pub const ORDER_QUEUE: usize = 16;

#[derive(Debug)]
pub(super) struct Orders {
    to_transcriber: mpsc::Sender<ToTranscriber>,
    /// What found the queue full; of each kind only the newest, so at most a handful.
    waiting: Vec<ToTranscriber>,
}

impl Orders {
    pub(super) fn new(to_transcriber: mpsc::Sender<ToTranscriber>) -> Self {
        Orders {
            to_transcriber,
            waiting: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, order: ToTranscriber) {
        if !self.waiting.is_empty() {
            return self.wait(order);
        }
        match self.to_transcriber.try_send(order) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(order)) => self.wait(order),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                tracing::error!("the transcriber task has ended");
            }
        }
    }

    /// A newer order of a kind says all that the older one said.
    fn wait(&mut self, order: ToTranscriber) {
        let kind = std::mem::discriminant(&order);
        self.waiting
            .retain(|waiting| std::mem::discriminant(waiting) != kind);
        self.waiting.push(order);
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits for room and hands over one order. Safe to drop at any time.
    pub(super) async fn flush(&mut self) {
        match self.to_transcriber.reserve().await {
            Ok(permit) => permit.send(self.waiting.remove(0)),
            Err(_) => self.waiting.clear(),
        }
    }
}
