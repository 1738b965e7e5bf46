//! The real program with a real model: over TCP as a version 1 client meets it, over a socket pair
//! as the daemon does.
//!
//! Needs `tiny.en` among the installed models; without it each test says so and passes. The sound
//! is made here: what the model hears in it does not matter, that the answers follow the rules does.
//! Real speech is used where the corpus is.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code: a panic is the report, and a skipped test says so"
)]

mod program;

use std::process::Stdio;

use futures_util::SinkExt as _;
use program::{Client, Engine, model, run, speech, tcp};
use serde_json::json;
use std::os::unix::net::UnixStream as StdUnixStream;
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::Message;
use wstream_wire::{v1, v2};

async fn pair(stream: StdUnixStream) -> Client<UnixStream> {
    stream.set_nonblocking(true).unwrap();
    let stream = UnixStream::from_std(stream).unwrap();
    Client::connect(stream, "/ws/transcribe/prompt", Some("wstream.v2")).await
}

#[test]
fn version_1_over_tcp() {
    let Some(model) = model() else { return };
    run(async {
        let (mut engine, address) = Engine::listen(&model, &[]);
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
            "--token-file FILE",
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
