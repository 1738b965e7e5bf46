//! What a server's answers mean for what is owed, and what its loss means.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};
use wstream_wire::SAMPLE_RATE;
use wstream_wire::v2::codes;

use super::connection::Loss;
use super::kept::Kept;
use super::link::{Ready, State};
use super::outage::{LossKind, Lost, Verdict};
use super::protocol::{Answer, Said};
use super::route::is_for;
use super::sentences;
use super::target::Target;
use super::work::Work;
use crate::event::{Event, Transcript};

/// How often the engine may die, and how often any server may leave it without an answer, before
/// an utterance is given up.
const MOST_DEATHS: u32 = 2;

/// How often the network may fail an utterance that the server has begun to hear: with the pauses
/// in between it has been away for half a minute by then.
const MOST_LOSSES: u32 = 10;

/// Who waits for a word does not miss it for so long.
const BRIEF: Duration = Duration::from_secs(5);

/// Far beyond what a server's wish to come again later is heeded, and not beyond what can be
/// counted.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

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
                committed_sample,
                tentative,
                heard_samples,
                processing_time_ms,
            } => {
                open.progress = now;
                let Some(kept) = self.unanswered.find_told(utterance) else {
                    return;
                };
                let heard_samples =
                    heard_samples.map_or(kept.told_samples(), |sample| kept.own_sample(sample));
                let committed_sample = kept.own_sample(committed_sample);
                let text = kept.shown.partial(&committed, committed_sample, &tentative);
                self.outbox.push(Event::Partial {
                    utterance: kept.number(),
                    committed: text.0,
                    tentative: text.1,
                    heard_s: seconds(heard_samples),
                    processing_time_ms,
                });
            }
            Answer::Final(said) => {
                open.progress = now;
                let Some(kept) = self.unanswered.find_told(said.utterance) else {
                    debug!(
                        utterance = said.utterance,
                        "a final that is not wanted any more is ignored"
                    );
                    return;
                };
                let number = kept.number();
                if self.unanswered.head().map(Kept::number) != Some(number) {
                    let reason = "it answers out of order";
                    self.lost(Loss::lost(LossKind::Garbled, reason), now);
                } else if said.more {
                    self.cut(said, now);
                } else if self.falls_short(&said) {
                    debug!(
                        utterance = number,
                        "the server has not heard the utterance's end: the rest is told again"
                    );
                    self.close();
                } else {
                    self.finish(said);
                }
            }
            Answer::Failed {
                utterance,
                code,
                message,
            } => {
                open.progress = now;
                let fault = sentences::of_error(&code, message, &open.target);
                if let Some(number) = self.unanswered.find_told(utterance).map(|it| it.number()) {
                    self.unanswered.failed(number);
                    self.fail(number, fault);
                }
            }
            Answer::Error { code, message } => match code.as_str() {
                codes::MODEL_MISSING | codes::MODEL_INVALID | codes::CPU_UNSUPPORTED => {
                    let fault = sentences::of_error(&code, message, &open.target);
                    self.lost(Loss::Fatal(fault), now);
                }
                codes::GOING_AWAY => self.lost(Loss::broken(message), now),
                _ => warn!(code, message, "the server complains"),
            },
            Answer::Refused { message } => {
                let fault = sentences::given_up(&open.target, LossKind::Denied, &message);
                self.lost(Loss::Fatal(fault), now);
            }
            Answer::Later { message, after } => {
                let kind = LossKind::Broken;
                let reason = message;
                self.lost(
                    Loss::Lost {
                        kind,
                        reason,
                        after,
                    },
                    now,
                );
            }
        }
    }

    /// Whether a final does not reach the end of the sound, though it is no cut; what it says is
    /// then committed. A server that makes no headway of at least a second does not count.
    fn falls_short(&mut self, said: &Said) -> bool {
        let (Some(end_sample), Some(kept)) =
            (said.end_sample, self.unanswered.find_told(said.utterance))
        else {
            return false;
        };
        let end_sample = kept.own_sample(end_sample);
        let reaches_end = kept.is_told_whole() && end_sample >= kept.samples();
        if reaches_end || end_sample < kept.told.given + u64::from(SAMPLE_RATE) {
            return false;
        }
        kept.shown.commit(said.text.trim(), end_sample);
        true
    }

    /// The server has cut the oldest utterance: what comes before the cut ends, the rest goes on
    /// under a new number.
    fn cut(&mut self, said: Said, now: Instant) {
        let next = self.new_number();
        let Some(kept) = self.unanswered.find_told(said.utterance) else {
            return;
        };
        let sample = kept.own_sample(said.end_sample.unwrap_or_default());
        if sample == 0 {
            // It would go on for ever.
            let reason = "it cuts where there is nothing to cut off";
            self.lost(Loss::lost(LossKind::Garbled, reason), now);
            return;
        }
        let Some(transcript) = self.transcript(said) else {
            return;
        };
        debug!(
            utterance = transcript.utterance,
            next, "the server has cut the utterance"
        );
        self.unanswered
            .cut(sample, next, &transcript.text, &transcript.backend);
        self.link.outage.over();
        self.outbox.push(Event::Cut {
            transcript,
            duration_s: seconds(sample),
            next,
        });
    }

    fn finish(&mut self, said: Said) {
        let Some(transcript) = self.transcript(said) else {
            return;
        };
        let Transcript {
            utterance,
            text,
            backend,
            ..
        } = &transcript;
        self.unanswered.answered(*utterance, text, backend);
        self.link.outage.over();
        self.outbox.push(Event::Final(transcript));
    }

    /// A final as it is published; it begins with what was committed.
    fn transcript(&mut self, said: Said) -> Option<Transcript> {
        let State::Open(open) = &self.link.state else {
            return None;
        };
        let kept = self.unanswered.find_told(said.utterance)?;
        Some(Transcript {
            utterance: kept.number(),
            text: kept.shown.finish(said.text.trim()),
            segments: kept.own_segments(said.segments),
            language: said.language,
            processing_time_ms: said.processing_time_ms,
            confidence: said.confidence,
            strategy: kept.manner.strategy,
            backend: open.target.name().to_owned(),
        })
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
        let (kind, reason, after) = match loss {
            Loss::Unchosen if is_local => {
                let reason = "it does not speak version 2 of the protocol".to_owned();
                (LossKind::NotStarted, reason, None)
            }
            Loss::Unchosen => {
                self.link.remember_plain(target);
                return;
            }
            Loss::Fatal(fault) => {
                warn!(backend = target.name(), %fault, "the server cannot be used");
                self.block(target, fault, now);
                return;
            }
            Loss::Over if told.is_none() => {
                debug!(backend = target.name(), "the connection has served");
                return;
            }
            Loss::Over => {
                let reason = "it ended without an answer".to_owned();
                (LossKind::Broken, reason, None)
            }
            Loss::Lost { reason, .. } if is_local && held.is_none() => {
                (LossKind::NotStarted, reason, None)
            }
            Loss::Lost {
                kind,
                reason,
                after,
            } => (kind, reason, after.map(|after| after.min(LONGEST_WAIT))),
        };
        self.link.forget_plain();
        let backend = target.name();
        if self.unanswered.head().is_none() && !self.warm {
            debug!(backend, reason, "the connection is gone; nothing was owed");
            return;
        }
        warn!(backend, reason, "the server is gone");
        let verdict = {
            let lost = Lost {
                kind,
                held,
                since: ended.since.unwrap_or(now),
                after,
                is_local,
            };
            self.link.outage.lost(lost, now)
        };
        let trouble = sentences::trouble(&target, kind, &reason);
        if let Some(fallback) = target.fallback() {
            // A server that asks to come again later than that need not be waited for.
            let patience = now + after.unwrap_or_default();
            let since = self.link.outage.since();
            if matches!(verdict, Verdict::GiveUp { .. })
                || kind == LossKind::Unanswered
                || since.is_some_and(|since| since + fallback.after <= patience)
            {
                let fault = sentences::taken_over(&target, Some(&trouble));
                self.take_over(&target, fault, now);
                return;
            }
        }
        if let Some(utterance) = told {
            self.blame(utterance, &target, kind);
        }
        self.link.outage.explain(trouble);
        match verdict {
            Verdict::Retry(pause) => {
                // One who takes over says so; what is sure to fail soon says so itself; and a
                // server that is there again at once is not worth a word.
                let is_told_otherwise = target.fallback().is_some() || kind.is_permanent();
                let since = self.link.outage.since().unwrap_or(now);
                let is_brief = !is_local && pause.is_zero() && now - since < BRIEF;
                if !is_told_otherwise && !is_brief && self.link.outage.tell() {
                    let trouble = sentences::away(&target, kind, &reason);
                    self.outbox.push(Event::Trouble(trouble));
                }
                let until = now + pause;
                self.link.state = State::Waiting { target, until };
            }
            Verdict::GiveUp { .. } if kind.is_permanent() => {
                let fault = sentences::given_up(&target, kind, &reason);
                self.block(target, fault, now);
            }
            Verdict::GiveUp { reached } => {
                self.warm = false;
                let fault = sentences::given_up(&target, kind, &reason);
                self.link.outage.explain(fault.clone());
                // What is still being said gets as long again.
                while let Some(head) = self.unanswered.head()
                    && head.ended
                    && is_for(&target, &self.settings, &self.standing, head)
                {
                    self.fail_head(fault.clone(), now);
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

fn seconds(samples: u64) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}
