//! Wyoming, which Home Assistant's speech servers speak: events over TCP, each a line of JSON with
//! the sizes of what follows it. One connection serves one utterance; most servers hang up behind
//! the transcript.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::debug;
use wstream_wire::{SAMPLE_RATE, v2};

use self::event::{Event, Reader, encode};
use super::single::{Single, asked_language, split_last_word, tidy};
use super::{
    Answer, Asked, Closed, Entry, Frame, NotUnderstood, Opening, Output, Protocol, Received,
    Request, Step, Transport,
};
use crate::transcriber::kept::Manner;

mod event;

pub(super) const ENTRY: Entry = Entry {
    name: "wyoming",
    transport: Transport::Stream,
    port: Some(10300),
    credential: None,
    server_vad: false,
    request: |_| Request::default(),
    new: |asked, _| Some(Box::new(Wyoming::new(asked))),
};

/// It announces no limit; an utterance is shorter.
const WINDOW_SAMPLES: u64 = 30 * SAMPLE_RATE as u64;

#[derive(Debug)]
struct Wyoming {
    model: Option<String>,
    reader: Reader,
    single: Single,
    /// Pieces so far, from a server that streams them.
    streamed: String,
    language: String,
}

impl Wyoming {
    fn new(asked: &Asked) -> Self {
        Wyoming {
            model: asked.model.clone(),
            reader: Reader::default(),
            single: Single::default(),
            streamed: String::new(),
            language: String::new(),
        }
    }

    fn begin(&mut self, opening: &Opening, out: &mut Output) {
        self.single.begin(opening);
        let manner = &opening.manner;
        let language = asked_language(manner);
        self.language = language.unwrap_or_default().to_owned();
        let mut wanted = Map::new();
        wanted.extend(language.map(|it| ("language".to_owned(), json!(it))));
        wanted.extend((self.model.as_ref()).map(|it| ("name".to_owned(), json!(it))));
        if !manner.vocabulary.is_empty() {
            let terms = json!(*manner.vocabulary);
            wanted.insert("transcript_terms".to_owned(), terms);
        }
        self.say("transcribe", Value::Object(wanted), &[], out);
        self.say("audio-start", format(), &[], out);
    }

    fn say(&self, kind: &str, data: Value, payload: &[u8], out: &mut Output) {
        out.frames
            .push_back(Frame::Binary(encode(kind, &data, payload)));
    }

    fn event(&mut self, event: Event, out: &mut Output) -> Result<(), NotUnderstood> {
        match event.kind.as_str() {
            "info" => self.info(event.data()?, out),
            "transcript-start" => {
                let start: Transcript = event.data()?;
                self.language = start.language.unwrap_or(std::mem::take(&mut self.language));
            }
            "transcript-chunk" => {
                let chunk: Transcript = event.data()?;
                self.streamed.push_str(&chunk.text);
                let (committed, tentative) = split_last_word(self.streamed.trim_start());
                self.single.partial(committed, tentative, out)?;
            }
            "transcript" => {
                let transcript: Transcript = event.data()?;
                let language = std::mem::take(&mut self.language);
                let language = transcript.language.unwrap_or(language);
                // Some servers join segments with one space too many.
                let text = tidy(&transcript.text);
                self.single.finish(&text, Vec::new(), language, out)?;
            }
            "error" => {
                let error: Failure = event.data()?;
                out.answers.push_back(Answer::Later {
                    message: format!("it says {:?}", error.text),
                    after: None,
                });
            }
            kind => debug!(kind, "an event of an unknown type is ignored"),
        }
        Ok(())
    }

    fn info(&self, info: Info, out: &mut Output) {
        if !self.single.is_fresh() {
            return;
        }
        let programs = info.asr.unwrap_or_default();
        let Some(program) = programs.first() else {
            out.answers.push_back(Answer::Refused {
                message: "it recognises no speech: it is a Wyoming server of another kind"
                    .to_owned(),
            });
            return;
        };
        let mut named = program.models.iter().map(|model| &model.name);
        let model = self.model.clone().or(named.next().cloned());
        out.answers.push_back(Answer::Ready {
            model: model.unwrap_or_default(),
            window_samples: WINDOW_SAMPLES,
        });
    }
}

/// 16-bit samples of ours.
fn format() -> Value {
    json!({"rate": SAMPLE_RATE, "width": 2, "channels": 1})
}

impl Protocol for Wyoming {
    fn opened(&mut self, out: &mut Output) {
        self.say("describe", json!({}), &[], out);
    }

    fn serves(&self, _manner: &Manner) -> bool {
        self.single.is_fresh()
    }

    fn is_spent(&self) -> bool {
        !self.single.is_fresh()
    }

    fn tell(&mut self, step: &Step, out: &mut Output) {
        match step {
            Step::Begin(opening) => self.begin(opening, out),
            Step::Sound { samples, .. } => {
                self.say("audio-chunk", format(), &v2::encode_sound(samples), out);
            }
            Step::Pause { .. } | Step::Resume { .. } => {}
            Step::End { .. } => {
                self.single.end();
                self.say("audio-stop", json!({}), &[], out);
            }
            Step::Cancel { .. } => self.single.cancel(),
        }
    }

    /// The protocol has a ping, but servers of speech do not answer it.
    fn ping(&mut self, _out: &mut Output) -> bool {
        false
    }

    fn receive(&mut self, received: Received<'_>, out: &mut Output) -> Result<(), NotUnderstood> {
        let Received::Binary(bytes) = received else {
            return Ok(());
        };
        self.reader.push(bytes);
        while let Some(event) = self.reader.next()? {
            self.event(event, out)?;
        }
        Ok(())
    }

    fn closed(&mut self, _how: Closed, _out: &mut Output) -> bool {
        !self.single.is_owed()
    }
}

/// What the server offers.
#[derive(Deserialize)]
struct Info {
    asr: Option<Vec<Program>>,
}

#[derive(Deserialize)]
struct Program {
    #[serde(default)]
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
}

/// A text, a piece of one, or what is known before it.
#[derive(Deserialize)]
struct Transcript {
    #[serde(default)]
    text: String,
    language: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    text: String,
}
