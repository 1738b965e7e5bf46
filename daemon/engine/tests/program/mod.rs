//! The real program for a test, and clients for it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code, of which each test program uses its own part; a skipped test says so"
)]

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};
use wstream_wire::{files, v1, v2};

/// Far longer than any decode here takes on a busy machine; only a hang is this slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn model() -> Option<PathBuf> {
    let path = files::models_dir().map(|dir| files::model_path(&dir, "tiny.en"));
    let path = path.filter(|path| path.is_file());
    if path.is_none() {
        println!("skipped: no model tiny.en is installed");
    }
    path
}

/// A sentence of the corpus, else a second of something like a voice.
pub(crate) fn speech() -> Vec<i16> {
    let shared = std::env::var_os("WSTREAM_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = shared.join("speech/dev/librispeech/1688-142285-0002.flac");
    match wstream_engine::sound_file::read(&file) {
        Ok(samples) => samples
            .into_iter()
            .map(wstream_wire::sample_to_i16)
            .collect(),
        Err(_) => {
            println!("no corpus: a buzz in place of speech");
            (0..16_000)
                .map(|i| if i % 133 < 66 { 4000 } else { -4000 })
                .collect()
        }
    }
}

/// The program; killed when the test ends.
#[derive(Debug)]
pub(crate) struct Engine {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Engine {
    pub(crate) fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wstream-engine"));
        for variable in [
            "PARTIAL_INTERVAL_MS",
            "WHISPER_BACKEND",
            "WHISPER_MODEL",
            "WSTREAM_ENGINE_BACKEND",
            "WSTREAM_LOG",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// The program on a port of this machine's own, and its address.
    pub(crate) fn listen(model: &Path, arguments: &[&str]) -> (Engine, String) {
        let mut command = Self::command();
        command
            .args(["--listen", "127.0.0.1:0", "--threads", "1", "--model"])
            .arg(model)
            .args(arguments);
        Self::start(&mut command)
    }

    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(command: &mut Command) -> (Engine, String) {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut lines = BufReader::new(stderr).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let address = loop {
            let line = lines.next().expect("the engine ended").unwrap();
            log.lock().unwrap().push(line.clone());
            let said = line.split_once("address=").map(|(_, rest)| rest.to_owned());
            let json = serde_json::from_str::<Value>(&line).ok();
            let json = json.and_then(|line| line["address"].as_str().map(str::to_owned));
            if let Some(address) = said.or(json) {
                break address;
            }
        };
        // Its log must go on being read, or it would wait for room in the pipe.
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        (Engine { child, log }, address)
    }

    pub(crate) fn stdio(model: &PathBuf) -> (Engine, StdUnixStream) {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let child = Self::command()
            .args(["--stdio", "--threads", "1", "--model"])
            .arg(model)
            .stdin(OwnedFd::from(theirs))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = Arc::default();
        (Engine { child, log }, ours)
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Megabytes of memory that it holds.
    pub(crate) fn memory_mb(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.unwrap().split_whitespace().next().unwrap();
        kilobytes.parse::<f64>().unwrap() / 1000.0
    }

    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the engine does not end");
    }

    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }
}

#[derive(Debug)]
pub(crate) struct Client<S> {
    pub(crate) socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn connect(
        stream: S,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> Client<S> {
        let protocol = subprotocol.map(|name| ("Sec-WebSocket-Protocol", name));
        Self::try_connect(stream, path, protocol.as_slice())
            .await
            .unwrap()
    }

    /// With headers; the status where there is no upgrade.
    pub(crate) async fn try_connect(
        stream: S,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client<S>, tokio_tungstenite::tungstenite::Error> {
        let mut request = format!("ws://localhost{path}")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(*name, value);
        }
        let (socket, _) = client_async(request, stream).await?;
        Ok(Client { socket })
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn sound(&mut self, samples: &[i16]) {
        let sound = Message::binary(v2::encode_sound(samples));
        self.socket.send(sound).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.socket.next())
            .await
            .expect("no answer")
            .expect("closed without a word")
            .unwrap()
    }

    pub(crate) async fn json(&mut self) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message that is no partial.
    pub(crate) async fn answer(&mut self) -> Value {
        loop {
            let message = self.json().await;
            if message["type"] != "partial" {
                return message;
            }
        }
    }

    pub(crate) async fn close(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Message::Close(Some(frame)) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn v1_utterance(&mut self, samples: &[i16]) -> Value {
        for frame in samples.chunks(480) {
            self.send(v1::encode_frame(frame)).await;
        }
        self.send(v1::encode_vad_end()).await;
        self.answer().await
    }

    pub(crate) async fn begin(&mut self, utterance: u64) {
        let begin = json!({"type": "begin", "utterance": utterance, "strategy": "prompt"});
        self.send(begin.to_string()).await;
    }

    pub(crate) async fn end(&mut self, utterance: u64) {
        self.send(json!({"type": "end", "utterance": utterance}).to_string())
            .await;
    }

    /// Says something, without waiting for the answer.
    pub(crate) async fn say(&mut self, utterance: u64, samples: &[i16]) {
        self.begin(utterance).await;
        for frame in samples.chunks(480) {
            self.sound(frame).await;
        }
        self.end(utterance).await;
    }

    pub(crate) async fn v2_utterance(&mut self, utterance: u64, samples: &[i16]) -> Value {
        self.say(utterance, samples).await;
        self.answer().await
    }
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

pub(crate) async fn tcp(address: &str, path: &str) -> Client<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    Client::connect(stream, path, None).await
}

/// A version 2 client that has been told that the server is ready.
pub(crate) async fn v2_over_tcp(address: &str) -> Client<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let path = "/ws/transcribe/prompt";
    let mut client = Client::connect(stream, path, Some(v2::SUBPROTOCOL)).await;
    assert_eq!(client.json().await["type"], "ready");
    client
}
