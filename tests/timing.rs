//! When each word of the corpus is spoken.

/// Forced alignment of the corpus; `bench/align.py` made it.
pub const WORDS: &str = include_str!("bench/words.tsv");

/// When the words of a file are spoken, in seconds from its beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Where speech begins.
    pub onset: f64,
    /// Where it ends.
    pub offset: f64,
    /// In their order.
    pub words: Vec<SpokenWord>,
}

/// A word, and when it is spoken, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct SpokenWord {
    /// Lower case, no punctuation, numbers spelled out.
    pub text: String,
    /// Where it begins.
    pub start: f64,
    /// Where it ends.
    pub end: f64,
}

/// Those of all files that were aligned, by their names in the corpus.
pub fn timings() -> impl Iterator<Item = (&'static str, Timing)> {
    WORDS.lines().filter_map(timing)
}

fn timing(line: &str) -> Option<(&str, Timing)> {
    let mut cells = line.split('\t');
    let name = cells.next()?;
    let onset = cells.next()?.parse().ok()?;
    let offset = cells.next()?.parse().ok()?;
    let words = cells
        .map(|cell| {
            let mut parts = cell.split(' ');
            Some(SpokenWord {
                text: parts.next()?.to_owned(),
                start: parts.next()?.parse().ok()?,
                end: parts.next()?.parse().ok()?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    Some((
        name,
        Timing {
            onset,
            offset,
            words,
        },
    ))
}
