//! Remotes that refuse for good, those that another takes over for, what is kept for a retry, and
//! when a connection is made and let go. The time is paused.

use std::time::Duration;

use super::speaking::FIRST_NEW_NUMBER;
use super::{Act, Rig, Server, Version, settings, words};
use crate::event::{Event, ServerState};
use crate::fault::FaultKind;
use crate::transcriber::{Fallback, Remote, ToTranscriber, TranscriberSettings};

const SECOND: Duration = Duration::from_secs(1);

/// Settings with `first` as the backend, and `second` as its fallback.
fn with_fallback(first: &Server, second: &Server) -> TranscriberSettings {
    let mut settings = settings(&first.url);
    settings.remotes[0].fallback = Some(Fallback {
        to: "second".to_owned(),
        after: 5 * SECOND,
        well_for: 30 * SECOND,
    });
    settings.remotes.push(Remote {
        name: "second".to_owned(),
        url: second.url.clone(),
        ..Remote::default()
    });
    settings
}

/// Everything that can be wrong with a server for longer than the fallback waits.
const FAULTS: [Act; 13] = [
    Act::Http(401),
    Act::Http(403),
    Act::Http(404),
    Act::Http(503),
    Act::Later(60),
    Act::Silence,
    Act::Loading,
    Act::Drop(0),
    Act::Stall(4_800),
    Act::Mute(4_800),
    Act::Garbage(4_800),
    Act::Close(1008, 4_800),
    Act::DropAtEnd,
];

