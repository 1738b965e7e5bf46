//! The real program with a real model: over TCP as a version 1 client meets it, over a socket pair
//! as the daemon does.
//!
//! Needs `tiny.en` among the installed models; without it each test says so and passes. The sound
//! is made here: what the model hears in it does not matter, that the answers follow the rules does.
//! Real speech is used where the corpus is.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};
use wstream_wire::{files, v1, v2};

/// Far longer than any decode here takes on a busy machine; only a hang is this slow.
const PATIENCE: Duration = Duration::from_secs(120);

fn model() -> Option<PathBuf> {
    let path = files::models_dir().map(|dir| files::model_path(&dir, "tiny.en"));
    let path = path.filter(|path| path.is_file());
    if path.is_none() {
        println!("skipped: no model tiny.en is installed");
    }
    path
}

/// A sentence of the corpus, else a second of something like a voice.
fn speech() -> Vec<i16> {
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
struct Engine {
    child: Child,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Engine {
    fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wstream-engine"));
        command
            .env_remove("PARTIAL_INTERVAL_MS")
            .env_remove("WSTREAM_LOG");
        command
    }

    fn listen(model: &PathBuf) -> (Engine, String) {
        let mut child = Self::command()
            .args(["--listen", "127.0.0.1:0", "--threads", "1", "--model"])
            .arg(model)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut lines = BufReader::new(stderr).lines();
        let address = loop {
            let line = lines.next().expect("the engine ended").unwrap();
            if let Some((_, address)) = line.split_once("address=") {
                break address.to_owned();
            }
        };
        // Its log must go on being read, or it would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        (Engine { child }, address)
    }

    fn stdio(model: &PathBuf) -> (Engine, StdUnixStream) {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let child = Self::command()
            .args(["--stdio", "--threads", "1", "--model"])
            .arg(model)
            .stdin(OwnedFd::from(theirs))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (Engine { child }, ours)
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the engine does not end");
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }
}

struct Client<S> {
    socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn connect(stream: S, path: &str, subprotocol: Option<&'static str>) -> Client<S> {
        let mut request = format!("ws://localhost{path}")
            .into_client_request()
            .unwrap();
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert(
                "Sec-WebSocket-Protocol",
                HeaderValue::from_static(subprotocol),
            );
        }
        let (socket, _) = client_async(request, stream).await.unwrap();
        Client { socket }
    }

    async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.socket.next())
            .await
            .expect("no answer")
            .expect("closed without a word")
            .unwrap()
    }

    async fn json(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(text.as_str()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The next message that is no partial.
    async fn answer(&mut self) -> Value {
        loop {
            let message = self.json().await;
            if message["type"] != "partial" {
                return message;
            }
        }
    }

    async fn close(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("{other:?}"),
        }
    }

    async fn v1_utterance(&mut self, samples: &[i16]) -> Value {
        for frame in samples.chunks(480) {
            self.send(v1::encode_frame(frame)).await;
        }
        self.send(v1::encode_vad_end()).await;
        self.answer().await
    }

    async fn v2_utterance(&mut self, utterance: u64, samples: &[i16]) -> Value {
        self.send(
            json!({"type": "begin", "utterance": utterance, "strategy": "prompt"}).to_string(),
        )
        .await;
        for frame in samples.chunks(480) {
            let sound = Message::binary(v2::encode_sound(frame));
            self.socket.send(sound).await.unwrap();
        }
        self.send(json!({"type": "end", "utterance": utterance}).to_string())
            .await;
        self.answer().await
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

async fn tcp(address: &str, path: &str) -> Client<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    Client::connect(stream, path, None).await
}

async fn pair(stream: StdUnixStream) -> Client<UnixStream> {
    stream.set_nonblocking(true).unwrap();
    let stream = UnixStream::from_std(stream).unwrap();
    Client::connect(stream, "/ws/transcribe/prompt", Some("wstream.v2")).await
}

#[test]
fn version_1_over_tcp() {
    let Some(model) = model() else { return };
    run(async {
        let (mut engine, address) = Engine::listen(&model);
        for (path, reason) in [
            ("/", "Invalid path"),
            ("/ws/transcribe/", "Invalid path"),
            ("/ws/transcribe/beam", "Unknown strategy: beam"),
        ] {
            let closed = tcp(&address, path).await.close().await;
            assert_eq!(closed, (1008, reason.to_owned()), "{path}");
        }
        let speech = speech();
        let mut texts = Vec::new();
        for strategy in ["prompt", "context", "hybrid"] {
            let path = format!("/ws/transcribe/{strategy}/and/more");
            let mut client = tcp(&address, &path).await;
            client.send(v1::encode_vad_end()).await;
            client.send("{").await;
            assert_eq!(client.answer().await["type"], "error");
            let first = client.v1_utterance(&speech).await;
            assert_eq!(first["type"], "final");
            assert_eq!(first["language"], "en");
            assert!(first["processing_time_ms"].as_f64().unwrap() > 0.0);
            let second = client.v1_utterance(&speech).await;
            assert_eq!(second["type"], "final");
            texts.push(first["text"].clone());
        }
        // Nothing is in front of a first utterance, whatever the strategy.
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[0], texts[2]);
        engine.terminate();
        assert_eq!(engine.exit_code().await, Some(0));
    });
}

