//! Version 2: the server keeps utterances apart by their numbers, so that there is little to
//! remember here.

use tracing::debug;
use wstream_wire::v2::{self, Begin, ClientMessage, ServerMessage};
use wstream_wire::{DecodeError, language};

use super::{Answer, Frame, NotUnderstood, Opening, Output, Protocol, Received, Said, Step};
use crate::transcriber::kept::Manner;

/// The state of a connection; see the module.
#[derive(Debug, Default)]
pub(super) struct V2 {
    /// The last ping's number.
    ping: u64,
}

impl Protocol for V2 {
    fn opened(&mut self, _out: &mut Output) {}

    fn serves(&self, _manner: &Manner) -> bool {
        true
    }

    fn tell(&mut self, step: &Step, out: &mut Output) {
        let message = match *step {
            Step::Sound { ref samples, .. } => {
                let sound = v2::encode_sound(samples);
                out.frames.push_back(Frame::Binary(sound));
                return;
            }
            Step::Begin(ref opening) => ClientMessage::Begin(begin(opening)),
            Step::Pause { utterance, sample } => ClientMessage::Pause { utterance, sample },
            Step::Resume { utterance } => ClientMessage::Resume { utterance },
            Step::End { utterance } => ClientMessage::End { utterance },
            Step::Cancel { utterance } => ClientMessage::Cancel { utterance },
        };
        out.text(v2::encode_client(&message));
        if let Step::Begin(opening) = step
            && !opening.context.is_empty()
        {
            let context = v2::encode_sound(&opening.context);
            out.frames.push_back(Frame::Binary(context));
        }
    }

    fn ping(&mut self, out: &mut Output) -> bool {
        self.ping += 1;
        out.text(v2::encode_client(&ClientMessage::Ping { id: self.ping }));
        true
    }

    fn receive(&mut self, received: Received<'_>, out: &mut Output) -> Result<(), NotUnderstood> {
        // There are no binary answers.
        let Received::Text(text) = received else {
            return Ok(());
        };
        let message = match v2::decode_server(text) {
            Err(DecodeError::UnknownType(name)) => {
                debug!(name, "a message of an unknown type is ignored");
                return Ok(());
            }
            decoded => decoded?,
        };
        out.answers.extend(answer(message));
        Ok(())
    }
}

fn begin(opening: &Opening) -> Begin {
    let manner = &opening.manner;
    let is_auto = manner.language == language::AUTO;
    Begin {
        utterance: opening.utterance,
        strategy: manner.strategy,
        language: (!is_auto).then(|| manner.language.clone()),
        languages: if is_auto {
            manner.languages.to_vec()
        } else {
            Vec::new()
        },
        vocabulary: manner.vocabulary.to_vec(),
        previous: opening.previous.clone(),
        committed: opening.committed.clone(),
        context_samples: opening.context.len() as u64,
        cuts: true,
    }
}

fn answer(message: ServerMessage) -> Option<Answer> {
    match message {
        ServerMessage::Ready {
            model,
            window_samples,
            ..
        } => Some(Answer::Ready {
            model,
            window_samples,
        }),
        ServerMessage::Partial {
            utterance,
            committed,
            committed_sample,
            tentative,
            sample,
            processing_time_ms,
        } => Some(Answer::Partial {
            utterance,
            committed,
            committed_sample,
            tentative,
            heard_samples: Some(sample),
            processing_time_ms,
        }),
        ServerMessage::Final(said) => Some(Answer::Final(Said {
            utterance: said.utterance,
            text: said.text,
            segments: said.segments,
            language: said.language,
            end_sample: Some(said.sample),
            processing_time_ms: said.processing_time_ms,
            confidence: Some(said.confidence),
            more: said.more,
        })),
        ServerMessage::Error {
            code,
            message,
            utterance: Some(utterance),
        } => Some(Answer::Failed {
            utterance,
            code,
            message,
        }),
        ServerMessage::Error { code, message, .. } => Some(Answer::Error { code, message }),
        // That something came is all that a ping asks for.
        ServerMessage::Pong { .. } => None,
    }
}
