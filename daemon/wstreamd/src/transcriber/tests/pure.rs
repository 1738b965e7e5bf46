//! The parts without input or output.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use wstream_wire::v1;
use wstream_wire::v2::{self, Begin, ClientMessage};

use crate::event::{Event, Transcript};
use crate::fault::{Fault, FaultKind};
use crate::transcriber::kept::Manner;
use crate::transcriber::outage::{LossKind, Lost, Outage, Verdict};
use crate::transcriber::outbox::Outbox;
use crate::transcriber::protocol::{
    Answer, Asked, Frame, Opening, Output, PROTOCOLS, Protocol, Received, Step,
};
use crate::transcriber::shown::Shown;

#[test]
fn text_goes_on_behind_what_was_committed() {
    for (committed, said, expected) in [
        ("", "Anything at all.", "Anything at all."),
        ("one two", "one two three", "one two three"),
        ("one two", "one two, three", "one two, three"),
        ("one two", "one two", "one two"),
        ("one two", "", "one two"),
        ("one two", "one", "one two"),
        // Said a little differently.
        ("one two", "One, two! Three", "one two Three"),
        ("one two,", "one too three four", "one two, three four"),
        ("the cat", "a the cat sat", "the cat sat"),
        ("and the cat", "the cat sat", "and the cat sat"),
        (
            "one two three",
            "\u{201c}One two three\u{201d} four",
            "one two three four",
        ),
        (
            "he said",
            "He said \u{201c}no\u{201d}",
            "he said \u{201c}no\u{201d}",
        ),
        // What follows is no part of the last word.
        ("I do", "I don't know", "I do know"),
        ("a well", "a well-known name", "a well name"),
        ("hell", "hello world", "hell world"),
        // Words without spaces between them.
        ("你好", "你好世界", "你好世界"),
        ("你好", "您好世界", "你好世界"),
        ("今日は", "今日は。いい天気", "今日は。いい天気"),
        // Nothing in common: a word twice is better than a word lost.
        ("one", "completely different", "one different"),
    ] {
        let mut shown = Shown::default();
        shown.partial(committed, 0, "");
        assert_eq!(shown.finish(said), expected, "{committed:?} {said:?}");
    }
}

#[test]
fn partials_grow() {
    let mut shown = Shown::default();
    for (committed, tentative, expected) in [
        ("", "one", ("", "one")),
        ("one", " two three", ("one", " two three")),
        ("one two", "", ("one two", "")),
        // Another server, from the beginning.
        ("", "One", ("one two", "")),
        ("", "One two three", ("one two", " three")),
        ("One", " two three", ("one two", " three")),
        ("One two three", " four", ("one two three", " four")),
        (
            "One two three four",
            " five",
            ("one two three four", " five"),
        ),
        // One that takes back what it has said.
        ("One", "", ("one two three four", "")),
    ] {
        let said = shown.partial(committed, 0, tentative);
        assert_eq!((said.0.as_str(), said.1.as_str()), expected);
    }
    assert_eq!(
        shown.finish("ONE TWO THREE FOUR FIVE"),
        "one two three four FIVE"
    );
}

proptest! {
    #[test]
    fn committed_text_is_never_taken_back(
        said in prop::collection::vec(("[ab,.'好 -]{0,12}", "[ab,.'好 -]{0,12}"), 0..8),
        end in "[ab,.'好 -]{0,24}",
    ) {
        let mut shown = Shown::default();
        let mut last = String::new();
        for (committed, tentative) in said {
            let (committed, _) = shown.partial(&committed, 0, &tentative);
            prop_assert!(committed.starts_with(&last));
            last = committed;
        }
        prop_assert!(shown.finish(&end).starts_with(&last));
    }
}

fn lost(kind: LossKind, held: Option<Duration>, since: Instant, is_local: bool) -> Lost {
    Lost {
        kind,
        held,
        since,
        after: None,
        is_local,
    }
}

