//! The transcriber with servers that speak protocols of others, as far as these tests need them.
//! Their text is the sound, as that of [`super::server`], so that a sample that is lost or doubled
//! changes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::{Rig, settings};
use crate::transcriber::ToTranscriber;

/// Bytes of sound after which the first connection is let go, where a test wants that.
const BREAK_AFTER: usize = 5000;

struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Breaks its first connection in the middle if `breaks`.
    async fn start(protocol: &'static str, breaks: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if protocol == "wyoming" { "tcp" } else { "ws" };
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
                let limit = if breaks && is_first {
                    BREAK_AFTER
                } else {
                    usize::MAX
                };
                tokio::spawn(async move {
                    // It ends when the daemon hangs up, or when the limit is reached.
                    match protocol {
                        "wyoming" => wyoming(stream, limit).await,
                        _ => {
                            let socket = accept_async(stream).await.unwrap();
                            match protocol {
                                "whisper-live" => whisper_live(socket, limit).await,
                                "whisperlivekit" => whisperlivekit(socket, limit).await,
                                _ => openai(socket, limit).await,
                            }
                        }
                    }
                });
            }
        });
        Server {
            url: format!("{scheme}://{address}"),
            connections,
        }
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn say(socket: &mut Socket, message: Value) -> Option<()> {
    socket.send(Message::text(message.to_string())).await.ok()
}

/// The words of some sound without the silence behind it.
fn words(sound: &[i16]) -> String {
    let heard: Vec<i16> = sound.iter().copied().filter(|&it| it != 0).collect();
    super::server::words(&heard).join(" ")
}

async fn whisper_live(mut socket: Socket, limit: usize) -> Option<()> {
    socket.next().await?.ok()?;
    say(&mut socket, json!({"uid": "u", "message": "SERVER_READY"})).await?;
    let mut sound: Vec<i16> = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else {
            continue;
        };
        if &bytes[..] == b"END_OF_AUDIO" {
            return socket.close(None).await.ok();
        }
        let (samples, _) = bytes.as_chunks::<4>();
        let samples = samples
            .iter()
            .map(|&it| (f32::from_le_bytes(it) * 32_768.0) as i16);
        sound.extend(samples);
        if sound.len() * 4 > limit {
            return None;
        }
        let end = format!("{:.3}", sound.len() as f64 / 16_000.0);
        let text = format!(" {}", words(&sound));
        let segment = json!({"start": "0.000", "end": end, "text": text, "completed": false});
        say(&mut socket, json!({"uid": "u", "segments": [segment]})).await?;
    }
    None
}

async fn whisperlivekit(mut socket: Socket, limit: usize) -> Option<()> {
    let config = json!({"type": "config", "useAudioWorklet": true, "mode": "full"});
    say(&mut socket, config).await?;
    let mut sound: Vec<u8> = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else {
            continue;
        };
        sound.extend_from_slice(&bytes);
        if sound.len() > limit {
            return None;
        }
        let text = words(&samples(&sound));
        let (line, buffer) = text.rsplit_once(' ').unwrap_or(("", &text));
        let line = json!({"speaker": 1, "text": line, "start": "0:00:00.00", "end": "0:00:01.00"});
        let buffer = format!(" {buffer}");
        say(
            &mut socket,
            json!({"lines": [line], "buffer_transcription": buffer}),
        )
        .await?;
        if bytes.is_empty() {
            say(&mut socket, json!({"type": "ready_to_stop"})).await?;
        }
    }
    None
}

async fn wyoming(stream: TcpStream, limit: usize) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut sound = Vec::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await.ok()?;
        let head: Value = serde_json::from_str(&line).ok()?;
        let mut payload = vec![0; head["payload_length"].as_u64().unwrap_or(0) as usize];
        read.read_exact(&mut payload).await.ok()?;
        sound.extend_from_slice(&payload);
        if sound.len() > limit {
            return None;
        }
        let data = match head["type"].as_str()? {
            "describe" => json!({"asr": [{"models": [{"name": "m"}]}]}),
            "audio-stop" => json!({"text": words(&samples(&sound))}),
            _ => continue,
        };
        let is_answer = head["type"] == "audio-stop";
        let kind = if is_answer { "transcript" } else { "info" };
        let data = data.to_string();
        let head = json!({"type": kind, "data_length": data.len()});
        let event = format!("{head}\n{data}");
        write.write_all(event.as_bytes()).await.ok()?;
        if is_answer {
            return None;
        }
    }
}

