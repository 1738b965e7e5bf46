//! Version 2: numbered utterances, one final each, in order.
//!
//! Enters: text and binary messages, outcomes. Leaves: [`Action`]s.

mod agreement;
mod pace;
mod said;
mod spoken;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wstream_wire::v2::{self, Begin, ClientMessage, ServerMessage, codes};
use wstream_wire::{DecodeError, SAMPLE_RATE};

use self::pace::Pace;
use self::spoken::{Memory, Spoken};
use super::{Action, Complaints, Desk, MOST_UTTERANCES, MOST_WAITING_SAMPLES, Session, effort};
use crate::decode::{Decoded, Language, Model, UnknownLanguage, Word};
use crate::scheduler::{Kind, Outcome};
use crate::stats;

/// What a version 2 session must know of the model.
pub trait Knowledge: Send + Sync {
    /// What a language's code means.
    fn language(&self, code: Option<&str>) -> Result<Language, UnknownLanguage>;

    /// Text as words that can be forced on a decoder, spread over so many seconds; `None` where
    /// the model cannot write exactly this.
    fn words(&self, text: &str, seconds: f64) -> Option<Vec<Word>>;
}

impl Knowledge for Model {
    fn language(&self, code: Option<&str>) -> Result<Language, UnknownLanguage> {
        Model::language(self, code)
    }

    fn words(&self, text: &str, seconds: f64) -> Option<Vec<Word>> {
        Model::words(self, text, seconds)
    }
}

/// Most sound that may be unanswered by finals; announced in `ready`.
pub const WINDOW_SAMPLES: usize = MOST_WAITING_SAMPLES;

/// A previous text older than this is no prompt: the speaker is at something else by then, and
/// repeating it does more harm than good.
const PROMPT_LIFE: Duration = Duration::from_secs(10);

/// Most text that is taken over from a client as previous or committed: far more than the model
/// can use.
const MOST_TEXT_BYTES: usize = 64 * 1024;

/// Sound is looked at when this much of it is new, 1 ms: a look costs as much as the utterance is
/// long, and a client may send sample by sample.
const LEAST_SAMPLES: usize = SAMPLE_RATE as usize / 1000;

/// Most words to expect, and most letters in one.
const MOST_VOCABULARY: (usize, usize) = (1000, 200);

/// A version 2 client.
pub struct V2 {
    knowledge: Arc<dyn Knowledge>,
    pace: Pace,
    memory: Memory,
    /// When the final came that `memory` is from.
    remembered: Option<Instant>,
    /// Without final, in order. Bounded by the window; the last one may be open.
    utterances: VecDeque<Spoken>,
    last_number: Option<u64>,
    /// Whether sound outside utterances has been complained of since the last `begin`.
    complained: bool,
    desk: Desk,
    /// The last partial of the first utterance, of so many own samples; it may be its final.
    partial: Option<(usize, Decoded)>,
    complaints: Complaints,
    /// Samples that came since the sound was last looked at.
    unseen: usize,
}

impl std::fmt::Debug for V2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("V2")
            .field("utterances", &self.utterances.len())
            .finish_non_exhaustive()
    }
}

