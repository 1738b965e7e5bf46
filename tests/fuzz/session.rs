//! A whole conversation with a session of either version, from the frames on: bytes as they come
//! from the network, in between the ends of decodes.
//!
//! The first byte chooses the version. Then, again and again, a byte chooses what happens: bytes of
//! the network, a message of ours with numbers from the input, the end of a decode, time.

#![no_main]

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};
use wstream_engine::decode::{
    DecodeError, Decoded, Language, Request, Stretch, Token, UnknownLanguage, Word,
};
use wstream_engine::scheduler::Outcome;
use wstream_engine::server::upgrade;
use wstream_engine::session::v1::V1;
use wstream_engine::session::v2::{Knowledge, V2};
use wstream_engine::session::{Action, Session};
use wstream_wire::{Strategy, v1, v2};

/// Far less than a session takes, so that a run is short.
const MESSAGE_BYTES: usize = 64 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let is_v2 = input.byte() % 2 == 0;
    let mut stage = Stage::new(is_v2);
    while !input.0.is_empty() {
        stage.happen(&mut input);
    }
    stage.finish();
});

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// What has come from the network and is not read yet.
#[derive(Default)]
struct Wire(VecDeque<u8>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct English;

impl Knowledge for English {
    fn language(&self, code: Option<&str>) -> Result<Language, UnknownLanguage> {
        match code {
            None | Some("auto") => Ok(Language::Auto),
            Some("en") => Ok(Language::Known(0)),
            Some(code) => Err(UnknownLanguage::Code(code.to_owned())),
        }
    }

    fn words(&self, text: &str, seconds: f64) -> Option<Vec<Word>> {
        (text.len() % 5 != 0).then(|| words(text, 0.0, seconds))
    }
}

struct Stage {
    session: Box<dyn Session>,
    is_v2: bool,
    socket: WebSocket<Wire>,
    is_open: bool,
    now: Instant,
    job: Option<(u64, Request)>,
    /// Version 2: the numbers of utterances that have begun and have no answer.
    owed: VecDeque<u64>,
    last: Option<u64>,
    /// Version 2: what was committed of the first one that is owed.
    committed: String,
}

impl Stage {
    fn new(is_v2: bool) -> Stage {
        let now = Instant::now();
        let interval = Duration::from_millis(500);
        let session: Box<dyn Session> = if is_v2 {
            Box::new(V2::new(Arc::new(English), interval))
        } else {
            Box::new(V1::new(Strategy::Hybrid, interval, now))
        };
        let config = Some(upgrade::config(MESSAGE_BYTES));
        Stage {
            session,
            is_v2,
            socket: WebSocket::from_raw_socket(Wire::default(), Role::Server, config),
            is_open: true,
            now,
            job: None,
            owed: VecDeque::new(),
            last: None,
            committed: String::new(),
        }
    }

    fn happen(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0 => {
                let count = usize::from(input.byte());
                self.socket.get_mut().0.extend(input.take(count));
                self.read();
            }
            1 | 2 => {
                let text = if self.is_v2 {
                    self.v2_message(input)
                } else {
                    self.v1_message(input)
                };
                self.text(&text);
            }
            3 => {
                let samples = vec![i16::from(input.byte()) * 100; usize::from(input.byte()) * 160];
                if self.is_v2 {
                    self.binary(&v2::encode_sound(&samples));
                } else {
                    self.text(&v1::encode_frame(&samples));
                }
            }
            4 => {
                let count = usize::from(input.byte());
                let text = String::from_utf8_lossy(input.take(count)).into_owned();
                self.text(&text);
            }
            5 | 6 => self.decoded(input),
            _ => self.now += Duration::from_millis(u64::from(input.byte()) * 20),
        }
    }

    /// Everything that has come as whole messages.
    fn read(&mut self) {
        while self.is_open && !self.session.is_full() {
            match self.socket.read() {
                Ok(Message::Text(text)) => self.text(text.as_str()),
                Ok(Message::Binary(bytes)) => self.binary(&bytes),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.is_open = false,
            }
        }
    }

    fn text(&mut self, text: &str) {
        if self.session.is_full() {
            return;
        }
        if let (true, Ok(message)) = (self.is_v2, v2::decode_client(text)) {
            self.note(&message);
        }
        let actions = self.session.text(text, self.now);
        self.perform(actions);
    }

    fn binary(&mut self, bytes: &[u8]) {
        if self.session.is_full() {
            return;
        }
        let actions = self.session.binary(bytes, self.now);
        self.perform(actions);
    }

    fn note(&mut self, message: &v2::ClientMessage) {
        match message {
            v2::ClientMessage::Begin(begin) if self.last.is_none_or(|last| begin.utterance > last) => {
                self.last = Some(begin.utterance);
                self.owed.push_back(begin.utterance);
            }
            v2::ClientMessage::Cancel { utterance } => {
                if self.owed.front() == Some(utterance) {
                    self.committed.clear();
                }
                self.owed.retain(|number| number != utterance);
            }
            _ => {}
        }
    }

    fn v2_message(&mut self, input: &mut Input<'_>) -> String {
        let last = self.last.unwrap_or(0);
        let utterance = last.saturating_sub(u64::from(input.byte() % 4 == 3));
        let sample = u64::from(input.byte()) * u64::from(input.byte()) * 16;
        let strategy = Strategy::ALL[usize::from(input.byte()) % 3].as_str();
        match input.byte() % 8 {
            0 => json!({"type": "begin", "utterance": last.saturating_add(1), "strategy": strategy,
                "cuts": sample % 2 == 0}),
            1 => json!({"type": "begin", "utterance": last.saturating_add(1), "strategy": strategy,
                "previous": "so it was", "context_samples": sample,
                "committed": {"text": "and then", "sample": sample}}),
            2 => json!({"type": "pause", "utterance": utterance, "sample": sample}),
            3 => json!({"type": "resume", "utterance": utterance}),
            4 | 5 => json!({"type": "end", "utterance": utterance}),
            6 => json!({"type": "cancel", "utterance": utterance}),
            _ => json!({"type": "ping", "id": sample}),
        }
        .to_string()
    }

    fn v1_message(&mut self, input: &mut Input<'_>) -> String {
        match input.byte() % 3 {
            0 => v1::encode_f32_frame([f32::from_bits(u32::from(input.byte()) << 24); 400]),
            _ => v1::encode_vad_end(),
        }
    }

    /// The decode under way ends, with words or without, or fails.
    fn decoded(&mut self, input: &mut Input<'_>) {
        let Some((job, request)) = self.job.take() else {
            return;
        };
        let seconds = request.samples.len() as f64 / 16_000.0;
        let kind = input.byte();
        let result = if kind % 16 == 15 {
            Err(DecodeError::Panicked)
        } else {
            let count = usize::from(kind % 8);
            let text: String = (0..count).map(|n| [" so", " it.", " went on"][n % 3]).collect();
            let mut all = request.known.clone();
            let from = all.last().map_or(0.0, |word| word.end);
            all.extend(words(&text, from, seconds.max(from)));
            let stretch = Stretch {
                start: from,
                end: seconds.max(from),
                text,
                tokens: count,
                probability: 0.9,
            };
            Ok(Decoded {
                stretches: vec![stretch],
                words: all,
                language: "en",
                suspect: kind % 16 == 14,
            })
        };
        let context = request.context_samples.min(request.samples.len());
        let outcome = Outcome {
            job,
            heard: request.samples.len() - context,
            context_samples: context,
            processing_time_ms: f64::from(kind),
            result,
        };
        let actions = self.session.outcome(outcome, self.now);
        self.perform(actions);
        self.read();
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(text) => self.sent(&text),
                Action::Decode { job, request, .. } => {
                    assert!(self.job.is_none(), "one decode at a time");
                    assert!(request.context_samples <= request.samples.len());
                    self.job = Some((job, request));
                }
                Action::Refresh { job, request } => {
                    if let Some((own, old)) = &mut self.job {
                        assert_eq!(*own, job);
                        *old = request;
                    }
                }
                Action::Promote { .. } => {}
                Action::Abort { job } => {
                    self.job.take_if(|(own, _)| *own == job);
                }
            }
        }
    }

    /// The rules that no client can make us break.
    fn sent(&mut self, text: &str) {
        if !self.is_v2 {
            let message: Value = serde_json::from_str(text).expect("JSON");
            assert!(["partial", "final", "error"].contains(&message["type"].as_str().unwrap_or("")));
            return;
        }
        match v2::decode_server(text).expect("a message of ours") {
            v2::ServerMessage::Partial {
                utterance,
                committed,
                ..
            } => {
                assert_eq!(self.owed.front(), Some(&utterance));
                assert!(committed.starts_with(&self.committed), "taken back");
                self.committed = committed;
            }
            v2::ServerMessage::Final(last) => {
                assert_eq!(self.owed.front(), Some(&last.utterance));
                assert!(last.text.starts_with(&self.committed), "taken back");
                self.committed.clear();
                if !last.more {
                    self.owed.pop_front();
                }
            }
            v2::ServerMessage::Error {
                utterance: Some(utterance),
                ..
            } => {
                assert_eq!(self.owed.pop_front(), Some(utterance));
                self.committed.clear();
            }
            _ => {}
        }
    }

    /// Whoever ends what has begun gets every answer that is owed.
    fn finish(&mut self) {
        let good = [3; 64];
        if self.is_v2 {
            if let Some(last) = self.last {
                let end = json!({"type": "end", "utterance": last});
                // Also where the session is not read for now: the end would come later.
                let actions = self.session.text(&end.to_string(), self.now);
                self.perform(actions);
            }
        } else {
            let actions = self.session.text(&v1::encode_vad_end(), self.now);
            self.perform(actions);
        }
        for _ in 0..10_000 {
            if self.job.is_none() {
                break;
            }
            self.is_open = false;
            self.decoded(&mut Input(&good));
        }
        assert!(self.owed.is_empty(), "{:?} have no answer", self.owed);
        assert!(!self.session.owes_finals());
    }
}

fn words(text: &str, start: f64, end: f64) -> Vec<Word> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let step = (end - start) / parts.len().max(1) as f64;
    let words = parts.iter().enumerate().map(|(index, part)| Word {
        text: format!(" {part}"),
        tokens: vec![Token {
            id: 1,
            logprob: -0.2,
        }],
        opening: Vec::new(),
        start: start + step * index as f64,
        end: start + step * (index + 1) as f64,
    });
    words.collect()
}
