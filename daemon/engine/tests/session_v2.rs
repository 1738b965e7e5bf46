//! Version 2's rules, with data in place of sockets and a model.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code: a panic is the report, and a skipped test says so"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Stage, failed, mumbled, said};
use serde_json::{Value, json};
use wstream_engine::decode::{Language, UnknownLanguage, Word};
use wstream_engine::scheduler::Kind;
use wstream_engine::session::MOST_UTTERANCES;
use wstream_engine::session::v2::{Knowledge, V2, WINDOW_SAMPLES};
use wstream_wire::v2;

/// Knows English and German.
#[derive(Debug)]
struct Two;

impl Knowledge for Two {
    fn language(&self, code: Option<&str>) -> Result<Language, UnknownLanguage> {
        match code {
            None | Some("auto") => Ok(Language::Auto),
            Some("en") => Ok(Language::Known(0)),
            Some("de") => Ok(Language::Known(2)),
            Some(code) => Err(UnknownLanguage::Code(code.to_owned())),
        }
    }

    fn words(&self, text: &str, seconds: f64) -> Option<Vec<Word>> {
        Some(common::words(text, 0.0, seconds))
    }
}

fn stage() -> Stage<V2> {
    Stage::new(|_| V2::new(Arc::new(Two), Duration::from_millis(500)))
}

fn send(stage: &mut Stage<V2>, message: Value) {
    stage.text(&message.to_string());
}

fn begin(stage: &mut Stage<V2>, utterance: u64) {
    send(
        stage,
        json!({"type": "begin", "utterance": utterance, "strategy": "hybrid"}),
    );
}

fn end(stage: &mut Stage<V2>, utterance: u64) {
    send(stage, json!({"type": "end", "utterance": utterance}));
}

/// A loud voice, or silence.
fn sound(stage: &mut Stage<V2>, ms: usize, value: i16) {
    stage.binary(&v2::encode_sound(&vec![value; ms * 16]));
}

/// What a client keeps from before the voice, so that the voice is told from it.
fn pre_roll(stage: &mut Stage<V2>) {
    sound(stage, 600, 10);
}

/// Texts of the partials among `sent`: committed and tentative.
fn partials(sent: &[Value]) -> Vec<(&str, &str)> {
    let partials = sent.iter().filter(|message| message["type"] == "partial");
    partials
        .map(|message| {
            (
                message["committed"].as_str().unwrap(),
                message["tentative"].as_str().unwrap(),
            )
        })
        .collect()
}

fn codes(sent: &[Value]) -> Vec<(&str, Option<u64>)> {
    sent.iter()
        .map(|message| {
            assert_eq!(message["type"], "error", "{message}");
            (
                message["code"].as_str().unwrap(),
                message["utterance"].as_u64(),
            )
        })
        .collect()
}

#[test]
fn an_utterance_gets_partials_and_one_final() {
    let mut stage = stage();
    begin(&mut stage, 5);
    pre_roll(&mut stage);
    sound(&mut stage, 300, 5000);
    assert!(stage.take_jobs().is_empty(), "too little voice for a word");
    sound(&mut stage, 200, 5000);
    let partial = stage.take_job();
    assert_eq!(partial.kind, Kind::Partial);
    stage.finish(&partial, said(" Hello", 0.5, 0.75));
    assert_eq!(
        stage.take_sent(),
        [json!({
            "type": "partial", "utterance": 5, "committed": "", "tentative": "Hello",
            "sample": 17_600, "processing_time_ms": 7.0,
        })]
    );
    sound(&mut stage, 30, 5000);
    end(&mut stage, 5);
    assert!(stage.owes_finals());
    let last = stage.take_job();
    assert_eq!(last.kind, Kind::Final);
    stage.finish(&last, said(" Hello.", 0.0, 0.5));
    assert_eq!(
        stage.take_sent(),
        [json!({
            "type": "final", "utterance": 5, "text": "Hello.",
            "segments": [{"start": 0.0, "end": 0.5, "text": "Hello."}],
            "language": "en", "sample": 18_080, "processing_time_ms": 7.0, "confidence": 0.75,
        })]
    );
    assert!(!stage.owes_finals());
}

