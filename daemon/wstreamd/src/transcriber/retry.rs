//! What has failed for want of a server is kept, and given to a server again on request.

use std::time::Instant as StdInstant;

use tokio::time::Instant;
use tracing::info;
use wstream_wire::SAMPLE_RATE;

use super::work::Work;
use crate::event::Event;
use crate::fault::Fault;

impl Work {
    /// The oldest utterance fails for want of a server; its sound is kept.
    pub(super) fn fail_head(&mut self, fault: Fault, now: Instant) {
        let Some(utterance) = self.unanswered.head().map(|head| head.number()) else {
            return;
        };
        if let Some(kept) = self.unanswered.give_up(utterance) {
            let seconds = self.settings.retry_limit.as_secs_f64();
            let limit = (seconds * f64::from(SAMPLE_RATE)) as u64;
            self.shelf.put(kept, limit, now);
        }
        self.fail(utterance, fault);
    }

    /// What is kept is to be transcribed as the utterances of `session`, as soon as none is under
    /// way.
    pub(super) fn retry(&mut self, session: u64) {
        if let Some(session) = self.retry.replace(session) {
            let fault = None;
            self.outbox.push(Event::CaptureEnded { session, fault });
        }
        self.standing.forget();
        self.unblock();
    }

    /// Begins what was asked for by [`Work::retry`].
    pub(super) fn tell_again(&mut self) {
        if self.unanswered.is_under_way() {
            return;
        }
        let Some(session) = self.retry.take() else {
            return;
        };
        info!(
            session,
            utterances = self.shelf.len(),
            "what has failed is tried again"
        );
        let mut at_s = 0.0;
        for kept in self.shelf.take() {
            let kept = kept.again(self.new_number(), session);
            let utterance = kept.number();
            let duration_s = kept.samples() as f64 / f64::from(SAMPLE_RATE);
            self.outbox.push(Event::Started {
                utterance,
                session,
                at_s,
            });
            at_s += duration_s;
            self.outbox.push(Event::Ended {
                utterance,
                session,
                at_s,
                duration_s,
                at: StdInstant::now(),
            });
            self.unanswered.append(kept);
        }
        let fault = None;
        self.outbox.push(Event::CaptureEnded { session, fault });
    }
}
