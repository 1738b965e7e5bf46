//! Version 1's rules, with data in place of sockets and a model.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code: a panic is the report, and a skipped test says so"
)]

mod common;

use std::time::Duration;

use common::{Stage, failed, said};
use serde_json::json;
use wstream_engine::scheduler::Kind;
use wstream_engine::session::MOST_UTTERANCES;
use wstream_engine::session::v1::V1;
use wstream_wire::{Strategy, v1};

const INTERVAL: Duration = Duration::from_millis(500);

fn stage(strategy: Strategy) -> Stage<V1> {
    Stage::new(|now| V1::new(strategy, INTERVAL, now))
}

fn frame(value: f32) -> String {
    v1::encode_f32_frame([value; 480])
}

/// Sends `count` frames of 30 ms in real time.
fn speak(stage: &mut Stage<V1>, count: usize) {
    for _ in 0..count {
        stage.text(&frame(0.1));
        stage.pass(30);
    }
}

#[test]
fn a_partial_comes_at_the_interval_and_a_final_at_the_end() {
    let mut stage = stage(Strategy::Prompt);
    speak(&mut stage, 17);
    assert!(stage.take_jobs().is_empty(), "500 ms have not passed");
    speak(&mut stage, 1);
    let partial = stage.take_job();
    assert_eq!(partial.kind, Kind::Partial);
    assert_eq!(partial.request.samples.len(), 18 * 480);
    stage.finish(&partial, said(" Hello", 0.0, 0.5));
    assert_eq!(
        stage.take_sent(),
        [json!({"type": "partial", "text": "Hello", "processing_time_ms": 7.0})]
    );

    stage.text(&v1::encode_vad_end());
    let last = stage.take_job();
    assert_eq!(last.kind, Kind::Final);
    stage.finish(&last, said(" Hello there.", 0.0, 0.5));
    assert_eq!(
        stage.take_sent(),
        [json!({
            "type": "final",
            "text": "Hello there.",
            "segments": [{"start": 0.0, "end": 0.5, "text": "Hello there."}],
            "language": "en",
            "processing_time_ms": 7.0,
        })]
    );
    // The interval counts from the final.
    speak(&mut stage, 17);
    assert!(stage.take_jobs().is_empty());
    speak(&mut stage, 1);
    assert_eq!(stage.take_job().kind, Kind::Partial);
}

#[test]
fn an_empty_buffer_gets_no_answer() {
    let mut stage = stage(Strategy::Prompt);
    stage.text(&v1::encode_vad_end());
    speak(&mut stage, 1);
    stage.text(&v1::encode_vad_end());
    stage.text(&v1::encode_vad_end());
    let last = stage.take_job();
    stage.finish(&last, said("", 0.0, 0.0));
    assert_eq!(stage.take_sent().len(), 1);
    assert!(stage.take_jobs().is_empty());
}

#[test]
fn at_most_one_partial_waits_and_it_takes_newer_sound() {
    let mut stage = stage(Strategy::Prompt);
    speak(&mut stage, 18);
    let partial = stage.take_job();
    speak(&mut stage, 16);
    assert!(stage.take_jobs().is_empty());
    assert!(stage.take_refreshed().is_empty());
    speak(&mut stage, 2);
    let refreshed = stage.take_refreshed();
    assert_eq!(refreshed.len(), 1);
    assert_eq!(refreshed[0].0, partial.job);
    assert_eq!(refreshed[0].1.samples.len(), 35 * 480);
    assert!(stage.take_jobs().is_empty());
}

#[test]
fn the_end_stops_a_running_partial_whose_late_text_is_ignored() {
    let mut stage = stage(Strategy::Prompt);
    speak(&mut stage, 18);
    let partial = stage.take_job();
    stage.text(&v1::encode_vad_end());
    assert_eq!(stage.take_aborted(), [partial.job]);
    let last = stage.take_job();
    stage.finish(&partial, said(" late", 0.0, 0.5));
    assert!(stage.take_sent().is_empty());
    stage.finish(&last, said(" final", 0.0, 0.5));
    assert_eq!(stage.take_sent()[0]["text"], "final");
}

#[test]
fn finals_come_in_order_and_each_sees_the_one_before() {
    for (strategy, prompt, context) in [
        (Strategy::Prompt, Some("one"), 0),
        (Strategy::Context, None, 960),
        (Strategy::Hybrid, Some("one"), 960),
    ] {
        let mut stage = stage(strategy);
        stage.text(&frame(0.1));
        stage.text(&frame(0.2));
        stage.text(&v1::encode_vad_end());
        for _ in 0..40 {
            stage.text(&frame(0.3));
        }
        stage.text(&v1::encode_vad_end());
        let first = stage.take_job();
        assert_eq!(first.request.prompt, None);
        assert_eq!(first.request.context_samples, 0);
        assert!(stage.take_jobs().is_empty(), "the second must wait");
        stage.finish(&first, said(" one", 0.0, 0.06));

        let second = stage.take_job();
        let given = second.request.prompt.as_ref().map(|p| p.text.as_str());
        assert_eq!(given, prompt, "{strategy}");
        assert_eq!(second.request.context_samples, context, "{strategy}");
        if context > 0 {
            assert_eq!(second.request.samples[0], 0.1);
            assert_eq!(second.request.samples[480], 0.2);
        }
        assert_eq!(second.request.samples[context], 0.3);
        let context_s = context as f64 / 16_000.0;
        stage.finish(&second, said(" two", 0.1 + context_s, 0.9 + context_s));
        let sent = stage.take_sent();
        assert_eq!(sent[1]["text"], "two");
        assert!((sent[1]["segments"][0]["start"].as_f64().unwrap() - 0.1).abs() < 1e-9);

        // The context of the third is the last second of the second.
        stage.text(&frame(0.4));
        stage.text(&v1::encode_vad_end());
        let third = stage.take_job();
        assert_eq!(
            third.request.context_samples,
            if context > 0 { 16_000 } else { 0 }
        );
    }
}

