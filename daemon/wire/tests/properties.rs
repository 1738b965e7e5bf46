//! Whatever arrives, decoders answer with a value or an error; whatever encoders make, they read.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use wstream_wire::v2::{Begin, Committed, Final};
use wstream_wire::{DecodeError, Segment, Strategy as Way, path, v1, v2};

/// JSON of any shape, with the names that the protocol uses among its keys and values.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "type",
        "audio_frame",
        "vad_end",
        "audio",
        "sample_rate",
        "partial",
        "final",
        "error",
        "begin",
        "pause",
        "resume",
        "end",
        "cancel",
        "ping",
        "pong",
        "ready",
        "utterance",
        "text",
        "segments",
        "strategy",
        "committed",
        "sample",
        "id",
        "code",
        "message",
        "prompt",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        names.clone().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let key = prop_oneof![
            names.clone().prop_map(str::to_owned),
            ".{0,6}".prop_map(|key| key),
        ];
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((key, inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn decode_everything(text: &str) {
    let _ = v1::decode_client(text);
    let _ = v1::decode_server(text);
    let _ = v2::decode_client(text);
    let _ = v2::decode_server(text);
    let _ = path::parse(text);
}

fn way() -> impl Strategy<Value = Way> {
    prop::sample::select(Way::ALL.to_vec())
}

/// Numbers that JSON carries exactly both ways.
fn seconds() -> impl Strategy<Value = f64> {
    (0_u32..10_000_000).prop_map(|ms| f64::from(ms) / 1000.0)
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let segment =
        (seconds(), seconds(), ".*").prop_map(|(start, end, text)| Segment { start, end, text });
    vec(segment, 0..4)
}

fn v2_client() -> impl Strategy<Value = v2::ClientMessage> {
    let committed = (".*", any::<u64>()).prop_map(|(text, sample)| Committed { text, sample });
    let begin = (
        any::<u64>(),
        way(),
        (prop::option::of(".*"), vec(".*", 0..3)),
        vec(".*", 0..3),
        prop::option::of(".*"),
        prop::option::of(committed),
        (any::<u64>(), any::<bool>()),
    )
        .prop_map(
            |(utterance, strategy, language, vocabulary, previous, committed, rest)| {
                v2::ClientMessage::Begin(Begin {
                    utterance,
                    strategy,
                    language: language.0,
                    languages: language.1,
                    vocabulary,
                    previous,
                    committed,
                    context_samples: rest.0,
                    cuts: rest.1,
                })
            },
        );
    prop_oneof![
        begin,
        (any::<u64>(), any::<u64>())
            .prop_map(|(utterance, sample)| v2::ClientMessage::Pause { utterance, sample }),
        any::<u64>().prop_map(|utterance| v2::ClientMessage::Resume { utterance }),
        any::<u64>().prop_map(|utterance| v2::ClientMessage::End { utterance }),
        any::<u64>().prop_map(|utterance| v2::ClientMessage::Cancel { utterance }),
        any::<u64>().prop_map(|id| v2::ClientMessage::Ping { id }),
    ]
}

fn v2_server() -> impl Strategy<Value = v2::ServerMessage> {
    let ready = (any::<u32>(), ".*", ".*", any::<bool>(), any::<u64>()).prop_map(
        |(protocol, model, version, multilingual, window_samples)| v2::ServerMessage::Ready {
            protocol,
            model,
            version,
            multilingual,
            window_samples,
        },
    );
    let partial = (
        any::<u64>(),
        (".*", any::<u64>()),
        ".*",
        any::<u64>(),
        seconds(),
    )
        .prop_map(
            |(utterance, (committed, committed_sample), tentative, sample, processing_time_ms)| {
                v2::ServerMessage::Partial {
                    utterance,
                    committed,
                    committed_sample,
                    tentative,
                    sample,
                    processing_time_ms,
                }
            },
        );
    let last = (
        any::<u64>(),
        ".*",
        segments(),
        ".*",
        any::<u64>(),
        seconds(),
        (seconds(), any::<bool>()),
    )
        .prop_map(
            |(
                utterance,
                text,
                segments,
                language,
                sample,
                processing_time_ms,
                (confidence, more),
            )| {
                v2::ServerMessage::Final(Final {
                    utterance,
                    text,
                    segments,
                    language,
                    sample,
                    processing_time_ms,
                    confidence,
                    more,
                })
            },
        );
    let error =
        (".*", ".*", prop::option::of(any::<u64>())).prop_map(|(code, message, utterance)| {
            v2::ServerMessage::Error {
                code,
                message,
                utterance,
            }
        });
    prop_oneof![
        ready,
        partial,
        last,
        error,
        any::<u64>().prop_map(|id| v2::ServerMessage::Pong { id }),
    ]
}

fn v1_server() -> impl Strategy<Value = v1::ServerMessage> {
    prop_oneof![
        (".*", seconds()).prop_map(|(text, processing_time_ms)| v1::ServerMessage::Partial {
            text,
            processing_time_ms,
        }),
        (".*", segments(), prop::option::of(".*"), seconds()).prop_map(
            |(text, segments, language, processing_time_ms)| v1::ServerMessage::Final {
                text,
                segments,
                language,
                processing_time_ms,
            }
        ),
        ".*".prop_map(|message| v1::ServerMessage::Error { message }),
    ]
}

proptest! {
    #[test]
    fn any_text_is_decoded_or_refused(text in ".*") {
        decode_everything(&text);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        decode_everything(&String::from_utf8_lossy(&bytes));
        let decoded = v2::decode_sound(&bytes);
        prop_assert_eq!(decoded.is_ok(), bytes.len() % 2 == 0);
    }

    #[test]
    fn any_json_is_decoded_or_refused(value in any_json()) {
        decode_everything(&value.to_string());
    }

    #[test]
    fn any_audio_field_is_decoded_or_refused(audio in "[A-Za-z0-9+/=]{0,64}", rate in any_json()) {
        let message = json!({"type": "audio_frame", "audio": audio, "sample_rate": rate});
        if let Ok(v1::ClientMessage::AudioFrame(samples)) = v1::decode_client(&message.to_string()) {
            prop_assert!(samples.iter().all(|sample| sample.is_finite()));
        }
    }

    #[test]
    fn v1_frames_survive(samples in vec(any::<i16>(), 0..1000)) {
        let expected = samples.iter().map(|&s| wstream_wire::sample_to_f32(s)).collect();
        let decoded = v1::decode_client(&v1::encode_frame(&samples)).unwrap();
        prop_assert_eq!(decoded, v1::ClientMessage::AudioFrame(expected));
    }

    #[test]
    fn v1_float_frames_survive_bit_by_bit(bits in vec(any::<u32>(), 1..100)) {
        let samples: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        match v1::decode_client(&v1::encode_f32_frame(samples.iter().copied())) {
            Ok(v1::ClientMessage::AudioFrame(decoded)) => {
                let decoded: Vec<u32> = decoded.into_iter().map(f32::to_bits).collect();
                prop_assert_eq!(decoded, bits);
            }
            Err(DecodeError::NotFinite(index)) => prop_assert!(!samples[index].is_finite()),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn v1_server_messages_survive(message in v1_server()) {
        prop_assert_eq!(v1::decode_server(&v1::encode_server(&message)).unwrap(), message);
    }

    #[test]
    fn v2_client_messages_survive(message in v2_client()) {
        prop_assert_eq!(v2::decode_client(&v2::encode_client(&message)).unwrap(), message);
    }

    #[test]
    fn v2_server_messages_survive(message in v2_server()) {
        prop_assert_eq!(v2::decode_server(&v2::encode_server(&message)).unwrap(), message);
    }

    #[test]
    fn v2_sound_survives(samples in vec(any::<i16>(), 0..1000)) {
        prop_assert_eq!(v2::decode_sound(&v2::encode_sound(&samples)).unwrap(), samples);
    }

    #[test]
    fn samples_survive_as_floats(sample in any::<i16>(), wild in any::<f32>()) {
        let there_and_back = wstream_wire::sample_to_i16(wstream_wire::sample_to_f32(sample));
        prop_assert_eq!(there_and_back, sample);
        // Anything else is clipped, never wrapped around.
        let clipped = wstream_wire::sample_to_i16(wild);
        if wild > 1.0 {
            prop_assert_eq!(clipped, i16::MAX);
        } else if wild < -1.0 {
            prop_assert_eq!(clipped, i16::MIN);
        }
    }

    #[test]
    fn paths_of_strategies_survive(way in way(), rest in "(/.{0,10})?") {
        prop_assert_eq!(path::parse(&format!("{}{rest}", path::of(way))), Ok(way));
    }
}

#[test]
fn unknown_types_are_told_from_malformed_messages() {
    let unknown = |error: DecodeError| matches!(error, DecodeError::UnknownType(_));
    for text in [r#"{"type":"wave"}"#, r#"{"type":"wave","audio":7}"#] {
        assert!(unknown(v1::decode_client(text).unwrap_err()));
        assert!(unknown(v1::decode_server(text).unwrap_err()));
        assert!(unknown(v2::decode_client(text).unwrap_err()));
        assert!(unknown(v2::decode_server(text).unwrap_err()));
    }
    for text in [
        "",
        "{",
        "[]",
        "7",
        r#"{"type":7}"#,
        r#"{"type":"audio_frame"}"#,
        r#"{"type":"begin"}"#,
    ] {
        let malformed = |error: DecodeError| matches!(error, DecodeError::Json(_));
        if !text.contains("begin") {
            assert!(malformed(v1::decode_client(text).unwrap_err()), "{text}");
        }
        if !text.contains("audio") {
            assert!(malformed(v2::decode_client(text).unwrap_err()), "{text}");
        }
    }
}

#[test]
fn optional_fields_may_be_missing() {
    let begin = r#"{"type":"begin","utterance":3,"strategy":"context","colour":"green"}"#;
    assert_eq!(
        v2::decode_client(begin).unwrap(),
        v2::ClientMessage::Begin(Begin {
            utterance: 3,
            strategy: Way::Context,
            ..Begin::default()
        })
    );
    assert_eq!(
        v1::decode_server(r#"{"type":"final","text":"yes"}"#).unwrap(),
        v1::ServerMessage::Final {
            text: "yes".to_owned(),
            segments: Vec::new(),
            language: None,
            processing_time_ms: 0.0,
        }
    );
    let partial = r#"{"type":"partial","utterance":3,"committed":"so","tentative":" far","sample":9,
        "processing_time_ms":1.5}"#;
    assert_eq!(
        v2::decode_server(partial).unwrap(),
        v2::ServerMessage::Partial {
            utterance: 3,
            committed: "so".to_owned(),
            committed_sample: 0,
            tentative: " far".to_owned(),
            sample: 9,
            processing_time_ms: 1.5,
        }
    );
    let last = r#"{"type":"final","utterance":3,"text":"","segments":[],"language":"en","sample":9,
        "processing_time_ms":1.5,"confidence":0.5}"#;
    let Ok(v2::ServerMessage::Final(last)) = v2::decode_server(last) else {
        panic!("a final without `more` is none");
    };
    assert!(!last.more);
}

#[test]
fn additions_that_say_nothing_are_not_sent() {
    // So that a peer of before them sees what it always saw.
    let begin = v2::encode_client(&v2::ClientMessage::Begin(Begin::default()));
    let last = v2::encode_server(&v2::ServerMessage::Final(Final::default()));
    let partial = v2::encode_server(&v2::ServerMessage::Partial {
        utterance: 0,
        committed: String::new(),
        committed_sample: 0,
        tentative: String::new(),
        sample: 0,
        processing_time_ms: 0.0,
    });
    for (message, addition) in [
        (&begin, "languages"),
        (&begin, "cuts"),
        (&last, "more"),
        (&partial, "committed_sample"),
    ] {
        assert!(!message.contains(addition), "{message}");
    }
}

#[test]
fn what_is_not_needed_of_a_message_is_not_kept() {
    let many = vec![r#""""#; 100_000].join(",");
    for field in ["vocabulary", "languages"] {
        let text =
            format!(r#"{{"type":"begin","utterance":1,"strategy":"prompt","{field}":[{many}]}}"#);
        let Ok(v2::ClientMessage::Begin(begin)) = v2::decode_client(&text) else {
            panic!("a long list is a message");
        };
        let kept = begin.vocabulary.len() + begin.languages.len();
        assert_eq!(kept, v2::MOST_STRINGS, "{field}");
    }
    let name = "x".repeat(100_000);
    let error = v2::decode_client(&format!(r#"{{"type":"{name}"}}"#)).unwrap_err();
    assert!(error.to_string().len() < 100, "{error}");
    // An array is no message, though it could be read as one.
    for text in [r#"["vad_end"]"#, r#" [ "ping", 7 ]"#] {
        assert!(v1::decode_client(text).is_err(), "{text}");
        assert!(v2::decode_client(text).is_err(), "{text}");
    }
    // However deep it is nested, what is ignored costs no stack, and the rest has its shape.
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let ping = format!(r#"{{"type":"ping","id":1,"x":{deep}}}"#);
    assert_eq!(
        v2::decode_client(&ping).unwrap(),
        v2::ClientMessage::Ping { id: 1 }
    );
    for text in [
        deep.clone(),
        format!(r#"{{"type":{deep}}}"#),
        format!(r#"{{"type":"begin","utterance":1,"strategy":"prompt","vocabulary":{deep}}}"#),
        format!(r#"{{"type":"audio_frame","audio":{deep}}}"#),
    ] {
        let refused = |error| matches!(error, DecodeError::Json(_) | DecodeError::UnknownType(_));
        assert!(refused(v1::decode_client(&text).unwrap_err()));
        assert!(refused(v2::decode_client(&text).unwrap_err()));
    }
}
