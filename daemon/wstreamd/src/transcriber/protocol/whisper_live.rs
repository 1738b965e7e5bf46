//! WhisperLive, faster-whisper backend: the last segments in every message, the last of them
//! unfinished. One connection serves one utterance.
//!
//! It has no word for the end: it decodes what it has again and again, drops everything when it is
//! told `END_OF_AUDIO`, and hears nothing shorter than a second. So silence follows the sound, and
//! the first answer that has heard the silence is the final.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, warn};
use wstream_wire::{SAMPLE_RATE, Segment, sample_to_f32};

use self::message::{Message, Piece};
use super::single::{Single, asked_language};
use super::{
    Answer, Asked, Closed, Credential, Entry, Frame, NotUnderstood, Opening, Output, Protocol,
    Received, Request, Step, Transport,
};
use crate::transcriber::kept::Manner;

mod message;

pub(super) const ENTRY: Entry = Entry {
    name: "whisper-live",
    transport: Transport::WebSocket,
    port: Some(9090),
    credential: Some(Credential::BEARER),
    server_vad: false,
    request: |asked| Request {
        target: asked.target("/", &[]),
        ..Request::default()
    },
    new: |asked, _| Some(Box::new(WhisperLive::new(asked))),
};

/// What the server loads where it was started without a model of its own; its own client's choice.
const DEFAULT_MODEL: &str = "small";

/// Its buffer loses sound beyond 45 s; no utterance is as long as this.
const WINDOW_SAMPLES: u64 = 30 * SAMPLE_RATE as u64;

/// Silence behind an utterance: more than the second below which the server does not decode.
const SILENCE_SAMPLES: usize = SAMPLE_RATE as usize * 6 / 5;

/// The server keeps 500 segments; an utterance has far fewer, so every message is the whole of it.
const SEGMENTS: u32 = 500;

/// Without any message for this long after the end there will be none: it has heard no speech. Its
/// own client waits as long.
const QUIET: Duration = Duration::from_secs(15);

/// A full server names the time until the longest connection must end; most end sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

const END_OF_AUDIO: &[u8] = b"END_OF_AUDIO";

#[derive(Debug)]
struct WhisperLive {
    model: String,
    single: Single,
    /// Sound that was told before the server was ready; `None`: it is ready.
    early: Option<VecDeque<Arc<[i16]>>>,
    /// All sound has been told.
    ended: bool,
    /// What is waited for at the end.
    ending: Option<Ending>,
    /// Segments that will not change.
    completed: Vec<Segment>,
    /// The one that may.
    tentative: Option<Segment>,
    language: String,
}

/// All sound and the silence behind it have been sent.
#[derive(Debug)]
struct Ending {
    /// When, or when the server last said something.
    since: Instant,
    /// Whether the server has read them: it has answered the ping behind them.
    is_read: bool,
    /// Messages since then. The first may be about a decode that had begun before.
    messages: u32,
}

impl WhisperLive {
    fn new(asked: &Asked) -> Self {
        WhisperLive {
            model: asked.model.clone().unwrap_or(DEFAULT_MODEL.to_owned()),
            single: Single::default(),
            early: Some(VecDeque::new()),
            ended: false,
            ending: None,
            completed: Vec::new(),
            tentative: None,
            language: String::new(),
        }
    }

    /// What it says of itself is all that the server is ever told, so it waits for the utterance.
    fn greet(&mut self, opening: &Opening, out: &mut Output) {
        let manner = &opening.manner;
        let language = asked_language(manner);
        self.language = language.unwrap_or_default().to_owned();
        let previous = opening.previous.as_deref();
        let prompt = previous.filter(|text| manner.strategy.uses_prompt() && !text.is_empty());
        let vocabulary = manner.vocabulary.join(", ");
        let greeting = json!({
            "uid": format!("wstream-{}", opening.utterance),
            "language": language,
            "task": "transcribe",
            "model": self.model,
            // That it leaves out what is no speech; its client's default.
            "use_vad": true,
            "send_last_n_segments": SEGMENTS,
            "initial_prompt": prompt,
            "hotwords": (!vocabulary.is_empty()).then_some(vocabulary),
        });
        out.text(greeting.to_string());
    }

    fn ready(&mut self, out: &mut Output) {
        for samples in self.early.take().unwrap_or_default() {
            out.frames.push_back(sound(&samples));
        }
        if self.ended {
            self.end(out);
        }
    }

    fn end(&mut self, out: &mut Output) {
        out.frames.push_back(sound(&[0; SILENCE_SAMPLES]));
        out.frames.push_back(Frame::Ping);
        self.ending = Some(Ending {
            since: out.now,
            is_read: false,
            messages: 0,
        });
    }

