//! Version 2: numbered utterances, one final each, in order.
//!
//! Enters: text and binary messages, outcomes. Leaves: [`Action`]s.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wstream_wire::v2::{self, Begin, ClientMessage, ServerMessage, codes};
use wstream_wire::{CONTEXT_SAMPLES, DecodeError, SAMPLE_RATE};

use super::utterance::{Setting, Transcript, Utterance};
use super::{Action, Desk, MOST_WAITING_SAMPLES, Session, effort};
use crate::decode::{Language, Model, UnknownLanguage};
use crate::scheduler::{Kind, Outcome};
use crate::strategy::{Manner, Memory};

/// What a version 2 session must know of the model.
pub trait Languages: Send + Sync {
    /// What a language's code means.
    fn language(&self, code: Option<&str>) -> Result<Language, UnknownLanguage>;
}

impl Languages for Model {
    fn language(&self, code: Option<&str>) -> Result<Language, UnknownLanguage> {
        Model::language(self, code)
    }
}

/// Most sound that may be unanswered by finals; announced in `ready`.
pub const WINDOW_SAMPLES: usize = MOST_WAITING_SAMPLES;

/// A previous text older than this is no prompt: the speaker is at something else by then, and
/// repeating it does more harm than good.
const PROMPT_LIFE: Duration = Duration::from_secs(10);

/// Most tokens of the previous text in front of a final; longer ones make the model repeat.
const FINAL_PROMPT_TOKENS: usize = 64;

/// And of a partial, where every token costs time.
const PARTIAL_PROMPT_TOKENS: usize = 32;

/// New sound that makes another partial worth its time: 200 ms.
const LEAST_NEW_SAMPLES: usize = SAMPLE_RATE as usize / 5;

/// Silence behind the last voiced sample that a final still hears: 100 ms. The detector of voice
/// lags as much behind the voice, and the client confirms an end 200 ms later.
const TAIL_SAMPLES: usize = SAMPLE_RATE as usize / 10;

/// Most text that is taken over from a client as previous or committed: far more than the model
/// can use.
const MOST_TEXT_BYTES: usize = 64 * 1024;

/// A version 2 client.
pub struct V2 {
    languages: Arc<dyn Languages>,
    interval: Duration,
    memory: Memory,
    /// When the final came that `memory.previous` is from.
    remembered: Option<Instant>,
    /// Without final, in order. Bounded by the window; the last one may be open.
    utterances: VecDeque<Spoken>,
    last_number: Option<u64>,
    /// Whether sound outside utterances has been complained of since the last `begin`.
    complained: bool,
    desk: Desk,
}

/// One utterance with what the client said of it.
#[derive(Debug)]
struct Spoken {
    number: u64,
    manner: Manner,
    utterance: Utterance,
    /// In place of what the session remembers.
    previous: Option<String>,
    /// Samples still to come that are the end of the utterance before.
    context_to_come: usize,
    /// Samples still to come that are committed already.
    committed_to_come: usize,
    /// The end of the utterance before, as given by the client.
    given_context: Vec<f32>,
    begun: Instant,
    ended: bool,
    /// Where silence began, unless speech went on.
    pause: Option<u64>,
    /// Text that the client has shown already; every text of the utterance begins with it.
    committed: String,
    /// Whether the client shows tentative text now.
    shown: bool,
    /// A final that was decoded ahead, of so many waiting samples.
    ahead: Option<(usize, Transcript)>,
    /// Samples that the last partial heard, and when it was sent.
    partial: (usize, Instant),
    /// Why there will be no text.
    failure: Option<(&'static str, String)>,
}

impl std::fmt::Debug for V2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("V2")
            .field("utterances", &self.utterances.len())
            .finish_non_exhaustive()
    }
}

impl V2 {
    /// A new session.
    pub fn new(languages: Arc<dyn Languages>, interval: Duration) -> V2 {
        V2 {
            languages,
            interval,
            memory: Memory::default(),
            remembered: None,
            utterances: VecDeque::new(),
            last_number: None,
            complained: false,
            desk: Desk::default(),
        }
    }