#[test]
fn pauses_grow_and_end() {
    let now = Instant::now();
    let mut outage = Outage::default();
    let mut at = now;
    let mut pauses = Vec::new();
    let given_up = loop {
        match outage.lost(lost(LossKind::Refused, None, at, true), at) {
            Verdict::Retry(pause) => pauses.push(pause.as_millis()),
            verdict => break verdict,
        }
        at += Duration::from_secs(1) + Duration::from_millis(*pauses.last().unwrap() as u64);
    };
    assert_eq!(pauses[..4], [0, 250, 500, 1000]);
    assert!(pauses.is_sorted() && pauses.iter().all(|&pause| pause <= 10_000));
    assert_eq!(given_up, Verdict::GiveUp { reached: false });
    assert!(at - now >= Duration::from_secs(30), "{:?}", at - now);

    // An engine that does not start is not tried for two minutes.
    let mut outage = Outage::default();
    let not_started = lost(LossKind::NotStarted, None, now, true);
    assert_eq!(
        outage.lost(not_started, now),
        Verdict::Retry(Duration::ZERO)
    );
    assert!(matches!(outage.lost(not_started, now), Verdict::Retry(_)));
    assert_eq!(
        outage.lost(not_started, now),
        Verdict::GiveUp { reached: false }
    );

    // A connection that held is no part of an outage.
    let mut outage = Outage::default();
    assert!(outage.tell() && !outage.tell());
    for hours in 1..10 {
        let at = now + Duration::from_secs(hours * 3600);
        let held = Some(Duration::from_secs(60));
        let verdict = outage.lost(lost(LossKind::Broken, held, at, false), at);
        assert_eq!(verdict, Verdict::Retry(Duration::ZERO));
    }
    assert!(outage.tell());

    // What will not change by itself is tried once more, a moment later.
    for (kind, tries) in [(LossKind::Denied, 1), (LossKind::Garbled, 2)] {
        let mut outage = Outage::default();
        for _ in 0..tries {
            let verdict = outage.lost(lost(kind, None, now, false), now);
            assert!(matches!(verdict, Verdict::Retry(pause) if pause > Duration::ZERO));
        }
        let verdict = outage.lost(lost(kind, None, now, false), now);
        assert_eq!(verdict, Verdict::GiveUp { reached: false });
    }

    // A server is asked again when it wants to be, unless that is too late.
    for (after, retried) in [(60, true), (600, false)] {
        let after = Duration::from_secs(after);
        let asked = Lost {
            after: Some(after),
            ..lost(LossKind::Broken, None, now, false)
        };
        let verdict = Outage::default().lost(asked, now);
        let expected = Verdict::Retry(after);
        assert_eq!(verdict == expected, retried, "{verdict:?}");
    }
}

fn partial(utterance: u64, text: &str) -> Event {
    Event::Partial {
        utterance,
        committed: String::new(),
        tentative: text.to_owned(),
        heard_s: 0.0,
        processing_time_ms: 0.0,
    }
}

#[test]
fn of_partials_only_the_newest_waits() {
    let mut outbox = Outbox::default();
    for count in 0..1000 {
        outbox.push(partial(1, &format!("{count}")));
    }
    outbox.push(partial(2, "other"));
    outbox.push(partial(1, "last"));
    let fault = Fault::new(FaultKind::Failed, "it failed");
    outbox.push(Event::Failed {
        utterance: 2,
        fault,
    });
    let taken: Vec<String> = std::iter::from_fn(|| outbox.pop()).map(name).collect();
    assert_eq!(taken, ["partial last", "failed 2"]);
}

fn name(event: Event) -> String {
    match event {
        Event::Partial { tentative, .. } => format!("partial {tentative}"),
        Event::Failed { utterance, .. } => format!("failed {utterance}"),
        Event::Final(Transcript { utterance, .. }) => format!("final {utterance}"),
        other => format!("{other:?}"),
    }
}

/// The state machine that serves where the server chooses this subprotocol.
fn chosen(subprotocol: Option<&str>) -> Box<dyn Protocol> {
    let asked = Asked::default();
    (PROTOCOLS[0].new)(&asked, subprotocol).expect("one of ours")
}

