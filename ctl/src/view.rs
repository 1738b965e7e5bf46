//! What a person sees: finals on lines of their own, and below them, in place, the words of the
//! utterances that have no final yet. Events in, bytes for the terminal out; no input or output,
//! so that tests see every byte.
//!
//! The line in place takes one row at most. Text that is too long for it shows its end.

use std::collections::BTreeMap;

use wstream_api::keys;

use crate::event::Event;
use crate::text::{clean, columns, tail};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

/// Stands for the words in front that a line in place has no room for, or for words to come.
const ELLIPSIS: &str = "…";

/// Columns at the end of the row that the line in place leaves free: two for the `^C` that a
/// terminal echoes, and the last one because a full row puts terminals into different moods.
const KEPT_FREE: u16 = 3;

/// Below this many columns there is no line in place: it could not show a word.
const LEAST_COLUMNS: u16 = 10;

/// What standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// A file, a pipe, or a terminal that cannot move its cursor.
    Plain,
    Terminal {
        columns: u16,
        /// Whether bold, dim and colours are wanted.
        styled: bool,
    },
}

/// What to show of each final, and of partials where there is no line in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shows {
    /// In front of each line of words: which file it belongs to.
    pub(crate) label: bool,
    /// Each final's latency, on a terminal.
    pub(crate) latency: bool,
    /// Partials as lines of their own, where they cannot stand in place.
    pub(crate) partial_lines: bool,
}

/// Bytes, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// To standard output.
    Out(String),
    /// To standard error: a whole line, without its end.
    Err(String),
}

/// The view's state between events.
#[derive(Debug)]
pub(crate) struct View {
    screen: Screen,
    shows: Shows,
    /// In front of each complaint, and of each line where [`Shows::label`] says so.
    label: Option<String>,
    /// Stands in place while nobody speaks.
    resting: &'static str,
    /// Words of utterances without a final, by number. The daemon ends each one.
    open: BTreeMap<u64, Words>,
    /// Columns that the line in place takes on the screen; 0: there is none.
    drawn: usize,
}

#[derive(Debug, Default)]
struct Words {
    committed: String,
    tentative: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Committed,
    Tentative,
}

impl View {
    pub(crate) fn new(screen: Screen, shows: Shows) -> Self {
        View {
            screen,
            shows,
            label: None,
            resting: "",
            open: BTreeMap::new(),
            drawn: 0,
        }
    }

    /// What follows belongs to `label`.
    pub(crate) fn label(&mut self, label: Option<String>) {
        self.label = label.map(|label| clean(&label).into_owned());
    }

    /// Shows `text` in place while nobody speaks; empty for nothing.
    pub(crate) fn rest(&mut self, text: &'static str) -> Vec<Piece> {
        self.resting = text;
        self.show(Vec::new())
    }

    /// The terminal has another width now.
    pub(crate) fn resize(&mut self, columns: u16) -> Vec<Piece> {
        match &mut self.screen {
            Screen::Plain => Vec::new(),
            Screen::Terminal { columns: width, .. } => {
                // What is on the screen has been wrapped by the terminal already: erase by the
                // new width.
                *width = columns;
                self.show(Vec::new())
            }
        }
    }

    /// Takes the line in place away, at the end or before something else writes.
    pub(crate) fn leave(&mut self) -> Vec<Piece> {
        self.open.clear();
        self.resting = "";
        self.show(Vec::new())
    }

    /// A sentence for standard error, above the line in place.
    pub(crate) fn complain(&mut self, sentence: &str) -> Vec<Piece> {
        let complaint = self.complaint(sentence);
        self.show(vec![complaint])
    }

    /// What `event` changes.
    pub(crate) fn event(&mut self, event: &Event) -> Vec<Piece> {
        let mut lines = Vec::new();
        match event {
            Event::Started { utterance, .. } => {
                self.open.insert(*utterance, Words::default());
            }
            Event::Partial {
                utterance,
                committed,
                tentative,
                ..
            } => {
                if self.screen == Screen::Plain && self.shows.partial_lines {
                    lines.push(self.partial_line(committed, tentative));
                }
                let words = self.open.entry(*utterance).or_default();
                words.committed = clean(committed).into_owned();
                words.tentative = clean(tentative).into_owned();
            }
            Event::Final {
                utterance,
                text,
                details,
            } => {
                self.open.remove(utterance);
                if !text.is_empty() {
                    lines.push(self.final_line(text, details.number(keys::LATENCY_MS)));
                }
            }
            Event::Failed {
                utterance, message, ..
            } => {
                self.open.remove(utterance);
                lines.push(self.complaint(&format!("utterance {utterance} failed: {message}")));
            }
            Event::Cancelled { utterance } => {
                self.open.remove(utterance);
            }
            Event::Trouble { message, .. } => lines.push(self.complaint(message)),
            _ => return Vec::new(),
        }
        self.show(lines)
    }

