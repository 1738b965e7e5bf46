//! One utterance of a version 2 client: its sound, what was said in it, what the client was shown.
//!
//! Enters: samples, what the client says of them, decodes. Leaves: requests, partials, finals. Pure.

use std::sync::Arc;
use std::time::Instant;

use wstream_wire::v2::{self, Begin};
use wstream_wire::{CONTEXT_SAMPLES, SAMPLE_RATE, Strategy};

use super::agreement::{agreed, agreed_at_pause, sure, visible};
use super::said::Said;
use super::window::{CUT_FROM, Window};
use crate::decode::{Decoded, Effort, Language, Prompt, Request, Word, sound, text_of};

/// Most tokens of the previous text in front of a decode; longer ones make the model repeat.
/// Partials and finals have the same, so that the one writes what the other promised.
const PROMPT_TOKENS: usize = 64;

/// Silence behind the last voiced sample that a final still hears: 60 ms. The detector of voice lags
/// by more than that behind the voice, and the client confirms an end 200 ms later.
const TAIL_SAMPLES: usize = SAMPLE_RATE as usize * 6 / 100;

/// Two decodes whose sound differs by less than this agree because they are the same: 200 ms.
const LEAST_NEW_SAMPLES: usize = SAMPLE_RATE as usize / 5;

/// Silence after which what was said before it counts as settled, though it may yet be no end:
/// 200 ms.
const PAUSE_SAMPLES: usize = SAMPLE_RATE as usize / 5;

/// Voice before the first partial: a word or two.
const FIRST_VOICED_S: f64 = 0.36;

/// Where voice cannot be told from noise: sound before the first partial, which includes what the
/// client keeps from before the voice. 1.4 s.
const FIRST_SAMPLES: usize = SAMPLE_RATE as usize * 7 / 5;

/// Sound that a language can be told from; what is said later in the same utterance is in the same
/// language.
const LANGUAGE_SAMPLES: usize = SAMPLE_RATE as usize * 3 / 2;

/// What is remembered of the utterance before.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// The text of the last final.
    pub(super) text: String,
    /// The last second of its sound.
    pub(super) sound: Vec<f32>,
    /// The words that are said in `sound`; none: it is not known which.
    pub(super) words: Vec<Word>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) number: u64,
    pub(super) begun: Instant,
    pub(super) ended: bool,
    /// Where silence began, in samples of the utterance, unless speech went on.
    pub(super) pause: Option<usize>,
    /// In place of what the session remembers.
    pub(super) previous: Option<String>,
    /// A final that was decoded ahead, of so many own samples of the window.
    pub(super) ahead: Option<(usize, Decoded)>,
    /// Why there will be no text.
    pub(super) failure: Option<(&'static str, String)>,
    strategy: Strategy,
    language: Language,
    languages: Vec<i32>,
    vocabulary: Arc<[String]>,
    /// Whether the client takes finals of parts.
    cuts: bool,
    /// Samples still to come that are the end of the utterance before.
    context_to_come: usize,
    /// The end of the utterance before, as given by the client.
    given_context: Vec<f32>,
    window: Window,
    /// Samples still to come of which the text is given, and which are too long to be decoded again.
    known_to_come: usize,
    /// Whether what goes in front of the window is there.
    is_led: bool,
    /// The text in front of the window's known words.
    before: String,
    /// What was said in front of the window and has not been given in a final.
    said: Said,
    /// Samples that the committed text covers, where no word tells.
    given_sample: u64,
    /// The words of the last decode behind the lead, the committed ones first.
    newest: Vec<Word>,
    /// How many of them are settled if a pause follows.
    settled: usize,
    /// Samples of the utterance that it heard.
    heard: usize,
    /// When the last partial began to be decoded.
    pub(super) last_partial: Option<Instant>,
    /// Whether the window begins later since the last decode, which then is no final.
    has_moved: bool,
    /// Whether the last decode has found a place to cut, behind what is committed.
    is_to_cut: bool,
    /// The tentative words that the client shows now.
    shown: Vec<Word>,
    /// The language that was heard in enough sound; empty: none yet.
    detected: &'static str,
}