/// What a protocol makes of steps and of what the server says, one line for each.
fn exchange(subprotocol: Option<&str>, script: &[Said]) -> Vec<String> {
    let mut protocol = chosen(subprotocol);
    let mut out = Output::new(Instant::now());
    protocol.opened(&mut out);
    let mut lines = Vec::new();
    for said in script {
        match said {
            We(step) => protocol.tell(step, &mut out),
            They(text) => {
                if protocol.receive(Received::Text(text), &mut out).is_err() {
                    lines.push("malformed".to_owned());
                }
            }
        }
        lines.extend(out.frames.drain(..).map(|frame| match frame {
            Frame::Text(text) if text.contains("audio_frame") => "> frame".to_owned(),
            Frame::Text(text) => format!("> {text}"),
            Frame::Binary(bytes) => format!("> {} bytes", bytes.len()),
            Frame::Ping => "> ping".to_owned(),
        }));
        lines.extend(out.answers.drain(..).map(|answer| match answer {
            Answer::Ready { window_samples, .. } => format!("< ready {window_samples}"),
            Answer::Partial {
                utterance,
                committed,
                tentative,
                ..
            } => format!("< partial {utterance} {committed:?} {tentative:?}"),
            Answer::Final(said) => {
                let more = if said.more { " and more" } else { "" };
                format!("< final {} {:?}{more}", said.utterance, said.text)
            }
            Answer::Failed {
                utterance, code, ..
            } => format!("< failed {utterance} {code}"),
            Answer::Error { code, .. } => format!("< error {code}"),
            Answer::Refused { message } => format!("< refused {message}"),
            Answer::Later { message, .. } => format!("< later {message}"),
        }));
    }
    lines
}

