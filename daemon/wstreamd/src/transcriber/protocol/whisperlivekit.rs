//! WhisperLiveKit's own endpoint `/asr` in its mode `full`: everything that it knows in every
//! message, about twenty times a second. One connection serves one utterance: an empty message ends
//! the sound, and `ready_to_stop` the answer.

use serde::Deserialize;
use tracing::{debug, warn};
use wstream_wire::{SAMPLE_RATE, Segment, v2};

use super::single::{Single, asked_language};
use super::{
    Answer, Asked, Closed, Credential, Entry, Frame, NotUnderstood, Output, Protocol, Received,
    Request, Step, Transport,
};
use crate::transcriber::kept::Manner;

pub(super) const ENTRY: Entry = Entry {
    name: "whisperlivekit",
    transport: Transport::WebSocket,
    port: Some(8000),
    credential: Some(Credential::BEARER),
    server_vad: false,
    request: |asked| {
        let language = asked_language(&asked.manner).unwrap_or_default();
        Request {
            target: asked.target("/asr", &[("mode", "full"), ("language", language)]),
            ..Request::default()
        }
    },
    new: |asked, _| Some(Box::new(WhisperLiveKit::new(asked))),
};

/// It queues what it has not decoded yet; about what it takes at once.
const WINDOW_SAMPLES: u64 = 30 * SAMPLE_RATE as u64;

/// The speaker of a line that is silence.
const SILENCE: i64 = -2;

#[derive(Debug)]
struct WhisperLiveKit {
    /// What the URL says; another needs another connection.
    language: Option<String>,
    single: Single,
    /// What it has said last; `ready_to_stop` makes it the final.
    state: Snapshot,
}

impl WhisperLiveKit {
    fn new(asked: &Asked) -> Self {
        WhisperLiveKit {
            language: asked_language(&asked.manner).map(str::to_owned),
            single: Single::default(),
            state: Snapshot::default(),
        }
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), NotUnderstood> {
        let state = std::mem::take(&mut self.state);
        let text = [state.committed(), state.tentative()].concat();
        let mut segments = Vec::new();
        let mut language = self.language.clone();
        for line in state.lines.into_iter().filter(Line::is_speech) {
            let (Some(start), Some(end)) = (seconds(&line.start), seconds(&line.end)) else {
                return Err(NotUnderstood::Other("a line without a time".to_owned()));
            };
            let text = line.text.unwrap_or_default().trim().to_owned();
            segments.push(Segment { start, end, text });
            language = line.detected_language.or(language);
        }
        let language = language.unwrap_or_default();
        self.single.finish(&text, segments, language, out)
    }
}

impl Protocol for WhisperLiveKit {
    fn opened(&mut self, _out: &mut Output) {}

    fn serves(&self, manner: &Manner) -> bool {
        self.single.is_fresh() && asked_language(manner) == self.language.as_deref()
    }

    fn is_spent(&self) -> bool {
        !self.single.is_fresh()
    }

    fn tell(&mut self, step: &Step, out: &mut Output) {
        match step {
            Step::Begin(opening) => self.single.begin(opening),
            // An empty message would be the end.
            Step::Sound { samples, .. } if samples.is_empty() => {}
            Step::Sound { samples, .. } => {
                let sound = v2::encode_sound(samples);
                out.frames.push_back(Frame::Binary(sound));
            }
            Step::Pause { .. } | Step::Resume { .. } => {}
            Step::End { .. } => {
                self.single.end();
                out.frames.push_back(Frame::Binary(Vec::new()));
            }
            Step::Cancel { .. } => self.single.cancel(),
        }
    }

    fn receive(&mut self, received: Received<'_>, out: &mut Output) -> Result<(), NotUnderstood> {
        let Received::Text(text) = received else {
            return Ok(());
        };
        let message: Message = super::from_json(text)?;
        match message.kind.as_deref() {
            Some("config") if message.use_audio_worklet => out.answers.push_back(Answer::Ready {
                model: String::new(),
                window_samples: WINDOW_SAMPLES,
            }),
            Some("config") => out.answers.push_back(Answer::Refused {
                message: "it takes no plain samples: start it with --pcm-input".to_owned(),
            }),
            Some("ready_to_stop") => self.finish(out)?,
            Some("error") => out.answers.push_back(Answer::Refused {
                message: message.error.unwrap_or_default(),
            }),
            Some(kind) => debug!(kind, "a message of an unknown type is ignored"),
            None if message.error.is_some() => {
                let error = message.error.unwrap_or_default();
                warn!(error, "the server complains");
            }
            None => {
                let state = message.state;
                self.single
                    .partial(&state.committed(), &state.tentative(), out)?;
                self.state = state;
            }
        }
        Ok(())
    }

    fn closed(&mut self, _how: Closed, _out: &mut Output) -> bool {
        !self.single.is_owed()
    }
}

/// Everything that it sends.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default, rename = "useAudioWorklet")]
    use_audio_worklet: bool,
    error: Option<String>,
    #[serde(flatten)]
    state: Snapshot,
}

/// All that it knows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Snapshot {
    lines: Vec<Line>,
    /// What is heard but not yet attributed to a speaker.
    buffer_diarization: Option<String>,
    /// What may change.
    buffer_transcription: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    speaker: i64,
    text: Option<String>,
    #[serde(default)]
    start: String,
    #[serde(default)]
    end: String,
    detected_language: Option<String>,
}

impl Line {
    fn is_speech(&self) -> bool {
        let text = self.text.as_deref().unwrap_or_default();
        self.speaker != SILENCE && !text.trim().is_empty()
    }
}

impl Snapshot {
    /// Ends at the end of a word.
    fn committed(&self) -> String {
        let mut committed = String::new();
        for line in self.lines.iter().filter(|line| line.is_speech()) {
            let text = line.text.as_deref().unwrap_or_default();
            // A line that goes on begins with its own space, one behind a silence may not.
            if !committed.is_empty() && !text.starts_with(char::is_whitespace) {
                committed.push(' ');
            }
            committed.push_str(text.trim_end());
        }
        committed.trim_start().to_owned()
    }

    /// What follows it, with its own space.
    fn tentative(&self) -> String {
        let parts = [&self.buffer_diarization, &self.buffer_transcription];
        let text: String = parts.into_iter().flatten().map(String::as_str).collect();
        if self.lines.iter().any(Line::is_speech) {
            return text;
        }
        text.trim_start().to_owned()
    }
}

/// `H:MM:SS.cc` in seconds.
fn seconds(time: &str) -> Option<f64> {
    let mut seconds = 0.0;
    for part in time.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
    }
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (time, read) in [
            ("0:00:00.00", Some(0.0)),
            ("1:02:03.50", Some(3723.5)),
            ("02:03", Some(123.0)),
            ("", None),
            ("0:-1:00", None),
            ("inf", None),
            ("1:nan", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(time), read, "{time}");
        }
    }
}