    fn final_line(&self, text: &str, latency_ms: Option<f64>) -> Piece {
        let mut line = self.line_prefix();
        line.push_str(&clean(text));
        if let (Screen::Terminal { styled, .. }, true, Some(latency_ms)) =
            (self.screen, self.shows.latency, latency_ms)
        {
            let latency = format!("  {latency_ms:.0} ms");
            match styled {
                true => line.push_str(&format!("{DIM}{latency}{RESET}")),
                false => line.push_str(&latency),
            }
        }
        line.push('\n');
        Piece::Out(line)
    }

    fn partial_line(&self, committed: &str, tentative: &str) -> Piece {
        let prefix = self.line_prefix();
        Piece::Out(format!(
            "{prefix}~ {}{}\n",
            clean(committed),
            clean(tentative)
        ))
    }

    fn complaint(&self, sentence: &str) -> Piece {
        let label = prefix(self.label.as_deref());
        let sentence = format!("wstreamctl: {label}{}", clean(sentence));
        Piece::Err(match self.screen {
            Screen::Terminal { styled: true, .. } => format!("{RED}{sentence}{RESET}"),
            _ => sentence,
        })
    }

    fn line_prefix(&self) -> String {
        prefix(self.label.as_deref().filter(|_| self.shows.label))
    }

    /// `lines` above a fresh line in place.
    fn show(&mut self, lines: Vec<Piece>) -> Vec<Piece> {
        let Screen::Terminal {
            columns: width,
            styled,
        } = self.screen
        else {
            return lines;
        };
        let mut pieces = Vec::with_capacity(lines.len() + 2);
        let erase = self.erase(width);
        if !erase.is_empty() {
            pieces.push(Piece::Out(erase));
        }
        pieces.extend(lines);
        let line = self.draw(width, styled);
        if !line.is_empty() {
            pieces.push(Piece::Out(line));
        }
        join(pieces)
    }

    /// Takes the line in place off the screen. A terminal that has become narrower has wrapped it
    /// into several rows; the cursor stands in the last one.
    fn erase(&mut self, width: u16) -> String {
        let drawn = std::mem::take(&mut self.drawn);
        if drawn == 0 {
            return String::new();
        }
        let rows_above = (drawn - 1) / usize::from(width.max(1));
        match rows_above {
            0 => "\r\x1b[K".to_owned(),
            rows => format!("\r\x1b[{rows}A\x1b[J"),
        }
    }

    /// The line in place, which ends where the cursor stays.
    fn draw(&mut self, width: u16, styled: bool) -> String {
        if width < LEAST_COLUMNS {
            return String::new();
        }
        let mut parts = self.words();
        let mut room = usize::from(width - KEPT_FREE);
        let taken: usize = parts.iter().map(|(_, text)| columns(text)).sum();
        let mut line = String::new();
        if taken > room {
            room -= columns(ELLIPSIS);
            let mut kept = Vec::new();
            for (tone, text) in parts.iter().rev() {
                let end = tail(text, room);
                kept.push((*tone, end.to_owned()));
                room -= columns(end);
                if end.len() < text.len() {
                    break;
                }
            }
            kept.reverse();
            parts = kept;
            line.push_str(ELLIPSIS);
        }
        self.drawn = columns(&line) + parts.iter().map(|(_, text)| columns(text)).sum::<usize>();
        for (tone, text) in parts.iter().filter(|(_, text)| !text.is_empty()) {
            let on = match tone {
                Tone::Committed => BOLD,
                Tone::Tentative => DIM,
            };
            match styled {
                true => line.push_str(&format!("{on}{text}{RESET}")),
                false => line.push_str(text),
            }
        }
        line
    }

    /// What stands in place, with its tones.
    fn words(&self) -> Vec<(Tone, String)> {
        if self.open.is_empty() {
            return vec![(Tone::Tentative, self.resting.to_owned())];
        }
        let mut parts = Vec::new();
        for words in self.open.values() {
            if !parts.is_empty() {
                parts.push((Tone::Tentative, " ".to_owned()));
            }
            if words.committed.is_empty() && words.tentative.is_empty() {
                parts.push((Tone::Tentative, ELLIPSIS.to_owned()));
                continue;
            }
            let mut tentative = words.tentative.as_str();
            if words.committed.is_empty() {
                tentative = tentative.trim_start();
            }
            parts.push((Tone::Committed, words.committed.clone()));
            parts.push((Tone::Tentative, tentative.to_owned()));
        }
        parts
    }
}

fn prefix(label: Option<&str>) -> String {
    label.map(|label| format!("{label}: ")).unwrap_or_default()
}

/// Neighbours for standard output as one piece: one write does not flicker.
fn join(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Out(before)), Piece::Out(text)) => before.push_str(&text),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
