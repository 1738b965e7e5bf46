//! Version 1: one stream of sound without numbers. The server answers each `vad_end` that has
//! sound in front of it with a final, in order; so finals are counted, also the unwanted ones.

use std::collections::VecDeque;

use tracing::{debug, warn};
use wstream_wire::v1::{self, ServerMessage};
use wstream_wire::{DecodeError, FRAME_SAMPLES, SAMPLE_RATE, Strategy};

use super::{Answer, NotUnderstood, Output, Protocol, Received, Said, Step};
use crate::transcriber::kept::Manner;

/// A version 1 server announces no limit; Whisper's own window, and about what a client that
/// sends at the pace of speech would ever be ahead.
const WINDOW_SAMPLES: u64 = 30 * SAMPLE_RATE as u64;

/// The state of a connection; see the module.
#[derive(Debug)]
pub(super) struct V1 {
    /// What the path says; another needs another connection.
    strategy: Strategy,
    /// The utterance under way.
    open: Option<Open>,
    /// The answers to come, in order; as many as there are utterances without a final.
    owed: VecDeque<Owed>,
}

#[derive(Debug)]
struct Open {
    utterance: u64,
    /// Whether the server's buffer holds any of its sound.
    has_sound: bool,
}

#[derive(Debug, PartialEq)]
enum Owed {
    /// A final for this utterance.
    Final(u64),
    /// A final for sound that was cancelled.
    Unwanted,
    /// Nothing: the utterance had no sound, and the server says nothing of an empty buffer.
    Empty(u64),
}

impl V1 {
    /// A connection whose path names this strategy.
    pub(super) fn new(strategy: Strategy) -> Self {
        V1 {
            strategy,
            open: None,
            owed: VecDeque::new(),
        }
    }

    /// Ends the open utterance on the wire.
    fn end(&mut self, owed: Owed, out: &mut Output) {
        out.text(v1::encode_vad_end());
        self.owed.push_back(owed);
    }

    /// Answers the utterances without sound whose turn has come.
    fn settle(&mut self, out: &mut Output) {
        while let Some(&Owed::Empty(utterance)) = self.owed.front() {
            self.owed.pop_front();
            out.answers.push_back(Answer::Final(Said {
                utterance,
                ..Said::default()
            }));
        }
    }
}

impl Protocol for V1 {
    fn opened(&mut self, out: &mut Output) {
        out.answers.push_back(Answer::Ready {
            model: String::new(),
            window_samples: WINDOW_SAMPLES,
        });
    }

    fn serves(&self, manner: &Manner) -> bool {
        manner.strategy == self.strategy
    }

    fn tell(&mut self, step: &Step, out: &mut Output) {
        match step {
            Step::Begin(opening) => {
                self.open = Some(Open {
                    utterance: opening.utterance,
                    has_sound: false,
                });
            }
            Step::Sound { samples, .. } => {
                for frame in samples.chunks(FRAME_SAMPLES) {
                    out.text(v1::encode_frame(frame));
                }
                if let Some(open) = &mut self.open {
                    open.has_sound |= !samples.is_empty();
                }
            }
            Step::Pause { .. } | Step::Resume { .. } => {}
            &Step::End { utterance } => {
                match self.open.take() {
                    Some(open) if open.has_sound => self.end(Owed::Final(utterance), out),
                    _ => self.owed.push_back(Owed::Empty(utterance)),
                }
                self.settle(out);
            }
            &Step::Cancel { utterance } => {
                // The server cannot forget sound: an end makes it answer, and the answer is ignored.
                if let Some(open) = self.open.take_if(|open| open.utterance == utterance)
                    && open.has_sound
                {
                    self.end(Owed::Unwanted, out);
                }
                self.owed.retain(|owed| *owed != Owed::Empty(utterance));
                for owed in &mut self.owed {
                    if *owed == Owed::Final(utterance) {
                        *owed = Owed::Unwanted;
                    }
                }
                self.settle(out);
            }
        }
    }

    fn receive(&mut self, received: Received<'_>, out: &mut Output) -> Result<(), NotUnderstood> {
        // There are no binary answers.
        let Received::Text(text) = received else {
            return Ok(());
        };
        match v1::decode_server(text) {
            Ok(ServerMessage::Partial {
                text,
                processing_time_ms,
            }) => {
                // The server works in order: what it has not answered yet is what it decodes.
                let utterance = match self.owed.front() {
                    Some(&Owed::Final(utterance)) => Some(utterance),
                    Some(_) => None,
                    None => self.open.as_ref().map(|open| open.utterance),
                };
                out.answers
                    .extend(utterance.map(|utterance| Answer::Partial {
                        utterance,
                        committed: String::new(),
                        committed_sample: 0,
                        tentative: text,
                        heard_samples: None,
                        processing_time_ms,
                    }));
            }
            Ok(ServerMessage::Final {
                text,
                segments,
                language,
                processing_time_ms,
            }) => {
                match self.owed.pop_front() {
                    Some(Owed::Final(utterance)) => out.answers.push_back(Answer::Final(Said {
                        utterance,
                        text: text.trim().to_owned(),
                        segments,
                        language: language.unwrap_or_default(),
                        processing_time_ms,
                        ..Said::default()
                    })),
                    Some(_) => {}
                    None => debug!("a final that nothing asked for is ignored"),
                }
                self.settle(out);
            }
            Ok(ServerMessage::Error { message }) => warn!(message, "the server complains"),
            Err(DecodeError::UnknownType(name)) => {
                debug!(name, "a message of an unknown type is ignored");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
