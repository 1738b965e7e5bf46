//! Protocols of others against what their servers have said: each file in `exchanges` is one
//! connection, line by line.
//!
//! `> ` is what the daemon tells, `< ` what the server sends, and `= ` what comes of it, which the
//! test holds. Those of servers that anybody can run were recorded from them with
//! `tests/interop/record.py`; the others were written from documentation, and say so.
//! `WSTREAM_BLESS=1` writes anew what comes of an exchange, to be read before it is committed.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::transcriber::kept::Manner;
use crate::transcriber::protocol::{
    Answer, Asked, Closed, Frame, NotUnderstood, Opening, Output, PROTOCOLS, Protocol, Received,
    Said, Step, named,
};

/// One connection.
struct Exchange {
    protocol: Box<dyn Protocol>,
    manner: Manner,
    out: Output,
    /// What has come of it, in lines.
    lines: Vec<String>,
}

impl Exchange {
    fn new(asked: &Asked, protocol: &str) -> Self {
        let entry = named(protocol).unwrap();
        let mut exchange = Exchange {
            protocol: (entry.new)(asked, None).unwrap(),
            manner: asked.manner.clone(),
            out: Output::new(Instant::now()),
            lines: Vec::new(),
        };
        exchange.protocol.opened(&mut exchange.out);
        exchange.drain();
        exchange
    }

    /// Takes a line of a file.
    fn take(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            ">" => {
                let words: Vec<&str> = rest.split(' ').collect();
                let number = |index: usize| words[index].parse::<u64>().unwrap();
                let utterance = number(1);
                let step = match words[0] {
                    "begin" => Step::Begin(Opening {
                        utterance,
                        manner: self.manner.clone(),
                        ..Opening::default()
                    }),
                    "sound" => Step::Sound {
                        utterance,
                        samples: vec![0; number(2) as usize].into(),
                    },
                    "pause" => Step::Pause {
                        utterance,
                        sample: number(2),
                    },
                    "resume" => Step::Resume { utterance },
                    "end" => Step::End { utterance },
                    "cancel" => Step::Cancel { utterance },
                    word => panic!("{word}"),
                };
                let times = if words.len() > 3 { number(3) } else { 1 };
                for _ in 0..times {
                    self.protocol.tell(&step, &mut self.out);
                }
            }
            "<" if rest == "pong" => self.hear(Received::Pong),
            "<" if rest.starts_with("closed ") => {
                let how = match rest {
                    "closed orderly" => Closed::Orderly,
                    _ => Closed::Broken,
                };
                let is_over = self.protocol.closed(how, &mut self.out);
                self.drain();
                self.lines.push(format!("= over {is_over}"));
            }
            "<" => self.hear(Received::Text(rest)),
            "<line" => self.hear(Received::Binary(format!("{rest}\n").as_bytes())),
            "<bytes" => self.hear(Received::Binary(rest.as_bytes())),
            "..." => {
                self.out.now += Duration::from_secs_f64(rest.parse().unwrap());
                if self.protocol.due().is_some_and(|due| due <= self.out.now) {
                    self.protocol.overdue(&mut self.out);
                }
            }
            _ => panic!("{line}"),
        }
        self.drain();
    }

    fn hear(&mut self, received: Received<'_>) {
        if let Err(error) = self.protocol.receive(received, &mut self.out) {
            self.lines.push(format!("= not understood: {error}"));
        }
    }

    fn drain(&mut self) {
        let frames = std::mem::take(&mut self.out.frames);
        let mut binary: Option<(usize, usize)> = None;
        let mut sent = Vec::new();
        for frame in frames {
            let shown = shown(&frame);
            match binary {
                Some((index, times)) if sent[index] == shown => binary = Some((index, times + 1)),
                _ => {
                    flush(&mut sent, binary.take());
                    sent.push(shown);
                    binary = Some((sent.len() - 1, 1));
                }
            }
        }
        flush(&mut sent, binary);
        self.lines.extend(sent);
        let answers = std::mem::take(&mut self.out.answers);
        self.lines.extend(answers.iter().map(answered));
    }
}

/// Frames that are the same are shown once, with their number.
fn flush(sent: &mut [String], same: Option<(usize, usize)>) {
    if let Some((index, times)) = same
        && times > 1
    {
        sent[index] = format!("{} ×{times}", sent[index]);
    }
}