enum Said {
    We(Step),
    They(&'static str),
}

use Said::{They, We};

fn begin(utterance: u64) -> Said {
    We(Step::Begin(Opening {
        utterance,
        manner: Manner {
            language: "auto".to_owned(),
            ..Manner::default()
        },
        ..Opening::default()
    }))
}

fn sound(utterance: u64, count: usize) -> Said {
    let samples = vec![1; count].into();
    We(Step::Sound { utterance, samples })
}

fn end(utterance: u64) -> Said {
    We(Step::End { utterance })
}

fn cancel(utterance: u64) -> Said {
    We(Step::Cancel { utterance })
}

const V1_PARTIAL: &str = r#"{"type":"partial","text":"a","processing_time_ms":1}"#;
const V1_FINAL: &str = r#"{"type":"final","text":" b "}"#;

#[test]
fn version_1_counts_its_finals() {
    let end_line = v1::encode_vad_end();
    let end_line = format!("> {end_line}");
    let end_line = end_line.as_str();
    let ready = "< ready 480000";
    let partial = |utterance| format!("< partial {utterance} \"\" \"a\"");
    let said = |utterance| format!("< final {utterance} \"b\"");
    let cases: [(&[Said], &[&str]); 9] = [
        (
            &[
                begin(1),
                sound(1, 961),
                They(V1_PARTIAL),
                end(1),
                They(V1_FINAL),
            ],
            &[
                ready,
                "> frame",
                "> frame",
                "> frame",
                &partial(1),
                end_line,
                &said(1),
            ],
        ),
        // A partial that comes before a final belongs to it, also when the next has begun.
        (
            &[
                begin(1),
                sound(1, 480),
                end(1),
                begin(2),
                sound(2, 480),
                They(V1_PARTIAL),
                They(V1_FINAL),
                They(V1_PARTIAL),
            ],
            &[
                ready,
                "> frame",
                end_line,
                "> frame",
                &partial(1),
                &said(1),
                &partial(2),
            ],
        ),
        // Nothing said, nothing answered: the empty final waits for its turn.
        (&[begin(1), end(1)], &[ready, "< final 1 \"\""]),
        (
            &[
                begin(1),
                sound(1, 480),
                end(1),
                begin(2),
                end(2),
                They(V1_FINAL),
            ],
            &[ready, "> frame", end_line, &said(1), "< final 2 \"\""],
        ),
        // Cancelled in the middle: the server is made to empty its buffer.
        (
            &[
                begin(1),
                sound(1, 480),
                cancel(1),
                begin(2),
                sound(2, 480),
                They(V1_PARTIAL),
                end(2),
                They(V1_FINAL),
                They(V1_FINAL),
            ],
            &[ready, "> frame", end_line, "> frame", end_line, &said(2)],
        ),
        // Cancelled when it had ended, and before it had any sound.
        (
            &[
                begin(1),
                sound(1, 480),
                end(1),
                cancel(1),
                They(V1_PARTIAL),
                They(V1_FINAL),
            ],
            &[ready, "> frame", end_line],
        ),
        (
            &[
                begin(1),
                cancel(1),
                begin(2),
                sound(2, 480),
                end(2),
                They(V1_FINAL),
            ],
            &[ready, "> frame", end_line, &said(2)],
        ),
        (
            &[
                They(V1_FINAL),
                They(V1_PARTIAL),
                They(r#"{"type":"news"}"#),
                They(r#"{"type":"error","message":"m"}"#),
            ],
            &[ready],
        ),
        (
            &[They("{"), They("[]"), They(r#"{"type":"final"}"#)],
            &["malformed", ready, "malformed", "malformed"],
        ),
    ];
    for (script, expected) in cases {
        assert_eq!(exchange(None, script), expected);
    }
}

#[test]
fn version_2_passes_on() {
    let began = Begin {
        utterance: 1,
        cuts: true,
        ..Begin::default()
    };
    let lines = exchange(
        Some(v2::SUBPROTOCOL),
        &[
            They(
                r#"{"type":"ready","protocol":2,"model":"m","version":"v","multilingual":false,"window_samples":7}"#,
            ),
            begin(1),
            sound(1, 480),
            We(Step::Pause {
                utterance: 1,
                sample: 3,
            }),
            We(Step::Resume { utterance: 1 }),
            They(
                r#"{"type":"partial","utterance":1,"committed":"a","tentative":" b","sample":4,"processing_time_ms":1}"#,
            ),
            end(1),
            They(
                r#"{"type":"final","utterance":1,"text":"a b","segments":[],"language":"en","sample":4,"processing_time_ms":1,"confidence":1}"#,
            ),
            cancel(2),
            They(r#"{"type":"error","code":"decode","message":"m","utterance":2}"#),
            They(r#"{"type":"error","code":"going-away","message":"m"}"#),
            They(r#"{"type":"pong","id":1}"#),
            They(r#"{"type":"news"}"#),
            They("?"),
        ],
    );
    let sent = |message| format!("> {}", v2::encode_client(&message));
    assert_eq!(
        lines,
        [
            "< ready 7",
            &sent(ClientMessage::Begin(began)),
            "> 960 bytes",
            &sent(ClientMessage::Pause {
                utterance: 1,
                sample: 3
            }),
            &sent(ClientMessage::Resume { utterance: 1 }),
            "< partial 1 \"a\" \" b\"",
            &sent(ClientMessage::End { utterance: 1 }),
            "< final 1 \"a b\"",
            &sent(ClientMessage::Cancel { utterance: 2 }),
            "< failed 2 decode",
            "< error going-away",
            "malformed",
        ]
    );
}

proptest! {
    /// What a server says, whatever it is, is taken or refused.
    #[test]
    fn no_message_brings_a_protocol_down(texts in prop::collection::vec(".{0,40}", 0..4)) {
        for subprotocol in [None, Some(v2::SUBPROTOCOL)] {
            let mut protocol = chosen(subprotocol);
            let mut out = Output::new(Instant::now());
            for text in &texts {
                let _ = protocol.receive(Received::Text(text), &mut out);
            }
        }
    }
}
