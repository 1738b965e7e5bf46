//! What was seen of one file: signals in, with the moment of their arrival; utterances out.

use serde::{Deserialize, Serialize};
use wstream_api::keys;
use wstream_tests::{Details, Seen};

/// All times `t` are seconds from the moment when the file's first sample was due; `at_s` is a
/// place in the sound.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FileRun {
    /// Its path in the corpus.
    pub file: String,
    /// Its length, without the silence that was played after it.
    pub seconds: f64,
    pub utterances: Vec<Utterance>,
    /// The largest delay of a frame behind its deadline, in milliseconds.
    pub worst_late_ms: f64,
    /// When the session had ended.
    pub ended_t: f64,
    /// Faults that concerned no utterance.
    pub troubles: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Utterance {
    pub number: u64,
    pub at_s: f64,
    pub started_t: f64,
    pub shown: Vec<Shown>,
    pub ended: Option<Ended>,
    pub finished: Option<Finished>,
    /// Why there is no final.
    pub failed: Option<String>,
}

/// A partial.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shown {
    pub t: f64,
    pub committed: String,
    pub tentative: String,
    /// Seconds of the utterance that the text covers, if it says so.
    pub heard_s: Option<f64>,
    pub processing_ms: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ended {
    pub t: f64,
    pub at_s: Option<f64>,
    pub duration_s: f64,
}

/// A final.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Finished {
    pub t: f64,
    pub text: String,
    pub processing_ms: Option<f64>,
    /// As the daemon itself says.
    pub latency_ms: Option<f64>,
}

impl Shown {
    /// All that the user sees of the utterance.
    pub fn text(&self) -> String {
        format!("{}{}", self.committed, self.tentative)
    }
}

impl Utterance {
    /// The final's text; empty where there is none.
    pub fn text(&self) -> &str {
        self.finished.as_ref().map_or("", |f| f.text.trim())
    }
}

impl FileRun {
    /// Takes a signal that arrived at `t`. Those of utterances that this file did not start are
    /// somebody else's.
    pub fn take(&mut self, t: f64, seen: Seen) {
        match seen {
            Seen::Started {
                utterance, details, ..
            } => self.utterances.push(Utterance {
                number: utterance,
                at_s: number(&details, keys::AT_S).unwrap_or_default(),
                started_t: t,
                ..Utterance::default()
            }),
            Seen::Partial {
                utterance,
                committed,
                tentative,
                details,
            } => {
                if let Some(open) = self.find(utterance) {
                    open.shown.push(Shown {
                        t,
                        committed,
                        tentative,
                        heard_s: number(&details, keys::HEARD_S),
                        processing_ms: number(&details, keys::PROCESSING_TIME_MS),
                    });
                }
            }
            Seen::Ended { utterance, details } => {
                if let Some(open) = self.find(utterance) {
                    open.ended = Some(Ended {
                        t,
                        at_s: number(&details, keys::AT_S),
                        duration_s: number(&details, keys::DURATION_S).unwrap_or_default(),
                    });
                }
            }
            Seen::Final {
                utterance,
                text,
                details,
            } => {
                if let Some(open) = self.find(utterance) {
                    open.finished = Some(Finished {
                        t,
                        text,
                        processing_ms: number(&details, keys::PROCESSING_TIME_MS),
                        latency_ms: number(&details, keys::LATENCY_MS),
                    });
                }
            }
            Seen::Failed {
                utterance, message, ..
            } => {
                if let Some(open) = self.find(utterance) {
                    open.failed = Some(message);
                }
            }
            Seen::Cancelled { utterance } => {
                if let Some(open) = self.find(utterance) {
                    open.failed = Some("cancelled".into());
                }
            }
            Seen::Trouble { message, .. } => self.troubles.push(message),
            Seen::SessionEnded { .. } => self.ended_t = t,
            Seen::Delivered { .. } | Seen::Level { .. } => {}
        }
    }

    /// The finals in order, joined.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .utterances
            .iter()
            .map(Utterance::text)
            .filter(|text| !text.is_empty())
            .collect();
        texts.join(" ")
    }

    fn find(&mut self, number: u64) -> Option<&mut Utterance> {
        self.utterances.iter_mut().find(|u| u.number == number)
    }
}

fn number(details: &Details, key: &str) -> Option<f64> {
    details.get(key)?.downcast_ref::<f64>().ok()
}