    fn begin(&mut self, begin: Begin, now: Instant) -> Vec<Action> {
        let number = begin.utterance;
        if self.last_number.is_some_and(|last| number <= last) {
            let message = format!("utterance {number} is not greater than the one before");
            return vec![error(codes::PROTOCOL, message, None)];
        }
        self.last_number = Some(number);
        self.complained = false;
        if let Some(open) = self.open() {
            let message = format!("utterance {number} began before {} ended", open.number);
            open.fail(codes::PROTOCOL, message);
        }
        let unanswered: usize = self.utterances.iter().map(|s| s.utterance.len()).sum();
        let too_long = [
            begin.previous.as_ref(),
            begin.committed.as_ref().map(|c| &c.text),
        ]
        .into_iter()
        .flatten()
        .any(|text| text.len() > MOST_TEXT_BYTES);
        let language = self.languages.language(begin.language.as_deref());
        let failure = if unanswered > WINDOW_SAMPLES {
            Some((
                codes::LIMIT,
                "more sound is unanswered than the window allows".to_owned(),
            ))
        } else if too_long || begin.context_samples > MOST_WAITING_SAMPLES as u64 {
            Some((
                codes::LIMIT,
                "the utterance is given more context than is taken".to_owned(),
            ))
        } else {
            let error = language.as_ref().err();
            error.map(|error| (codes::BAD_LANGUAGE, error.to_string()))
        };
        let committed = begin.committed.unwrap_or_default();
        let committed_to_come = usize::try_from(committed.sample).unwrap_or(usize::MAX);
        self.utterances.push_back(Spoken {
            number,
            manner: Manner {
                strategy: begin.strategy,
                language: language.unwrap_or_default(),
                prompt_tokens: FINAL_PROMPT_TOKENS,
            },
            utterance: Utterance::committed(committed.text.clone()),
            previous: begin.previous,
            context_to_come: begin.context_samples as usize,
            committed_to_come,
            given_context: Vec::new(),
            begun: now,
            ended: false,
            pause: None,
            committed: committed.text,
            shown: false,
            ahead: None,
            partial: (0, now),
            failure,
        });
        self.advance(now)
    }

    fn sound(&mut self, samples: Vec<f32>, now: Instant) -> Vec<Action> {
        let Some(open) = self.open() else {
            if std::mem::replace(&mut self.complained, true) {
                return Vec::new();
            }
            let message = "sound outside an utterance".to_owned();
            return vec![error(codes::PROTOCOL, message, None)];
        };
        open.push(samples);
        let mut actions = self.advance(now);
        actions.extend(self.partial(now));
        actions
    }

    fn end(&mut self, number: u64, now: Instant) -> Vec<Action> {
        let has_begun = self.last_number.is_some_and(|last| number <= last);
        match self.open().filter(|open| open.number == number) {
            Some(open) => open.ended = true,
            // Perhaps cancelled or failed; then the client cannot have known.
            None if has_begun => {}
            None => {
                return vec![error(
                    codes::PROTOCOL,
                    format!("no utterance {number}"),
                    None,
                )];
            }
        }
        self.advance(now)
    }

    fn cancel(&mut self, number: u64, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.utterances.front().is_some_and(|s| s.number == number) {
            actions.extend(self.desk.abort(&ALL_KINDS));
        }
        self.utterances.retain(|spoken| spoken.number != number);
        // What the client still sends of it is not worth a complaint.
        self.complained = true;
        actions.extend(self.advance(now));
        actions
    }

    fn pause(&mut self, number: u64, sample: Option<u64>, now: Instant) -> Vec<Action> {
        let Some(open) = self.open().filter(|open| open.number == number) else {
            return Vec::new();
        };
        open.pause = sample;
        open.ahead = None;
        let is_front = self.utterances.len() == 1;
        let mut actions = Vec::new();
        if is_front {
            actions.extend(self.desk.abort(&[Kind::Speculative]));
        }
        actions.extend(self.advance(now));
        actions
    }

    /// The utterance that sound belongs to.
    fn open(&mut self) -> Option<&mut Spoken> {
        self.utterances.back_mut().filter(|spoken| !spoken.ended)
    }

    /// Answers what can be answered, and sees to it that whatever should be decoded is.
    fn advance(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(front) = self.utterances.front() {
            if front.ended && front.failure.is_some() {
                actions.extend(self.desk.abort(&ALL_KINDS));
                if let Some(failed) = self.utterances.pop_front()
                    && let Some((code, message)) = failed.failure
                {
                    actions.push(error(code, message, Some(failed.number)));
                }
                continue;
            }
            if front.failure.is_some() {
                return actions;
            }
            let heard = front.final_samples();
            if front.ended
                && front
                    .ahead
                    .as_ref()
                    .is_some_and(|(samples, _)| *samples == heard)
            {
                actions.extend(self.desk.abort(&ALL_KINDS));
                actions.extend(self.answer(now));
                continue;
            }
            actions.extend(self.decode_next(heard, now));
            return actions;
        }
        actions
    }

