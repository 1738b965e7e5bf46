//! Version 1, exactly: a buffer, the last final, the last second of sound.
//!
//! Enters: text messages and outcomes. Leaves: [`Action`]s.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wstream_wire::v1::{self, ClientMessage, ServerMessage};
use wstream_wire::{DecodeError, Strategy};

use super::utterance::{Transcript, Utterance};
use super::{Action, Complaints, Desk, MOST_UTTERANCES, MOST_WAITING_SAMPLES, Session, effort};
use crate::decode::Language;
use crate::scheduler::{Kind, Outcome};
use crate::strategy::{Manner, Memory};

/// A version 1 client.
#[derive(Debug)]
pub struct V1 {
    manner: Manner,
    interval: Duration,
    memory: Memory,
    /// Utterances whose end has come and whose final has not; the oldest first. Their sound is
    /// bounded by [`MOST_WAITING_SAMPLES`].
    ended: VecDeque<Utterance>,
    /// `audio_buffer`.
    buffer: Utterance,
    desk: Desk,
    /// When the last partial or final was sent, or the session began.
    answered: Instant,
    complaints: Complaints,
}

impl V1 {
    /// A session that began `now`.
    pub fn new(strategy: Strategy, interval: Duration, now: Instant) -> V1 {
        V1 {
            manner: Manner {
                strategy,
                language: Language::Auto,
                // The whole previous text, cut only by the model's own limit.
                prompt_tokens: usize::MAX,
            },
            interval,
            memory: Memory::default(),
            ended: VecDeque::new(),
            buffer: Utterance::default(),
            desk: Desk::default(),
            answered: now,
            complaints: Complaints::default(),
        }
    }

    /// Sees to it that whatever should be decoded is being decoded.
    fn advance(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.ended.is_empty() {
            actions.extend(self.desk.abort(&[Kind::Partial]));
        }
        if self.desk.running.is_some() {
            return actions;
        }
        let (utterance, last) = match self.ended.front() {
            Some(utterance) => (utterance, Some((Kind::Final, utterance.waiting()))),
            None => (&self.buffer, None),
        };
        let piece = utterance.next_piece().map(|count| (Kind::Piece, count));
        if let Some((kind, count)) = piece.or(last) {
            let request = utterance.request(count, effort(kind), self.manner, &self.memory);
            actions.push(self.desk.start(kind, count, request, now));
        }
        actions
    }

    /// A frame has come: is it time for a partial?
    fn partial(&mut self, now: Instant) -> Option<Action> {
        if !self.ended.is_empty() || self.buffer.is_empty() {
            return None;
        }
        let count = self.buffer.waiting();
        if self.desk.runs(Kind::Partial) {
            let job = self.desk.refreshes(self.interval, now)?;
            let request =
                self.buffer
                    .request(count, effort(Kind::Partial), self.manner, &self.memory);
            return Some(Action::Refresh { job, request });
        }
        if self.desk.running.is_some() || now.duration_since(self.answered) < self.interval {
            return None;
        }
        let request = self
            .buffer
            .request(count, effort(Kind::Partial), self.manner, &self.memory);
        Some(self.desk.start(Kind::Partial, count, request, now))
    }

    fn send(&mut self, message: &ServerMessage, now: Instant) -> Action {
        self.answered = now;
        Action::Send(v1::encode_server(message))
    }

    fn finish(&mut self, utterance: Utterance, transcript: Transcript, now: Instant) -> Action {
        self.memory = Memory {
            previous: transcript.text.clone(),
            context: utterance.last_second(),
        };
        let message = ServerMessage::Final {
            text: transcript.text,
            segments: transcript.segments,
            language: Some(transcript.language.to_owned()),
            processing_time_ms: transcript.processing_time_ms,
        };
        self.send(&message, now)
    }
}

impl Session for V1 {
    fn text(&mut self, text: &str, now: Instant) -> Vec<Action> {
        match v1::decode_client(text) {
            Ok(ClientMessage::AudioFrame(samples)) => {
                self.buffer.push(samples);
                let mut actions = self.advance(now);
                actions.extend(self.partial(now));
                actions
            }
            Ok(ClientMessage::VadEnd) => {
                if !self.buffer.is_empty() {
                    self.ended.push_back(std::mem::take(&mut self.buffer));
                }
                self.advance(now)
            }
            Err(DecodeError::UnknownType(name)) => {
                self.complaints.unknown_type(&name);
                Vec::new()
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                let message = format!("{error:#}");
                vec![Action::Send(v1::encode_server(&ServerMessage::Error {
                    message,
                }))]
            }
        }
    }

    fn binary(&mut self, _bytes: &[u8], _now: Instant) -> Vec<Action> {
        let message = "binary messages belong to version 2: send sound as audio_frame".to_owned();
        vec![Action::Send(v1::encode_server(&ServerMessage::Error {
            message,
        }))]
    }

    fn outcome(&mut self, outcome: Outcome, now: Instant) -> Vec<Action> {
        let Some(running) = self.desk.finish(outcome.job) else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        let is_open = self.ended.is_empty();
        let transcript = match outcome.result {
            Ok(decoded) => {
                let utterance = self.ended.front().unwrap_or(&self.buffer);
                utterance.transcript(decoded, outcome.context_samples, outcome.processing_time_ms)
            }
            Err(error) => {
                tracing::error!(error = %anyhow::Error::new(error), "decoding failed");
                let message = "decoding failed on this sound".to_owned();
                actions.push(Action::Send(v1::encode_server(&ServerMessage::Error {
                    message,
                })));
                // The utterance goes on with what was settled before; a final is owed all the same.
                self.ended.front().unwrap_or(&self.buffer).settled().clone()
            }
        };
        match running.kind {
            Kind::Partial => {
                let message = ServerMessage::Partial {
                    text: transcript.text.trim().to_owned(),
                    processing_time_ms: outcome.processing_time_ms,
                };
                actions.push(self.send(&message, now));
            }
            Kind::Piece => {
                let utterance = if is_open {
                    &mut self.buffer
                } else {
                    &mut self.ended[0]
                };
                utterance.settle(running.samples, transcript);
            }
            Kind::Final | Kind::Speculative => {
                if let Some(utterance) = self.ended.pop_front() {
                    actions.push(self.finish(utterance, transcript, now));
                }
            }
        }
        actions.extend(self.advance(now));
        actions
    }

    fn is_full(&self) -> bool {
        let ended: usize = self.ended.iter().map(Utterance::waiting).sum();
        ended + self.buffer.waiting() > MOST_WAITING_SAMPLES || self.ended.len() >= MOST_UTTERANCES
    }

    fn unanswered_samples(&self) -> usize {
        let ended: usize = self.ended.iter().map(Utterance::samples).sum();
        ended + self.buffer.samples()
    }

    fn owes_finals(&self) -> bool {
        !self.ended.is_empty()
    }

    fn farewell(&self) -> Option<String> {
        None
    }
}