impl V2 {
    /// A new session, with at most one partial in `interval`.
    pub fn new(knowledge: Arc<dyn Knowledge>, interval: Duration) -> V2 {
        V2 {
            knowledge,
            pace: Pace::new(interval),
            memory: Memory::default(),
            remembered: None,
            utterances: VecDeque::new(),
            last_number: None,
            complained: false,
            desk: Desk::default(),
            partial: None,
            complaints: Complaints::default(),
            unseen: 0,
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
        let unanswered: usize = self.utterances.iter().map(Spoken::waiting).sum();
        let spoken = match self.check(&begin, unanswered) {
            Ok((language, languages)) => {
                let given = self.given_words(&begin);
                Spoken::new(begin, given, language, languages, now)
            }
            Err((code, message)) => {
                let number = Begin {
                    utterance: number,
                    ..Begin::default()
                };
                let mut spoken = Spoken::new(number, Vec::new(), Language::Auto, Vec::new(), now);
                spoken.failure = Some((code, message));
                spoken
            }
        };
        self.utterances.push_back(spoken);
        self.advance(now)
    }

    /// What languages `begin` asks for, or why it cannot be served.
    fn check(
        &self,
        begin: &Begin,
        unanswered: usize,
    ) -> Result<(Language, Vec<i32>), (&'static str, String)> {
        let limit = |message: &str| Err((codes::LIMIT, message.to_owned()));
        if unanswered > WINDOW_SAMPLES {
            let message = "more sound is unanswered than the window allows";
            return Err((codes::TOO_FAST, message.to_owned()));
        }
        let committed = begin.committed.as_ref().map(|committed| &committed.text);
        let mut texts = [begin.previous.as_ref(), committed].into_iter().flatten();
        if texts.any(|text| text.len() > MOST_TEXT_BYTES)
            || begin.context_samples > MOST_WAITING_SAMPLES as u64
        {
            return limit("the utterance is given more context than is taken");
        }
        if begin.vocabulary.len() > MOST_VOCABULARY.0
            || (begin.vocabulary.iter()).any(|word| word.len() > MOST_VOCABULARY.1)
        {
            return limit("more or longer words to expect than are taken");
        }
        let bad = |error: UnknownLanguage| (codes::BAD_LANGUAGE, error.to_string());
        let language = self
            .knowledge
            .language(begin.language.as_deref())
            .map_err(bad)?;
        let mut languages = Vec::new();
        if language == Language::Auto {
            for code in &begin.languages {
                // Whoever allows more than the model knows is served as far as it does.
                if let Ok(Language::Known(number)) = self.knowledge.language(Some(code)) {
                    languages.push(number);
                }
            }
        }
        Ok((language, languages))
    }

    /// The words of the text that `begin` says is committed, as the model would write them.
    fn given_words(&self, begin: &Begin) -> Vec<Word> {
        let Some(committed) = begin
            .committed
            .as_ref()
            .filter(|it| !it.text.trim().is_empty())
        else {
            return Vec::new();
        };
        let seconds = committed.sample as f64 / f64::from(SAMPLE_RATE);
        let text = format!(" {}", committed.text.trim());
        self.knowledge.words(&text, seconds).unwrap_or_default()
    }

    fn sound(&mut self, samples: Vec<f32>, now: Instant) -> Vec<Action> {
        let Some(open) = self.open() else {
            if std::mem::replace(&mut self.complained, true) {
                return Vec::new();
            }
            let message = "sound outside an utterance".to_owned();
            return vec![error(codes::PROTOCOL, message, None)];
        };
        let count = samples.len();
        open.push(samples);
        self.unseen += count;
        if self.unseen < LEAST_SAMPLES {
            return Vec::new();
        }
        self.unseen = 0;
        let mut actions = self.advance(now);
        actions.extend(self.partial(now));
        let front = self.utterances.front_mut().filter(|front| !front.ended);
        let settled = front.and_then(Spoken::settle_pause);
        actions.extend(settled.as_ref().map(send));
        actions
    }

    fn end(&mut self, number: u64, now: Instant) -> Vec<Action> {
        let has_begun = self.last_number.is_some_and(|last| number <= last);
        match self.open().filter(|open| open.number == number) {
            Some(open) => {
                open.ended = true;
                stats::ended(open.is_ready());
            }
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
            self.partial = None;
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
        open.pause = sample.map(|sample| usize::try_from(sample).unwrap_or(usize::MAX));
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
                self.partial = None;
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
            if front.ended && front.is_ready() {
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
        self.lead();
        let Some(front) = self.utterances.front_mut() else {
            return actions;
        };
        let piece = front.piece().map(|own| (Kind::Piece, own));
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
        // A partial that hears all the voice there is will do as the final.
        let partial = self.partial.as_ref().filter(|(samples, decoded)| {
            kind != Kind::Piece && front.hears_all(*samples) && !decoded.suspect
        });
        if let Some((_, decoded)) = partial {
            stats::promoted();
            front.ahead = Some((heard, decoded.clone()));
            return if front.ended {
                self.advance(now)
            } else {
                actions
            };
        }
        match self.desk.running {
            Some(running)
                if running.kind == Kind::Partial
                    && kind != Kind::Piece
                    && front.hears_all(running.samples) =>
            {
                if front.ended {
                    actions.push(Action::Promote { job: running.job });
                }
                return actions;
            }
            Some(running) if running.kind == Kind::Partial => {
                actions.extend(self.desk.abort(&[Kind::Partial]));
            }
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
        let request = front.request(count, effort(kind));
        actions.push(self.desk.start(kind, count, request, now));
        actions
    }

    /// Sound has come: is it time for a partial?
    fn partial(&mut self, now: Instant) -> Option<Action> {
        self.lead();
        let front = self.utterances.front_mut()?;
        if front.ended || front.failure.is_some() || front.pause.is_some() {
            return None;
        }
        let own = front.waiting();
        if self.desk.runs(Kind::Partial) {
            let request = front.request(own, effort(Kind::Partial));
            let job = self.desk.refreshes(self.pace.interval(), now)?;
            return Some(Action::Refresh { job, request });
        }
        let (last, new) = (front.last_partial, front.new_samples());
        if self.desk.running.is_some()
            || !self.pace.is_due(last, new, front.is_shown(), now)
            || !front.has_voice()
        {
            return None;
        }
        front.last_partial = Some(now);
        let request = front.request(own, effort(Kind::Partial));
        Some(self.desk.start(Kind::Partial, own, request, now))
    }

    /// Cuts the first utterance, if it has become long and goes on.
    fn cut(&mut self) -> Option<Action> {
        let front = self.utterances.front_mut().filter(|front| !front.ended)?;
        let before = front.samples() - front.waiting();
        let part = front.cut();
        if front.samples() - front.waiting() > before {
            // It counts from another place.
            self.partial = None;
        }
        part.map(|part| send(&ServerMessage::Final(part)))
    }

    /// An utterance stays in the language that was heard first.
    fn fix_language(&mut self) {
        let Some(front) = self.utterances.front_mut() else {
            return;
        };
        if let Some(code) = front.detected()
            && let Ok(language) = self.knowledge.language(Some(code))
        {
            front.fix_language(language);
        }
    }

    /// Sends the first utterance's final, which has been decoded.
    fn answer(&mut self, now: Instant) -> Option<Action> {
        self.partial = None;
        let mut spoken = self.utterances.pop_front()?;
        let (own, decoded) = spoken.ahead.take()?;
        let (message, memory) = spoken.finish(&decoded, own);
        match memory {
            None => {
                self.remembered = None;
                self.memory = Memory::default();
            }
            Some(memory) if memory.text.is_empty() => {
                self.memory.sound = memory.sound;
                self.memory.words.clear();
            }
            Some(memory) => {
                self.remembered = Some(now);
                self.memory = memory;
            }
        }
        Some(send(&ServerMessage::Final(message)))
    }

    /// Gives the first utterance what was said before it, once its own sound comes: by then the
    /// client has given again what it had to.
    fn lead(&mut self) {
        let Some(front) = self.utterances.front_mut() else {
            return;
        };
        if front.is_led() || front.waiting() == 0 {
            return;
        }
        let is_fresh = self
            .remembered
            .is_some_and(|at| front.begun.saturating_duration_since(at) <= PROMPT_LIFE);
        if is_fresh {
            front.lead(&self.memory);
        } else {
            front.lead(&Memory::default());
        }
    }
}

const ALL_KINDS: [Kind; 4] = [Kind::Partial, Kind::Piece, Kind::Speculative, Kind::Final];

fn send(message: &ServerMessage) -> Action {
    Action::Send(v2::encode_server(message))
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
                self.complaints.unknown_type(&name);
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
        let own = outcome.heard;
        let ms = outcome.processing_time_ms;
        let mut actions = Vec::new();
        match running.kind {
            Kind::Partial => {
                self.pace.took(now.saturating_duration_since(running.since));
                actions.extend(front.hear(&decoded, own, ms).as_ref().map(send));
                self.partial = (!front.has_moved()).then_some((own, decoded));
            }
            // What was decoded ahead shows what was said as well as any partial, and what comes of
            // the pause is not known yet.
            Kind::Speculative => {
                front.took(ms);
                actions.extend(front.hear(&decoded, own, ms).as_ref().map(send));
                front.ahead = (!front.has_moved()).then_some((running.samples, decoded));
            }
            Kind::Final => {
                front.took(ms);
                front.ahead = Some((running.samples, decoded));
            }
            Kind::Piece => {
                front.took(ms);
                self.partial = None;
                let part = front.settle(&decoded, running.samples);
                actions.extend(part.map(|part| send(&ServerMessage::Final(part))));
            }
        }
        actions.extend(self.cut());
        self.fix_language();
        actions.extend(self.advance(now));
        actions
    }

    fn is_full(&self) -> bool {
        let waiting: usize = self.utterances.iter().map(Spoken::waiting).sum();
        waiting > 2 * MOST_WAITING_SAMPLES || self.utterances.len() >= MOST_UTTERANCES
    }

    fn unanswered_samples(&self) -> usize {
        self.utterances.iter().map(Spoken::unanswered).sum()
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
