//! A transcription server over TCP whose text is the sound itself: each run of equal samples is a
//! word `vVALUExCOUNT`, so a sample that is lost, doubled or out of place changes the text. It
//! follows a script: what it does on each connection in turn; the last act repeats.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use wstream_wire::v2::{self, Begin, ClientMessage, Committed, Final, ServerMessage};
use wstream_wire::{Segment, v1};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Version {
    V1,
    V2,
}

/// What to do on one connection. `u64`: after so many samples of sound have come on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Act {
    /// Behave.
    Serve,
    /// Behave, but say everything with capitals, and take back what was committed.
    Shout,
    /// Let the connection go without a word.
    Drop(u64),
    /// Let the connection go after the first final.
    DropAfterFinal,
    /// Let the connection go when an utterance has ended, instead of answering.
    DropAtEnd,
    /// Stand still: read nothing, say nothing.
    Stall(u64),
    /// Read everything and answer pings, but never say anything else.
    Mute(u64),
    /// Say something that is no message.
    Garbage(u64),
    /// Close with this code.
    Close(u16, u64),
    /// Answer the upgrade with this status.
    Http(u16),
    /// Answer the upgrade with 429, and ask to come again after so many seconds.
    Later(u64),
    /// Accept the connection and say nothing, not even to the upgrade.
    Silence,
    /// Never get ready.
    Loading,
    /// Say an error with this code before anything else.
    Refuse(&'static str),
    /// Fail the first utterance that ends.
    FailFirst(&'static str),
    /// Give an utterance a final there, in the middle of it, and say no more.
    Cut(u64),
    /// Cut an utterance whenever so many samples of it have no final.
    Slice(u64),
    /// Slice, and let the connection go after so many samples.
    SliceAndDrop(u64, u64),
    /// Slice, and fail what is left when it has ended.
    SliceAndFail(u64),
    /// Cut where there is no sound yet.
    SliceNothing,
    /// Say anything at all, by chance from this seed: partials that take back and finals that cut
    /// anywhere.
    Babble(u64),
    /// Answer the second utterance before the first.
    OutOfOrder,
}

/// What the server has seen and what its client did wrong.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) paths: Vec<String>,
    pub(super) begins: Vec<Begin>,
    pub(super) cancels: Vec<u64>,
    pub(super) pauses: Vec<String>,
    pub(super) pings: usize,
    pub(super) finals: usize,
    pub(super) most_unanswered: u64,
    pub(super) wrong: Vec<String>,
}

pub(super) struct Server {
    pub(super) url: String,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// The window that the server announces: short, so that it matters.
pub(super) const WINDOW: u64 = 16_000;

impl Server {
    pub(super) async fn start(version: Version, script: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let script = Script::new(script);
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, version, script.clone(), log.clone()));
            }
        });
        Server { url, seen }
    }

    /// Takes what was seen; what the client did wrong fails the test.
    pub(super) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        let seen = self.seen.lock().unwrap();
        assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
        seen
    }
}

pub(super) struct Script {
    acts: Vec<Act>,
}

impl Script {
    pub(super) fn new(acts: &[Act]) -> Arc<Mutex<Self>> {
        let acts = acts.to_vec();
        Arc::new(Mutex::new(Script { acts }))
    }

    fn peek(&self) -> Act {
        self.acts.first().copied().unwrap_or(Act::Serve)
    }

    fn pop(&mut self) -> Act {
        match self.acts.len() {
            0 | 1 => self.peek(),
            _ => self.acts.remove(0),
        }
    }
}

