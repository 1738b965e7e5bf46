//! What hostile clients get, and that nobody else notices.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use wstream_wire::{MAX_MESSAGE_BYTES, v1};

use crate::program::{Client, Engine, model, run, speech, tcp, v2_over_tcp};
use crate::{from, raw};

const PATH: &str = "/ws/transcribe/prompt";

/// What somebody else gets meanwhile: the finals of a version 1 client, which depend on nothing but
/// its sound.
async fn neighbour(address: &str) -> Vec<String> {
    let mut client = tcp(address, PATH).await;
    let speech = speech();
    let mut finals = Vec::new();
    for sound in [&speech[..], &speech[..speech.len() / 2]] {
        let said = client.v1_utterance(sound).await;
        assert_eq!(said["type"], "final", "{said}");
        finals.push(said["text"].as_str().unwrap().to_owned());
    }
    finals
}

/// Runs `hostility` beside a neighbour, whose finals must be those of a quiet server.
fn beside_others(arguments: &[&str], hostility: impl AsyncFnOnce(&Engine, &str)) {
    let Some(model) = model() else { return };
    run(async {
        let (mut engine, address) = Engine::listen(&model, arguments);
        let calm = neighbour(&address).await;
        // Each core has buffers of its own, which its first decode makes.
        let all = futures_util::future::join_all((0..4).map(|_| neighbour(&address)));
        all.await;
        let (it_is_over, mut is_over) = tokio::sync::oneshot::channel();
        let others = tokio::spawn({
            let address = address.clone();
            async move {
                let mut seen = Vec::new();
                // At least once, and for as long as it goes on.
                loop {
                    seen.push(neighbour(&address).await);
                    if is_over.try_recv().is_ok() {
                        return seen;
                    }
                }
            }
        });
        hostility(&engine, &address).await;
        it_is_over.send(()).unwrap();
        for finals in others.await.unwrap() {
            assert_eq!(finals, calm);
        }
        engine.terminate();
        assert_eq!(engine.exit_code().await, Some(0));
    });
}

/// The session still works.
async fn goes_on(client: &mut Client<TcpStream>) {
    let said = client.v1_utterance(&speech()).await;
    assert_eq!(said["type"], "final", "{said}");
}

#[test]
fn messages_of_ten_megabytes_and_one_byte() {
    beside_others(&[], async |_, address| {
        let too_large = vec![b'x'; MAX_MESSAGE_BYTES + 1];
        let text = String::from_utf8(too_large.clone()).unwrap();
        let mut fragments = Vec::new();
        for (index, part) in too_large.chunks(1024 * 1024).enumerate() {
            let code = if index == 0 {
                Data::Text
            } else {
                Data::Continue
            };
            let is_last = (index + 1) * 1024 * 1024 > MAX_MESSAGE_BYTES;
            let frame = Frame::message(part.to_vec(), OpCode::Data(code), is_last);
            fragments.push(Message::Frame(frame));
        }
        for messages in [
            vec![Message::text(text)],
            vec![Message::binary(too_large)],
            fragments,
        ] {
            let mut client = v2_over_tcp(address).await;
            for message in messages {
                client.socket.send(message).await.unwrap();
            }
            assert_eq!(client.answer().await["code"], "message-size");
            assert_eq!(client.close().await.0, 1009);
        }
        // One byte less is a message, though not one of ours.
        let mut client = v2_over_tcp(address).await;
        client.send("x".repeat(MAX_MESSAGE_BYTES)).await;
        assert_eq!(client.answer().await["code"], "bad-message");
    });
}

