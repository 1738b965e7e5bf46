//! The sound of an utterance that may still be decoded, and the words that are known of it.
//!
//! Enters: samples, decoded words. Leaves: requests, the words behind what is known, places to cut.
//! Pure.
//!
//! In front of the utterance's own sound there may be a *lead*: sound whose words have been given
//! already, the end of the utterance before or of what was cut off. Its words are forced on the
//! decoder like those that are committed, so that it goes on behind them and neither loses nor
//! repeats a word at the seam. Where they are not known, the decoder starts behind the lead and what
//! it repeats all the same is dropped.

use std::ops::Range;

use wstream_wire::SAMPLE_RATE;

use crate::decode::{Decoded, Word, sound};
use crate::text;

const RATE: f64 = SAMPLE_RATE as f64;

/// With so much sound a window is cut, lead included: decoding costs more the longer it is, and the
/// end of Whisper's 30 s is where it invents. 18 s.
pub(super) const CUT_FROM: usize = 18 * SAMPLE_RATE as usize;

/// From [`CUT_FROM`] to here a place is looked for, with less and less to be said for it; then any
/// will do: 23 s, before the daemon ends an utterance wherever a gap may be.
const CUT_BY: usize = 23 * SAMPLE_RATE as usize;

/// The pause that is worth a cut at [`CUT_FROM`]: the end of a sentence, or this many seconds.
const PAUSE_S: f64 = 0.5;

/// A cut leaves at least this much own sound in front of it: 6 s.
const LEAST_CUT_S: f64 = 6.0;

/// How much of what was said leads what follows: what is said behind a short pause is often the rest
/// of the sentence. With 1 s of the encoder's 9 s that cost the same in any case.
const LEAD_S: f64 = 5.0;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// The lead, then the utterance's own sound.
    samples: Vec<f32>,
    /// Samples of the lead.
    lead: usize,
    /// Samples of the utterance that were cut off in front of its own sound here.
    cut_off: usize,
    /// The words of the lead, then those that are committed; times from the window's beginning.
    known: Vec<Word>,
    /// How many of `known` are the lead's.
    lead_words: usize,
}

impl Window {
    /// A window whose own sound begins with `words`, which are not given again.
    pub(super) fn with_words(words: Vec<Word>) -> Window {
        Window {
            lead_words: words.len(),
            known: words,
            ..Window::default()
        }
    }

    /// The window of an utterance whose first `samples` need not be decoded and will not be pushed.
    pub(super) fn behind(samples: usize) -> Window {
        Window {
            cut_off: samples,
            ..Window::default()
        }
    }

    /// Puts `lead` in front, in which `words` are said. Only where nothing is known yet.
    pub(super) fn lead_in(&mut self, lead: &[f32], words: &[Word]) {
        debug_assert!(self.known.is_empty() && self.lead == 0);
        self.samples.splice(0..0, lead.iter().copied());
        self.lead = lead.len();
        self.lead_words = words.len();
        self.known = words.to_vec();
    }

    pub(super) fn push(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
    }

    /// Samples since the utterance's beginning.
    pub(super) fn utterance_samples(&self) -> usize {
        self.cut_off + self.own()
    }

    /// Own samples that were not cut off.
    pub(super) fn own(&self) -> usize {
        self.samples.len() - self.lead
    }

    pub(super) fn own_sound(&self) -> &[f32] {
        &self.samples[self.lead..]
    }

    pub(super) fn lead(&self) -> usize {
        self.lead
    }

    /// The lead and the first `own` samples behind it.
    pub(super) fn first(&self, own: usize) -> &[f32] {
        &self.samples[..self.lead + own]
    }

    pub(super) fn known(&self) -> &[Word] {
        &self.known
    }

    pub(super) fn lead_words(&self) -> usize {
        self.lead_words
    }

    /// The committed words, which are the beginning of the window's text.
    pub(super) fn committed(&self) -> &[Word] {
        &self.known[self.lead_words..]
    }

    /// Of a decode of this window, the words that are not the lead's; `before` is the text that
    /// ended with the lead.
    pub(super) fn own_words(&self, decoded: &Decoded, before: &str) -> Vec<Word> {
        if self.lead == 0 || self.lead_words > 0 {
            return decoded
                .words
                .iter()
                .skip(self.lead_words)
                .cloned()
                .collect();
        }
        let lead_s = self.lead as f64 / RATE;
        let behind = decoded.words.iter().filter(|word| word.end > lead_s);
        let mut words: Vec<Word> = behind.cloned().collect();
        let text = crate::decode::text_of(&words);
        let kept = text::without_overlap(before, &text);
        let mut dropped = text.len() - kept.len();
        words.retain(|word| {
            let is_kept = dropped == 0;
            dropped -= dropped.min(word.text.len());
            is_kept
        });
        words
    }

    /// Whether the window will begin later once something is committed: a lead whose words are not
    /// known is dropped then.
    pub(super) fn committing_moves(&self) -> bool {
        self.lead_words == 0 && self.lead > 0
    }