/// What it says is how much it has heard: the sound itself is another at 24 kHz.
async fn openai(mut socket: Socket, limit: usize) -> Option<()> {
    say(&mut socket, json!({"type": "session.created"})).await?;
    let (mut heard, mut items) = (0, 0);
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let event: Value = serde_json::from_str(&text).ok()?;
        match event["type"].as_str()? {
            "session.update" => say(&mut socket, json!({"type": "session.updated"})).await?,
            "input_audio_buffer.append" => {
                heard += BASE64.decode(event["audio"].as_str()?).ok()?.len();
                if heard > limit {
                    return None;
                }
            }
            "input_audio_buffer.clear" => heard = 0,
            "input_audio_buffer.commit" => {
                items += 1;
                let (id, text) = (format!("item-{items}"), format!("{} samples", heard / 2));
                heard = 0;
                let committed = json!({"type": "input_audio_buffer.committed", "item_id": id});
                say(&mut socket, committed).await?;
                let what = "conversation.item.input_audio_transcription";
                for (kind, field) in [("delta", "delta"), ("completed", "transcript")] {
                    let kind = format!("{what}.{kind}");
                    let said = json!({"type": kind, "item_id": id, field: text});
                    say(&mut socket, said).await?;
                }
            }
            _ => {}
        }
    }
    None
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    let (samples, _) = bytes.as_chunks::<2>();
    samples.iter().map(|&it| i16::from_le_bytes(it)).collect()
}

/// What each server makes of an utterance of so many frames, and whether it takes many on one
/// connection.
const SERVERS: [(&str, bool); 4] = [
    ("whisper-live", false),
    ("whisperlivekit", false),
    ("wyoming", false),
    ("openai-realtime", true),
];

fn expected(protocol: &str, utterance: u64, frames: usize) -> String {
    if protocol == "openai-realtime" {
        return format!("{} samples", frames * 720);
    }
    super::words(utterance, frames)
}

fn rig(server: &Server, protocol: &str) -> Rig {
    let mut settings = settings(&server.url);
    settings.remotes[0].protocol = protocol.to_owned();
    Rig::start(settings)
}

/// Nothing is lost and nothing is said twice, whether the server stays or breaks off; that a
/// connection has served its utterance is no trouble.
#[tokio::test]
async fn every_utterance_has_its_words() {
    for (protocol, takes_many) in SERVERS {
        for breaks in [false, true] {
            let server = Server::start(protocol, breaks).await;
            let mut rig = rig(&server, protocol);
            for (utterance, frames) in [(1, 20), (2, 5), (3, 9)] {
                rig.say(utterance, frames).await;
            }
            for (utterance, frames) in [(1, 20), (2, 5), (3, 9)] {
                let transcript = rig.ending().await.unwrap();
                assert_eq!(transcript.utterance, utterance, "{protocol}");
                let text = expected(protocol, utterance, frames);
                assert_eq!(transcript.text, text, "{protocol}, breaks: {breaks}");
            }
            // It is there again before anybody misses it.
            assert_eq!(rig.stop().await, [], "{protocol}, breaks: {breaks}");
            let connections = server.connections.load(Ordering::Relaxed);
            let wanted = if takes_many { 1 } else { 3 } + usize::from(breaks);
            assert_eq!(connections, wanted, "{protocol}");
        }
    }
}

/// What was cancelled in the middle is no part of what comes behind it.
#[tokio::test]
async fn what_is_cancelled_leaves_no_trace() {
    for (protocol, _) in SERVERS {
        let server = Server::start(protocol, false).await;
        let mut rig = rig(&server, protocol);
        rig.begin(1).await;
        rig.frames(1, 0..10).await;
        rig.tell(ToTranscriber::Cancel { session: 1 }).await;
        rig.session = 2;
        rig.say(2, 7).await;
        let transcript = rig.ending().await.unwrap();
        assert_eq!(transcript.utterance, 2, "{protocol}");
        assert_eq!(transcript.text, expected(protocol, 2, 7), "{protocol}");
        assert!(rig.stop().await.is_empty(), "{protocol}");
    }
}