#[tokio::test(start_paused = true)]
async fn a_fallback_takes_over_with_all_sound() {
    for version in [Version::V2, Version::V1] {
        for act in FAULTS {
            if (version, act) == (Version::V1, Act::Loading) {
                // Version 1 has no such thing.
                continue;
            }
            println!("{version:?} {act:?}");
            let first = Server::start(version, &[act]).await;
            let second = Server::start(version, &[Act::Serve]).await;
            let mut rig = Rig::start(with_fallback(&first, &second));
            rig.say(1, 30).await;
            let transcript = rig.ending().await.unwrap();
            assert_eq!((transcript.utterance, transcript.text), (1, words(1, 30)));
            assert_eq!(transcript.backend, "second");
            // The next goes there at once, also one that waited.
            rig.say(2, 10).await;
            rig.say(3, 10).await;
            rig.expect_words(2, 10).await;
            rig.expect_words(3, 10).await;
            let status = rig.statuses.last().unwrap().clone();
            assert_eq!(
                (status.backend.as_str(), status.state),
                ("second", ServerState::Connected)
            );
            assert!(status.fault.is_some());
            let troubles = rig.stop().await;
            assert_eq!(troubles.len(), 1, "{troubles:?}");
            let message = &troubles[0].message;
            assert!(message.contains("second takes over"), "{message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_goes_with_the_sound() {
    let first = Server::start(Version::V2, &[Act::Stall(9_600)]).await;
    let second = Server::start(Version::V2, &[Act::Serve]).await;
    let mut rig = Rig::start(with_fallback(&first, &second));
    rig.say(1, 40).await;
    rig.expect_words(1, 40).await;
    rig.stop().await;
    let seen = second.seen();
    let committed = seen.begins[0].committed.as_ref().unwrap();
    assert!(words(1, 40).starts_with(&committed.text) && committed.sample > 0);
}

#[tokio::test(start_paused = true)]
async fn utterances_go_back_when_the_server_has_been_well_for_a_while() {
    // Away for as long as the fallback waits, and for a trial or two.
    let mut script = vec![Act::Http(503); 8];
    script.push(Act::Serve);
    for version in [Version::V2, Version::V1] {
        let first = Server::start(version, &script).await;
        let second = Server::start(version, &[Act::Serve]).await;
        let mut rig = Rig::start(with_fallback(&first, &second));
        rig.say(1, 10).await;
        assert_eq!(rig.ending().await.unwrap().backend, "second");
        // While there is something to say.
        let mut backends = Vec::new();
        for utterance in 2..30 {
            rig.wait(12 * SECOND).await;
            rig.say(utterance, 10).await;
            let transcript = rig.ending().await.unwrap();
            assert_eq!(transcript.text, words(utterance, 10));
            backends.push(transcript.backend);
        }
        let back = backends.iter().position(|backend| backend == "there");
        let back = back.unwrap_or_else(|| panic!("never back: {backends:?}"));
        assert!(back > 3, "{backends:?}");
        assert!(backends[back..].iter().all(|backend| backend == "there"));
        assert_eq!(rig.statuses.last().unwrap().fault, None);
        assert_eq!(rig.stop().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_utterance_stays_where_it_began_when_the_other_is_back() {
    let first = Server::start(Version::V2, &[Act::Http(401), Act::Http(401), Act::Serve]).await;
    let second = Server::start(Version::V2, &[Act::Serve]).await;
    let mut rig = Rig::start(with_fallback(&first, &second));
    rig.begin(1).await;
    for index in 0..200 {
        rig.frames(1, index..index + 1).await;
        rig.wait(SECOND / 2).await;
    }
    rig.end(1).await;
    let transcript = rig.ending().await.unwrap();
    assert_eq!(
        (transcript.text, transcript.backend.as_str()),
        (words(1, 200), "second")
    );
    rig.say(2, 10).await;
    assert_eq!(rig.ending().await.unwrap().backend, "there");
    rig.stop().await;
    assert_eq!(second.seen().begins.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_while_nothing_is_said() {
    let first = Server::start(Version::V2, &[Act::Http(503)]).await;
    let second = Server::start(Version::V2, &[Act::Serve]).await;
    let mut settings = with_fallback(&first, &second);
    settings.remotes[1].idle_disconnect = Some(10 * SECOND);
    let mut rig = Rig::start(settings);
    rig.say(1, 10).await;
    rig.expect_words(1, 10).await;
    rig.wait(60 * SECOND).await;
    let connections = first.seen().connections;
    rig.wait(3600 * SECOND).await;
    assert_eq!(first.seen().connections, connections);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_fails_once_and_is_kept() {
    for (act, hint) in [
        (Act::Http(401), "token_file"),
        (Act::Http(403), "token_file"),
        (Act::Garbage(0), "speaks wstream"),
    ] {
        println!("{act:?}");
        let script = match act {
            Act::Garbage(_) => vec![act, act, act, Act::Serve],
            _ => vec![act, act, Act::Serve],
        };
        let server = Server::start(Version::V2, &script).await;
        let mut rig = Rig::start(settings(&server.url));
        // One that is still being said fails when all of it is there.
        rig.begin(1).await;
        rig.frames(1, 0..10).await;
        rig.wait(10 * SECOND).await;
        assert_eq!(rig.statuses.last().unwrap().state, ServerState::Refused);
        rig.frames(1, 10..30).await;
        rig.end(1).await;
        rig.say(2, 10).await;
        for expected in 1..=2 {
            let (utterance, fault) = rig.ending().await.unwrap_err();
            assert_eq!(
                (utterance, fault.kind),
                (expected, FaultKind::RemoteRefused)
            );
            assert!(fault.message.contains(hint), "{fault}");
            assert!(fault.message.contains("wstreamctl"), "{fault}");
        }
        rig.wait(SECOND).await;
        assert_eq!(rig.statuses.last().unwrap().kept, 2);
        assert!(server.seen().connections < script.len());

        rig.tell(ToTranscriber::Retry { session: 7 }).await;
        let mut told = Vec::new();
        let mut texts = Vec::new();
        while texts.len() < 2 {
            match rig.event().await {
                Event::Started {
                    utterance, session, ..
                } => told.push((utterance, session)),
                Event::Final(said) => texts.push((said.utterance, said.text)),
                Event::CaptureEnded {
                    session,
                    fault: None,
                } => assert_eq!(session, 7),
                Event::Ended { .. } | Event::Partial { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let (first, second) = (FIRST_NEW_NUMBER, FIRST_NEW_NUMBER + 1);
        assert_eq!(told, [(first, 7), (second, 7)]);
        assert_eq!(texts, [(first, words(1, 30)), (second, words(2, 10))]);
        assert_eq!(rig.statuses.last().unwrap().kept, 0);
        // What comes after it has its own place.
        rig.say(3, 5).await;
        rig.expect_words(3, 5).await;
        assert!(rig.stop().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_has_its_limits() {
    let server = Server::start(Version::V2, &[Act::Http(401)]).await;
    let mut settings = settings(&server.url);
    settings.retry_limit = 2 * SECOND;
    let mut rig = Rig::start(settings);
    for utterance in 1..=3 {
        rig.say(utterance, 30).await;
        rig.ending().await.unwrap_err();
    }
    rig.wait(SECOND).await;
    let status = rig.statuses.last().unwrap();
    assert_eq!((status.kept, status.kept_s), (2, 1.8));
    rig.wait(3600 * SECOND).await;
    assert_eq!(rig.statuses.last().unwrap().kept, 0);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_the_end_of_what_is_being_said() {
    let server = Server::start(Version::V2, &[Act::Http(401), Act::Http(401), Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 10).await;
    rig.ending().await.unwrap_err();
    rig.begin(2).await;
    rig.frames(2, 0..10).await;
    rig.wait(SECOND).await;
    rig.tell(ToTranscriber::Retry { session: 2 }).await;
    rig.wait(5 * SECOND).await;
    // Another wish is as good: the first session ends without anything.
    rig.tell(ToTranscriber::Retry { session: 3 }).await;
    rig.frames(2, 10..20).await;
    rig.end(2).await;
    let mut ends = Vec::new();
    while ends.len() < 4 {
        match rig.event().await {
            Event::CaptureEnded { session, .. } => ends.push(format!("session {session}")),
            Event::Final(said) => {
                let frames = if said.utterance == 2 {
                    (2, 20)
                } else {
                    (1, 10)
                };
                assert_eq!(said.text, words(frames.0, frames.1));
                ends.push(format!("final {}", said.utterance));
            }
            Event::Failed { fault, .. } => panic!("{fault}"),
            _ => {}
        }
    }
    assert_eq!(ends, ["session 2", "session 3", "final 2", "final 100"]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_gets_it() {
    let server = Server::start(Version::V2, &[Act::Later(30), Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    let began = tokio::time::Instant::now();
    rig.say(1, 10).await;
    rig.expect_words(1, 10).await;
    assert!(began.elapsed() >= 30 * SECOND);
    assert_eq!(rig.stop().await.len(), 1);
    assert_eq!(server.seen().connections, 2);

    // More time than anybody waits.
    let server = Server::start(Version::V2, &[Act::Later(100_000_000_000)]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 10).await;
    let (_, fault) = rig.ending().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::RemoteLost);
    rig.stop().await;
    assert_eq!(server.seen().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_made_when_it_is_wanted_and_let_go_when_it_is_idle() {
    for early in [true, false] {
        let server = Server::start(Version::V2, &[Act::Serve]).await;
        let mut settings = settings(&server.url);
        settings.remotes[0].early = early;
        settings.remotes[0].idle_disconnect = Some(10 * SECOND);
        let mut rig = Rig::start(settings);
        rig.warm().await;
        rig.wait(SECOND).await;
        assert_eq!(server.seen().connections, usize::from(early));
        rig.say(1, 10).await;
        rig.expect_words(1, 10).await;
        rig.wait(5 * SECOND).await;
        rig.say(2, 10).await;
        rig.expect_words(2, 10).await;
        assert_eq!(server.seen().connections, 1);
        rig.wait(11 * SECOND).await;
        assert_eq!(rig.statuses.last().unwrap().state, ServerState::Idle);
        rig.say(3, 10).await;
        rig.expect_words(3, 10).await;
        assert_eq!(server.seen().connections, 2);
        assert!(rig.stop().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_in_silence_is_missed_before_it_is_needed() {
    let server = Server::start(Version::V2, &[Act::Stall(4_800), Act::Serve]).await;
    let mut settings = settings(&server.url);
    settings.remotes[0].idle_disconnect = None;
    let mut rig = Rig::start(settings);
    // Answered, and then the server stands still.
    rig.say(1, 9).await;
    rig.expect_words(1, 9).await;
    rig.begin(2).await;
    rig.frames(2, 0..2).await;
    // Until the server has heard enough to stand still.
    rig.wait(SECOND).await;
    rig.hear(crate::speech::Speech::Abort { utterance: 2 })
        .await;
    rig.wait(120 * SECOND).await;
    rig.say(3, 10).await;
    rig.expect_words(3, 10).await;
    assert_eq!(rig.stop().await, []);
    assert_eq!(server.seen().connections, 2);
}
