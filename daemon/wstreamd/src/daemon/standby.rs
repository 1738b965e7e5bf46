//! The microphone that is open while nobody listens, where that is wished for.

use super::Daemon;
use crate::capture::{self, Capture, CaptureRequest, SourceRequest, Standby};
use crate::source::Wanted;

/// One that is open, or is to be.
#[derive(Debug)]
pub(super) struct Kept {
    number: u64,
    wanted: Wanted,
    standby: Standby,
    /// What is open; empty: nothing yet, or for the time being.
    pub(super) microphone: String,
}

impl Daemon {
    /// Which microphone is meant.
    pub(super) fn microphone(&self) -> Wanted {
        let audio = &self.settings.config().audio;
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        Wanted {
            host: some(&audio.host),
            device: some(&audio.device),
            fallback: audio.fallback,
        }
    }

    /// Begins to take sound: with what the microphone has heard already, where it was kept open.
    pub(super) fn capture(&mut self, request: CaptureRequest) -> Capture {
        let (speech, daemon) = (self.to_transcriber_speech.clone(), self.to_daemon.clone());
        let mut request = Box::new(request);
        if let SourceRequest::Microphone(wanted) = &request.source
            && let Some(kept) = self.kept.take_if(|kept| kept.wanted == *wanted)
        {
            match kept.standby.begin(*request, speech.clone(), daemon.clone()) {
                Ok(capture) => return capture,
                Err(back) => request = back,
            }
        }
        capture::open(*request, speech, daemon)
    }

    /// Opens the microphone that is to be kept open, or closes it. After everything that happens.
    pub(super) fn tend_standby(&mut self) {
        let is_wished = self.settings.config().audio.keep_open;
        if !is_wished && self.kept.is_none() {
            return;
        }
        let listens = self.listens_to_microphone();
        let is_due = is_wished && !listens && self.leaving.is_none() && !self.is_away();
        let wanted = is_due.then(|| self.microphone());
        if self.kept.as_ref().map(|kept| &kept.wanted) == wanted.as_ref() {
            return;
        }
        self.kept = None;
        if let Some(wanted) = wanted {
            let number = self.next_kept;
            self.next_kept += 1;
            let standby = Standby::open(wanted.clone(), number, self.to_daemon.clone());
            self.kept = Some(Kept {
                number,
                wanted,
                standby,
                microphone: String::new(),
            });
        }
    }

    /// A microphone that is kept open hears, or no longer.
    pub(super) fn stands_by(&mut self, number: u64, name: String) {
        // A word from one that is closed by now says nothing.
        if let Some(kept) = &mut self.kept
            && kept.number == number
        {
            kept.microphone = name;
        }
    }
}