impl Spoken {
    /// `given` are the words of the text that `begin` says is committed.
    pub(super) fn new(
        begin: Begin,
        given: Vec<Word>,
        language: Language,
        languages: Vec<i32>,
        now: Instant,
    ) -> Spoken {
        let committed = begin.committed.unwrap_or_default();
        // Long sound of which the text is known is not decoded again.
        let known_samples = u32::try_from(committed.sample).unwrap_or(0) as usize;
        let is_long = known_samples > CUT_FROM;
        let window = if is_long {
            Window::behind(known_samples)
        } else {
            Window::with_words(given)
        };
        Spoken {
            number: begin.utterance,
            begun: now,
            ended: false,
            pause: None,
            previous: begin.previous,
            ahead: None,
            failure: None,
            strategy: begin.strategy,
            language,
            languages,
            vocabulary: begin.vocabulary.into(),
            cuts: begin.cuts,
            context_to_come: begin.context_samples as usize,
            given_context: Vec::new(),
            window,
            known_to_come: if is_long { known_samples } else { 0 },
            is_led: false,
            before: String::new(),
            said: Said::given(committed.text),
            given_sample: committed.sample,
            newest: Vec::new(),
            settled: 0,
            heard: 0,
            last_partial: None,
            has_moved: false,
            is_to_cut: false,
            shown: Vec::new(),
            detected: "",
        }
    }

    pub(super) fn push(&mut self, mut samples: Vec<f32>) {
        if self.failure.is_some() {
            return;
        }
        let count = samples.len().min(self.context_to_come);
        self.context_to_come -= count;
        self.given_context.extend(samples.drain(..count));
        let excess = self.given_context.len().saturating_sub(CONTEXT_SAMPLES);
        self.given_context.drain(..excess);
        let count = samples.len().min(self.known_to_come);
        self.known_to_come -= count;
        self.window.push(&samples[count..]);
    }

    /// There will be no text; the error is sent when the utterance's turn comes.
    pub(super) fn fail(&mut self, code: &'static str, message: String) {
        self.ended = true;
        self.failure.get_or_insert((code, message));
    }

    /// Whether it has been told what was said before it.
    pub(super) fn is_led(&self) -> bool {
        self.is_led
    }

    /// Its turn has come, and `memory` is what was said before. Once.
    pub(super) fn lead(&mut self, memory: &Memory) {
        self.is_led = true;
        // What a client gives again replaces all that was remembered: text and sound belong
        // together, and an empty text without sound asks for a fresh start.
        let given = self.previous.take().map(|text| Memory {
            text,
            sound: std::mem::take(&mut self.given_context),
            words: Vec::new(),
        });
        let memory = given.as_ref().unwrap_or(memory);
        self.before.clone_from(&memory.text);
        if self.window.cut_samples() > 0 {
            self.before.clone_from(&self.said.text);
            return;
        }
        // Words that are committed begin the window; nothing may come in front of them.
        if self.strategy.uses_context() && self.window.known().is_empty() {
            self.window.lead_in(&memory.sound, &memory.words);
        }
    }

    /// Whether its window begins later since the last decode, which then is no final.
    pub(super) fn has_moved(&self) -> bool {
        self.has_moved
    }

    /// Samples of it that wait for a final.
    pub(super) fn waiting(&self) -> usize {
        self.window.own()
    }

    /// Samples of it.
    pub(super) fn samples(&self) -> usize {
        self.window.utterance_samples()
    }

    /// Samples of it that have had no final: where it may be cut, what came before a cut has.
    pub(super) fn unanswered(&self) -> usize {
        if self.cuts {
            self.waiting()
        } else {
            self.samples()
        }
    }

    /// How many own samples its final hears.
    pub(super) fn final_samples(&self) -> usize {
        self.without_silence().unwrap_or(self.window.own())
    }

    /// Whether its final can be decoded although it may go on.
    pub(super) fn can_decode_ahead(&self) -> bool {
        self.ahead.is_none() && self.without_silence().is_some()
    }

    /// Whether a decode of the first `own` samples hears all the voice that there is.
    pub(super) fn hears_all(&self, own: usize) -> bool {
        let heard = self.window.cut_samples() + own;
        match self.pause {
            Some(pause) => heard >= pause && self.without_silence().is_some(),
            None => heard >= self.samples(),
        }
    }

    /// Whether its final is there already.
    pub(super) fn is_ready(&self) -> bool {
        let heard = self.final_samples();
        self.ahead
            .as_ref()
            .is_some_and(|(samples, _)| *samples == heard)
    }

    /// How many own samples are left when the silence behind the pause is cut off. `None` while
    /// not so many have come, or where what follows is no silence.
    fn without_silence(&self) -> Option<usize> {
        let cut = self.pause?.checked_sub(self.window.cut_samples())? + TAIL_SAMPLES;
        let own = self.window.own_sound();
        (cut <= own.len() && sound::is_quiet_behind(own, cut)).then_some(cut)
    }

    /// How many own samples to decode for good, since they do not fit the model with what follows.
    pub(super) fn piece(&self) -> Option<usize> {
        let all = self.window.first(self.window.own());
        Some(sound::cut(all)?.saturating_sub(self.window.lead()).max(1))
    }

