//! Every fault of a server, between and in the middle of utterances. The time is paused: waiting
//! costs nothing, and what is asserted is what happened, not when.

use super::{Act, Rig, Server, Version, settings};

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