#[test]
fn version_2_over_a_socket_pair() {
    let Some(model) = model() else { return };
    run(async {
        let (mut engine, stream) = Engine::stdio(&model);
        let mut client = pair(stream).await;
        let ready = client.json().await;
        assert_eq!(
            (
                &ready["type"],
                &ready["protocol"],
                &ready["model"],
                &ready["multilingual"]
            ),
            (&json!("ready"), &json!(2), &json!("tiny.en"), &json!(false))
        );
        let speech = speech();
        let first = client.v2_utterance(1, &speech).await;
        assert_eq!(
            (&first["type"], &first["utterance"]),
            (&json!("final"), &json!(1))
        );
        assert_eq!(first["sample"].as_u64(), Some(speech.len() as u64));
        let silence = client.v2_utterance(2, &[0; 16_000]).await;
        assert_eq!(
            (&silence["text"], &silence["utterance"]),
            (&json!(""), &json!(2))
        );
        drop(client);
        assert_eq!(engine.exit_code().await, Some(0));
    });
}

#[test]
fn a_ping_is_answered_while_a_final_is_decoded() {
    let Some(model) = model() else { return };
    run(async {
        let (_engine, stream) = Engine::stdio(&model);
        let mut client = pair(stream).await;
        client.json().await;
        let long: Vec<i16> = speech().into_iter().cycle().take(20 * 16_000).collect();
        client
            .send(json!({"type": "begin", "utterance": 1, "strategy": "prompt"}).to_string())
            .await;
        let sound = Message::binary(v2::encode_sound(&long));
        client.socket.send(sound).await.unwrap();
        client
            .send(json!({"type": "end", "utterance": 1}).to_string())
            .await;
        client
            .send(json!({"type": "ping", "id": 9}).to_string())
            .await;
        assert_eq!(client.answer().await, json!({"type": "pong", "id": 9}));
        assert_eq!(client.answer().await["type"], "final");
    });
}

#[test]
fn the_wish_to_end_still_delivers_what_is_owed() {
    let Some(model) = model() else { return };
    run(async {
        let (mut engine, stream) = Engine::stdio(&model);
        let mut client = pair(stream).await;
        client.json().await;
        client
            .send(json!({"type": "begin", "utterance": 1, "strategy": "prompt"}).to_string())
            .await;
        let sound = Message::binary(v2::encode_sound(&speech()));
        client.socket.send(sound).await.unwrap();
        client
            .send(json!({"type": "end", "utterance": 1}).to_string())
            .await;
        client
            .send(json!({"type": "ping", "id": 1}).to_string())
            .await;
        // Now the engine has read everything.
        while client.answer().await["type"] != "pong" {}
        engine.terminate();
        assert_eq!(client.answer().await["type"], "final");
        assert_eq!(client.answer().await["code"], "going-away");
        assert_eq!(client.close().await.0, 1001);
        drop(client);
        assert_eq!(engine.exit_code().await, Some(0));
    });
}

#[test]
fn a_missing_or_damaged_model_is_told_over_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut header = Vec::new();
    for number in [
        0x6767_6d6c_u32,
        51_864,
        1500,
        384,
        6,
        4,
        448,
        384,
        6,
        4,
        80,
        1,
    ] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    let missing = dir.path().join("ggml-nosuch.bin");
    for (path, code, part) in [
        (missing, "model-missing", "`wstreamctl model pull nosuch`"),
        (
            write("ggml-a.bin", b"not a model"),
            "model-invalid",
            "no Whisper model",
        ),
        (
            write("ggml-b.bin", b""),
            "model-invalid",
            "no Whisper model",
        ),
        (write("ggml-c.bin", &header), "model-invalid", "cut off"),
    ] {
        run(async {
            let (mut engine, stream) = Engine::stdio(&path);
            let mut client = pair(stream).await;
            let error = client.json().await;
            assert_eq!(error["code"], code, "{error}");
            assert!(error["message"].as_str().unwrap().contains(part), "{error}");
            assert_eq!(client.close().await.0, 1011);
            drop(client);
            assert_eq!(engine.exit_code().await, Some(1));
        });
    }
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    for (arguments, part) in [
        (
            vec!["--listen", "0.0.0.0:8765", "--model", "tiny.en"],
            "listen on 127.0.0.1",
        ),
        (
            vec!["--listen", "nowhere", "--model", "tiny.en"],
            "is no address",
        ),
        (
            vec!["--stdio", "--model", "tiny.en"],
            "no Unix stream socket",
        ),
        (
            vec!["--listen", "127.0.0.1:0", "--model", "../x y"],
            "nowhere",
        ),
        (vec![], "nothing to do"),
        (
            vec!["offline", "--model", "/nowhere/ggml-x.bin", "a.wav"],
            "wstreamctl model pull x",
        ),
    ] {
        let output = Engine::command()
            .args(&arguments)
            .stdin(Stdio::null())
            .env("WSTREAM_MODELS_DIR", "/nowhere")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        if part != "nowhere" {
            assert!(stderr.contains(part), "{arguments:?}: {stderr}");
        }
        assert_eq!(stderr.trim().lines().count(), 1, "{stderr}");
    }
}

#[test]
fn the_library_is_compiled_as_it_must_be() {
    let output = Engine::command().arg("--system-info").output().unwrap();
    let info = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(info.contains("whisper.cpp 1.8.3"), "{info}");
    if cfg!(target_arch = "x86_64") {
        for feature in ["LLAMAFILE", "AVX2", "FMA", "F16C", "BMI2"] {
            assert!(
                info.contains(&format!("{feature} = 1")),
                "{feature}: {info}"
            );
        }
        // Not for the machine that happens to build.
        assert!(!info.contains("AVX512"), "{info}");
    }
}
