//! Servers that cut long utterances: each piece is an utterance of its own, and nothing of the sound
//! is lost or said twice, whatever happens in between.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::speaking::{FIRST_NEW_NUMBER, frame};
use super::{Act, Rig, Server, Version, settings, words};
use crate::fault::FaultKind;
use crate::speech::Speech;
use crate::transcriber::ToTranscriber;

/// What the server makes of these frames of an utterance.
fn words_of(utterance: u64, frames: std::ops::Range<usize>) -> String {
    let sound: Vec<i16> = frames
        .flat_map(|index| frame(utterance, index).to_vec())
        .collect();
    super::server::words(&sound).join(" ")
}

const SLICE_FRAMES: usize = 20;
const SLICE: u64 = 480 * SLICE_FRAMES as u64;

#[tokio::test(start_paused = true)]
async fn each_piece_is_an_utterance() {
    let server = Server::start(Version::V2, &[Act::Slice(SLICE)]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.begin(1).await;
    rig.frames(1, 0..50).await;
    for (count, number) in [(0, 1), (1, FIRST_NEW_NUMBER)] {
        let transcript = rig.ending().await.unwrap();
        let frames = count * SLICE_FRAMES..(count + 1) * SLICE_FRAMES;
        assert_eq!(transcript.utterance, number);
        assert_eq!(transcript.text, words_of(1, frames));
        // Times from the piece's own start.
        let segment = &transcript.segments[0];
        assert_eq!((segment.start, segment.end), (0.0, 0.6));
    }
    // The audio thread knows how much is answered.
    assert_eq!(rig.answered_samples.load(Ordering::Relaxed), 2 * SLICE);
    // Pauses keep counting from where the source began, and are told so.
    rig.hear(Speech::Pause {
        utterance: 1,
        sample: 480 * 45,
    })
    .await;
    rig.wait(Duration::from_secs(1)).await;
    rig.hear(Speech::Resume { utterance: 1 }).await;
    rig.frames(1, 50..55).await;
    rig.end(1).await;
    // The next one has begun with a lower number than the piece before it has.
    rig.say(2, 5).await;
    let last = rig.ending().await.unwrap();
    assert_eq!(last.utterance, FIRST_NEW_NUMBER + 1);
    assert_eq!(last.text, words_of(1, 40..55));
    rig.expect_words(2, 5).await;
    assert_eq!(
        rig.cuts,
        [
            (1, FIRST_NEW_NUMBER, 0.6),
            (FIRST_NEW_NUMBER, FIRST_NEW_NUMBER + 1, 0.6)
        ]
    );
    assert!(rig.stop().await.is_empty());
    let seen = server.seen();
    assert_eq!(seen.pauses, ["pause 21600", "resume"]);
    assert_eq!((seen.connections, seen.finals), (1, 2));
}

/// Every sample of an utterance of so many frames is in exactly one of its pieces.
async fn expect_pieces(rig: &mut Rig, utterance: u64, frames: usize) -> usize {
    let mut text = String::new();
    for pieces in 1.. {
        let cuts = rig.cuts.len();
        let transcript = rig.ending().await.unwrap();
        text = format!("{text} {}", transcript.text);
        if rig.cuts.len() == cuts {
            assert_eq!(text.trim(), words(utterance, frames));
            return pieces;
        }
    }
    unreachable!("the loop only ends by returning")
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_replayed_from_its_own_beginning() {
    // Before the first cut, at it, in the second piece and after its cut.
    for after in [4_800, SLICE, SLICE + 4_800, 2 * SLICE + 480] {
        let script = [Act::SliceAndDrop(SLICE, after), Act::Slice(SLICE)];
        let server = Server::start(Version::V2, &script).await;
        let mut rig = Rig::start(settings(&server.url));
        rig.begin(1).await;
        rig.frames(1, 0..50).await;
        rig.end(1).await;
        // Feeds run ahead: these have begun when the first is cut.
        rig.say(2, 5).await;
        rig.say(3, 45).await;
        let pieces = expect_pieces(&mut rig, 1, 50).await;
        assert_eq!(pieces, 3, "{after}");
        rig.expect_words(2, 5).await;
        expect_pieces(&mut rig, 3, 45).await;
        rig.stop().await;
        let seen = server.seen();
        assert_eq!(seen.connections, 2);
        // Numbers on a connection rise, whatever they are on the bus; `seen` has checked it.
        if after > SLICE {
            let replayed = &seen.begins[1];
            let piece = after / SLICE;
            assert_eq!(replayed.utterance, FIRST_NEW_NUMBER + piece - 1);
            // The final before it and its last second, as far as there is one.
            let before = (piece as usize - 1) * SLICE_FRAMES..piece as usize * SLICE_FRAMES;
            assert_eq!(replayed.previous, Some(words_of(1, before)));
            assert_eq!(replayed.context_samples, SLICE.min(16_000));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_behind_what_was_committed() {
    let server = Server::start(Version::V2, &[Act::Drop(9_600), Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 40).await;
    rig.expect_words(1, 40).await;
    rig.stop().await;
    let seen = server.seen();
    let committed = seen.begins[1].committed.as_ref().unwrap();
    let frames = committed.sample as usize / 480;
    assert!((1..20).contains(&frames), "{committed:?}");
    assert_eq!(committed.text, words(1, frames));
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_can_be_cancelled_aborted_and_failed() {
    for what in ["cancel", "abort", "fail", "no room"] {
        for is_ended in [false, true] {
            if what == "abort" && is_ended {
                continue;
            }
            let script: &[Act] = match what {
                // It goes when it has cut once, and comes back too late.
                "no room" => &[
                    Act::SliceAndDrop(SLICE, SLICE + 480),
                    Act::Stall(0),
                    Act::Serve,
                ],
                _ => &[Act::Slice(SLICE)],
            };
            let server = Server::start(Version::V2, script).await;
            let mut settings = settings(&server.url);
            if what == "no room" {
                settings.unanswered_limit = Duration::from_millis(700);
            }
            let mut rig = Rig::start(settings.clone());
            rig.begin(1).await;
            rig.frames(1, 0..10).await;
            rig.event().await;
            rig.frames(1, 10..21).await;
            let first = rig.ending().await.unwrap();
            assert_eq!(first.text, words_of(1, 0..20), "{what}");
            match what {
                "cancel" => {
                    rig.frames(1, 21..25).await;
                    if is_ended {
                        rig.end(1).await;
                    }
                    rig.tell(ToTranscriber::Cancel { session: 1 }).await;
                    rig.frames(1, 25..30).await;
                }
                "abort" => {
                    rig.hear(Speech::Abort { utterance: 1 }).await;
                    rig.frames(1, 21..25).await;
                }
                "no room" => {
                    rig.frames(1, 21..45).await;
                    if is_ended {
                        rig.end(1).await;
                    }
                    let (utterance, fault) = rig.ending().await.unwrap_err();
                    assert_eq!(
                        (utterance, fault.kind),
                        (FIRST_NEW_NUMBER, FaultKind::SoundLost)
                    );
                    rig.frames(1, 45..47).await;
                }
                _ => {
                    // The backend is gone from the configuration.
                    settings.remotes.clear();
                    rig.tell(ToTranscriber::Configure(Box::new(settings.clone())))
                        .await;
                    let (utterance, fault) = rig.ending().await.unwrap_err();
                    assert_eq!(
                        (utterance, fault.kind),
                        (FIRST_NEW_NUMBER, FaultKind::UnknownBackend)
                    );
                    rig.frames(1, 21..25).await;
                    settings = super::settings(&server.url);
                    rig.tell(ToTranscriber::Configure(Box::new(settings))).await;
                }
            }
            if !is_ended && what != "abort" {
                rig.end(1).await;
            }
            rig.session = 2;
            rig.say(2, 5).await;
            loop {
                let transcript = rig.ending().await.unwrap();
                // It may have been answered before it was cancelled.
                if is_ended && what == "cancel" && transcript.utterance == FIRST_NEW_NUMBER {
                    continue;
                }
                assert_eq!(transcript.utterance, 2, "{what} {is_ended}");
                assert_eq!(transcript.text, words(2, 5));
                break;
            }
            rig.stop().await;
            drop(server.seen());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_behind_a_cut_ends_what_goes_on() {
    let server = Server::start(Version::V2, &[Act::SliceAndFail(SLICE)]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 30).await;
    assert_eq!(rig.ending().await.unwrap().text, words_of(1, 0..20));
    let (utterance, fault) = rig.ending().await.unwrap_err();
    assert_eq!(
        (utterance, fault.kind),
        (FIRST_NEW_NUMBER, FaultKind::Failed)
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_without_headway_is_no_answer() {
    let server = Server::start(Version::V2, &[Act::SliceNothing, Act::Serve]).await;
    let mut rig = Rig::start(settings(&server.url));
    rig.say(1, 30).await;
    rig.expect_words(1, 30).await;
    assert!(rig.stop().await.is_empty());
    assert_eq!(server.seen().connections, 2);
}

/// Whatever a server says, and however often it dies: what was committed is never taken back, each
/// final begins with it ([`Rig::ending`] sees to that), and every piece has one end.
#[tokio::test(start_paused = true)]
async fn any_answers_keep_what_was_committed() {
    for seed in 0..60 {
        let script = [
            Act::Babble(seed),
            Act::Drop(6_000),
            Act::Babble(seed + 1000),
            Act::SliceAndDrop(3_000, 7_000),
            Act::Babble(seed + 2000),
        ];
        let server = Server::start(Version::V2, &script).await;
        let mut rig = Rig::start(settings(&server.url));
        let mut owed = vec![1, 2, 3];
        for &utterance in &owed {
            rig.say(utterance, 40).await;
        }
        while let Some(&first) = owed.first() {
            let cuts = rig.cuts.len();
            let transcript = rig.ending().await.unwrap();
            assert_eq!(transcript.utterance, first, "{seed}");
            match rig.cuts.get(cuts) {
                Some(&(_, next, _)) => owed[0] = next,
                None => drop(owed.remove(0)),
            }
        }
        rig.stop().await;
        drop(server.seen());
    }
}
