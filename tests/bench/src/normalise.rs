//! OpenAI's English normalisation, by the Python package that has it.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The words of each text after normalisation.
#[derive(Debug, Default)]
pub struct Normalised(HashMap<String, Vec<String>>);

impl Normalised {
    /// Normalises all of them in one go.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut texts: Vec<&str> = texts.into_iter().collect();
        texts.sort_unstable();
        texts.dedup();
        let python =
            std::env::var_os("WSTREAM_PYTHON").map_or("python3".into(), std::path::PathBuf::from);
        let mut child = Command::new(&python)
            .arg("-c")
            .arg(include_str!("../normalise.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}: set WSTREAM_PYTHON", python.display()))?;
        let mut input = String::new();
        for text in &texts {
            input.push_str(&serde_json::to_string(text)?);
            input.push('\n');
        }
        let mut stdin = child.stdin.take().context("stdin is piped")?;
        // Its answers may fill the pipe before it has read everything.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        let _ = writer.join();
        ensure!(
            output.status.success(),
            "normalise.py failed: tests/run.sh packages python makes a Python that has \
             whisper-normalizer; set WSTREAM_PYTHON to it"
        );
        let answers = String::from_utf8(output.stdout)?;
        let answers: Vec<String> = answers
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        ensure!(answers.len() == texts.len(), "normalise.py lost a line");
        let words = |text: &String| text.split_whitespace().map(str::to_owned).collect();
        Ok(Normalised(
            texts
                .into_iter()
                .map(str::to_owned)
                .zip(answers.iter().map(words))
                .collect(),
        ))
    }

    /// Of a text that was given to [`Normalised::new`].
    pub fn words(&self, text: &str) -> &[String] {
        let known = self.0.get(text);
        known.expect("whoever counts a text has had it normalised before")
    }

    /// Words as they are, for tests of what is done with them.
    #[cfg(test)]
    pub fn split<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Normalised(
            texts
                .into_iter()
                .map(|text| (text.to_owned(), words(text)))
                .collect(),
        )
    }
}
