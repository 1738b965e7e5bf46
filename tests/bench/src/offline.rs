//! What the same weights make of whole files: `wstream-engine offline`, kept in a cache file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::reference::{Corpus, Entry};

/// Both searches that streaming is compared with; the better one counts.
pub const BEAMS: [usize; 2] = [1, 5];

/// Texts by `MODEL-BYTES/beam/file`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Offline {
    texts: BTreeMap<String, String>,
    #[serde(skip)]
    model: String,
}

#[derive(Deserialize)]
struct Line {
    file: PathBuf,
    text: String,
}

impl Offline {
    /// The texts of `entries`, from the cache where it has them, else decoded now and put there.
    pub fn of(
        corpus: &Corpus,
        entries: &[&Entry],
        models_dir: &Path,
        model: &str,
        cache: &Path,
    ) -> Result<Self> {
        let mut offline: Offline = match std::fs::read_to_string(cache) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{} is no cache of texts", cache.display()))?,
            Err(_) => Offline::default(),
        };
        let file = wstream_tests::model_file(models_dir, model);
        let bytes = std::fs::metadata(&file)
            .with_context(|| format!("no model: {}", file.display()))?
            .len();
        offline.model = format!("{model}-{bytes}");
        for beam in BEAMS {
            let missing: Vec<&&Entry> = entries
                .iter()
                .filter(|entry| offline.text(beam, &entry.name).is_none())
                .collect();
            if missing.is_empty() {
                continue;
            }
            crate::say(&format!("offline, beam {beam}: {} files", missing.len()));
            let output = Command::new(wstream_tests::program("wstream-engine"))
                .args(["offline", "--json", "--language", "en", "--model"])
                .arg(&file)
                .args(["--beam", &beam.to_string()])
                .args(missing.iter().map(|entry| corpus.path(entry)))
                .output()
                .context("wstream-engine is not built")?;
            ensure!(
                output.status.success(),
                "wstream-engine offline: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            for line in String::from_utf8(output.stdout)?.lines() {
                let line: Line = serde_json::from_str(line)?;
                let entry = corpus.find(&line.file.to_string_lossy());
                let name = &entry.context("a file that was not asked for")?.name;
                let key = offline.key(beam, name);
                offline.texts.insert(key, line.text);
            }
            std::fs::write(cache, serde_json::to_string_pretty(&offline)?)
                .with_context(|| format!("cannot write {}", cache.display()))?;
        }
        Ok(offline)
    }

    pub fn text(&self, beam: usize, name: &str) -> Option<&str> {
        self.texts.get(&self.key(beam, name)).map(String::as_str)
    }

    fn key(&self, beam: usize, name: &str) -> String {
        format!("{}/beam{beam}/{name}", self.model)
    }

    /// Texts `(beam, file, text)`, for tests of what is done with them.
    #[cfg(test)]
    pub fn given(texts: &[(usize, &str, &str)]) -> Self {
        let mut offline = Offline::default();
        for (beam, name, text) in texts {
            let key = offline.key(*beam, name);
            offline.texts.insert(key, (*text).to_owned());
        }
        offline
    }
}