    /// Starts the decode that the first utterance needs most, if it needs one.
    fn decode_next(&mut self, heard: usize, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(front) = self.utterances.front() else {
            return actions;
        };
        let piece = front
            .utterance
            .next_piece()
            .map(|count| (Kind::Piece, count));
        let wanted = if front.ended {
            Some(piece.unwrap_or((Kind::Final, heard)))
        } else {
            piece.or_else(|| {
                front
                    .can_decode_ahead()
                    .then_some((Kind::Speculative, heard))
            })
        };
        let Some((kind, count)) = wanted else {
            return actions;
        };
        actions.extend(self.desk.abort(&[Kind::Partial]));
        match self.desk.running {
            Some(running) if running.kind == Kind::Speculative && front.ended => {
                if running.samples == heard {
                    let job = running.job;
                    actions.push(Action::Promote { job });
                    return actions;
                }
                actions.extend(self.desk.abort(&[Kind::Speculative]));
            }
            Some(_) => return actions,
            None => {}
        }
        let request = front
            .utterance
            .request(count, effort(kind), &front.setting(self.memory()));
        actions.push(self.desk.start(kind, count, request, now));
        actions
    }

    /// Sound has come: is it time for a partial?
    fn partial(&mut self, now: Instant) -> Option<Action> {
        let front = self.utterances.front()?;
        if front.ended || front.failure.is_some() || front.pause.is_some() {
            return None;
        }
        let (heard, at) = front.partial;
        let count = front.utterance.waiting();
        let request = || {
            let mut setting = front.setting(self.memory());
            setting.manner.prompt_tokens = PARTIAL_PROMPT_TOKENS;
            front
                .utterance
                .request(count, effort(Kind::Partial), &setting)
        };
        if self.desk.runs(Kind::Partial) {
            let request = request();
            let job = self.desk.refreshes(self.interval, now)?;
            return Some(Action::Refresh { job, request });
        }
        if self.desk.running.is_some()
            || now.duration_since(at) < self.interval
            || front.utterance.len() < heard + LEAST_NEW_SAMPLES
        {
            return None;
        }
        let request = request();
        Some(self.desk.start(Kind::Partial, count, request, now))
    }

    /// Sends the first utterance's final, which has been decoded.
    fn answer(&mut self, now: Instant) -> Option<Action> {
        let spoken = self.utterances.pop_front()?;
        let (_, transcript) = spoken.ahead?;
        self.memory.context = spoken.utterance.last_second();
        if transcript.suspect {
            self.remembered = None;
            self.memory.previous.clear();
        } else if !transcript.text.is_empty() {
            self.remembered = Some(now);
            self.memory.previous = transcript.text.clone();
        }
        let confidence = transcript.confidence();
        let message = ServerMessage::Final(v2::Final {
            utterance: spoken.number,
            text: transcript.text,
            segments: transcript.segments,
            language: transcript.language.to_owned(),
            sample: spoken.utterance.len() as u64,
            processing_time_ms: transcript.processing_time_ms,
            confidence,
            more: false,
        });
        Some(Action::Send(v2::encode_server(&message)))
    }

    /// What counts as said before the first utterance.
    fn memory(&self) -> Memory {
        let mut memory = self.memory.clone();
        let Some(front) = self.utterances.front() else {
            return memory;
        };
        let is_fresh = self
            .remembered
            .is_some_and(|at| front.begun.saturating_duration_since(at) <= PROMPT_LIFE);
        if !is_fresh {
            memory = Memory::default();
        }
        // What a client gives again replaces all that was remembered: text and sound belong
        // together, and an empty text without sound asks for a fresh start.
        if let Some(previous) = &front.previous {
            memory.previous.clone_from(previous);
            memory.context.clone_from(&front.given_context);
        }
        memory
    }
}

const ALL_KINDS: [Kind; 4] = [Kind::Partial, Kind::Piece, Kind::Speculative, Kind::Final];

impl Spoken {
    fn push(&mut self, mut samples: Vec<f32>) {
        if self.failure.is_some() {
            return;
        }
        let context: Vec<f32> = take(&mut samples, &mut self.context_to_come);
        self.given_context.extend(context);
        let excess = self.given_context.len().saturating_sub(CONTEXT_SAMPLES);
        self.given_context.drain(..excess);
        let committed = take(&mut samples, &mut self.committed_to_come);
        self.utterance.push_committed(&committed);
        self.utterance.push(samples);
    }

    /// There will be no text; the error is sent when the utterance's turn comes.
    fn fail(&mut self, code: &'static str, message: String) {
        self.ended = true;
        self.failure.get_or_insert((code, message));
    }

    /// How many waiting samples its final hears.
    fn final_samples(&self) -> usize {
        self.utterance
            .without_silence(self.pause, TAIL_SAMPLES)
            .unwrap_or(self.utterance.waiting())
    }