#[test]
fn a_partial_needs_new_sound_as_well_as_time() {
    let mut stage = stage();
    begin(&mut stage, 1);
    pre_roll(&mut stage);
    sound(&mut stage, 600, 5000);
    let partial = stage.take_job();
    stage.finish(&partial, said(" Hello", 0.0, 0.5));
    stage.pass(499);
    sound(&mut stage, 1, 5000);
    stage.pass(1);
    sound(&mut stage, 198, 5000);
    assert!(stage.take_jobs().is_empty());
    sound(&mut stage, 1, 5000);
    assert_eq!(stage.take_job().kind, Kind::Partial);
}

#[test]
fn utterances_may_queue_and_finals_keep_their_order() {
    let mut stage = stage();
    for utterance in 1..=3 {
        begin(&mut stage, utterance);
        sound(&mut stage, 1500, 5000);
        end(&mut stage, utterance);
    }
    let first = stage.take_job();
    assert_eq!(
        (first.request.context_samples, &first.request.prompt),
        (0, &None)
    );
    stage.finish(&first, said(" one", 0.0, 1.0));
    let second = stage.take_job();
    // The end of the one before is heard again, and its words are forced.
    assert_eq!(second.request.context_samples, 24_000);
    assert_eq!(second.request.context_words, 1);
    assert_eq!(
        wstream_engine::decode::text_of(&second.request.known),
        " one"
    );
    assert_eq!(second.request.prompt, None);
    stage.finish(&second, said(" one two", 0.0, 2.5));
    let third = stage.take_job();
    assert_eq!(third.request.context_words, 2);
    stage.finish(&third, said(" one two three", 0.0, 4.0));
    let sent = stage.take_sent();
    let order: Vec<_> = sent
        .iter()
        .map(|m| (m["utterance"].as_u64(), &m["text"]))
        .collect();
    assert_eq!(
        order,
        [
            (Some(1), &json!("one")),
            (Some(2), &json!("two")),
            (Some(3), &json!("three"))
        ]
    );
}

#[test]
fn a_doubtful_or_old_final_is_no_prompt() {
    for (result, wait_ms, expected) in [
        (said(" one", 0.0, 1.0), 9_000, Some("one")),
        (said(" one", 0.0, 1.0), 11_000, None),
        (mumbled(" one"), 0, None),
        (said("", 0.0, 0.0), 0, None),
    ] {
        let mut stage = stage();
        begin(&mut stage, 1);
        sound(&mut stage, 1000, 5000);
        end(&mut stage, 1);
        let first = stage.take_job();
        stage.finish(&first, result);
        stage.pass(wait_ms);
        begin(&mut stage, 2);
        sound(&mut stage, 100, 5000);
        end(&mut stage, 2);
        // Words that are heard again are forced on the decoder instead of prompted.
        let request = stage.take_job().request;
        let known = wstream_engine::decode::text_of(&request.known);
        let prompt = request.prompt.map_or(known, |prompt| prompt.text);
        assert_eq!(prompt.trim(), expected.unwrap_or_default());
    }
}