pub(super) async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    version: Version,
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Seen>>,
) {
    let first = script.lock().unwrap().peek();
    match first {
        Act::Later(seconds) => {
            script.lock().unwrap().pop();
            seen.lock().unwrap().connections += 1;
            let answer =
                format!("HTTP/1.1 429 No\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return;
        }
        Act::Http(status) => {
            script.lock().unwrap().pop();
            seen.lock().unwrap().connections += 1;
            let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return;
        }
        Act::Silence => {
            script.lock().unwrap().pop();
            seen.lock().unwrap().connections += 1;
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    let (mut is_offered, mut path) = (false, String::new());
    #[expect(clippy::result_large_err, reason = "the library asks for it")]
    let choose = |request: &Request, mut response: Response| {
        path = request.uri().path().to_owned();
        if let Some(offer) = request.headers().get("Sec-WebSocket-Protocol") {
            is_offered = true;
            if version == Version::V2 {
                let chosen = response.headers_mut();
                chosen.insert("Sec-WebSocket-Protocol", offer.clone());
            }
        }
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async(stream, choose).await else {
        return;
    };
    if version == Version::V1 && is_offered {
        // The client leaves and comes back without an offer.
        return;
    }
    let act = script.lock().unwrap().pop();
    {
        let mut log = seen.lock().unwrap();
        log.connections += 1;
        log.paths.push(path);
    }
    let mut session = Session {
        socket,
        version,
        act,
        seen,
        open: None,
        held: None,
        total: 0,
        muted: false,
        last: 0,
        unanswered: 0,
    };
    session.run().await;
}

struct Session<S> {
    socket: WebSocketStream<S>,
    version: Version,
    act: Act,
    seen: Arc<Mutex<Seen>>,
    open: Option<Utterance>,
    /// A final that is held back.
    held: Option<Utterance>,
    total: u64,
    muted: bool,
    last: u64,
    unanswered: u64,
}

#[derive(Default)]
struct Utterance {
    begin: Begin,
    sound: Vec<i16>,
    /// Samples of the utterance that have a final.
    cut: u64,
}

impl Utterance {
    /// Samples of the utterance.
    fn samples(&self) -> u64 {
        (self.sound.len() as u64).saturating_sub(self.begin.context_samples)
    }

    /// What the client has committed before, unless that has been cut off.
    fn given(&self) -> Committed {
        let given = self.begin.committed.clone().unwrap_or_default();
        if self.cut == 0 {
            given
        } else {
            Committed::default()
        }
    }

    /// The sound behind the last cut and behind what was given.
    fn rest(&self, end: u64) -> &[i16] {
        let context = self.begin.context_samples;
        let start = context + self.cut.max(self.given().sample);
        let end = (context + end).max(start);
        &self.sound[(start as usize).min(self.sound.len())..(end as usize).min(self.sound.len())]
    }

    /// The words up to `end`, those that were given included.
    fn words(&self, end: u64) -> Vec<String> {
        let given = self.given().text;
        let given = given.split_whitespace().map(str::to_owned);
        given.chain(words(self.rest(end))).collect()
    }
}

/// The sound as words.
pub(super) fn words(sound: &[i16]) -> Vec<String> {
    let runs = sound.chunk_by(|a, b| a == b);
    runs.map(|run| format!("v{}x{}", run[0], run.len()))
        .collect()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(&mut self) {
        if self.version == Version::V2 {
            match self.act {
                Act::Loading => return std::future::pending().await,
                Act::Refuse(code) => {
                    self.say_v2(ServerMessage::Error {
                        code: code.to_owned(),
                        message: "no".to_owned(),
                        utterance: None,
                    })
                    .await;
                    return;
                }
                _ => {
                    self.say_v2(ServerMessage::Ready {
                        protocol: 2,
                        model: "echo".to_owned(),
                        version: "0".to_owned(),
                        multilingual: true,
                        window_samples: WINDOW,
                    })
                    .await;
                }
            }
        }
        loop {
            if self.misbehaves().await {
                return;
            }
            let Some(Ok(message)) = self.socket.next().await else {
                return;
            };
            let goes_on = match (self.version, message) {
                (Version::V2, Message::Text(text)) => {
                    let message = v2::decode_client(&text).unwrap();
                    self.command(message).await
                }
                (Version::V2, Message::Binary(sound)) => {
                    let sound = v2::decode_sound(&sound).unwrap();
                    self.sound(sound).await;
                    true
                }
                (Version::V1, Message::Text(text)) => match v1::decode_client(&text).unwrap() {
                    v1::ClientMessage::AudioFrame(samples) => {
                        let samples = samples.into_iter().map(wstream_wire::sample_to_i16);
                        self.open.get_or_insert_default();
                        self.sound(samples.collect()).await;
                        true
                    }
                    v1::ClientMessage::VadEnd => self.end().await,
                },
                (_, Message::Ping(_)) => {
                    self.seen.lock().unwrap().pings += 1;
                    true
                }
                (_, Message::Close(_)) => false,
                _ => true,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Whether the connection ends here.
    async fn misbehaves(&mut self) -> bool {
        match self.act {
            Act::Drop(after) | Act::SliceAndDrop(_, after) if self.total >= after => return true,
            Act::Stall(after) if self.total >= after => std::future::pending().await,
            Act::Mute(after) if self.total >= after => self.muted = true,
            Act::Garbage(after) if self.total >= after => {
                let garbage = Message::text("{\"type\":\"final\",\"utterance\":");
                self.socket.send(garbage).await.ok();
                self.act = Act::Mute(0);
            }
            Act::Close(code, after) if self.total >= after => {
                let frame = CloseFrame {
                    code: code.into(),
                    reason: "no".into(),
                };
                self.socket.close(Some(frame)).await.ok();
                return true;
            }
            _ => {}
        }
        false
    }

    fn wrong(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().wrong.push(what.into());
    }

    async fn command(&mut self, message: ClientMessage) -> bool {
        match message {
            ClientMessage::Begin(begin) => {
                if self.open.is_some() || begin.utterance <= self.last {
                    self.wrong(format!("begin of {} out of order", begin.utterance));
                }
                if self.unanswered >= WINDOW {
                    self.wrong(format!("{} samples unanswered", self.unanswered));
                }
                self.last = begin.utterance;
                let mut seen = self.seen.lock().unwrap();
                seen.begins.push(begin.clone());
                seen.most_unanswered = seen.most_unanswered.max(self.unanswered);
                drop(seen);
                self.open = Some(Utterance {
                    begin,
                    ..Utterance::default()
                });
                true
            }
            ClientMessage::Pause { sample, .. } => {
                let mut seen = self.seen.lock().unwrap();
                seen.pauses.push(format!("pause {sample}"));
                true
            }
            ClientMessage::Resume { .. } => {
                self.seen.lock().unwrap().pauses.push("resume".to_owned());
                true
            }
            ClientMessage::End { utterance } => {
                match &self.open {
                    Some(open) if open.begin.utterance == utterance => {}
                    _ => self.wrong(format!("end of {utterance}, which is not open")),
                }
                self.end().await
            }
            ClientMessage::Cancel { utterance } => {
                self.seen.lock().unwrap().cancels.push(utterance);
                if let Some(open) = self.open.take_if(|open| open.begin.utterance == utterance) {
                    self.unanswered -= open.sound.len() as u64 - open.cut;
                }
                true
            }
            ClientMessage::Ping { id } => {
                self.seen.lock().unwrap().pings += 1;
                self.say_v2(ServerMessage::Pong { id }).await;
                true
            }
        }
    }

    async fn sound(&mut self, sound: Vec<i16>) {
        self.total += sound.len() as u64;
        let Some(open) = &mut self.open else {
            if !matches!(self.act, Act::Cut(_)) {
                self.wrong("sound outside of an utterance");
            }
            return;
        };
        self.unanswered += sound.len() as u64;
        open.sound.extend(sound);
        if self.muted {
            return;
        }
        if self.act == Act::Cut(open.sound.len() as u64) {
            if let Some(cut) = self.open.take() {
                self.answer(cut).await;
            }
            self.muted = true;
            return;
        }
        let sample = open.samples();
        if let Act::Slice(most) | Act::SliceAndDrop(most, _) | Act::SliceAndFail(most) = self.act
            && sample >= open.cut + most
        {
            return self.slice(most, "").await;
        }
        if self.act == Act::SliceNothing {
            return self.slice(0, "").await;
        }
        if let Act::Babble(seed) = self.act {
            return self.babble(seed).await;
        }
        let mut words = open.words(sample);
        // The last two words may still change.
        let tentative = words.split_off(words.len().saturating_sub(2));
        let fixed = words.len()
            - open
                .given()
                .text
                .split_whitespace()
                .count()
                .min(words.len());
        let fixed = open.rest(sample).chunk_by(|a, b| a == b).take(fixed);
        let committed_sample =
            open.cut.max(open.given().sample) + fixed.map(|run| run.len() as u64).sum::<u64>();
        let utterance = open.begin.utterance;
        if self.version == Version::V1 {
            words.extend(tentative);
            let message = v1::ServerMessage::Partial {
                text: self.spoken(words),
                processing_time_ms: 1.0,
            };
            self.say(v1::encode_server(&message)).await;
            return;
        }
        let mut rest = String::new();
        for word in self.spoken(tentative).split_whitespace() {
            write!(rest, " {word}").unwrap();
        }
        let message = ServerMessage::Partial {
            utterance,
            committed: self.spoken(words),
            committed_sample,
            tentative: rest,
            sample,
            processing_time_ms: 1.0,
        };
        self.say_v2(message).await;
    }

    /// Cuts the open utterance so many samples behind the last cut.
    async fn slice(&mut self, samples: u64, text: &str) {
        let Some(open) = &mut self.open else {
            return;
        };
        if !open.begin.cuts {
            self.wrong("a cut is not allowed");
            return;
        }
        let sample = open.cut + samples;
        let words = open.words(sample);
        open.cut = sample;
        self.unanswered -= samples.min(self.unanswered);
        let message = ServerMessage::Final(Final {
            utterance: open.begin.utterance,
            text: if text.is_empty() {
                words.join(" ")
            } else {
                text.to_owned()
            },
            segments: vec![Segment {
                start: (sample - samples) as f64 / 16_000.0,
                end: sample as f64 / 16_000.0,
                text: words.join(" "),
            }],
            language: "en".to_owned(),
            sample,
            processing_time_ms: 2.0,
            confidence: 0.5,
            more: true,
        });
        self.say_v2(message).await;
    }

    /// Says something by chance: about the utterance that is open, whatever it is.
    async fn babble(&mut self, seed: u64) {
        let next = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.act = Act::Babble(next);
        let Some(open) = &self.open else {
            return;
        };
        let chance = |shift: u32, of: u64| (next >> shift) % of;
        let left = open.samples() - open.cut;
        let all = [
            "one", " two", ", three", " Four", "five", "", " 好", "\u{201c}",
        ];
        let pick = |shift| {
            (0..chance(shift, 5)).map(move |n| all[chance(shift + 3 + n as u32 * 3, 8) as usize])
        };
        let (committed, tentative): (String, String) = (pick(8).collect(), pick(28).collect());
        let utterance = open.begin.utterance;
        match chance(56, 8) {
            0 => self.slice(1 + chance(20, left.max(1)), &committed).await,
            1..4 => {
                let message = ServerMessage::Partial {
                    utterance,
                    committed,
                    committed_sample: chance(20, 40_000),
                    tentative,
                    sample: chance(24, 40_000),
                    processing_time_ms: 1.0,
                };
                self.say_v2(message).await;
            }
            _ => {}
        }
    }

    fn spoken(&self, words: Vec<String>) -> String {
        let text = words.join(" ");
        match self.act {
            Act::Shout => text.to_uppercase(),
            _ => text,
        }
    }

    /// An utterance has ended. Whether the connection goes on.
    async fn end(&mut self) -> bool {
        let Some(ended) = self.open.take() else {
            return true;
        };
        match self.act {
            Act::DropAtEnd => return false,
            Act::FailFirst(_) | Act::SliceAndFail(_) => {
                let code = match self.act {
                    Act::FailFirst(code) => code,
                    _ => v2::codes::DECODE,
                };
                self.act = Act::Serve;
                self.unanswered -= ended.sound.len() as u64 - ended.cut;
                self.say_v2(ServerMessage::Error {
                    code: code.to_owned(),
                    message: "it failed".to_owned(),
                    utterance: Some(ended.begin.utterance),
                })
                .await;
                return true;
            }
            Act::OutOfOrder if self.held.is_none() => {
                self.held = Some(ended);
                return true;
            }
            _ => {}
        }
        if !self.muted {
            self.answer(ended).await;
            if self.act == Act::DropAfterFinal {
                return false;
            }
            if let Some(held) = self.held.take() {
                self.answer(held).await;
            }
        }
        true
    }

    async fn answer(&mut self, ended: Utterance) {
        self.unanswered -= (ended.sound.len() as u64 - ended.cut).min(self.unanswered);
        self.seen.lock().unwrap().finals += 1;
        let sample = ended.samples();
        let text = self.spoken(ended.words(sample));
        if self.version == Version::V1 {
            if ended.sound.is_empty() {
                return;
            }
            let message = v1::ServerMessage::Final {
                text,
                segments: Vec::new(),
                language: Some("en".to_owned()),
                processing_time_ms: 2.0,
            };
            self.say(v1::encode_server(&message)).await;
            return;
        }
        let message = ServerMessage::Final(Final {
            utterance: ended.begin.utterance,
            text,
            language: "en".to_owned(),
            sample,
            processing_time_ms: 2.0,
            confidence: 0.5,
            ..Final::default()
        });
        self.say_v2(message).await;
    }

    async fn say_v2(&mut self, message: ServerMessage) {
        if self.muted && !matches!(message, ServerMessage::Pong { .. }) {
            return;
        }
        self.say(v2::encode_server(&message)).await;
    }

    async fn say(&mut self, text: String) {
        // A client that has gone away is noticed when it is listened to.
        self.socket.send(Message::text(text)).await.ok();
    }
}
