//! OpenAI's Realtime API in its form for transcription. Sound is 24 kHz; utterances end with a
//! commit of ours, for which the server names an item, and text comes by item: pieces that are only
//! ever added to, then the whole.
//!
//! Written from the documentation: no server was at hand to try it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, warn};
use wstream_wire::{SAMPLE_RATE, sample_to_f32, v2};

use self::turns::Turns;
use super::{
    Answer, Asked, Credential, Entry, NotUnderstood, Opening, Output, Protocol, Received, Request,
    Step, Transport,
};
use crate::source::resample::Resampler;
use crate::transcriber::kept::Manner;

mod session;
mod turns;

pub(super) const ENTRY: Entry = Entry {
    name: "openai-realtime",
    transport: Transport::WebSocket,
    port: None,
    credential: Some(Credential::BEARER),
    server_vad: true,
    request: |asked| Request {
        // A model here would make it a conversation.
        target: asked.target("/v1/realtime", &[("intent", "transcription")]),
        ..Request::default()
    },
    new: |asked, _| Some(Box::new(OpenAi::new(asked))),
};

/// It announces no limit on time; at the pace of speech nobody is ever further ahead.
const WINDOW_SAMPLES: u64 = 30 * SAMPLE_RATE as u64;

/// The only rate that it takes.
const RATE: u32 = 24_000;

/// A commit of less is refused: 100 ms.
const LEAST_SAMPLES: usize = RATE as usize / 10;

/// What names our commits in the server's complaints about them.
const COMMIT: &str = "commit-";

/// What names our settings.
const SETTINGS: &str = "settings-";

#[derive(Debug)]
struct OpenAi {
    asked: Asked,
    /// The settings that the server was told last.
    session: Value,
    is_ready: bool,
    turns: Turns,
    /// The utterance under way.
    open: Option<Open>,
    /// How often settings were sent, and how often a commit.
    updates: u64,
    commits: u64,
    /// The last final, for a strategy that gives it to the model.
    previous: String,
}

#[derive(Debug)]
struct Open {
    resampler: Resampler,
    /// Samples appended, at 24 kHz.
    samples: usize,
}

impl OpenAi {
    fn new(asked: &Asked) -> Self {
        OpenAi {
            asked: asked.clone(),
            session: Value::Null,
            is_ready: false,
            turns: Turns::new(asked.server_vad),
            open: None,
            updates: 0,
            commits: 0,
            previous: String::new(),
        }
    }

    /// Tells the server how to transcribe, unless it knows.
    fn settle(&mut self, manner: &Manner, out: &mut Output) {
        let session = session::session(&self.asked, manner, &self.previous);
        if session != self.session {
            self.updates += 1;
            let event_id = format!("{SETTINGS}{}", self.updates);
            let update =
                json!({"type": "session.update", "event_id": event_id, "session": session});
            out.text(update.to_string());
            self.session = session;
        }
    }

    fn begin(&mut self, opening: &Opening, out: &mut Output) {
        if let Some(previous) = &opening.previous {
            self.previous.clone_from(previous);
        }
        self.settle(&opening.manner, out);
        self.turns.begin(opening);
        self.open = Some(Open {
            resampler: Resampler::between(SAMPLE_RATE, RATE).expect("they have a common divisor"),
            samples: 0,
        });
    }

    fn sound(&mut self, samples: &[i16], out: &mut Output) {
        let Some(open) = &mut self.open else {
            return;
        };
        let samples: Vec<f32> = samples.iter().map(|&it| sample_to_f32(it)).collect();
        let mut converted = Vec::new();
        open.resampler.push(&samples, &mut converted);
        open.samples += converted.len();
        append(&converted, out);
    }

