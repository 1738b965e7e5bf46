//! The wish to end: what is owed is delivered, everybody is told, nobody comes in.

use tokio::net::TcpStream;

use crate::program::{Engine, model, run, speech, tcp, v2_over_tcp};

#[test]
fn what_is_owed_is_delivered_and_everybody_is_told() {
    let Some(model) = model() else { return };
    run(async {
        let (mut engine, address) = Engine::listen(&model, &[]);
        let mut owed = v2_over_tcp(&address).await;
        let mut open = v2_over_tcp(&address).await;
        let mut old = tcp(&address, "/ws/transcribe/prompt").await;
        let mut idle = v2_over_tcp(&address).await;
        for utterance in 1..=3 {
            owed.say(utterance, &speech()).await;
        }
        open.begin(1).await;
        open.sound(&speech()).await;
        old.send(wstream_wire::v1::encode_frame(&speech())).await;
        old.send(wstream_wire::v1::encode_vad_end()).await;
        let mut last = 0;
        for client in [&mut owed, &mut open] {
            // Once a ping is answered, everything before it has been read.
            client.send(r#"{"type":"ping","id":1}"#).await;
            loop {
                let answer = client.answer().await;
                if answer["type"] == "pong" {
                    break;
                }
                last = answer["utterance"].as_u64().unwrap();
            }
        }
        // Version 1 has no ping, but a complaint.
        old.send("{").await;
        let mut said = old.answer().await;
        let was_answered = said["type"] == "final";
        if was_answered {
            said = old.answer().await;
        }
        assert_eq!(said["type"], "error");
        engine.terminate();
        for (client, open) in [(&mut idle, false), (&mut open, true)] {
            let told = client.answer().await;
            assert_eq!(told["code"], "going-away", "{open}: {told}");
            assert_eq!(client.close().await.0, 1001);
        }
        loop {
            let answer = owed.answer().await;
            match answer["utterance"].as_u64() {
                Some(utterance) => {
                    assert_eq!(answer["type"], "final");
                    assert!(utterance > last);
                    last = utterance;
                }
                None => {
                    assert_eq!(answer["code"], "going-away");
                    break;
                }
            }
        }
        assert_eq!(last, 3);
        assert_eq!(owed.close().await.0, 1001);
        if !was_answered {
            assert_eq!(old.answer().await["type"], "final");
        }
        assert_eq!(old.close().await.0, 1001);
        assert!(
            TcpStream::connect(&address).await.is_err(),
            "nobody comes in"
        );
        drop((owed, open, old, idle));
        assert_eq!(engine.exit_code().await, Some(0));
    });
}

#[test]
fn the_end_has_a_limit() {
    let Some(model) = model() else { return };
    run(async {
        let (mut engine, address) = Engine::listen(&model, &["--drain-s", "0"]);
        let mut client = v2_over_tcp(&address).await;
        let long: Vec<i16> = speech().into_iter().cycle().take(200 * 16_000).collect();
        client.begin(1).await;
        client.sound(&long).await;
        client.end(1).await;
        client.send(r#"{"type":"ping","id":1}"#).await;
        assert_eq!(client.answer().await["type"], "pong");
        engine.terminate();
        assert_eq!(engine.exit_code().await, Some(0));
        let log = engine.log().join("\n");
        assert!(log.contains("finals were still owed"), "{log}");
    });
}
