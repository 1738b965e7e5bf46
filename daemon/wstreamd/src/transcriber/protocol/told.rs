//! What a server has said of one utterance, and what of it is news. No input or output.

use super::{Answer, NotUnderstood, Output, Said};
use crate::transcriber::shown::Shown;

/// Longest text of an utterance, in bytes. Half a minute of the fastest speech has a quarter of it;
/// a server that says more makes it up.
const MOST_TEXT: usize = 16 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Told {
    shown: Shown,
    /// Committed and tentative, as told last.
    last: (String, String),
}

impl Told {
    /// The text so far. What the server takes back of `committed` stays, and what is no news is
    /// not told again.
    pub(super) fn partial(
        &mut self,
        utterance: u64,
        committed: &str,
        tentative: &str,
        out: &mut Output,
    ) {
        let text = self.shown.partial(committed, 0, tentative);
        if text != self.last {
            self.last = text;
            out.answers.push_back(Answer::Partial {
                utterance,
                committed: self.last.0.clone(),
                // A server's times are not exact enough to cut sound by them.
                committed_sample: 0,
                tentative: self.last.1.clone(),
                heard_samples: None,
                processing_time_ms: 0.0,
            });
        }
    }

    /// The text as a whole; it begins with what was committed.
    pub(super) fn finish(&self, said: Said, out: &mut Output) {
        let text = self.shown.finish(said.text.trim()).trim().to_owned();
        out.answers.push_back(Answer::Final(Said { text, ..said }));
    }
}

/// Whether `bytes` of text can have been said in one utterance.
pub(super) fn check_length(bytes: usize) -> Result<(), NotUnderstood> {
    if bytes <= MOST_TEXT {
        return Ok(());
    }
    let what = format!("a text of {bytes} bytes, which nobody can have said");
    Err(NotUnderstood::Other(what))
}