fn shown(frame: &Frame) -> String {
    match frame {
        Frame::Text(text) => match serde_json::from_str::<Value>(text) {
            Ok(mut message) if message["audio"].is_string() => {
                let audio = message["audio"].as_str().unwrap_or_default().len();
                message["audio"] = json!(format!("{audio} characters"));
                format!("= send {message}")
            }
            _ => format!("= send {text}"),
        },
        Frame::Binary(bytes) => match bytes.iter().position(|&byte| byte == b'\n') {
            // Events that are lines are shown; sound is a number of bytes.
            Some(end) if bytes.starts_with(b"{") => {
                let line = String::from_utf8_lossy(&bytes[..end]);
                format!("= send {line} and {} bytes", bytes.len() - end - 1)
            }
            _ if bytes == b"END_OF_AUDIO" => "= send END_OF_AUDIO".to_owned(),
            _ => format!("= send {} bytes", bytes.len()),
        },
        Frame::Ping => "= send ping".to_owned(),
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Ready { model, .. } => format!("= ready {model:?}"),
        Answer::Partial {
            utterance,
            committed,
            tentative,
            ..
        } => format!("= partial {utterance} {committed:?} {tentative:?}"),
        Answer::Final(Said {
            utterance,
            text,
            segments,
            language,
            ..
        }) => {
            let times: Vec<String> = (segments.iter())
                .map(|it| format!("{}-{}", it.start, it.end))
                .collect();
            let times = times.join(" ");
            format!("= final {utterance} {text:?} {language:?} [{times}]")
        }
        Answer::Failed {
            utterance,
            code,
            message,
        } => format!("= failed {utterance} {code} {message:?}"),
        Answer::Error { code, message } => format!("= error {code} {message:?}"),
        Answer::Refused { message } => format!("= refused {message:?}"),
        Answer::Later { message, after } => {
            format!(
                "= later {message:?} {:?}",
                after.map(|after| after.as_secs())
            )
        }
    }
}

/// What a file's first lines ask for.
fn asked(protocol: &str, options: &str) -> Asked {
    let mut asked = Asked {
        manner: Manner {
            strategy: wstream_wire::Strategy::Context,
            language: "en".to_owned(),
            ..Manner::default()
        },
        ..Asked::default()
    };
    for option in options.split_whitespace() {
        match option.split_once('=') {
            None if option == "server_vad" => asked.server_vad = true,
            Some(("model", model)) => asked.model = Some(model.to_owned()),
            Some(("language", language)) => language.clone_into(&mut asked.manner.language),
            Some(("vocabulary", words)) => {
                asked.manner.vocabulary = words.split(',').map(str::to_owned).collect();
            }
            _ => panic!("{protocol}: {option}"),
        }
    }
    asked
}

#[test]
fn servers_are_understood() {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let dir = manifest.join("src/transcriber/tests/exchanges");
    let is_blessed = std::env::var_os("WSTREAM_BLESS").is_some();
    let mut served: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read_to_string(&path).unwrap();
        // Comments, then the protocol and what is asked for.
        let head = file.lines().find(|line| !line.starts_with('#')).unwrap();
        let (protocol, options) = head.split_once(' ').unwrap_or((head, ""));
        let mut exchange = Exchange::new(&asked(protocol, options), protocol);
        let mut lines: Vec<String> = Vec::new();
        for line in file.lines().filter(|line| !line.starts_with('=')) {
            lines.push(line.to_owned());
            if line.starts_with('#') {
                continue;
            }
            if line != head {
                exchange.take(line);
            }
            lines.append(&mut exchange.lines);
        }
        let came = lines.join("\n") + "\n";
        if is_blessed {
            std::fs::write(&path, &came).unwrap();
        } else {
            assert_eq!(came, file, "{}", path.display());
        }
        served.push(protocol.to_owned());
    }
    for entry in &PROTOCOLS[1..] {
        assert!(served.iter().any(|it| it == entry.name), "{}", entry.name);
    }
}

/// Anything that JSON can say, most often in words that some server knows.
fn message() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "type",
        "status",
        "message",
        "segments",
        "start",
        "end",
        "text",
        "completed",
        "language",
        "lines",
        "speaker",
        "buffer_transcription",
        "useAudioWorklet",
        "error",
        "item_id",
        "delta",
        "transcript",
        "code",
        "event_id",
        "data",
        "data_length",
        "payload_length",
        "asr",
        "models",
    ]);
    let words = prop::sample::select(vec![
        "SERVER_READY",
        "WAIT",
        "config",
        "ready_to_stop",
        "info",
        "transcript",
        "transcript-chunk",
        "error",
        "session.created",
        "session.updated",
        "input_audio_buffer.committed",
        "input_audio_buffer.speech_stopped",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.failed",
        "commit-2",
        "item-1",
        "item-2",
        "1.5",
        "nan",
        "one two",
        " three",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3_i64..1000).prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5).prop_map(|fields| {
                let fields = fields.into_iter();
                fields
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            }),
        ]
    });
    // Half of them with a type that is one.
    (value, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(mut value, index, typed)| {
        let kinds = [
            "config",
            "ready_to_stop",
            "info",
            "transcript",
            "transcript-chunk",
            "session.created",
            "session.updated",
            "input_audio_buffer.committed",
            "conversation.item.input_audio_transcription.delta",
            "conversation.item.input_audio_transcription.completed",
            "conversation.item.input_audio_transcription.failed",
        ];
        if typed && let Some(fields) = value.as_object_mut() {
            fields.insert("type".to_owned(), json!(*index.get(&kinds)));
        }
        value
    })
}