#[test]
fn after_a_reconnect_the_client_gives_what_was_before() {
    let mut stage = stage();
    send(
        &mut stage,
        json!({
            "type": "begin", "utterance": 9, "strategy": "hybrid", "language": "de",
            "previous": "long ago", "context_samples": 16_000,
            "committed": {"text": "Es war", "sample": 32_000},
        }),
    );
    sound(&mut stage, 1000, 100);
    sound(&mut stage, 1000, 200);
    sound(&mut stage, 2000, 300);
    let partial = stage.take_job();
    assert_eq!(partial.request.language, Language::Known(2));
    assert_eq!(partial.request.prompt.as_ref().unwrap().text, "long ago");
    // Everything is heard again, and the decoder is told what it has written.
    assert_eq!(partial.request.samples.len(), 48_000);
    assert_eq!(partial.request.context_samples, 0);
    let known = |job: &common::Job| wstream_engine::decode::text_of(&job.request.known);
    assert_eq!(known(&partial), " Es war");
    stage.finish(&partial, said(" Es war einmal", 0.0, 2.4));
    let sent = stage.take_sent();
    assert_eq!(partials(&sent), [("Es war", " einmal")]);
    assert_eq!(sent[0]["sample"], 48_000);
    assert_eq!(sent[0]["committed_sample"], 32_000);
    sound(&mut stage, 100, 300);
    end(&mut stage, 9);
    let last = stage.take_job();
    assert_eq!(known(&last), " Es war");
    stage.finish(&last, said(" Es war einmal.", 0.0, 3.0));
    let sent = stage.take_sent();
    assert_eq!(sent[0]["text"], "Es war einmal.");
    assert_eq!(sent[0]["sample"], 49_600);
    assert_eq!(sent[0]["segments"][0]["start"], 2.0);
}

#[test]
fn long_sound_of_which_the_text_is_given_is_not_decoded_again() {
    let mut stage = stage();
    send(
        &mut stage,
        json!({
            "type": "begin", "utterance": 9, "strategy": "hybrid", "previous": "long ago",
            "context_samples": 8000, "committed": {"text": "so many words", "sample": 400_000},
        }),
    );
    sound(&mut stage, 25_000, 300);
    assert!(stage.take_jobs().is_empty());
    sound(&mut stage, 1500, 5000);
    end(&mut stage, 9);
    let last = stage.take_job();
    assert_eq!(last.request.samples.len(), 16_000);
    assert_eq!(last.request.prompt.as_ref().unwrap().text, "so many words");
    assert!(last.request.known.is_empty());
    stage.finish(&last, said(" more", 0.2, 0.8));
    let sent = stage.take_sent();
    assert_eq!(sent[0]["text"], "so many words more");
    assert_eq!(sent[0]["sample"], 416_000);
    assert_eq!(sent[0]["segments"][0]["start"], 25.2);
}

#[test]
fn without_committed_text_the_given_context_counts() {
    let mut stage = stage();
    send(
        &mut stage,
        json!({
            "type": "begin", "utterance": 9, "strategy": "hybrid", "previous": "long ago",
            "context_samples": 8000,
        }),
    );
    sound(&mut stage, 1500, 5000);
    end(&mut stage, 9);
    let last = stage.take_job();
    assert_eq!(last.request.context_samples, 8000);
    assert_eq!(last.request.samples.len(), 24_000);
    assert_eq!(last.request.prompt.as_ref().unwrap().text, "long ago");
    stage.finish(&last, said(" yes", 0.6, 1.0));
    assert_eq!(stage.take_sent()[0]["sample"], 16_000);
}

#[test]
fn a_pause_has_the_final_decoded_ahead() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 900, 5000);
    sound(&mut stage, 30, 0);
    send(
        &mut stage,
        json!({"type": "pause", "utterance": 1, "sample": 14_400}),
    );
    assert!(stage.take_jobs().is_empty(), "the tail has not come");
    sound(&mut stage, 60, 0);
    let ahead = stage.take_job();
    assert_eq!(ahead.kind, Kind::Speculative);
    assert_eq!(ahead.request.samples.len(), 14_400 + 960);
    stage.finish(&ahead, said(" yes", 0.0, 0.9));
    // It may still go on.
    assert_eq!(partials(&stage.take_sent()), [("", "yes")]);
    sound(&mut stage, 210, 0);
    end(&mut stage, 1);
    assert!(stage.take_jobs().is_empty(), "nothing is decoded twice");
    let sent = stage.take_sent();
    assert_eq!(
        (&sent[0]["text"], &sent[0]["sample"]),
        (&json!("yes"), &json!(19_200))
    );
}

