//! One client: sentences at the pace of speech, with a breath between them, as the daemon sends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use wstream_wire::v2::{self, Begin, ClientMessage, ServerMessage};
use wstream_wire::{FRAME_SAMPLES, SAMPLE_RATE, Strategy};

/// The sound of one utterance.
pub(crate) type Sentence = Arc<Vec<i16>>;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Silence behind a sentence until the daemon takes it for ended: 10 frames.
const HANGOVER_FRAMES: usize = 10;

/// Frames without an utterance until the next sentence: 0.9 s.
const BREATH_FRAMES: u32 = 30;

/// How long a final may take; one that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one or several speakers got.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Seconds from the end of each utterance to its final.
    pub(crate) waits: Vec<f64>,
    /// Seconds from the beginning of each utterance to its first words.
    pub(crate) first: Vec<f64>,
    pub(crate) partials: usize,
    pub(crate) finals: usize,
    /// Utterances without a final.
    pub(crate) lost: usize,
    pub(crate) sound_s: f64,
}

impl Heard {
    pub(crate) fn and(mut self, other: Heard) -> Heard {
        self.waits.extend(other.waits);
        self.first.extend(other.first);
        self.partials += other.partials;
        self.finals += other.finals;
        self.lost += other.lost;
        self.sound_s += other.sound_s;
        self
    }
}

/// A connection whose server is ready.
pub(crate) async fn connect(url: &str) -> Result<Socket> {
    let mut request = format!("{url}{}", Strategy::Context).into_client_request()?;
    let offer = HeaderValue::from_static(v2::SUBPROTOCOL);
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", offer);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
    let Some(Message::Text(text)) = socket.next().await.transpose()? else {
        bail!("no `ready`");
    };
    match v2::decode_server(text.as_str())? {
        ServerMessage::Ready { .. } => Ok(socket),
        other => bail!("no `ready` but {other:?}"),
    }
}

/// Speaks `sentences` one after the other for `time`, then waits for what is owed.
pub(crate) async fn speak(
    url: String,
    sentences: Vec<Sentence>,
    time: Duration,
    number: usize,
) -> Result<Heard> {
    let (mut to_server, from_server) = connect(&url).await?.split();
    let (to_listener, last) = watch::channel(None);
    let listener = tokio::spawn(listen(from_server, last));
    // Not all of them begin to speak in the same moment.
    tokio::time::sleep(Duration::from_millis(number as u64 * 370 % 5000)).await;
    let began = Instant::now();
    let frame_s = FRAME_SAMPLES as f64 / f64::from(SAMPLE_RATE);
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(frame_s));
    // Who is late catches up: sound does not wait.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut begins, mut ends) = (HashMap::new(), HashMap::new());
    let mut sound_s = 0.0;
    for (utterance, sentence) in (1..).zip(sentences.iter().cycle()) {
        if began.elapsed() >= time {
            break;
        }
        begins.insert(utterance, Instant::now());
        let begin = ClientMessage::Begin(Begin {
            utterance,
            strategy: Strategy::Context,
            language: Some("en".to_owned()),
            cuts: true,
            ..Begin::default()
        });
        to_server
            .send(Message::text(v2::encode_client(&begin)))
            .await?;
        for frame in sentence.chunks(FRAME_SAMPLES) {
            ticks.tick().await;
            to_server
                .send(Message::binary(v2::encode_sound(frame)))
                .await?;
        }
        let pause = ClientMessage::Pause {
            utterance,
            sample: sentence.len() as u64,
        };
        to_server
            .send(Message::text(v2::encode_client(&pause)))
            .await?;
        let silence = Message::binary(v2::encode_sound(&[0; FRAME_SAMPLES]));
        for _ in 0..HANGOVER_FRAMES {
            ticks.tick().await;
            to_server.send(silence.clone()).await?;
        }
        let end = ClientMessage::End { utterance };
        to_server
            .send(Message::text(v2::encode_client(&end)))
            .await?;
        ends.insert(utterance, Instant::now());
        to_listener.send_replace(Some((utterance, false)));
        sound_s += sentence.len() as f64 / f64::from(SAMPLE_RATE);
        for _ in 0..BREATH_FRAMES {
            ticks.tick().await;
        }
    }
    to_listener.send_modify(|last| {
        if let Some((_, is_over)) = last {
            *is_over = true;
        }
    });
    let answers = tokio::time::timeout(PATIENCE, listener)
        .await
        .context("no final")???;
    let mut heard = Heard {
        sound_s,
        ..Heard::default()
    };
    let mut shown: HashMap<u64, Instant> = HashMap::new();
    for (at, answer) in answers {
        match answer {
            ServerMessage::Partial { utterance, .. } => {
                heard.partials += 1;
                shown.entry(utterance).or_insert(at);
            }
            ServerMessage::Final(part) if !part.more => {
                let end = ends
                    .remove(&part.utterance)
                    .context("a final for nothing")?;
                heard.finals += 1;
                heard
                    .waits
                    .push(at.saturating_duration_since(end).as_secs_f64());
            }
            _ => {}
        }
    }
    heard.lost = ends.len();
    let first = shown.iter().filter_map(|(utterance, at)| {
        let begin = begins.get(utterance)?;
        Some(at.saturating_duration_since(*begin).as_secs_f64())
    });
    heard.first = first.collect();
    Ok(heard)
}

/// Takes answers until the last utterance has its end.
async fn listen(
    mut from_server: SplitStream<Socket>,
    mut last: watch::Receiver<Option<(u64, bool)>>,
) -> Result<Vec<(Instant, ServerMessage)>> {
    let mut answers = Vec::new();
    let mut answered = 0;
    loop {
        if *last.borrow() == Some((answered, true)) {
            return Ok(answers);
        }
        let message = tokio::select! {
            message = from_server.next() => message.context("the server has closed")??,
            changed = last.changed() => {
                changed.context("the speaker has gone")?;
                continue;
            }
        };
        let Message::Text(text) = message else {
            continue;
        };
        let answer = v2::decode_server(text.as_str())?;
        match &answer {
            ServerMessage::Final(part) if !part.more => answered = part.utterance,
            ServerMessage::Error {
                utterance: Some(utterance),
                ..
            } => answered = *utterance,
            _ => {}
        }
        answers.push((Instant::now(), answer));
    }
}
