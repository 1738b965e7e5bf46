//! Every fault of a server, between and in the middle of utterances. The time is paused: waiting
//! costs nothing, and what is asserted is what happened, not when.

use std::time::Duration;

use tokio::net::TcpListener;
use wstream_wire::v2::codes;

use super::{Act, Rig, Server, Version, settings, words};
use crate::fault::FaultKind;
use crate::transcriber::ToTranscriber;

#[tokio::test(start_paused = true)]
async fn utterances_get_their_finals() {
    for version in [Version::V2, Version::V1] {
        let server = Server::start(version, &[Act::Serve]).await;
        let mut rig = Rig::start(settings(&server.url));
        for utterance in 1..=5 {
            rig.say(utterance, 20).await;
        }
        for utterance in 1..=5 {
            rig.expect_words(utterance, 20).await;
        }
        assert!(rig.stop().await.is_empty());
        let seen = server.seen();
        assert_eq!((seen.connections, seen.finals), (1, 5), "{version:?}");
        assert_eq!(seen.paths, ["/ws/transcribe/prompt"]);
    }
}

/// Exactly one final for each utterance with every sample in it, and at most one word of trouble.
async fn survives(version: Version, act: Act) {
    println!("{version:?} {act:?}");
    let server = Server::start(version, &[act, Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 20).await;
    rig.begin(2).await;
    rig.frames(2, 0..10).await;
    rig.expect_words(1, 20).await;
    rig.frames(2, 10..30).await;
    rig.end(2).await;
    rig.say(3, 5).await;
    rig.expect_words(2, 30).await;
    rig.expect_words(3, 5).await;
    let troubles = rig.stop().await;
    assert!(troubles.len() <= 1, "{act:?}: {troubles:?}");
    assert!(server.seen().connections >= 2, "{act:?} did not happen");
}

#[tokio::test(start_paused = true)]
async fn transient_faults_lose_nothing() {
    // In the pre-roll, in the first utterance, at its end, in the second.
    for after in [0, 480, 4_800, 9_600, 12_000] {
        for act in [
            Act::Drop(after),
            Act::Stall(after),
            Act::Mute(after),
            Act::Garbage(after),
            Act::Close(1001, after),
            Act::Close(1008, after),
            Act::Close(1011, after),
        ] {
            survives(Version::V2, act).await;
            survives(Version::V1, act).await;
        }
    }
    for act in [
        Act::DropAtEnd,
        Act::DropAfterFinal,
        Act::Http(401),
        Act::Http(503),
        Act::Silence,
    ] {
        survives(Version::V2, act).await;
        survives(Version::V1, act).await;
    }
    survives(Version::V2, Act::Loading).await;
    survives(Version::V2, Act::Refuse(codes::GOING_AWAY)).await;
}

#[tokio::test(start_paused = true)]
async fn answers_out_of_order_are_asked_for_again() {
    let server = Server::start(Version::V2, &[Act::OutOfOrder, Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 3).await;
    rig.say(2, 3).await;
    rig.expect_words(1, 3).await;
    rig.expect_words(2, 3).await;
    rig.stop().await;
    assert_eq!(server.seen().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_cuts_goes_on_behind_the_cut() {
    let server = Server::start(Version::V2, &[Act::Cut(19_200), Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.begin(1).await;
    rig.frames(1, 0..60).await;
    while server.seen().connections < 2 {
        rig.wait(Duration::from_millis(1)).await;
    }
    rig.frames(1, 60..70).await;
    rig.end(1).await;
    rig.expect_words(1, 70).await;
    assert!(rig.stop().await.is_empty());
    let seen = server.seen();
    let committed = seen.begins[1].committed.as_ref().unwrap();
    assert_eq!((committed.sample, &committed.text), (19_200, &words(1, 40)));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_settings_is_no_new_outage() {
    let server = Server::start(Version::V2, &[Act::Http(503)]).await;
    let mut settings = settings(&server.url);
    let mut rig = Rig::start(settings.clone());
    rig.say(1, 3).await;
    for language in ["en", "de", "fr"] {
        rig.wait(Duration::from_secs(10)).await;
        settings.language = language.to_owned();
        let settings = Box::new(settings.clone());
        rig.tell(ToTranscriber::Configure(settings)).await;
    }
    let (_, fault) = rig.ending().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::RemoteLost);
    assert_eq!(rig.stop().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_stays_when_the_next_server_says_it_differently() {
    let server = Server::start(Version::V2, &[Act::Drop(9_600), Act::Shout]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 30).await;
    let said = rig.ending().await.unwrap();
    let expected: Vec<String> = words(1, 30).split(' ').map(str::to_owned).collect();
    let said: Vec<&str> = said.text.split(' ').collect();
    assert_eq!(said.len(), 30, "{said:?}");
    let small = said.iter().take_while(|word| word.starts_with('v')).count();
    assert!((1..30).contains(&small), "{said:?}");
    for (said, expected) in said.iter().zip(&expected) {
        assert_eq!(said.to_lowercase(), *expected);
    }
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_strategies_survive_a_reconnect() {
    let server = Server::start(Version::V2, &[Act::DropAfterFinal, Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 40).await;
    rig.expect_words(1, 40).await;
    for utterance in 2..=3 {
        rig.say(utterance, 4).await;
        rig.expect_words(utterance, 4).await;
    }
    rig.stop().await;
    let seen = server.seen();
    let [first, second, third] = &seen.begins[..] else {
        panic!("{:?}", seen.begins);
    };
    assert_eq!((&first.previous, first.context_samples), (&None, 0));
    assert_eq!(second.previous, Some(words(1, 40)));
    assert_eq!(second.context_samples, 16_000);
    assert_eq!((&third.previous, third.context_samples), (&None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_for_good_fails_what_is_owed() {
    // An address where nothing listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut rig = Rig::start(settings(&url));
    rig.say(1, 3).await;
    rig.say(2, 3).await;
    for expected in 1..=2 {
        let (utterance, fault) = rig.ending().await.unwrap_err();
        assert_eq!(
            (utterance, fault.kind),
            (expected, FaultKind::RemoteRefused)
        );
        assert!(fault.message.contains(&url), "{fault}");
    }
    assert_eq!(rig.troubles.len(), 1);
    // Still away: the next one is tried as long, and the user knows already.
    rig.say(3, 3).await;
    assert_eq!(rig.ending().await.unwrap_err().0, 3);
    assert_eq!(rig.stop().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn other_refusals_for_good() {
    for (act, kind) in [
        (Act::Http(404), FaultKind::RemoteRefused),
        (Act::Close(1008, 0), FaultKind::RemoteRefused),
        (Act::Http(503), FaultKind::RemoteLost),
        (Act::Silence, FaultKind::RemoteLost),
        (Act::Drop(0), FaultKind::RemoteLost),
        (Act::Mute(0), FaultKind::RemoteLost),
        (Act::Stall(0), FaultKind::RemoteLost),
        (Act::Loading, FaultKind::RemoteLost),
        (Act::DropAtEnd, FaultKind::RemoteLost),
    ] {
        println!("{act:?}");
        let server = Server::start(Version::V2, &[act]).await;
        let mut rig = Rig::start(settings(&server.url));
        rig.say(1, 3).await;
        let (utterance, fault) = rig.ending().await.unwrap_err();
        assert_eq!((utterance, fault.kind), (1, kind), "{act:?}");
        assert_eq!(rig.stop().await.len(), 1);
        // Growing pauses: neither a single try nor hundreds.
        assert!((2..40).contains(&server.seen().connections));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_cannot_do_at_all_is_not_tried_again() {
    for (code, kind) in [
        (codes::MODEL_MISSING, FaultKind::ModelMissing),
        (codes::MODEL_INVALID, FaultKind::ModelInvalid),
        (codes::CPU_UNSUPPORTED, FaultKind::CpuUnsupported),
    ] {
        let script = [Act::Refuse(code), Act::Refuse(code), Act::Serve];
        let server = Server::start(Version::V2, &script).await;
        let mut rig = Rig::start(settings(&server.url));
        // Nothing is owed yet: the user is told without an utterance.
        rig.warm().await;
        rig.wait(Duration::from_secs(1)).await;
        assert_eq!(rig.troubles.len(), 1);
        assert_eq!(rig.troubles[0].kind, kind);
        for utterance in 1..=3 {
            rig.say(utterance, 3).await;
            assert_eq!(rig.ending().await.unwrap_err().1.kind, kind);
        }
        assert_eq!(server.seen().connections, 1);
        rig.warm().await;
        rig.wait(Duration::from_secs(1)).await;
        rig.warm().await;
        rig.say(4, 3).await;
        rig.expect_words(4, 3).await;
        assert_eq!(rig.stop().await.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_utterance_that_fails_does_not_take_the_others_with_it() {
    for (code, kind) in [
        (codes::DECODE, FaultKind::Failed),
        (codes::BAD_LANGUAGE, FaultKind::BadOption),
    ] {
        let server = Server::start(Version::V2, &[Act::FailFirst(code)]).await;
        let mut rig = Rig::start(settings(&server.url));
        rig.say(1, 3).await;
        rig.say(2, 3).await;
        let (utterance, fault) = rig.ending().await.unwrap_err();
        assert_eq!((utterance, fault.kind), (1, kind));
        rig.expect_words(2, 3).await;
        rig.stop().await;
        assert_eq!(server.seen().connections, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn urls_that_cannot_be_used() {
    for url in [
        "wss://me:secret@localhost:1",
        "http://localhost:1",
        "ws://",
        "nonsense",
        "",
    ] {
        let mut rig = Rig::start(settings(url));
        rig.say(1, 3).await;
        let (_, fault) = rig.ending().await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::BadConfig, "{url}");
        rig.stop().await;
    }
}