#[test]
fn bytes_that_are_no_frames() {
    beside_others(&[], async |_, address| {
        let garbage: Vec<u8> = (0..100_000_u32)
            .map(|i| ((i * i) >> 7) as u8 | 0x70)
            .collect();
        let not_utf8 = [0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28];
        // From a client, frames are masked.
        let unmasked = [0x81, 2, b'{', b'}'];
        for (bytes, close) in [(&garbage[..], 1002), (&not_utf8, 1007), (&unmasked, 1002)] {
            let mut client = v2_over_tcp(address).await;
            client.socket.get_mut().write_all(bytes).await.unwrap();
            assert_eq!(client.answer().await["code"], "bad-message", "{close}");
            assert_eq!(client.close().await.0, close);
        }
        let answer = raw(
            &mut TcpStream::connect(address).await.unwrap(),
            &garbage[..500],
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let huge = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
        let answer = raw(
            &mut TcpStream::connect(address).await.unwrap(),
            huge.as_bytes(),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        // Version 1 has no binary messages.
        let mut client = tcp(address, PATH).await;
        client.socket.send(Message::binary(garbage)).await.unwrap();
        assert_eq!(client.answer().await["type"], "error");
        goes_on(&mut client).await;
    });
}

#[test]
fn sound_that_is_none() {
    beside_others(&[], async |_, address| {
        let mut client = tcp(address, PATH).await;
        let frame = |audio: &str| json!({"type": "audio_frame", "audio": audio}).to_string();
        for (message, part) in [
            (frame("%%%"), "base64"),
            (frame("AAA"), "base64"),
            (frame("AAAA"), "whole number"),
            (v1::encode_f32_frame([0.0, f32::NAN]), "finite"),
            (v1::encode_f32_frame([f32::INFINITY]), "finite"),
            (v1::encode_f32_frame([f32::NEG_INFINITY]), "finite"),
            (
                json!({"type": "audio_frame", "audio": 7}).to_string(),
                "malformed",
            ),
            (
                json!({"type": "audio_frame", "audio": "", "sample_rate": 8000}).to_string(),
                "8000",
            ),
            (json!({"type": 7}).to_string(), "malformed"),
            ("".to_owned(), "malformed"),
        ] {
            client.send(message.clone()).await;
            let error = client.answer().await;
            assert_eq!(error["type"], "error", "{message}");
            assert!(
                error["message"].as_str().unwrap().contains(part),
                "{message}: {error}"
            );
        }
        goes_on(&mut client).await;
        // Finite, though no sound has it: some answer comes, and the next utterance is whole.
        let loud: Vec<f32> = (0..32_000)
            .map(|i| if i % 2 == 0 { 3e38 } else { -3e38 })
            .collect();
        for samples in [
            loud,
            vec![f32::MIN_POSITIVE / 2.0; 32_000],
            vec![1e9; 32_000],
        ] {
            client.send(v1::encode_f32_frame(samples)).await;
            client.send(v1::encode_vad_end()).await;
            while client.answer().await["type"] != "final" {}
        }
        goes_on(&mut client).await;

        let mut client = v2_over_tcp(address).await;
        client.begin(1).await;
        for bytes in [vec![0; 1], vec![0; 4001]] {
            client.socket.send(Message::binary(bytes)).await.unwrap();
            assert_eq!(client.answer().await["code"], "bad-message");
        }
        client.end(1).await;
        assert_eq!(client.answer().await["type"], "final");
        client.sound(&[0; 480]).await;
        assert_eq!(client.answer().await["code"], "protocol");
        assert_eq!(client.v2_utterance(2, &speech()).await["type"], "final");
    });
}

#[test]
fn bombs_of_json() {
    beside_others(&[], async |engine, address| {
        let before = engine.memory_mb();
        let deep = format!("{}{}", "[".repeat(5_000_000), "]".repeat(5_000_000));
        let wide = format!("[0{}]", ",0".repeat(5_000_000));
        let strings = format!(r#"[""{}]"#, r#","""#.repeat(3_000_000));
        for bomb in [&deep, &wide, &strings] {
            let mut old = tcp(address, PATH).await;
            old.send(bomb.as_str()).await;
            assert_eq!(old.answer().await["type"], "error");
            old.send(format!(r#"{{"type":"audio_frame","audio":{bomb}}}"#))
                .await;
            assert_eq!(old.answer().await["type"], "error");
            let mut client = v2_over_tcp(address).await;
            client.send(bomb.as_str()).await;
            assert_eq!(client.answer().await["code"], "bad-message");
            // What a message adds is ignored, however much it is.
            client
                .send(format!(r#"{{"type":"ping","id":3,"x":{bomb}}}"#))
                .await;
            assert_eq!(client.answer().await, json!({"type": "pong", "id": 3}));
            let begin = r#""type":"begin","utterance":1,"strategy":"prompt""#;
            client
                .send(format!(r#"{{{begin},"vocabulary":{bomb}}}"#))
                .await;
            client.end(1).await;
            let answer = client.answer().await;
            let code = if bomb == &strings {
                "limit"
            } else {
                "bad-message"
            };
            assert_eq!(answer["code"], code, "{answer}");
        }
        // Three messages of ten megabytes, of which a tree of values would make hundreds.
        let grown = engine.memory_mb() - before;
        assert!(grown < 100.0, "{grown} MB");
    });
}

#[test]
fn a_million_tiny_messages() {
    beside_others(&[], async |engine, address| {
        let before = engine.memory_mb();
        let client = v2_over_tcp(address).await;
        let (mut to_server, mut from_server) = client.socket.split();
        let answers = tokio::spawn(async move {
            let mut pongs = 0;
            loop {
                let Message::Text(text) = from_server.next().await.unwrap().unwrap() else {
                    continue;
                };
                let message: serde_json::Value = serde_json::from_str(text.as_str()).unwrap();
                match message["type"].as_str().unwrap() {
                    "pong" => pongs += 1,
                    "final" => return (pongs, message["sample"].as_u64()),
                    "partial" => {}
                    _ => panic!("{message}"),
                }
            }
        });
        let begin = json!({"type": "begin", "utterance": 1, "strategy": "prompt", "cuts": false});
        to_server
            .feed(Message::text(begin.to_string()))
            .await
            .unwrap();
        // A pause: the next samples are looked at for voice, one after the other.
        let pause = json!({"type": "pause", "utterance": 1, "sample": 0});
        to_server
            .feed(Message::text(pause.to_string()))
            .await
            .unwrap();
        let sample = Message::binary(vec![0, 0]);
        let ping = Message::text(r#"{"type":"ping","id":1}"#);
        let unknown = Message::text(r#"{"type":"x"}"#);
        for _ in 0..250_000 {
            for message in [&sample, &ping, &sample, &unknown] {
                to_server.feed(message.clone()).await.unwrap();
            }
        }
        let end = json!({"type": "end", "utterance": 1});
        to_server
            .send(Message::text(end.to_string()))
            .await
            .unwrap();
        assert_eq!(answers.await.unwrap(), (250_000, Some(500_000)));
        let log = engine.log();
        let complaints = log.iter().filter(|line| line.contains("unknown type"));
        assert_eq!(complaints.count(), 3);
        let grown = engine.memory_mb() - before;
        assert!(grown < 100.0, "{grown} MB");
    });
}

#[test]
fn utterances_without_sound_or_end() {
    beside_others(&[], async |engine, address| {
        let before = engine.memory_mb();
        let client = v2_over_tcp(address).await;
        let (mut to_server, mut from_server) = client.socket.split();
        let vocabulary: Vec<String> = (0..1000).map(|i| format!("{i:0>100}")).collect();
        let answers = tokio::spawn(async move {
            let mut next = 1;
            while next <= 2000 {
                let Message::Text(text) = from_server.next().await.unwrap().unwrap() else {
                    continue;
                };
                let message: serde_json::Value = serde_json::from_str(text.as_str()).unwrap();
                assert_eq!(message["utterance"], next, "{message}");
                next += 1;
            }
        });
        for utterance in 1..=2000 {
            let begin = json!({"type": "begin", "utterance": utterance, "strategy": "prompt",
                "vocabulary": vocabulary, "previous": "x".repeat(60_000)});
            to_server
                .feed(Message::text(begin.to_string()))
                .await
                .unwrap();
            if utterance % 2 == 0 {
                let end = json!({"type": "end", "utterance": utterance});
                to_server
                    .feed(Message::text(end.to_string()))
                    .await
                    .unwrap();
            }
        }
        to_server.flush().await.unwrap();
        answers.await.unwrap();
        // Of 320 MB of text.
        let grown = engine.memory_mb() - before;
        assert!(grown < 100.0, "{grown} MB");
    });
}

#[test]
fn requests_that_come_in_crumbs() {
    beside_others(&[], async |_, address| {
        // More of them than wait, from one place; one of them goes on and on.
        let mut crumbs = Vec::new();
        for _ in 0..700 {
            let mut stream = from("127.0.0.9", address).await;
            stream.write_all(b"GET /ws/transc").await.unwrap();
            crumbs.push(stream);
        }
        let mut last = crumbs.pop().unwrap();
        let (mut reading, mut writing) = last.split();
        let dribble = async {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = String::new();
        tokio::select! {
            () = dribble => {}
            read = reading.read_to_string(&mut answer) => {
                read.unwrap();
            }
        }
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        // The first ones had to go for the others.
        let mut first = String::new();
        let gone = crumbs[0].read_to_string(&mut first).await;
        assert!(gone.is_err() || first.is_empty(), "{first}");
    });
}

#[test]
fn a_client_that_does_not_read() {
    beside_others(&[], async |engine, address| {
        let before = engine.memory_mb();
        let mut client = v2_over_tcp(address).await;
        let wrong = Message::text("x".repeat(1000));
        let mut sent = 0;
        // Until nothing goes any more: the server does not read whoever does not read.
        while let Ok(done) =
            tokio::time::timeout(Duration::from_secs(3), client.socket.send(wrong.clone())).await
        {
            done.unwrap();
            sent += 1;
            assert!(sent < 1_000_000, "a gigabyte was taken");
        }
        let grown = engine.memory_mb() - before;
        println!("a client that does not read: {sent} kB were taken, memory grew by {grown:.1} MB");
        assert!(grown < 20.0, "{grown} MB");
    });
}