    /// From now on `words`, which follow the lead's, are committed. Returns by how many seconds
    /// the window begins later than before.
    pub(super) fn commit(&mut self, words: &[Word]) -> f64 {
        let moves = self.committing_moves() && !words.is_empty();
        self.known.truncate(self.lead_words);
        self.known.extend_from_slice(words);
        if moves {
            // Only the words behind the lead are known, so the decoder must not hear it.
            self.samples.drain(..self.lead);
            let lead_s = self.lead as f64 / RATE;
            self.known = words.iter().map(|word| word.earlier(lead_s)).collect();
            self.lead = 0;
            return lead_s;
        }
        0.0
    }

    /// What is put in front of the next utterance: about the last [`LEAD_S`] seconds up to the
    /// own sample `own`, and the words that are said in them; `words` are those of this utterance.
    pub(super) fn tail(&self, own: usize, words: &[Word]) -> (Vec<f32>, Vec<Word>) {
        let end = self.lead + own;
        // A lead whose words are not known is no good for another.
        let all: Vec<Word> = self.known[..self.lead_words]
            .iter()
            .chain(words)
            .cloned()
            .collect();
        let least = if self.lead_words > 0 { 0 } else { self.lead };
        let from = end.saturating_sub((LEAD_S * RATE) as usize).max(least);
        let first = all.iter().position(|word| word.start * RATE >= from as f64);
        let begin = match first {
            Some(0) | None => from,
            Some(first) => self.quietest(all[first - 1].end..all[first].start),
        };
        let begin = begin.clamp(least, end);
        let begin_s = begin as f64 / RATE;
        let inside = first.map_or(&[][..], |first| &all[first..]);
        let words = inside.iter().map(|word| word.earlier(begin_s)).collect();
        (self.samples[begin..end].to_vec(), words)
    }

    /// Samples from the utterance's beginning to the second `at` of the window.
    pub(super) fn sample_at(&self, at: f64) -> usize {
        let sample = (at.max(0.0) * RATE) as usize;
        self.cut_off + sample.clamp(self.lead, self.samples.len()) - self.lead
    }

    /// Where to cut, once the window is long: how many of `words` are in front of the cut. `words`
    /// are those of the newest decode behind the lead's, and the first `agreed` of them can be
    /// committed. What is committed already is never parted, so that a final ends where the words
    /// end that were promised.
    pub(super) fn cut(&self, words: &[Word], agreed: usize) -> Option<usize> {
        let late = self.samples.len().checked_sub(CUT_FROM)? as f64 / (CUT_BY - CUT_FROM) as f64;
        let least = self.lead as f64 / RATE + LEAST_CUT_S;
        let gap = |index: usize| {
            let (last, next) = (&words[index - 1], &words[index]);
            let is_sentence = last.text.trim_end().ends_with(['.', '?', '!', '…', '。']);
            next.start - last.end + if is_sentence { PAUSE_S } else { 0.0 }
        };
        (self.committed().len().max(1)..=agreed)
            .filter(|&index| words.get(index).is_some_and(|next| next.start >= least))
            .filter(|&index| late >= 1.0 || gap(index) >= PAUSE_S * (1.0 - late))
            // Of equals the last: what is cut off is decoded no more.
            .max_by(|&a, &b| gap(a).total_cmp(&gap(b)).then(a.cmp(&b)))
    }

    /// Cuts off what is committed, in front of a word that begins at `next` of the window. The last
    /// words of it stay as the lead. Returns by how many seconds the window begins later than
    /// before.
    pub(super) fn cut_off(&mut self, next: f64) -> f64 {
        let said = self.committed().to_vec();
        let Some(last) = said.last() else {
            return 0.0;
        };
        let sample = self.quietest(last.end..next).max(self.lead);
        let lead_from = sample as f64 / RATE - LEAD_S;
        let first = said.iter().position(|word| word.start >= lead_from);
        let first = first.unwrap_or(said.len() - 1);
        let begin = if first == 0 {
            self.sample_in_window(said[0].start)
        } else {
            self.quietest(said[first - 1].end..said[first].start)
        };
        let begin = begin.min(sample);
        let begin_s = begin as f64 / RATE;
        let lead = said[first..].iter().map(|word| word.earlier(begin_s));
        self.known = lead.collect();
        self.lead_words = self.known.len();
        self.samples.drain(..begin);
        self.cut_off += sample - self.lead;
        self.lead = sample - begin;
        begin_s
    }

    /// Samples of the utterance that were cut off.
    pub(super) fn cut_samples(&self) -> usize {
        self.cut_off
    }

    /// The second of the utterance at which the window begins; before it, where there is a lead.
    pub(super) fn begins_at(&self) -> f64 {
        (self.cut_off as f64 - self.lead as f64) / RATE
    }

    /// Cuts everything off in front of the own sample `own`, words and all.
    pub(super) fn cut_all(&mut self, own: usize) {
        self.samples.drain(..self.lead + own);
        self.cut_off += own;
        self.lead = 0;
        self.known.clear();
        self.lead_words = 0;
    }

