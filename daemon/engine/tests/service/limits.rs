//! Each limit ends a session with a code of its own, in both versions.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use wstream_wire::v1;

use crate::program::{Client, Engine, model, run, speech, tcp, v2_over_tcp};

const PATH: &str = "/ws/transcribe/prompt";

/// What a version 2 client is told, and what a version 1 client is.
async fn told(v2: &mut Client<TcpStream>, v1: &mut Client<TcpStream>, code: &str, close: u16) {
    let error = v2.answer().await;
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!(code)),
        "{error}"
    );
    assert!(error.get("utterance").is_none(), "{error}");
    let error = v1.answer().await;
    assert_eq!(error["type"], "error", "{error}");
    for client in [v2, v1] {
        let (number, reason) = client.close().await;
        assert_eq!(number, close, "{reason}");
        assert!(reason.starts_with(&format!("{code}: ")), "{reason}");
    }
}

#[test]
fn one_session_too_many() {
    let Some(model) = model() else { return };
    run(async {
        let (_engine, address) = Engine::listen(&model, &["--max-sessions", "1"]);
        let mut first = v2_over_tcp(&address).await;
        let path_v2 = Client::connect(
            TcpStream::connect(&address).await.unwrap(),
            PATH,
            Some("wstream.v2"),
        );
        let mut second = path_v2.await;
        let mut third = tcp(&address, PATH).await;
        told(&mut second, &mut third, "busy", 1013).await;
        assert_eq!(first.v2_utterance(1, &speech()).await["type"], "final");
        drop(first);
        // The place is free as soon as the server has seen that.
        loop {
            let stream = TcpStream::connect(&address).await.unwrap();
            let mut client = Client::connect(stream, PATH, Some("wstream.v2")).await;
            if client.json().await["type"] == "ready" {
                break;
            }
        }
    });
}

#[test]
fn a_message_too_large() {
    let Some(model) = model() else { return };
    run(async {
        let (_engine, address) = Engine::listen(&model, &["--max-message-bytes", "4096"]);
        let mut v2 = v2_over_tcp(&address).await;
        let mut v1 = tcp(&address, PATH).await;
        // What had ended before is answered before.
        v2.say(1, &speech()).await;
        v2.sound(&[0; 2049]).await;
        assert_eq!(v2.answer().await["type"], "final");
        v1.send("x".repeat(4097)).await;
        told(&mut v2, &mut v1, "message-size", 1009).await;
    });
}

#[test]
fn a_session_too_long() {
    let Some(model) = model() else { return };
    run(async {
        let (_engine, address) = Engine::listen(&model, &["--max-session-s", "2"]);
        let (mut v2, mut v1) = (v2_over_tcp(&address).await, tcp(&address, PATH).await);
        v2.say(1, &speech()).await;
        v2.begin(2).await;
        v2.sound(&speech()).await;
        assert_eq!(v2.answer().await["type"], "final");
        told(&mut v2, &mut v1, "session-length", 1008).await;
    });
}

#[test]
fn nothing_for_too_long() {
    let Some(model) = model() else { return };
    run(async {
        let (_engine, address) = Engine::listen(&model, &["--idle-timeout-s", "2"]);
        let (mut v2, mut v1) = (v2_over_tcp(&address).await, tcp(&address, PATH).await);
        // Whoever speaks now and then is not idle, even if it is only to say so.
        let mut lively = v2_over_tcp(&address).await;
        let keep = async {
            for id in 0.. {
                lively
                    .send(json!({"type": "ping", "id": id}).to_string())
                    .await;
                assert_eq!(lively.answer().await["type"], "pong");
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        tokio::select! {
            () = keep => {}
            () = told(&mut v2, &mut v1, "idle", 1008) => {}
        }
        assert_eq!(lively.v2_utterance(1, &speech()).await["type"], "final");
    });
}

#[test]
fn sound_without_an_end() {
    let Some(model) = model() else { return };
    run(async {
        let (_engine, address) = Engine::listen(&model, &["--max-unanswered-s", "30"]);
        let (mut v2, mut v1) = (v2_over_tcp(&address).await, tcp(&address, PATH).await);
        let silence = vec![0; 16_000];
        for client in [&mut v2, &mut v1] {
            // As much as is allowed, with an end, is no trouble.
            client.begin(1).await;
        }
        for _ in 0..29 {
            v2.sound(&silence).await;
            v1.send(v1::encode_frame(&silence)).await;
        }
        v2.end(1).await;
        v1.send(v1::encode_vad_end()).await;
        assert_eq!(v2.answer().await["type"], "final");
        assert_eq!(v1.answer().await["type"], "final");
        v2.begin(2).await;
        for _ in 0..31 {
            v2.sound(&silence).await;
            v1.send(v1::encode_frame(&silence)).await;
        }
        told(&mut v2, &mut v1, "unanswered", 1008).await;
    });
}

#[test]
fn faster_than_the_window() {
    let Some(model) = model() else { return };
    run(async {
        let (_engine, address) = Engine::listen(&model, &[]);
        let mut client = v2_over_tcp(&address).await;
        let minute: Vec<i16> = speech().into_iter().cycle().take(60 * 16_000).collect();
        for utterance in 1..=6 {
            client.say(utterance, &minute).await;
        }
        client.say(7, &speech()).await;
        // The seventh is refused in its turn, which is sooner where nobody wants the six.
        for utterance in 1..=6 {
            let cancel = json!({"type": "cancel", "utterance": utterance});
            client.send(cancel.to_string()).await;
        }
        loop {
            let answer = client.answer().await;
            if answer["utterance"] == 7 {
                assert_eq!(answer["code"], "too-fast", "{answer}");
                break;
            }
        }
        // The session goes on.
        assert_eq!(client.v2_utterance(8, &speech()).await["type"], "final");
    });
}
