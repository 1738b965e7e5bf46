//! What is in the corpus: files, what is said in them, and when each word is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wstream_tests::timing::timings;
pub use wstream_tests::timing::{SpokenWord, Timing};

/// A file of the corpus.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Relative to the corpus; its name everywhere.
    pub name: String,
    pub seconds: f64,
    /// ISO code, or `none` where nothing is said.
    pub language: String,
    /// What is said, as its source writes it.
    pub text: String,
    /// When the words are said; `None` for languages that were not aligned.
    pub timing: Option<Timing>,
}

/// All files, in the manifest's order.
#[derive(Clone, Debug)]
pub struct Corpus {
    pub dir: PathBuf,
    pub entries: Vec<Entry>,
}

/// The files of real-time runs; `pick.py` chose them.
const LIST: &str = include_str!("../list.txt");

impl Corpus {
    /// Reads the manifest in `dir`.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("manifest.tsv");
        let manifest = std::fs::read_to_string(&path)
            .with_context(|| format!("no manifest of the corpus: {}", path.display()))?;
        let mut timings: HashMap<&str, Timing> = timings().collect();
        let entries = manifest
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut cells = line.split('\t');
                let name = cells.next()?;
                let seconds = cells.next()?.parse().ok()?;
                let language = cells.nth(1)?.to_owned();
                Some(Entry {
                    name: name.to_owned(),
                    seconds,
                    language,
                    text: cells.next().unwrap_or_default().to_owned(),
                    timing: timings.remove(name),
                })
            })
            .collect();
        Ok(Corpus {
            dir: dir.to_owned(),
            entries,
        })
    }

    /// The file that a path, absolute or relative to the corpus, means.
    pub fn find(&self, path: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| Path::new(path).ends_with(&entry.name))
    }

    /// The entries that a list names, one a line.
    pub fn listed(&self, list: &str) -> Result<Vec<Entry>> {
        list.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let entry = self.find(line);
                Ok(entry
                    .with_context(|| format!("{line} is not in the corpus"))?
                    .clone())
            })
            .collect()
    }

    /// The committed list for real-time runs.
    pub fn standard(&self) -> Result<Vec<Entry>> {
        self.listed(LIST)
    }

    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.dir.join(&entry.name)
    }
}

impl Entry {
    /// The part of the corpus that it is counted with, as in `tests/wer.py`; those that say again
    /// what other files say are apart.
    pub fn group(&self) -> &str {
        let folder = self.name.split('/').next().unwrap_or_default();
        match (self.language.as_str(), folder) {
            ("none", _) => "non-speech",
            ("en", folder) if folder.ends_with("-long") => "joined",
            ("en", "moonshine") => "long",
            ("en", "vctk-noisy") => "noisy",
            ("en", "fsdd") => "digits",
            ("en", _) => "english",
            (other, _) => other,
        }
    }

    /// Whether it counts for the error rate over everything.
    pub fn in_total(&self) -> bool {
        self.language == "en" && self.group() != "joined"
    }
}

#[cfg(test)]
mod tests {
    use wstream_tests::timing::WORDS;

    use super::*;

    #[test]
    fn committed_data_is_sane() {
        let lines = WORDS.lines().count();
        let timings: HashMap<&str, Timing> = timings().collect();
        assert_eq!(
            timings.len(),
            lines,
            "each line is understood, no file twice"
        );
        for (name, timing) in &timings {
            assert!(timing.onset < timing.offset, "{name}");
            let mut before = 0.0;
            for word in &timing.words {
                assert!(
                    word.start >= before && word.end > word.start,
                    "{name} {word:?}"
                );
                before = word.start;
            }
        }
        let listed = LIST.lines().count();
        assert!(listed > 50 && LIST.lines().all(|name| timings.contains_key(name)));
    }

    #[test]
    fn entries_have_groups() {
        let group = |name: &str, language: &str| {
            let entry = Entry {
                name: name.into(),
                seconds: 1.0,
                language: language.into(),
                text: String::new(),
                timing: None,
            };
            (entry.group().to_owned(), entry.in_total())
        };
        for (name, language, expected, total) in [
            ("librispeech/a.flac", "en", "english", true),
            ("librispeech-long/a.flac", "en", "joined", false),
            ("moonshine/two_cities.flac", "en", "long", true),
            ("fsdd/1.flac", "en", "digits", true),
            ("kerstin-de/1.flac", "de", "de", false),
            ("nonspeech-music/1.flac", "none", "non-speech", false),
        ] {
            assert_eq!(
                group(name, language),
                (expected.to_owned(), total),
                "{name}"
            );
        }
    }
}
