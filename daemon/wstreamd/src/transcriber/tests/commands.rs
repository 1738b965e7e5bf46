//! What the daemon asks for, and what is kept within its bounds.

use std::sync::Arc;
use std::time::Duration;

use wstream_wire::Strategy;

use super::{Act, Rig, Server, Version, settings};
use crate::fault::FaultKind;
use crate::speech::{SPEECH_QUEUE, SessionOptions, Speech};
use crate::transcriber::{DEFAULT_PROTOCOL, Remote, ToTranscriber, TranscriberSettings};

#[tokio::test(start_paused = true)]
async fn a_cancelled_session_leaves_no_trace_in_the_next() {
    for version in [Version::V2, Version::V1] {
        // Before the end was told, and after.
        for is_ended in [false, true] {
            let server = Server::start(version, &[Act::Serve]).await;
            let mut rig = Rig::start(settings(&server.url));
            rig.say(1, 3).await;
            rig.expect_words(1, 3).await;
            rig.begin(2).await;
            rig.frames(2, 0..10).await;
            // Until the server has heard some of it.
            rig.event().await;
            if is_ended {
                rig.end(2).await;
            }
            rig.tell(ToTranscriber::Cancel { session: 1 }).await;
            // What comes late is forgotten too.
            rig.frames(2, 10..12).await;
            rig.say(3, 4).await;
            rig.session = 2;
            rig.say(4, 5).await;
            loop {
                let transcript = rig.ending().await.unwrap();
                // An utterance that had ended may have been answered already.
                if is_ended && transcript.utterance == 2 {
                    continue;
                }
                assert_eq!(transcript.utterance, 4);
                assert_eq!(transcript.text, super::words(4, 5));
                break;
            }
            assert!(rig.stop().await.is_empty());
            assert_eq!(server.seen().connections, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_aborted_utterance_leaves_no_trace() {
    for version in [Version::V2, Version::V1] {
        let server = Server::start(version, &[Act::Serve]).await;
        let mut rig = Rig::start(settings(&server.url));
        rig.begin(1).await;
        rig.frames(1, 0..10).await;
        rig.event().await;
        rig.hear(Speech::Abort { utterance: 1 }).await;
        rig.say(2, 5).await;
        rig.expect_words(2, 5).await;
        rig.stop().await;
        if version == Version::V2 {
            assert_eq!(server.seen().cancels, [1]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_gets_an_empty_final_in_its_turn() {
    for version in [Version::V2, Version::V1] {
        let server = Server::start(version, &[Act::Serve]).await;
        let mut rig = Rig::start(settings(&server.url));
        rig.say(1, 0).await;
        rig.say(2, 4).await;
        rig.say(3, 0).await;
        rig.say(4, 4).await;
        for (utterance, frames) in [(1, 0), (2, 4), (3, 0), (4, 4)] {
            rig.expect_words(utterance, frames).await;
        }
        rig.stop().await;
        drop(server.seen());
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_are_told_when_they_are_news() {
    let server = Server::start(Version::V2, &[Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.begin(1).await;
    rig.frames(1, 0..10).await;
    rig.hear(Speech::Pause {
        utterance: 1,
        sample: 4_320,
    })
    .await;
    rig.wait(Duration::from_secs(1)).await;
    rig.hear(Speech::Resume { utterance: 1 }).await;
    rig.frames(1, 10..12).await;
    rig.wait(Duration::from_secs(1)).await;
    rig.hear(Speech::Pause {
        utterance: 1,
        sample: 5_280,
    })
    .await;
    rig.wait(Duration::from_secs(1)).await;
    rig.end(1).await;
    rig.expect_words(1, 12).await;
    rig.stop().await;
    assert_eq!(server.seen().pauses, ["pause 4320", "resume", "pause 5280"]);
}

#[tokio::test(start_paused = true)]
async fn a_strategy_counts_from_the_next_utterance() {
    for version in [Version::V2, Version::V1] {
        let server = Server::start(version, &[Act::Serve]).await;
        let mut settings = settings(&server.url);
        let mut rig = Rig::start(settings.clone());
        rig.begin(1).await;
        rig.frames(1, 0..10).await;
        rig.event().await;
        settings.strategy = Strategy::Hybrid;
        rig.tell(ToTranscriber::Configure(Box::new(settings))).await;
        rig.frames(1, 10..20).await;
        rig.end(1).await;
        rig.say(2, 5).await;
        rig.options = Arc::new(SessionOptions {
            strategy: Some(Strategy::Context),
            language: Some("de".to_owned()),
            ..SessionOptions::default()
        });
        rig.say(3, 5).await;
        for (frames, strategy) in [
            (20, Strategy::Prompt),
            (5, Strategy::Hybrid),
            (5, Strategy::Context),
        ] {
            let transcript = rig.ending().await.unwrap();
            assert_eq!(transcript.text, super::words(transcript.utterance, frames));
            assert_eq!(transcript.strategy, strategy);
        }
        assert!(rig.stop().await.is_empty());
        let seen = server.seen();
        if version == Version::V1 {
            let paths = ["prompt", "hybrid", "context"];
            assert_eq!(
                seen.paths,
                paths.map(|name| format!("/ws/transcribe/{name}"))
            );
        } else {
            assert_eq!(seen.connections, 1);
            assert_eq!(seen.begins[2].strategy, Strategy::Context);
            assert_eq!(seen.begins[2].language.as_deref(), Some("de"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_switched_in_the_middle_of_an_utterance() {
    for versions in [
        [Version::V2, Version::V1],
        [Version::V1, Version::V2],
        [Version::V2, Version::V2],
    ] {
        let first = Server::start(versions[0], &[Act::Serve]).await;
        let second = Server::start(versions[1], &[Act::Serve]).await;
        let mut settings = settings(&first.url);
        settings.remotes.push(Remote {
            name: "elsewhere".to_owned(),
            url: second.url.clone(),
            protocol: DEFAULT_PROTOCOL.to_owned(),
            ..Remote::default()
        });
        let mut rig = Rig::start(settings.clone());
        rig.say(1, 3).await;
        rig.expect_words(1, 3).await;
        rig.begin(2).await;
        rig.frames(2, 0..10).await;
        rig.event().await;
        settings.backend = "elsewhere".to_owned();
        rig.tell(ToTranscriber::Configure(Box::new(settings))).await;
        rig.frames(2, 10..20).await;
        rig.end(2).await;
        let transcript = rig.ending().await.unwrap();
        assert_eq!(transcript.text, super::words(2, 20));
        assert_eq!(transcript.backend, "elsewhere");
        // A session may ask for another.
        let backend = Some("there".to_owned());
        rig.options = Arc::new(SessionOptions {
            backend,
            ..SessionOptions::default()
        });
        rig.say(3, 3).await;
        rig.options = Arc::default();
        rig.say(4, 3).await;
        for backend in ["there", "elsewhere"] {
            assert_eq!(rig.ending().await.unwrap().backend, backend);
        }
        assert!(rig.stop().await.is_empty());
        // Text goes only where it came from.
        for begin in &second.seen().begins {
            assert_ne!(begin.previous, Some(super::words(1, 3)));
        }
        drop(first.seen());
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_gone_from_the_configuration() {
    let server = Server::start(Version::V2, &[Act::Mute(0)]).await;
    let mut settings = settings(&server.url);
    let mut rig = Rig::start(settings.clone());
    rig.say(1, 3).await;
    rig.wait(Duration::from_secs(1)).await;
    settings.remotes.clear();
    rig.tell(ToTranscriber::Configure(Box::new(settings))).await;
    let (_, fault) = rig.ending().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnknownBackend);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn live_sound_is_always_taken_and_the_oldest_fails_aloud() {
    let server = Server::start(Version::V2, &[Act::Stall(0)]).await;
    let mut settings = settings(&server.url);
    settings.unanswered_limit = Duration::from_secs(3);
    let mut rig = Rig::start(settings);
    // A second each: the fourth is too much.
    for utterance in 1..=5 {
        rig.say(utterance, 33).await;
    }
    for expected in 1..=2 {
        let (utterance, fault) = rig.ending().await.unwrap_err();
        assert_eq!((utterance, fault.kind), (expected, FaultKind::SoundLost));
    }
    rig.wait(Duration::from_secs(5)).await;
    assert_eq!(rig.to_audio.capacity(), SPEECH_QUEUE);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_waits_for_the_server() {
    let server = Server::start(Version::V2, &[Act::Stall(4_800), Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.live = false;
    // Until the server has told its window.
    rig.warm().await;
    rig.wait(Duration::from_secs(1)).await;
    for utterance in 1..=20 {
        rig.say(utterance, 20).await;
    }
    rig.wait(Duration::from_secs(20)).await;
    // The window is a second; utterances take 0.6 s each, so that two are beyond it.
    let waiting = SPEECH_QUEUE - rig.to_audio.capacity();
    assert!(waiting > 16 * 22, "{waiting} messages wait");
    for utterance in 1..=20 {
        rig.expect_words(utterance, 20).await;
    }
    rig.stop().await;
    let seen = server.seen();
    assert!(seen.most_unanswered < super::server::WINDOW);
}

#[tokio::test(start_paused = true)]
async fn a_feed_is_a_world_of_its_own() {
    let server = Server::start(Version::V2, &[Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    let mut utterance = 0;
    for (session, live) in [(1, true), (2, true), (3, false), (4, false), (5, true)] {
        (rig.session, rig.live) = (session, live);
        for _ in 0..2 {
            utterance += 1;
            rig.say(utterance, 3).await;
            rig.expect_words(utterance, 3).await;
        }
    }
    rig.stop().await;
    let seen = server.seen();
    let given: Vec<Option<&str>> = seen
        .begins
        .iter()
        .map(|it| it.previous.as_deref())
        .collect();
    let forget = Some("");
    assert_eq!(
        given,
        [
            None, None, None, None, forget, None, forget, None, forget, None
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn pings_only_while_something_is_owed() {
    let server = Server::start(Version::V2, &[Act::Mute(0), Act::Serve]).await;
    let mut settings = settings(&server.url);
    // Before it would have to be kept alive.
    settings.remotes[0].idle_disconnect = Some(Duration::from_secs(20));
    let mut rig = Rig::start(settings);
    rig.say(1, 3).await;
    rig.expect_words(1, 3).await;
    let pings = server.seen().pings;
    assert!(pings > 10, "{pings}");
    rig.wait(Duration::from_secs(600)).await;
    assert_eq!(server.seen().pings, pings);
    rig.stop().await;
}

/// Fails if any timer runs: paused time stands still only as long as nothing waits for it.
async fn assert_no_timer() {
    let before = tokio::time::Instant::now();
    let (wake, woken) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        wake.send(()).unwrap();
    });
    woken.await.unwrap();
    assert_eq!(tokio::time::Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_ticks_when_there_is_nothing_to_do() {
    let server = Server::start(Version::V2, &[Act::Serve]).await;
    let settings = settings(&server.url);
    let kept_for = |time| {
        let mut settings: TranscriberSettings = settings.clone();
        settings.remotes[0].idle_disconnect = time;
        settings
    };
    let mut rig = Rig::start(kept_for(Some(Duration::from_secs(60))));
    assert_no_timer().await;
    rig.say(1, 3).await;
    rig.expect_words(1, 3).await;
    // The server is let go, and then there is nothing left to wait for.
    rig.wait(Duration::from_secs(61)).await;
    assert_no_timer().await;
    rig.say(2, 3).await;
    rig.expect_words(2, 3).await;
    assert!(rig.stop().await.is_empty());
    assert_eq!(server.seen().connections, 2);

    // Who wants it to stay has it kept alive.
    for time in [None, Some(Duration::MAX)] {
        let mut rig = Rig::start(kept_for(time));
        rig.say(3, 3).await;
        rig.expect_words(3, 3).await;
        let before = server.seen().pings;
        rig.wait(Duration::from_secs(3600)).await;
        let pings = server.seen().pings - before;
        assert!((100..200).contains(&pings), "{pings}");
        rig.stop().await;
    }
    assert_eq!(server.seen().connections, 4);
}

#[tokio::test(start_paused = true)]
async fn a_slow_daemon_holds_nothing_up_and_misses_only_partials() {
    let server = Server::start(Version::V2, &[Act::Serve]).await;
    let mut rig = Rig::with_queue(settings(&server.url), 4);
    for utterance in 1..=8 {
        rig.say(utterance, 100).await;
    }
    // Nobody listens until everything has been answered.
    while server.seen().finals < 8 || rig.to_audio.capacity() < SPEECH_QUEUE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for utterance in 1..=8 {
        rig.expect_words(utterance, 100).await;
        // Of a hundred of each.
        assert!(rig.partials.len() <= 4, "{}", rig.partials.len());
    }
    rig.stop().await;
}