    /// New samples since the last decode that was shown.
    pub(super) fn new_samples(&self) -> usize {
        self.samples() - self.heard
    }

    /// Whether there is voice enough that a partial may say something.
    pub(super) fn has_voice(&self) -> bool {
        let own = self.window.own_sound();
        self.heard > 0 || own.len() >= FIRST_SAMPLES || sound::voiced_seconds(own) >= FIRST_VOICED_S
    }

    /// Whether the client shows words of it.
    pub(super) fn is_shown(&self) -> bool {
        !self.shown.is_empty() || !self.window.committed().is_empty()
    }

    /// Asks for the first `own` samples.
    pub(super) fn request(&self, own: usize, effort: Effort) -> Request {
        let prompt = Prompt {
            text: self.prompt_text(),
            most_tokens: PROMPT_TOKENS,
            vocabulary: self.vocabulary.clone(),
        };
        Request {
            samples: self.window.first(own).to_vec(),
            context_samples: self.window.lead(),
            prompt: (!prompt.text.is_empty() || !prompt.vocabulary.is_empty()).then_some(prompt),
            known: self.window.known().to_vec(),
            context_words: self.window.lead_words(),
            language: self.language,
            languages: self.languages.clone(),
            effort,
        }
    }

    /// The text in front of the words that the decoder is forced to write.
    fn prompt_text(&self) -> String {
        if !self.strategy.uses_prompt() {
            return String::new();
        }
        let lead = text_of(&self.window.known()[..self.window.lead_words()]);
        let before = self.before.trim_end();
        before
            .strip_suffix(lead.trim())
            .unwrap_or(before)
            .trim_end()
            .to_owned()
    }

    /// Takes a decode of the first `own` samples. Returns the partial that shows what is new in it,
    /// unless the utterance has ended.
    pub(super) fn hear(
        &mut self,
        decoded: &Decoded,
        own: usize,
        ms: f64,
    ) -> Option<v2::ServerMessage> {
        self.has_moved = false;
        if self.ended {
            return None;
        }
        let mut words = self.window.own_words(decoded, &self.before);
        let heard = self.window.cut_samples() + own;
        if own >= LANGUAGE_SAMPLES && !words.is_empty() {
            self.detected = decoded.language;
        }
        let committed = self.window.committed().len();
        let seconds = self.window.first(own).len() as f64 / f64::from(SAMPLE_RATE);
        // After a pause there is nothing to wait for.
        let visible = match self.pause {
            Some(_) => words.len(),
            None => {
                let unseen = !self.is_shown();
                let voiced = unseen.then(|| sound::voiced_seconds(&self.window.own_sound()[..own]));
                visible(&self.newest, &words, committed, sure(voiced), seconds)
            }
        };
        self.settled = agreed_at_pause(&self.newest, &words, committed);
        let mut count = committed;
        if heard >= self.heard + LEAST_NEW_SAMPLES {
            count = agreed(&self.newest, &words, committed, seconds);
        }
        self.is_to_cut = false;
        if self.pause.is_none()
            && let Some(place) = self.window.cut(&words, count)
        {
            count = place;
            self.is_to_cut = true;
        }
        if count > committed {
            let later = self.window.commit(&words[..count]);
            if later > 0.0 {
                self.has_moved = true;
                words = words.iter().map(|word| word.earlier(later)).collect();
            }
        }
        self.heard = self.heard.max(heard);
        let grown = self.window.committed().len() - committed;
        self.newest = words;
        self.show(heard, visible, ms, grown)
    }

    /// Commits what was said before the pause, once that has lasted. Returns the partial that says
    /// so.
    pub(super) fn settle_pause(&mut self) -> Option<v2::ServerMessage> {
        let committed = self.window.committed().len();
        let silence = self.samples().checked_sub(self.pause?)?;
        if silence < PAUSE_SAMPLES || self.settled <= committed || !self.is_ready() {
            return None;
        }
        let is_doubted = |(_, decoded): &(usize, Decoded)| decoded.suspect;
        if self.ahead.as_ref().is_some_and(is_doubted) || self.window.committing_moves() {
            // In the second case what was decoded ahead counts from another beginning.
            return None;
        }
        self.window.commit(&self.newest[..self.settled]);
        let grown = self.settled - committed;
        self.show(self.heard, self.newest.len(), 0.0, grown)
    }