    /// Whether its final can be decoded although it may go on.
    fn can_decode_ahead(&self) -> bool {
        self.ahead.is_none()
            && self
                .utterance
                .without_silence(self.pause, TAIL_SAMPLES)
                .is_some()
    }

    fn setting(&self, memory: Memory) -> Setting {
        Setting {
            manner: self.manner,
            memory,
            repairs: true,
        }
    }
}

/// Takes from the front of `samples` as many as are still to come.
fn take(samples: &mut Vec<f32>, to_come: &mut usize) -> Vec<f32> {
    let count = samples.len().min(*to_come);
    *to_come -= count;
    samples.drain(..count).collect()
}

fn error(code: &str, message: String, utterance: Option<u64>) -> Action {
    Action::Send(v2::encode_server(&ServerMessage::Error {
        code: code.to_owned(),
        message,
        utterance,
    }))
}

impl Session for V2 {
    fn text(&mut self, text: &str, now: Instant) -> Vec<Action> {
        match v2::decode_client(text) {
            Ok(ClientMessage::Begin(begin)) => self.begin(begin, now),
            Ok(ClientMessage::Pause { utterance, sample }) => {
                self.pause(utterance, Some(sample), now)
            }
            Ok(ClientMessage::Resume { utterance }) => self.pause(utterance, None, now),
            Ok(ClientMessage::End { utterance }) => self.end(utterance, now),
            Ok(ClientMessage::Cancel { utterance }) => self.cancel(utterance, now),
            Ok(ClientMessage::Ping { id }) => {
                vec![Action::Send(v2::encode_server(&ServerMessage::Pong { id }))]
            }
            Err(DecodeError::UnknownType(name)) => {
                tracing::warn!(%name, "ignored a message of unknown type");
                Vec::new()
            }
            Err(cause) => vec![bad_message(cause)],
        }
    }

    fn binary(&mut self, bytes: &[u8], now: Instant) -> Vec<Action> {
        match v2::decode_sound(bytes) {
            Ok(samples) => {
                let samples = samples.into_iter().map(wstream_wire::sample_to_f32);
                self.sound(samples.collect(), now)
            }
            Err(cause) => vec![bad_message(cause)],
        }
    }

    fn outcome(&mut self, outcome: Outcome, now: Instant) -> Vec<Action> {
        let Some(running) = self.desk.finish(outcome.job) else {
            return Vec::new();
        };
        let memory = self.memory();
        let Some(front) = self.utterances.front_mut() else {
            return Vec::new();
        };
        let decoded = match outcome.result {
            Ok(decoded) => decoded,
            Err(cause) => {
                tracing::error!(error = %anyhow::Error::new(cause), "decoding failed");
                let message = "decoding failed on this sound".to_owned();
                front.failure = Some((codes::DECODE, message));
                return self.advance(now);
            }
        };
        let transcript = front.utterance.transcript(
            decoded,
            outcome.context_samples,
            outcome.processing_time_ms,
            &front.setting(memory),
        );
        let mut actions = Vec::new();
        match running.kind {
            Kind::Partial => {
                let sample = front.utterance.settled_samples() + outcome.heard;
                front.partial = (sample, now);
                let tentative = transcript.text[front.committed.len()..].to_owned();
                let is_news = !tentative.is_empty() || front.shown;
                front.shown = !tentative.is_empty();
                if is_news {
                    actions.push(Action::Send(v2::encode_server(&ServerMessage::Partial {
                        utterance: front.number,
                        committed: front.committed.clone(),
                        committed_sample: 0,
                        tentative,
                        sample: sample as u64,
                        processing_time_ms: outcome.processing_time_ms,
                    })));
                }
            }
            Kind::Piece => front.utterance.settle(running.samples, transcript),
            Kind::Speculative | Kind::Final => front.ahead = Some((running.samples, transcript)),
        }
        actions.extend(self.advance(now));
        actions
    }

    fn is_full(&self) -> bool {
        let waiting: usize = self.utterances.iter().map(|s| s.utterance.waiting()).sum();
        waiting > 2 * MOST_WAITING_SAMPLES
    }

    fn owes_finals(&self) -> bool {
        self.utterances.iter().any(|spoken| spoken.ended)
    }

    fn farewell(&self) -> Option<String> {
        Some(v2::encode_server(&ServerMessage::Error {
            code: codes::GOING_AWAY.to_owned(),
            message: "the server is ending: connect again".to_owned(),
            utterance: None,
        }))
    }
}

fn bad_message(cause: DecodeError) -> Action {
    let message = format!("{:#}", anyhow::Error::new(cause));
    error(codes::BAD_MESSAGE, message, None)
}