#[test]
fn text_that_ends_inside_the_context_is_dropped_and_a_partial_changes_nothing() {
    let mut stage = stage(Strategy::Context);
    for _ in 0..40 {
        stage.text(&frame(0.1));
    }
    stage.text(&v1::encode_vad_end());
    let first = stage.take_job();
    stage.finish(&first, said(" one", 0.0, 1.2));
    stage.take_sent();

    speak(&mut stage, 18);
    let partial = stage.take_job();
    assert_eq!(partial.request.context_samples, 16_000);
    stage.finish(&partial, said(" one", 0.0, 1.0));
    assert_eq!(stage.take_sent()[0]["text"], "");

    stage.text(&v1::encode_vad_end());
    let last = stage.take_job();
    assert_eq!(last.request.context_samples, 16_000);
    assert_eq!(last.request.samples.len(), 16_000 + 18 * 480);
}

#[test]
fn bad_messages_are_answered_or_ignored_and_the_session_goes_on() {
    let mut stage = stage(Strategy::Prompt);
    for bad in [
        "{",
        "[]",
        r#"{"type":"audio_frame"}"#,
        r#"{"type":"audio_frame","audio":"!"}"#,
        r#"{"type":"audio_frame","audio":"AAA="}"#,
        r#"{"type":"audio_frame","audio":"AADAfw=="}"#,
        r#"{"type":"audio_frame","audio":"","sample_rate":8000}"#,
    ] {
        stage.text(bad);
        let sent = stage.take_sent();
        assert_eq!(sent.len(), 1, "{bad}");
        assert_eq!(sent[0]["type"], "error", "{bad}");
    }
    stage.text(r#"{"type":"wave"}"#);
    assert!(stage.take_sent().is_empty());
    stage.text(&frame(0.1));
    stage.text(&v1::encode_vad_end());
    let last = stage.take_job();
    stage.finish(&last, said(" fine", 0.0, 0.03));
    assert_eq!(stage.take_sent()[0]["text"], "fine");
}

#[test]
fn a_long_utterance_is_decoded_in_pieces_and_answered_once() {
    let mut stage = stage(Strategy::Context);
    let second = v1::encode_f32_frame(vec![0.1; 16_000]);
    let silence = v1::encode_f32_frame(vec![0.0; 16_000]);
    for s in 0..28 {
        stage.text(if s == 20 { &silence } else { &second });
    }
    assert!(stage.take_jobs().is_empty());
    stage.text(&second);
    let piece = stage.take_job();
    assert_eq!(piece.kind, Kind::Piece);
    let count = piece.request.samples.len();
    assert!((20 * 16_000..21 * 16_000).contains(&count));
    stage.text(&v1::encode_vad_end());
    stage.finish(&piece, said(" Long ago.", 0.0, 20.0));
    let last = stage.take_job();
    assert_eq!(last.kind, Kind::Final);
    assert_eq!(last.request.context_samples, 16_000);
    assert_eq!(last.request.samples.len(), 16_000 + 29 * 16_000 - count);
    stage.finish(&last, said(" The end.", 1.0, 5.0));
    let sent = stage.take_sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["text"], "Long ago. The end.");
    assert_eq!(sent[0]["processing_time_ms"], 14.0);
    assert_eq!(
        sent[0]["segments"][1]["start"].as_f64().unwrap(),
        count as f64 / 16_000.0
    );
}

#[test]
fn a_failed_decode_still_gets_its_final() {
    let mut stage = stage(Strategy::Prompt);
    stage.text(&frame(0.1));
    stage.text(&v1::encode_vad_end());
    let last = stage.take_job();
    stage.finish(&last, failed());
    let sent = stage.take_sent();
    assert_eq!(sent[0]["type"], "error");
    assert_eq!(sent[1]["type"], "final");
    assert_eq!(sent[1]["text"], "");
}

#[test]
fn too_much_waiting_sound_stops_the_reading_until_it_is_decoded() {
    let mut stage = stage(Strategy::Prompt);
    let minute = v1::encode_f32_frame(vec![0.1; 60 * 16_000]);
    for _ in 0..5 {
        stage.text(&minute);
        assert!(!stage.is_full());
    }
    stage.text(&minute);
    assert!(stage.is_full());
    while stage.is_full() {
        let piece = stage.take_job();
        assert_eq!(piece.kind, Kind::Piece);
        stage.finish(&piece, said(" words", 0.0, 1.0));
    }
}

#[test]
fn utterances_without_a_final_are_bounded_and_counted() {
    let mut stage = stage(Strategy::Prompt);
    for utterance in 1..=MOST_UTTERANCES {
        assert!(!stage.is_full(), "{utterance}");
        stage.text(&frame(0.1));
        assert_eq!(stage.unanswered_samples(), utterance * 480);
        stage.text(&v1::encode_vad_end());
    }
    assert!(stage.is_full());
    let job = stage.take_job();
    stage.finish(&job, said(" Yes.", 0.0, 0.03));
    assert!(!stage.is_full());
    assert_eq!(stage.unanswered_samples(), (MOST_UTTERANCES - 1) * 480);
}