#[test]
fn an_end_while_it_is_decoded_ahead_makes_it_a_final() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 900, 5000);
    send(
        &mut stage,
        json!({"type": "pause", "utterance": 1, "sample": 14_400}),
    );
    sound(&mut stage, 300, 0);
    let ahead = stage.take_job();
    end(&mut stage, 1);
    assert_eq!(stage.take_promoted(), [ahead.job]);
    assert!(stage.take_jobs().is_empty());
    stage.finish(&ahead, said(" yes", 0.0, 0.9));
    assert_eq!(stage.take_sent()[0]["text"], "yes");
}

#[test]
fn speech_that_goes_on_makes_the_guess_worthless() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 900, 5000);
    send(
        &mut stage,
        json!({"type": "pause", "utterance": 1, "sample": 14_400}),
    );
    sound(&mut stage, 150, 0);
    let ahead = stage.take_job();
    send(&mut stage, json!({"type": "resume", "utterance": 1}));
    assert_eq!(stage.take_aborted(), [ahead.job]);
    sound(&mut stage, 200, 5000);
    end(&mut stage, 1);
    // A partial of all that was said, which the end makes a final.
    let last = stage.take_job();
    assert_eq!(stage.take_promoted(), [last.job]);
    assert_eq!(last.request.samples.len(), 1250 * 16);
    stage.finish(&last, said(" yes indeed", 0.0, 1.2));
    assert_eq!(stage.take_sent()[0]["text"], "yes indeed");
}

#[test]
fn a_partial_that_heard_everything_is_the_final() {
    for is_finished in [true, false] {
        let mut stage = stage();
        begin(&mut stage, 1);
        pre_roll(&mut stage);
        sound(&mut stage, 900, 5000);
        let partial = stage.take_job();
        if is_finished {
            stage.finish(&partial, said(" yes indeed", 0.6, 1.5));
        }
        sound(&mut stage, 30, 0);
        send(
            &mut stage,
            json!({"type": "pause", "utterance": 1, "sample": 24_000}),
        );
        sound(&mut stage, 270, 0);
        assert!(stage.take_jobs().is_empty(), "nothing new is to be heard");
        end(&mut stage, 1);
        if !is_finished {
            assert_eq!(stage.take_promoted(), [partial.job]);
            stage.finish(&partial, said(" yes indeed", 0.6, 1.5));
        }
        let last = stage.take_sent().pop().unwrap();
        assert_eq!(
            (&last["type"], &last["text"]),
            (&json!("final"), &json!("yes indeed"))
        );
    }
    // A doubtful one gets another try.
    let mut stage = stage();
    begin(&mut stage, 1);
    pre_roll(&mut stage);
    sound(&mut stage, 900, 5000);
    let partial = stage.take_job();
    stage.finish(&partial, mumbled(" yes"));
    end(&mut stage, 1);
    assert_eq!(stage.take_job().kind, Kind::Final);
}

/// Half a second of sound, then a partial of what is said by then, at two words a second.
fn speak(stage: &mut Stage<V2>, seconds: &mut f64, text: &str) -> Vec<Value> {
    stage.pass(500);
    sound(stage, 500, 5000);
    *seconds += 0.5;
    let partial = stage.take_job();
    let begin = partial.request.known.first().map_or(0.0, |word| word.start);
    let words = text.split_whitespace().count() as f64;
    stage.finish(&partial, said(text, begin, begin + words * 0.5));
    stage.take_sent()
}

