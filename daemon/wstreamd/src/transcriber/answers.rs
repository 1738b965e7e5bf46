//! What a server's answers mean for what is owed, and what its loss means.

use tokio::time::Instant;
use tracing::{debug, info, warn};
use wstream_wire::SAMPLE_RATE;
use wstream_wire::v2::codes;

use super::connection::Loss;
use super::link::{Ready, State, Target};
use super::outage::{LossKind, Verdict};
use super::protocol::Answer;
use super::sentences;
use super::unanswered::Kept;
use super::work::{Work, is_for};
use crate::event::{Event, Transcript};

/// How often the engine may die, and how often any server may leave it without an answer, before
/// an utterance is given up.
const MOST_DEATHS: u32 = 2;

/// How often the network may fail an utterance that the server has begun to hear: with the pauses
/// in between it has been away for half a minute by then.
const MOST_LOSSES: u32 = 10;

impl Work {
    pub(super) fn answer(&mut self, answer: Answer, now: Instant) {
        let State::Open(open) = &mut self.link.state else {
            return;
        };
        match answer {
            Answer::Ready {
                model,
                window_samples,
            } => {
                info!(backend = open.target.name(), model, "the server is ready");
                open.ready = Some(Ready {
                    at: now,
                    window_samples,
                });
            }
            Answer::Partial {
                utterance,
                committed,
                tentative,
                heard_samples,
                processing_time_ms,
            } => {
                open.progress = now;
                let Some(kept) = self.unanswered.find(utterance).filter(|it| it.is_told()) else {
                    return;
                };
                let heard_samples = heard_samples.unwrap_or(kept.told_samples());
                let (committed, tentative) = kept.shown.partial(&committed, &tentative);
                self.outbox.push(Event::Partial {
                    utterance,
                    committed,
                    tentative,
                    heard_s: heard_samples as f64 / f64::from(SAMPLE_RATE),
                    processing_time_ms,
                });
            }
            Answer::Final { utterance, .. } => {
                open.progress = now;
                let Some(kept) = self.unanswered.find(utterance).filter(|it| it.is_told()) else {
                    debug!(utterance, "a final that is not wanted any more is ignored");
                    return;
                };
                let is_whole = kept.is_told_whole();
                let is_head = self.unanswered.head().map(Kept::number) == Some(utterance);
                if !is_head {
                    let reason = "it answers out of order".to_owned();
                    self.lost(Loss::Lost(LossKind::Broken, reason), now);
                } else if self.is_cut(&answer, is_whole) {
                    debug!(
                        utterance,
                        "the server has cut the utterance: the rest is told again"
                    );
                    self.close();
                } else {
                    self.finish(answer);
                }
            }
            Answer::Failed {
                utterance,
                code,
                message,
            } => {
                open.progress = now;
                let fault = sentences::of_error(&code, message, &open.target);
                if self.unanswered.failed(utterance).is_some() {
                    self.fail(utterance, fault);
                }
            }
            Answer::Error { code, message } => match code.as_str() {
                codes::MODEL_MISSING | codes::MODEL_INVALID | codes::CPU_UNSUPPORTED => {
                    let fault = sentences::of_error(&code, message, &open.target);
                    self.lost(Loss::Fatal(fault), now);
                }
                codes::GOING_AWAY => self.lost(Loss::Lost(LossKind::Broken, message), now),
                _ => warn!(code, message, "the server complains"),
            },
        }
    }

    /// Whether a final does not reach the end of the sound; what it says is then committed. A
    /// server that makes no headway of at least a second does not count.
    fn is_cut(&mut self, answer: &Answer, is_whole: bool) -> bool {
        let Answer::Final {
            utterance,
            ref text,
            end_sample: Some(end_sample),
            ..
        } = *answer
        else {
            return false;
        };
        let Some(kept) = self.unanswered.find(utterance) else {
            return false;
        };
        let reaches_end = is_whole && end_sample >= kept.samples();
        if reaches_end || end_sample < kept.shown.covered_samples() + u64::from(SAMPLE_RATE) {
            return false;
        }
        kept.shown.commit(text.trim(), end_sample);
        true
    }

    fn finish(&mut self, answer: Answer) {
        let (
            State::Open(open),
            Answer::Final {
                utterance,
                text,
                segments,
                language,
                processing_time_ms,
                confidence,
                ..
            },
        ) = (&self.link.state, answer)
        else {
            return;
        };
        let Some(kept) = self.unanswered.find(utterance) else {
            return;
        };
        let text = kept.shown.finish(text.trim());
        let backend = open.target.name().to_owned();
        let Some(kept) = self.unanswered.answered(utterance, &text, &backend) else {
            return;
        };
        self.link.outage.over();
        self.outbox.push(Event::Final(Transcript {
            utterance,
            text,
            segments,
            language,
            processing_time_ms,
            confidence,
            strategy: kept.strategy,
            backend,
        }));
    }

    /// The connection, or the attempt to make one, is over.
    pub(super) fn lost(&mut self, loss: Loss, now: Instant) {
        let told = self.unanswered.head().filter(|head| head.is_told());
        let told = told.map(Kept::number);
        self.unanswered.disconnected();
        let Some(ended) = self.link.give_up() else {
            return;
        };
        let (target, held) = (ended.target, ended.held);
        let is_local = target.is_local();
        let (kind, reason) = match loss {
            Loss::Unchosen if is_local => {
                let reason = "it does not speak version 2 of the protocol".to_owned();
                (LossKind::NotStarted, reason)
            }
            Loss::Unchosen => {
                self.link.remember_plain(target);
                return;
            }
            Loss::Fatal(fault) => {
                warn!(backend = target.name(), %fault, "the server cannot be used");
                self.block(target, fault);
                return;
            }
            Loss::Lost(_, reason) if is_local && held.is_none() => (LossKind::NotStarted, reason),
            Loss::Lost(kind, reason) => (kind, reason),
        };
        self.link.forget_plain();
        let backend = target.name();
        if self.unanswered.head().is_none() && !self.warm {
            debug!(backend, reason, "the connection is gone; nothing was owed");
            return;
        }
        warn!(backend, reason, "the server is gone");
        if let Some(utterance) = told {
            self.blame(utterance, &target, kind);
        }
        match self.link.outage.lost(kind, held, now, is_local) {
            Verdict::Retry(pause) => {
                if self.link.outage.tell() {
                    let trouble = sentences::away(&target, kind, &reason);
                    self.outbox.push(Event::Trouble(trouble));
                }
                let until = now + pause;
                self.link.state = State::Waiting { target, until };
            }
            Verdict::GiveUp { reached } => {
                self.warm = false;
                let fault = sentences::given_up(&target, kind, &reason);
                while let Some(head) = self.unanswered.head()
                    && is_for(&target, &self.settings, head)
                {
                    let utterance = head.number();
                    self.unanswered.give_up(utterance);
                    self.fail(utterance, fault.clone());
                    if reached && !is_local {
                        break;
                    }
                }
            }
        }
    }

    /// A connection was lost while this utterance was the oldest that its server knew of: it may
    /// be its sound that no server survives.
    fn blame(&mut self, utterance: u64, target: &Target, kind: LossKind) {
        let Some(kept) = self.unanswered.find(utterance) else {
            return;
        };
        kept.losses += 1;
        let most = if target.is_local() || kind == LossKind::Unanswered {
            MOST_DEATHS
        } else {
            MOST_LOSSES
        };
        if kept.losses >= most {
            self.unanswered.give_up(utterance);
            self.fail(utterance, sentences::fatal_sound(target));
        }
    }
}