#[derive(Clone, Debug)]
enum Move {
    They(Value),
    Text(String),
    We(u8),
    Pong,
    Wait,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => message().prop_map(Move::They),
        1 => ".{0,30}".prop_map(Move::Text),
        6 => (0_u8..6).prop_map(Move::We),
        1 => Just(Move::Pong),
        1 => Just(Move::Wait),
    ];
    prop::collection::vec(one, 0..40)
}

/// Tells what the daemon would, in its order: one of `choice` that is possible now.
fn step(choice: u8, last: &mut u64, is_open: &mut bool, serves: bool) -> Option<Step> {
    let utterance = *last;
    match choice {
        0 if !*is_open && serves => {
            *last += 1;
            *is_open = true;
            Some(Step::Begin(Opening {
                utterance: *last,
                ..Opening::default()
            }))
        }
        1 | 2 if *is_open => Some(Step::Sound {
            utterance,
            samples: vec![1; 480].into(),
        }),
        3 if *is_open => Some(Step::Pause {
            utterance,
            sample: 0,
        }),
        4 if *is_open => {
            *is_open = false;
            Some(Step::End { utterance })
        }
        5 if utterance > 0 => {
            *is_open = false;
            Some(Step::Cancel { utterance })
        }
        _ => None,
    }
}

proptest! {
    /// Whatever a server says, and whenever: it is taken or refused, no utterance has two ends or
    /// one after it was cancelled, and what was committed stays.
    #[test]
    fn no_server_breaks_a_protocol(moves in moves()) {
        for entry in &PROTOCOLS[1..] {
            let mut protocol = (entry.new)(&asked(entry.name, ""), None).unwrap();
            let mut out = Output::new(Instant::now());
            protocol.opened(&mut out);
            let (mut last, mut is_open, mut is_ready) = (0, false, false);
            let mut owed: Vec<(u64, String)> = Vec::new();
            for one in &moves {
                let taken: Result<(), NotUnderstood> = match one {
                    Move::They(value) => {
                        let text = value.to_string();
                        let line = format!("{text}\n");
                        let bytes = protocol.receive(Received::Binary(line.as_bytes()), &mut out);
                        bytes.and(protocol.receive(Received::Text(&text), &mut out))
                    }
                    Move::Text(text) => protocol.receive(Received::Text(text), &mut out),
                    Move::Pong => protocol.receive(Received::Pong, &mut out),
                    Move::Wait => {
                        out.now += Duration::from_secs(40);
                        if protocol.due().is_some_and(|due| due <= out.now) {
                            protocol.overdue(&mut out);
                        }
                        Ok(())
                    }
                    &Move::We(choice) => {
                        let serves = is_ready && protocol.serves(&Manner::default());
                        if let Some(step) = step(choice, &mut last, &mut is_open, serves) {
                            match &step {
                                Step::Begin(it) => owed.push((it.utterance, String::new())),
                                Step::Cancel { utterance } => owed.retain(|it| it.0 != *utterance),
                                _ => {}
                            }
                            protocol.tell(&step, &mut out);
                        }
                        Ok(())
                    }
                };
                for answer in out.answers.drain(..) {
                    match answer {
                        Answer::Ready { .. } => is_ready = true,
                        Answer::Partial { utterance, committed, .. } => {
                            let it = owed.iter_mut().find(|it| it.0 == utterance);
                            let it = it.expect("a partial of what is owed");
                            prop_assert!(committed.starts_with(&it.1), "{committed:?} {:?}", it.1);
                            it.1 = committed;
                        }
                        Answer::Final(Said { utterance, text, .. }) => {
                            prop_assert_eq!(owed.first().map(|it| it.0), Some(utterance));
                            let (_, committed) = owed.remove(0);
                            prop_assert!(text.starts_with(committed.trim()));
                            is_open &= utterance != last;
                        }
                        Answer::Failed { utterance, .. } => {
                            prop_assert_eq!(owed.first().map(|it| it.0), Some(utterance));
                            owed.remove(0);
                            is_open &= utterance != last;
                        }
                        _ => {}
                    }
                }
                out.frames.clear();
                if taken.is_err() {
                    break;
                }
            }
        }
    }
}