    /// The partial that shows the first `visible` of the newest words, if it is another than the
    /// last. `grown` words are committed that were not.
    fn show(
        &mut self,
        heard: usize,
        visible: usize,
        ms: f64,
        grown: usize,
    ) -> Option<v2::ServerMessage> {
        let committed = self.window.committed().len();
        let mut tentative = self.newest.get(committed..visible).unwrap_or_default();
        let plain = |words: &[Word]| -> Vec<String> { words.iter().map(Word::plain).collect() };
        // Words at the end come and go as the sound is cut in the middle of them: what is shown
        // stays until something else is heard in its place.
        let shown = self.shown.get(grown..).unwrap_or_default();
        let (old, new) = (plain(shown), plain(tentative));
        if old.starts_with(&new) {
            if grown == 0 {
                return None;
            }
            tentative = shown;
        }
        self.shown = tentative.to_vec();
        let at_s = self.window.begins_at();
        let mut said = self.said.clone();
        said.append(self.window.committed(), at_s);
        let committed_text = said.text.clone();
        said.append(&self.shown, at_s);
        let mut tentative = said.text[committed_text.len()..].to_owned();
        // Whisper ends whatever it hears with a full stop; the sentence may well go on.
        let is_closing = |c: char| matches!(c, '.' | ',' | '?' | '!' | '…' | '-');
        tentative.truncate(tentative.trim_end_matches(is_closing).len());
        let committed_sample = match self.window.committed().last() {
            Some(word) => self.window.sample_at(word.end) as u64,
            None => self.given_sample.max(self.window.cut_samples() as u64),
        };
        Some(v2::ServerMessage::Partial {
            utterance: self.number,
            committed: committed_text,
            tentative,
            committed_sample,
            sample: heard as u64,
            processing_time_ms: ms,
        })
    }

    /// Cuts a long window behind what is committed, where the last decode has found a place. Returns
    /// the final of what was cut off, if the client takes such.
    pub(super) fn cut(&mut self) -> Option<v2::Final> {
        if !std::mem::take(&mut self.is_to_cut) {
            return None;
        }
        let said = self.window.committed().to_vec();
        let next = self.newest.get(said.len())?.start;
        let at_s = self.window.begins_at();
        let later = self.window.cut_off(next);
        self.said.append(&said, at_s);
        let rest = self.newest.split_off(said.len());
        self.newest = rest.iter().map(|word| word.earlier(later)).collect();
        self.part()
    }

    /// The first `own` samples have been decoded for good, and the rest is to be decoded alone.
    pub(super) fn settle(&mut self, decoded: &Decoded, own: usize) -> Option<v2::Final> {
        let at_s = self.window.begins_at();
        let words = self.window.own_words(decoded, &self.before);
        self.said.append(&words, at_s);
        self.said.note(decoded);
        let (lead, lead_words) = self.window.tail(own, &words);
        self.window.cut_all(own);
        self.window.lead_in(&lead, &lead_words);
        self.newest.clear();
        self.heard = self.heard.max(self.window.cut_samples());
        self.part()
    }

    /// What was cut off becomes the text in front of what follows; a client that takes it has its
    /// final.
    fn part(&mut self) -> Option<v2::Final> {
        self.shown.clear();
        self.settled = 0;
        self.ahead = None;
        if !self.said.suspect {
            self.before.clone_from(&self.said.text);
        }
        if !self.cuts {
            return None;
        }
        let said = std::mem::take(&mut self.said);
        Some(self.message(said, true, self.window.cut_samples()))
    }

    /// Its final, of a decode that heard `own` samples, and what is to be remembered of it.
    pub(super) fn finish(mut self, decoded: &Decoded, own: usize) -> (v2::Final, Option<Memory>) {
        let words = self.window.own_words(decoded, &self.before);
        self.said.append(&words, self.window.begins_at());
        self.said.note(decoded);
        let said = std::mem::take(&mut self.said);
        let memory = (!said.suspect).then(|| {
            let (sound, words) = self.window.tail(own, &words);
            Memory {
                text: said.text.clone(),
                sound,
                words,
            }
        });
        let end = self.window.utterance_samples();
        (self.message(said, false, end), memory)
    }

    fn message(&self, said: Said, more: bool, sample: usize) -> v2::Final {
        let confidence = said.confidence();
        v2::Final {
            utterance: self.number,
            text: said.text,
            segments: said.segments,
            language: said.language.to_owned(),
            sample: sample as u64,
            processing_time_ms: said.processing_time_ms,
            confidence,
            more,
        }
    }

    /// A decode that counts for the final took so long.
    pub(super) fn took(&mut self, ms: f64) {
        self.said.processing_time_ms += ms;
    }

    /// The language that was detected, as far as it is still open.
    pub(super) fn fix_language(&mut self, language: Language) {
        if self.language == Language::Auto {
            self.language = language;
        }
    }

    /// The code of the language that was detected in enough sound and is not fixed yet.
    pub(super) fn detected(&self) -> Option<&'static str> {
        (self.language == Language::Auto && !self.detected.is_empty()).then_some(self.detected)
    }
}