    fn segments(&mut self, said: Vec<Piece>, out: &mut Output) -> Result<(), NotUnderstood> {
        self.tentative = None;
        for piece in said {
            let is_completed = piece.completed;
            let segment = piece.segment()?;
            if !is_completed {
                self.tentative = Some(segment);
            } else if !self.completed.iter().any(|it| it.start == segment.start) {
                self.completed.push(segment);
            }
        }
        let committed = concat(&self.completed);
        let tentative = concat(self.tentative.as_slice());
        // The server begins every segment with a space.
        let is_first = committed.is_empty();
        let tentative = if is_first {
            tentative.trim_start()
        } else {
            &tentative
        };
        self.single.partial(committed.trim(), tentative, out)?;
        if self.has_heard_all(out.now) {
            self.finish(out)?;
        }
        Ok(())
    }

    /// Whether what the server has just said is about all the sound.
    fn has_heard_all(&mut self, now: Instant) -> bool {
        let Some(ending) = &mut self.ending else {
            return false;
        };
        ending.since = now;
        ending.messages += u32::from(ending.is_read);
        let last = self
            .tentative
            .iter()
            .chain(&self.completed)
            .map(|it| it.end);
        // An end beyond the sound has heard the silence.
        last.fold(0.0, f64::max) > self.single.seconds() || ending.messages >= 2
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), NotUnderstood> {
        self.ending = None;
        let mut segments = std::mem::take(&mut self.completed);
        segments.extend(self.tentative.take());
        let text = concat(&segments);
        for segment in &mut segments {
            segment.text = segment.text.trim().to_owned();
        }
        let language = std::mem::take(&mut self.language);
        self.single.finish(&text, segments, language, out)?;
        out.frames.push_back(Frame::Binary(END_OF_AUDIO.to_vec()));
        Ok(())
    }

    /// A message about the connection.
    fn status(&self, status: &str, message: &Value, out: &mut Output) {
        match status {
            "WAIT" => {
                let minutes = message.as_f64().unwrap_or_default();
                let after = Duration::try_from_secs_f64(minutes * 60.0).unwrap_or_default();
                out.answers.push_back(Answer::Later {
                    message: "it has too many clients".to_owned(),
                    after: Some(after.min(LONGEST_WAIT)),
                });
            }
            "ERROR" => out.answers.push_back(Answer::Refused {
                message: message.as_str().unwrap_or("an error").to_owned(),
            }),
            _ => warn!(status, %message, "the server complains"),
        }
    }
}

impl Protocol for WhisperLive {
    fn opened(&mut self, out: &mut Output) {
        out.answers.push_back(Answer::Ready {
            model: String::new(),
            window_samples: WINDOW_SAMPLES,
        });
    }

    fn serves(&self, _manner: &Manner) -> bool {
        self.single.is_fresh()
    }

    fn is_spent(&self) -> bool {
        !self.single.is_fresh()
    }

    fn tell(&mut self, step: &Step, out: &mut Output) {
        match step {
            Step::Begin(opening) => {
                self.single.begin(opening);
                self.greet(opening, out);
            }
            Step::Sound { samples, .. } => {
                self.single.push(samples.len());
                match &mut self.early {
                    Some(early) => early.push_back(samples.clone()),
                    None => out.frames.push_back(sound(samples)),
                }
            }
            Step::Pause { .. } | Step::Resume { .. } => {}
            Step::End { .. } => {
                self.single.end();
                self.ended = true;
                if self.early.is_none() {
                    self.end(out);
                }
            }
            Step::Cancel { .. } if !self.single.is_owed() => {}
            Step::Cancel { .. } => {
                self.single.cancel();
                self.ending = None;
                out.frames.push_back(Frame::Binary(END_OF_AUDIO.to_vec()));
            }
        }
    }

    fn receive(&mut self, received: Received<'_>, out: &mut Output) -> Result<(), NotUnderstood> {
        let text = match received {
            Received::Text(text) => text,
            Received::Pong => {
                if let Some(ending) = &mut self.ending {
                    ending.is_read = true;
                }
                return Ok(());
            }
            Received::Binary(_) => return Ok(()),
        };
        let message: Message = super::from_json(text)?;
        if let Some(status) = &message.status {
            self.status(status, &message.message, out);
        } else if let Some(segments) = message.segments {
            self.segments(segments, out)?;
        } else if let Some(language) = message.language {
            self.language = language;
        } else if message.message == "SERVER_READY" {
            self.ready(out);
        } else {
            // That it is about to close, and what it translates.
            debug!("a message about something else is ignored");
        }
        Ok(())
    }

    fn closed(&mut self, _how: Closed, _out: &mut Output) -> bool {
        !self.single.is_owed()
    }

    fn due(&self) -> Option<Instant> {
        self.ending.as_ref().map(|ending| ending.since + QUIET)
    }

    fn overdue(&mut self, out: &mut Output) {
        debug!("the server says nothing more: what it has said is the final");
        if let Err(error) = self.finish(out) {
            warn!(%error, "the final cannot be used");
        }
    }
}

/// Old servers know nothing but floats, and the others take them.
fn sound(samples: &[i16]) -> Frame {
    let samples = samples.iter().map(|&sample| sample_to_f32(sample));
    Frame::Binary(samples.flat_map(f32::to_le_bytes).collect())
}

fn concat(segments: &[Segment]) -> String {
    segments.iter().map(|it| it.text.as_str()).collect()
}
