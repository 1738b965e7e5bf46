//! Sound for tests: what a synthesiser says, and files of every kind.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Says `text` with espeak-ng into a 16 kHz mono 16-bit WAV file in `dir`.
pub fn speak(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let spoken = dir.join(format!("{name}-22k.wav"));
    let status = Command::new("espeak-ng")
        .args(["-v", "en-us", "-s", "150", "-w"])
        .arg(&spoken)
        .arg(text)
        .status()
        .context("espeak-ng is not installed")?;
    ensure!(status.success(), "espeak-ng failed");
    let path = dir.join(format!("{name}.wav"));
    sox(&[
        spoken.as_os_str(),
        "-r".as_ref(),
        "16000".as_ref(),
        "-b".as_ref(),
        "16".as_ref(),
        path.as_os_str(),
        "pad".as_ref(),
        "0.5".as_ref(),
        "1".as_ref(),
    ])?;
    Ok(path)
}

/// Runs sox.
pub fn sox(args: &[&std::ffi::OsStr]) -> Result<()> {
    let status = Command::new("sox")
        .args(args)
        .status()
        .context("sox is not installed")?;
    ensure!(status.success(), "sox {args:?} failed");
    Ok(())
}

/// The samples of a sound file at 16 kHz, its channels mixed.
pub fn samples(path: &Path) -> Result<Vec<i16>> {
    let output = Command::new("sox")
        .arg(path)
        .args("-t raw -e signed -b 16 -L -r 16000 -c 1 -D -".split(' '))
        .output()
        .context("sox is not installed")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "sox {}: {said}", path.display());
    let pairs = output.stdout.chunks_exact(2);
    Ok(pairs.map(|p| i16::from_le_bytes([p[0], p[1]])).collect())
}

/// Lower-case words without punctuation.
pub fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Word errors (substitutions, insertions, deletions) that turn `heard` into `said`.
pub fn word_errors(said: &str, heard: &str) -> usize {
    let (said, heard) = (words(said), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, wanted) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, got) in heard.iter().enumerate() {
            let substituted = diagonal + usize::from(wanted != got);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()]
}

/// Whether `heard` is what was `said`, as far as a small model understands a synthesiser: at least
/// half of the words. Accuracy is measured with real speech, by `wer.py`.
pub fn understood(said: &str, heard: &str) -> bool {
    word_errors(said, heard) * 2 <= words(said).len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn word_errors_count_edits() {
        for (said, heard, errors) in [
            ("a b c", "A, b c.", 0),
            ("a b c", "a c", 1),
            ("a b c", "a x c", 1),
            ("a b c", "a b c d e", 2),
            ("", "", 0),
            ("a", "", 1),
        ] {
            assert_eq!(super::word_errors(said, heard), errors, "{said} / {heard}");
        }
    }
}
