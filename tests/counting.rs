use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use wstream_wire::v2::{self, ClientMessage, Final, ServerMessage};

/// A transcription server that answers each utterance at once, with a text that counts them:
/// `number 1`, `number 2`. For tests of what comes behind a final.
#[derive(Debug)]
pub struct CountingServer {
    /// For `[remote.NAME]`.
    pub url: String,
    answered: Arc<Mutex<Vec<Instant>>>,
    task: JoinHandle<()>,
}

impl CountingServer {
    /// Listens on a port of its own.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}", listener.local_addr()?);
        let answered = Arc::new(Mutex::new(Vec::new()));
        let count = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn({
            let answered = answered.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // A connection that ends is nobody's fault.
                    tokio::spawn(serve(stream, count.clone(), answered.clone()));
                }
            }
        });
        Ok(CountingServer {
            url,
            answered,
            task,
        })
    }

    /// When it sent the text with this number.
    pub fn answered(&self, number: usize) -> Result<Instant> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let at = number.checked_sub(1).and_then(|index| answered.get(index));
        at.copied().context("the server has said no such number")
    }

    /// The configuration of a daemon that asks it.
    pub fn configuration(&self) -> String {
        let url = &self.url;
        format!("backend = \"counting\"\n[remote.counting]\nurl = \"{url}\"\n")
    }
}

impl Drop for CountingServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    count: Arc<AtomicU64>,
    answered: Arc<Mutex<Vec<Instant>>>,
) -> Result<()> {
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let choose = |_: &Request, mut response: Response| {
        let protocol = v2::SUBPROTOCOL.parse().expect("it is a header's value");
        let headers = response.headers_mut();
        headers.insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, choose).await?;
    let ready = ServerMessage::Ready {
        protocol: 2,
        model: "counting".to_owned(),
        version: "0".to_owned(),
        multilingual: true,
        window_samples: 960_000,
    };
    socket
        .send(Message::text(v2::encode_server(&ready)))
        .await?;
    let mut samples = 0;
    while let Some(message) = socket.next().await {
        let message = match message? {
            Message::Binary(sound) => {
                samples += sound.len() as u64 / 2;
                continue;
            }
            Message::Text(text) => v2::decode_client(&text)?,
            _ => continue,
        };
        let answer = match message {
            ClientMessage::Begin(_) => {
                samples = 0;
                continue;
            }
            ClientMessage::End { utterance } => {
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
                answered.push(Instant::now());
                ServerMessage::Final(Final {
                    utterance,
                    text: format!("number {number}"),
                    language: "en".to_owned(),
                    sample: samples,
                    ..Final::default()
                })
            }
            ClientMessage::Ping { id } => ServerMessage::Pong { id },
            _ => continue,
        };
        socket
            .send(Message::text(v2::encode_server(&answer)))
            .await?;
    }
    Ok(())
}