    fn sample_in_window(&self, at: f64) -> usize {
        ((at.max(0.0) * RATE) as usize).min(self.samples.len())
    }

    /// The middle of the quietest frames between two words, whose times may be a little wrong.
    fn quietest(&self, between: Range<f64>) -> usize {
        const DOUBT_S: f64 = 0.08;
        let from = self.sample_in_window(between.start.min(between.end) - DOUBT_S);
        let to = self.sample_in_window(between.end.max(between.start) + DOUBT_S);
        from + sound::quietest(&self.samples[from..to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = SAMPLE_RATE as usize;

    fn word(text: &str, start: f64, end: f64) -> Word {
        Word {
            text: format!(" {text}"),
            start,
            end,
            ..Word::default()
        }
    }

    /// Words of half a second, one a second, loud where they are.
    fn speech(seconds: usize) -> (Vec<f32>, Vec<Word>) {
        let mut samples = vec![0.001; seconds * SECOND];
        let mut words = Vec::new();
        for second in 0..seconds {
            let start = second * SECOND + SECOND / 4;
            samples[start..start + SECOND / 2].fill(0.3);
            let start = second as f64 + 0.25;
            words.push(word(&format!("w{second}"), start, start + 0.5));
        }
        (samples, words)
    }

    #[test]
    fn a_long_window_is_cut_behind_what_is_committed() {
        let (samples, words) = speech(27);
        let mut window = Window::default();
        window.push(&samples[..17 * SECOND]);
        window.commit(&words[..16]);
        assert_eq!(window.cut(&words[..17], 16), None, "17 s are short");
        window.push(&samples[17 * SECOND..22 * SECOND]);
        // Half a second between words is a pause.
        assert_eq!(window.cut(&words[..22], 21), Some(21));
        window.commit(&words[..21]);
        let later = window.cut_off(words[21].start);
        let sample = window.cut_samples();
        assert!((20.75..21.25).contains(&(sample as f64 / RATE)), "{sample}");
        assert_eq!(window.begins_at(), later);
        assert_eq!(window.utterance_samples(), 22 * SECOND);
        assert_eq!(window.own(), 22 * SECOND - sample);
        // Five seconds of it lead what follows.
        assert_eq!(window.lead_words(), 5);
        assert_eq!(window.known()[0].text, " w16");
        assert!(window.committed().is_empty());
        assert!(window.known()[4].end <= window.lead() as f64 / RATE);
        let lead_s = window.lead() as f64 / RATE;
        assert_eq!(window.sample_at(lead_s), sample);
    }

    #[test]
    fn the_longer_the_window_the_less_is_a_pause() {
        let close = |count: usize| -> Vec<Word> {
            let at = |n: usize| n as f64 * 0.5;
            let words = (0..count).map(|n| word("w", at(n), at(n) + 0.45));
            words.collect()
        };
        for (seconds, expected) in [(18, None), (22, None), (23, Some(42))] {
            let mut window = Window::default();
            window.push(&vec![0.1; seconds * SECOND]);
            let mut words = close(2 * seconds);
            window.commit(&words[..32]);
            let agreed = 42.min(words.len() - 1);
            assert_eq!(window.cut(&words, agreed), expected, "{seconds}");
            // A sentence ends at a better place; what is committed is not parted.
            words[30].text.push('.');
            assert_eq!(window.cut(&words, agreed), expected, "{seconds}");
            words[33].text.push('.');
            assert_eq!(window.cut(&words, agreed), Some(34), "{seconds}");
        }
    }

    #[test]
    fn nothing_committed_is_no_place_to_cut() {
        let mut window = Window::default();
        window.push(&vec![0.1; 29 * SECOND]);
        assert_eq!(window.cut(&[], 0), None);
        window.cut_all(15 * SECOND);
        assert_eq!(window.own(), 14 * SECOND);
        assert_eq!(window.utterance_samples(), 29 * SECOND);
    }

    #[test]
    fn words_of_the_lead_are_not_given_again() {
        let decoded = |words: &[Word]| Decoded {
            words: words.to_vec(),
            ..Decoded::default()
        };
        let said = [
            word("in", 0.2, 0.6),
            word("front", 0.6, 1.4),
            word("now", 1.5, 1.9),
        ];
        let texts = |words: Vec<Word>| crate::decode::text_of(&words);
        let mut known = Window::default();
        known.push(&[0.1; SECOND]);
        known.lead_in(&[0.1; SECOND], &said[..2]);
        assert_eq!(texts(known.own_words(&decoded(&said), "in front")), " now");
        let mut unknown = Window::default();
        unknown.push(&[0.1; SECOND]);
        unknown.lead_in(&[0.1; SECOND], &[]);
        assert_eq!(
            texts(unknown.own_words(&decoded(&said), "not this")),
            " front now"
        );
        assert_eq!(
            texts(unknown.own_words(&decoded(&said[1..]), "it front now")),
            ""
        );
        unknown.commit(&said[2..]);
        assert_eq!((unknown.lead(), unknown.own()), (0, SECOND));
        assert_eq!(unknown.committed()[0].start, 0.5);
    }
}
