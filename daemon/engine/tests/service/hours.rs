//! Hours of sound through one session, as fast as it is taken: memory stays, numbers stay.

use std::collections::VecDeque;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use wstream_wire::v2;

use crate::program::{Engine, model, run, speech, v2_over_tcp};

/// Sound in front of the one that is to be answered: less than the window.
const AHEAD: usize = 120 * 16_000;

/// Pushes minutes, each an utterance of `spoken` seconds of speech that goes on in silence, and one
/// in ten without any speech. Every tenth minute the memory is looked at.
fn push(minutes: u64, spoken_s: usize) {
    let Some(model) = model() else { return };
    run(async {
        let (engine, address) = Engine::listen(&model, &[]);
        let client = v2_over_tcp(&address).await;
        let (mut to_server, mut from_server) = client.socket.split();
        let (to_sender, mut answered) = mpsc::unbounded_channel();
        let answers = tokio::spawn(async move {
            let mut texts = Vec::new();
            let mut said = String::new();
            let mut next = 1;
            while next <= minutes {
                let message = from_server.next().await.unwrap().unwrap();
                let Message::Text(text) = message else {
                    continue;
                };
                match v2::decode_server(text.as_str()).unwrap() {
                    v2::ServerMessage::Partial { utterance, .. } => assert_eq!(utterance, next),
                    v2::ServerMessage::Final(last) => {
                        assert_eq!(last.utterance, next);
                        said.push_str(&last.text);
                        if !last.more {
                            next += 1;
                            assert_eq!(last.sample, 60 * 16_000);
                            texts.push(std::mem::take(&mut said));
                            to_sender.send(()).unwrap();
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            texts
        });
        let speech = speech();
        let mut under_way = VecDeque::new();
        let mut memory = Vec::new();
        for minute in 1..=minutes {
            let mut sound = vec![0; 60 * 16_000];
            if minute % 10 != 0 {
                let spoken = &mut sound[8000..8000 + spoken_s * 16_000];
                let words = speech.iter().cycle();
                spoken
                    .iter_mut()
                    .zip(words)
                    .for_each(|(to, from)| *to = *from);
            }
            while under_way.iter().sum::<usize>() + sound.len() > AHEAD {
                answered.recv().await.unwrap();
                under_way.pop_front();
            }
            under_way.push_back(sound.len());
            let begin = json!({"type": "begin", "utterance": minute, "strategy": "context",
                "cuts": minute % 2 == 0});
            to_server
                .send(Message::text(begin.to_string()))
                .await
                .unwrap();
            for frame in sound.chunks(4800) {
                let frame = Message::binary(v2::encode_sound(frame));
                to_server.feed(frame).await.unwrap();
            }
            let end = json!({"type": "end", "utterance": minute});
            to_server
                .send(Message::text(end.to_string()))
                .await
                .unwrap();
            if minute % 10 == 0 {
                let now = engine.memory_mb();
                memory.push(now);
                println!("{minute} minutes of sound: {now:.1} MB");
            }
        }
        let texts = answers.await.unwrap();
        for (index, text) in texts.iter().enumerate() {
            assert_eq!(
                text.is_empty(),
                (index + 1) % 10 == 0,
                "minute {}: {text}",
                index + 1
            );
        }
        // After the first look every buffer has its size.
        let grown = memory.iter().copied().fold(0.0, f64::max) - memory[0];
        assert!(grown < 30.0, "{grown} MB: {memory:?}");
    });
}

#[test]
fn half_an_hour_leaves_nothing_behind() {
    push(30, 4);
}

/// Results of a run of this are in `SERVICE.md`.
#[test]
fn six_hours_leave_nothing_behind() {
    if std::env::var_os("RUN_SLOW_TESTS").is_none() {
        return;
    }
    push(370, 5);
}