#[test]
fn words_that_two_decodes_agree_on_are_never_taken_back() {
    let mut stage = stage();
    let mut seconds = 0.0;
    begin(&mut stage, 1);
    sound(&mut stage, 2000, 5000);
    let first = stage.take_job();
    stage.finish(&first, said(" the quick brow", 0.0, 1.5));
    assert_eq!(partials(&stage.take_sent()), [("", "the quick brow")]);
    let sent = speak(&mut stage, &mut seconds, " the quick brown fox");
    // What was shown stays until two decodes say something else in its place.
    assert_eq!(partials(&sent), [("the quick", " brow")]);
    assert_eq!(sent[0]["committed_sample"], 16_000);
    let sent = speak(&mut stage, &mut seconds, " the quick brown");
    assert_eq!(partials(&sent), [("the quick", " brown")]);
    let sent = speak(&mut stage, &mut seconds, " the quick");
    assert_eq!(partials(&sent), [], "what is missing is not taken back");
    let sent = speak(&mut stage, &mut seconds, " the quick brown box jumps");
    assert_eq!(partials(&sent), [], "nothing that was heard twice is new");
    let sent = speak(&mut stage, &mut seconds, " the quick brown box jumps");
    assert_eq!(partials(&sent), [("the quick brown box", " jumps")]);
    stage.pass(500);
    sound(&mut stage, 500, 5000);
    let partial = stage.take_job();
    let known = wstream_engine::decode::text_of(&partial.request.known);
    assert_eq!(known, " the quick brown box");
    end(&mut stage, 1);
    stage.finish(&partial, said(" the quick brown box jumps.", 0.0, 2.5));
    assert_eq!(stage.take_sent()[0]["text"], "the quick brown box jumps.");
}

#[test]
fn a_pause_settles_what_was_said_before_it() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 2000, 5000);
    let first = stage.take_job();
    stage.finish(&first, said(" the quick brown", 0.5, 2.0));
    stage.take_sent();
    sound(&mut stage, 400, 5000);
    stage.take_jobs();
    send(
        &mut stage,
        json!({"type": "pause", "utterance": 1, "sample": 38_400}),
    );
    sound(&mut stage, 60, 0);
    let ahead = stage.take_job();
    stage.finish(&ahead, said(" the quick brown fox", 0.5, 2.5));
    assert_eq!(
        partials(&stage.take_sent()),
        [("the quick", " brown fox")],
        "the third word has just ended"
    );
    sound(&mut stage, 120, 0);
    assert!(stage.take_sent().is_empty(), "this may be no pause");
    sound(&mut stage, 30, 0);
    assert_eq!(
        partials(&stage.take_sent()),
        [("the quick brown", " fox")],
        "two decodes agree on it"
    );
    sound(&mut stage, 90, 0);
    assert!(stage.take_sent().is_empty(), "once is enough");
    end(&mut stage, 1);
    assert!(stage.take_jobs().is_empty(), "the final is there");
    assert_eq!(stage.take_sent()[0]["text"], "the quick brown fox");
}

