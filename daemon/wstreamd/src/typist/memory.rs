//! What was typed where: how the next text goes on from it, and what can be taken away again.

use std::time::Instant;

use wstream_typing::Target;

use super::joining::Before;

/// Texts that can be taken away again, newest last.
const UNDO: usize = 20;

/// What of a text is kept to know how the next one goes on, in characters.
const TAIL: usize = 40;

/// A driver, by its place in the chain, and a target.
pub(super) type Place = (usize, Target);

/// What stands in windows because it was typed there.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What was typed last, to be taken away again; [`UNDO`] at most.
    typed: Vec<Piece>,
    /// Counts texts, so that the pieces of one are taken away at once.
    stretch: u64,
    /// Where, what and when was typed last.
    last: Option<(Place, String, Instant)>,
}

/// A text that stands before the cursor of a target.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) place: Place,
    stretch: u64,
    pub(super) text: String,
}

impl Memory {
    /// What is noted from now on is another text than before.
    pub(super) fn begin(&mut self) {
        self.stretch += 1;
    }

    /// Nothing is known any more of what stands where.
    pub(super) fn forget(&mut self) {
        self.typed.clear();
        self.last = None;
    }

    /// What was typed last, if that was there.
    pub(super) fn before(&self, place: &Place) -> Before {
        match &self.last {
            Some((where_to, tail, at)) if is_same(where_to, place) => {
                Before::Typed(tail.clone(), at.elapsed())
            }
            _ => Before::Unknown,
        }
    }

    /// Notes that a text was typed.
    pub(super) fn note(&mut self, place: &Place, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut tail = match &self.last {
            Some((where_to, tail, _)) if is_same(where_to, place) => tail.clone(),
            _ => String::new(),
        };
        tail.push_str(text);
        let excess = tail.chars().count().saturating_sub(TAIL);
        let tail = tail.chars().skip(excess).collect();
        self.last = Some((place.clone(), tail, Instant::now()));
        let stretch = self.stretch;
        match self.typed.last_mut() {
            Some(piece) if piece.stretch == stretch && is_same(&piece.place, place) => {
                piece.text.push_str(text);
            }
            _ => self.typed.push(Piece {
                place: place.clone(),
                stretch,
                text: text.to_owned(),
            }),
        }
        let excess = self.typed.len().saturating_sub(UNDO);
        self.typed.drain(..excess);
    }

    /// Takes out what was typed last, to be taken away.
    pub(super) fn take(&mut self) -> Option<Piece> {
        self.typed.pop()
    }

    /// It stayed where it was, and can be taken away later.
    pub(super) fn put_back(&mut self, piece: Piece) {
        self.typed.push(piece);
    }

    /// Notes that a text was taken away.
    pub(super) fn forget_end(&mut self, text: &str) {
        if let Some((_, tail, _)) = &mut self.last {
            match tail.strip_suffix(text) {
                Some(rest) if !rest.is_empty() => *tail = rest.to_owned(),
                _ => self.last = None,
            }
        }
    }
}

/// Whether a place is the same; where the system does not tell windows apart, every one is.
pub(super) fn is_same(a: &Place, b: &Place) -> bool {
    a.0 == b.0 && a.1.id == b.1.id
}