    fn end(&mut self, out: &mut Output) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        let mut rest = Vec::new();
        open.resampler.finish(&mut rest);
        open.samples += rest.len();
        if open.samples == 0 {
            self.turns.end_without_sound(out);
            return;
        }
        let missing = LEAST_SAMPLES.saturating_sub(open.samples);
        rest.resize(rest.len() + missing, 0);
        append(&rest, out);
        self.commits += 1;
        let event_id = format!("{COMMIT}{}", self.commits);
        self.turns.end(event_id.clone(), out.now);
        let commit = json!({"type": "input_audio_buffer.commit", "event_id": event_id});
        out.text(commit.to_string());
    }

    fn error(&mut self, error: Error, out: &mut Output) {
        let cause = error.event_id.as_deref().unwrap_or_default();
        let code = error.code.as_deref().unwrap_or_default();
        if cause.starts_with(COMMIT) && self.turns.nothing_left(cause, code, out) {
            return;
        }
        let message = error.message.unwrap_or_default();
        let kind = error.kind.as_deref().unwrap_or_default();
        let is_ours = !self.is_ready || cause.starts_with(SETTINGS);
        if is_temporary(kind, code) {
            out.answers.push_back(Answer::Later {
                message,
                after: None,
            });
        } else if is_ours || is_permanent(code) {
            out.answers.push_back(Answer::Refused { message });
        } else if cause.starts_with(COMMIT) || self.turns.is_owed() {
            // Better told again than lost.
            out.answers.push_back(Answer::Later {
                message,
                after: None,
            });
        } else {
            warn!(code, message, "the server complains");
        }
    }

    fn event(&mut self, event: Event, out: &mut Output) {
        let item = event.item_id.as_deref().unwrap_or_default();
        match event.kind.as_str() {
            "session.created" => {
                let manner = self.asked.manner.clone();
                self.settle(&manner, out);
            }
            "session.updated" if !self.is_ready => {
                self.is_ready = true;
                out.answers.push_back(Answer::Ready {
                    model: session::model(&self.asked).to_owned(),
                    window_samples: WINDOW_SAMPLES,
                });
            }
            "input_audio_buffer.speech_stopped" => self.turns.stopped(item),
            "input_audio_buffer.committed" => self.turns.committed(item, out),
            "error" => self.error(event.error.unwrap_or_default(), out),
            kind => match kind.strip_prefix("conversation.item.input_audio_transcription.") {
                Some("delta") => self.turns.delta(item, &event.delta, out),
                Some("completed") => self.turns.completed(item, &event.transcript, out),
                Some("failed") => {
                    let error = event.error.unwrap_or_default();
                    let kind = error.kind.as_deref().unwrap_or_default();
                    let code = error.code.as_deref().unwrap_or_default();
                    let message = error.message.unwrap_or_default();
                    let again = is_temporary(kind, code);
                    self.turns.failed(item, code, message, again, out);
                }
                _ => debug!(kind, "an event of no use is ignored"),
            },
        }
        if let Some(text) = self.turns.take_last_final() {
            self.previous = text;
        }
    }
}

/// Errors that may be none a little later.
fn is_temporary(kind: &str, code: &str) -> bool {
    kind == "server_error"
        || matches!(
            code,
            "rate_limit_exceeded" | "server_error" | "session_expired" | "internal_error"
        )
}

/// Errors that stay until something is changed.
fn is_permanent(code: &str) -> bool {
    matches!(
        code,
        "invalid_api_key" | "insufficient_quota" | "model_not_found" | "account_deactivated"
    )
}

fn append(samples: &[i16], out: &mut Output) {
    if !samples.is_empty() {
        let audio = BASE64.encode(v2::encode_sound(samples));
        out.text(json!({"type": "input_audio_buffer.append", "audio": audio}).to_string());
    }
}

impl Protocol for OpenAi {
    fn opened(&mut self, _out: &mut Output) {}

    fn serves(&self, _manner: &Manner) -> bool {
        true
    }

    fn tell(&mut self, step: &Step, out: &mut Output) {
        match step {
            Step::Begin(opening) => self.begin(opening, out),
            Step::Sound { samples, .. } => self.sound(samples, out),
            Step::Pause { .. } | Step::Resume { .. } => {}
            Step::End { .. } => self.end(out),
            &Step::Cancel { utterance } => {
                if self.turns.cancel(utterance, out) {
                    self.open = None;
                    out.text(json!({"type": "input_audio_buffer.clear"}).to_string());
                }
            }
        }
    }

    fn receive(&mut self, received: Received<'_>, out: &mut Output) -> Result<(), NotUnderstood> {
        if let Received::Text(text) = received {
            let event = super::from_json(text)?;
            self.event(event, out);
        }
        self.turns.check()
    }

    fn due(&self) -> Option<Instant> {
        self.turns.due()
    }

    fn overdue(&mut self, out: &mut Output) {
        self.turns.overdue(out);
    }
}

/// Everything that it sends, as far as it is of use.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    item_id: Option<String>,
    #[serde(default)]
    delta: String,
    #[serde(default)]
    transcript: String,
    error: Option<Error>,
}

#[derive(Default, Deserialize)]
struct Error {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
    event_id: Option<String>,
}