#[test]
fn a_long_utterance_is_cut_behind_what_is_committed() {
    for cuts in [true, false] {
        let mut stage = stage();
        send(
            &mut stage,
            json!({"type": "begin", "utterance": 1, "strategy": "prompt", "cuts": cuts}),
        );
        let all: Vec<String> = (0..60).map(|n| format!("w{n}")).collect();
        let mut seconds = 1.0;
        sound(&mut stage, 1000, 5000);
        let mut finals = Vec::new();
        let mut cut_words = 0;
        let mut committed = String::new();
        while seconds < 29.0 {
            stage.pass(500);
            sound(&mut stage, 500, 5000);
            seconds += 0.5;
            for job in stage.take_jobs() {
                let known = &job.request.known;
                // The window begins with the first known word.
                let first = known.first().map_or(cut_words, |word| {
                    all.iter().position(|w| word.text.trim() == w).unwrap()
                });
                let heard = first + job.request.samples.len() / 8000;
                let text = format!(" {}", all[first..heard].join(" "));
                let end = (heard - first) as f64 * 0.5;
                stage.finish(&job, said(&text, 0.0, end));
            }
            for message in stage.take_sent() {
                if message["type"] == "partial" {
                    committed = message["committed"].as_str().unwrap().to_owned();
                }
                if message["type"] == "final" {
                    assert_eq!(message["more"], true);
                    assert_eq!(message["text"], committed.as_str());
                    let text = message["text"].as_str().unwrap().to_owned();
                    cut_words += text.split_whitespace().count();
                    let cut_s = message["sample"].as_f64().unwrap() / 16_000.0;
                    assert!((cut_s - cut_words as f64 * 0.5).abs() <= 0.1, "{cut_s}");
                    finals.push(text);
                }
            }
        }
        end(&mut stage, 1);
        while let Some(job) = stage.take_jobs().pop() {
            let known = &job.request.known;
            let first = known.first().map_or(0, |word| {
                all.iter().position(|w| word.text.trim() == w).unwrap()
            });
            let text = format!(" {}", all[first..58].join(" "));
            stage.finish(&job, said(&text, 0.0, (58 - first) as f64 * 0.5));
        }
        let last = stage.take_sent().pop().unwrap();
        assert!(last.get("more").is_none());
        assert_eq!(last["sample"], 464_000);
        assert_eq!(finals.len(), usize::from(cuts));
        finals.push(last["text"].as_str().unwrap().to_owned());
        assert_eq!(
            finals.join(" "),
            all[..58].join(" "),
            "no word lost or doubled"
        );
    }
}

#[test]
fn a_word_behind_the_pause_is_not_cut_off() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 900, 5000);
    send(
        &mut stage,
        json!({"type": "pause", "utterance": 1, "sample": 14_400}),
    );
    sound(&mut stage, 150, 0);
    let ahead = stage.take_job();
    stage.finish(&ahead, said(" yes", 0.0, 0.9));
    // The client's detector missed it, the end comes without a resume.
    sound(&mut stage, 150, 2000);
    end(&mut stage, 1);
    let last = stage.take_job();
    assert_eq!(last.request.samples.len(), 1200 * 16);
    stage.finish(&last, said(" yes indeed", 0.0, 1.2));
    assert_eq!(stage.take_sent().pop().unwrap()["text"], "yes indeed");
}

#[test]
fn a_cancelled_utterance_gets_no_answer() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 900, 5000);
    end(&mut stage, 1);
    let first = stage.take_job();
    begin(&mut stage, 2);
    sound(&mut stage, 900, 5000);
    send(&mut stage, json!({"type": "cancel", "utterance": 1}));
    assert_eq!(stage.take_aborted(), [first.job]);
    stage.finish(&first, said(" late", 0.0, 0.5));
    assert!(stage.take_sent().is_empty());
    send(&mut stage, json!({"type": "cancel", "utterance": 2}));
    sound(&mut stage, 900, 5000);
    end(&mut stage, 2);
    send(&mut stage, json!({"type": "cancel", "utterance": 7}));
    assert!(stage.take_sent().is_empty());
    assert!(stage.take_jobs().is_empty());
    assert!(!stage.owes_finals());
}

#[test]
fn mistakes_are_told_with_a_code_and_the_session_goes_on() {
    let mut stage = stage();
    sound(&mut stage, 30, 1);
    sound(&mut stage, 30, 1);
    assert_eq!(
        codes(&stage.take_sent()),
        [("protocol", None)],
        "once, not for each frame"
    );
    stage.text("{");
    stage.binary(&[1, 2, 3]);
    stage.text(r#"{"type":"wave"}"#);
    assert_eq!(codes(&stage.take_sent()), [("bad-message", None); 2]);
    end(&mut stage, 4);
    assert_eq!(codes(&stage.take_sent()), [("protocol", None)]);
    begin(&mut stage, 5);
    sound(&mut stage, 100, 5000);
    begin(&mut stage, 5);
    assert_eq!(codes(&stage.take_sent()), [("protocol", None)]);
    begin(&mut stage, 6);
    assert_eq!(codes(&stage.take_sent()), [("protocol", Some(5))]);
    end(&mut stage, 6);
    let last = stage.take_job();
    stage.finish(&last, said("", 0.0, 0.0));
    let sent = stage.take_sent();
    assert_eq!(
        (&sent[0]["utterance"], &sent[0]["text"]),
        (&json!(6), &json!(""))
    );
}

#[test]
fn an_unknown_language_fails_its_utterance_in_its_turn() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 500, 5000);
    end(&mut stage, 1);
    send(
        &mut stage,
        json!({"type": "begin", "utterance": 2, "strategy": "prompt", "language": "xx"}),
    );
    sound(&mut stage, 500, 5000);
    end(&mut stage, 2);
    assert!(stage.take_sent().is_empty());
    let first = stage.take_job();
    stage.finish(&first, said(" one", 0.0, 0.5));
    let sent = stage.take_sent();
    assert_eq!(sent[0]["type"], "final");
    assert_eq!(codes(&sent[1..]), [("bad-language", Some(2))]);
}

