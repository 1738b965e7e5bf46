//! Plays the connection and the model to a session: collects its actions, answers its decodes.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::time::{Duration, Instant};

use serde_json::Value;
use wstream_engine::decode::{DecodeError, Decoded, Request, Stretch, Token, Word};
use wstream_engine::scheduler::{Kind, Outcome};
use wstream_engine::session::{Action, Session};

/// A decode that a session asked for.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) job: u64,
    pub(crate) kind: Kind,
    pub(crate) request: Request,
}

/// A session with everything that it has asked to be done.
#[derive(Debug)]
pub(crate) struct Stage<S> {
    session: S,
    now: Instant,
    sent: Vec<Value>,
    jobs: Vec<Job>,
    refreshed: Vec<(u64, Request)>,
    promoted: Vec<u64>,
    aborted: Vec<u64>,
}

impl<S: Session> Stage<S> {
    pub(crate) fn new(make: impl FnOnce(Instant) -> S) -> Stage<S> {
        let now = Instant::now();
        Stage {
            session: make(now),
            now,
            sent: Vec::new(),
            jobs: Vec::new(),
            refreshed: Vec::new(),
            promoted: Vec::new(),
            aborted: Vec::new(),
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    pub(crate) fn text(&mut self, text: &str) {
        let actions = self.session.text(text, self.now);
        self.perform(actions);
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        let actions = self.session.binary(bytes, self.now);
        self.perform(actions);
    }

    /// The decode ends with `result`, after 7 ms.
    pub(crate) fn finish(&mut self, job: &Job, result: Result<Decoded, DecodeError>) {
        let outcome = Outcome {
            job: job.job,
            heard: job.request.samples.len() - job.request.context_samples,
            context_samples: job.request.context_samples,
            processing_time_ms: 7.0,
            result,
        };
        let actions = self.session.outcome(outcome, self.now);
        self.perform(actions);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.session.is_full()
    }

    pub(crate) fn unanswered_samples(&self) -> usize {
        self.session.unanswered_samples()
    }

    pub(crate) fn owes_finals(&self) -> bool {
        self.session.owes_finals()
    }

    /// The one decode that was asked for.
    pub(crate) fn take_job(&mut self) -> Job {
        let mut jobs = self.take_jobs();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    pub(crate) fn take_jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }

    pub(crate) fn take_refreshed(&mut self) -> Vec<(u64, Request)> {
        std::mem::take(&mut self.refreshed)
    }

    pub(crate) fn take_promoted(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.promoted)
    }

    pub(crate) fn take_aborted(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.aborted)
    }

    pub(crate) fn take_sent(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.sent)
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(text) => self.sent.push(serde_json::from_str(&text).unwrap()),
                Action::Decode { job, kind, request } => {
                    self.jobs.push(Job { job, kind, request });
                }
                Action::Refresh { job, request } => self.refreshed.push((job, request)),
                Action::Promote { job } => self.promoted.push(job),
                Action::Abort { job } => self.aborted.push(job),
            }
        }
    }
}

/// The words of `text`, sharing the time.
pub(crate) fn words(text: &str, start: f64, end: f64) -> Vec<Word> {
    let parts: Vec<&str> = text
        .split_inclusive(' ')
        .filter(|part| !part.trim().is_empty())
        .collect();
    let step = (end - start) / parts.len().max(1) as f64;
    let token = Token {
        id: 1,
        logprob: 0.75_f32.ln(),
    };
    let times = (0..).map(|index| start + step * f64::from(index));
    let words = parts.iter().zip(times).map(|(part, start)| Word {
        text: format!(" {}", part.trim()),
        tokens: vec![token],
        opening: Vec::new(),
        start,
        end: start + step,
    });
    words.collect()
}

/// A decode with one stretch of text; none where the text is empty.
pub(crate) fn said(text: &str, start: f64, end: f64) -> Result<Decoded, DecodeError> {
    let stretch = Stretch {
        start,
        end,
        text: text.to_owned(),
        tokens: 2,
        probability: 1.5,
    };
    Ok(Decoded {
        stretches: if text.is_empty() {
            vec![]
        } else {
            vec![stretch]
        },
        words: words(text, start, end),
        language: "en",
        suspect: false,
    })
}

/// A decode that cannot be trusted.
pub(crate) fn mumbled(text: &str) -> Result<Decoded, DecodeError> {
    said(text, 0.0, 1.0).map(|decoded| Decoded {
        suspect: true,
        ..decoded
    })
}

/// A decode that failed.
pub(crate) fn failed() -> Result<Decoded, DecodeError> {
    Err(DecodeError::Panicked)
}