#[test]
fn a_failed_decode_fails_its_utterance() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 1500, 5000);
    let partial = stage.take_job();
    stage.finish(&partial, failed());
    assert!(stage.take_sent().is_empty());
    end(&mut stage, 1);
    assert_eq!(codes(&stage.take_sent()), [("decode", Some(1))]);
    assert!(!stage.owes_finals());
}

#[test]
fn more_unanswered_sound_than_the_window_is_refused() {
    let mut stage = stage();
    begin(&mut stage, 1);
    for _ in 0..=WINDOW_SAMPLES / 16_000 {
        sound(&mut stage, 1000, 0);
    }
    end(&mut stage, 1);
    begin(&mut stage, 2);
    end(&mut stage, 2);
    while let Some(job) = stage.take_jobs().pop() {
        stage.finish(&job, said("", 0.0, 0.0));
    }
    let sent = stage.take_sent();
    assert_eq!(
        sent[0]["type"], "final",
        "an utterance may always be finished"
    );
    assert_eq!(codes(&sent[1..]), [("too-fast", Some(2))]);
}

#[test]
fn a_ping_is_answered_at_once() {
    let mut stage = stage();
    send(&mut stage, json!({"type": "ping", "id": 42}));
    assert_eq!(stage.take_sent(), [json!({"type": "pong", "id": 42})]);
}

#[test]
fn utterances_without_a_final_are_bounded_however_short() {
    let mut stage = stage();
    for utterance in 1..=MOST_UTTERANCES as u64 {
        assert!(!stage.is_full(), "{utterance}");
        begin(&mut stage, utterance);
        sound(&mut stage, 30, 1000);
        end(&mut stage, utterance);
    }
    assert!(stage.is_full());
    let job = stage.take_jobs().pop().unwrap();
    stage.finish(&job, said("", 0.0, 0.0));
    assert!(!stage.is_full());
}

#[test]
fn sound_in_crumbs_is_decoded_all_the_same() {
    let mut stage = stage();
    begin(&mut stage, 1);
    for _ in 0..3 * 16_000 {
        stage.binary(&v2::encode_sound(&[9000]));
        assert!(stage.take_jobs().len() <= 1);
    }
    end(&mut stage, 1);
    let job = stage.take_jobs().pop();
    assert_eq!(job.map(|job| job.request.samples.len()), Some(3 * 16_000));
}

#[test]
fn sound_without_a_final_is_counted_until_it_has_one() {
    let mut stage = stage();
    begin(&mut stage, 1);
    sound(&mut stage, 1000, 1000);
    assert_eq!(stage.unanswered_samples(), 16_000);
    end(&mut stage, 1);
    begin(&mut stage, 2);
    sound(&mut stage, 500, 1000);
    assert_eq!(stage.unanswered_samples(), 24_000);
    let job = stage.take_jobs().pop().unwrap();
    stage.finish(&job, said(" Yes.", 0.0, 1.0));
    assert_eq!(stage.unanswered_samples(), 8_000);
}
