//! One utterance as a picture: time from left to right, a line per word; when it was spoken, first
//! shown, committed, and final.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::metrics::trace::{WordTrace, traces};
use crate::record::{FileRun, Utterance};
use crate::reference::Corpus;

/// Measures of the picture, in its own units.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const ROW: f64 = 20.0;
const BOTTOM: f64 = 44.0;

/// Files over this long have enough words to show something.
const LONG_S: f64 = 6.0;

const SPOKEN: &str = "#b8c0cc";
const SEEN: &str = "#1f6fb5";
const COMMITTED: &str = "#1a7f37";
const FINAL: &str = "#b3361e";
const INK: &str = "#24292f";

/// Draws the first utterance of `wanted` (a part of a name), else of the first long file.
pub fn write(path: &Path, corpus: &Corpus, runs: &[FileRun], wanted: Option<&str>) -> Result<()> {
    let run = runs
        .iter()
        .find(|run| match wanted {
            Some(name) => run.file.contains(name),
            None => run.seconds > LONG_S && !run.text().is_empty(),
        })
        .context("no file of this run fits: choose one with --plot-file")?;
    let entry = corpus.find(&run.file);
    let timing = entry.and_then(|entry| entry.timing.as_ref());
    let all = traces(run, timing);
    let (utterance, words) = run
        .utterances
        .iter()
        .zip(&all)
        .max_by_key(|(_, words)| words.len())
        .filter(|(_, words)| !words.is_empty())
        .with_context(|| format!("nothing was heard in {}", run.file))?;
    std::fs::write(path, draw(&run.file, utterance, words))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The picture; needs a final.
fn draw(name: &str, utterance: &Utterance, words: &[WordTrace]) -> String {
    let final_t = utterance.finished.as_ref().map_or(0.0, |f| f.t);
    let first = words
        .iter()
        .filter_map(|word| word.spoken.as_ref())
        .map(|spoken| spoken.start)
        .fold(utterance.at_s, f64::min);
    let begin = first.floor();
    let end = (final_t + 0.1).max(begin + 1.0);
    let x = |t: f64| LEFT + (t - begin) / (end - begin) * (WIDTH - LEFT - RIGHT);
    let below = TOP + ROW * words.len() as f64;
    let height = below + BOTTOM;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{}: when each word was spoken, first shown, committed and final</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escape(name)
    );
    legend(&mut out, name);
    axis(&mut out, begin, end, below, x);
    for (row, word) in words.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        line_of(&mut out, word, y, x);
    }
    let spoken = words.iter().rev().find_map(|word| word.spoken.as_ref());
    let marks = [
        (spoken.map(|spoken| spoken.end), "end of speech", "2 3", INK),
        (
            utterance.ended.as_ref().map(|e| e.t),
            "endpoint",
            "6 3",
            INK,
        ),
        (Some(final_t), "final", "", FINAL),
    ];
    for (level, (t, label, dashes, colour)) in marks.into_iter().enumerate() {
        let Some(t) = t else { continue };
        let (x, label_y) = (x(t), TOP - 4.0 - 11.0 * (2 - level) as f64);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{below:.1}\" stroke=\"{colour}\" \
             stroke-dasharray=\"{dashes}\"/>\n<text x=\"{:.1}\" y=\"{label_y:.1}\" \
             text-anchor=\"end\" font-size=\"10\" fill=\"{colour}\">{label} {t:.2} s</text>",
            label_y - 8.0,
            x - 3.0
        );
    }
    out.push_str("</svg>\n");
    out
}

fn line_of(out: &mut String, word: &WordTrace, y: f64, x: impl Fn(f64) -> f64) {
    let text = escape(&word.text);
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{INK}\">{text}</text>",
        LEFT - 8.0,
        y + 4.0
    );
    if let Some(spoken) = &word.spoken {
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" rx=\"2\" \
             fill=\"{SPOKEN}\"/>\n<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" \
             stroke=\"{SPOKEN}\"/>",
            x(spoken.start),
            y - 6.0,
            (x(spoken.end) - x(spoken.start)).max(1.0),
            x(spoken.end),
            x(word.stable)
        );
    }
    // Shown, then changed or gone, then back: the circle of the first time is empty.
    let fill = if word.first_seen < word.stable {
        "#ffffff"
    } else {
        SEEN
    };
    let _ = writeln!(
        out,
        "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{SEEN}\" \
         stroke-width=\"1.5\"/>",
        x(word.first_seen)
    );
    if word.first_seen < word.stable {
        let _ = writeln!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{SEEN}\"/>",
            x(word.stable)
        );
    }
    if let Some(committed) = word.committed {
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" fill=\"{COMMITTED}\"/>",
            x(committed) - 4.0,
            y - 4.0
        );
    }
}

fn axis(out: &mut String, begin: f64, end: f64, below: f64, x: impl Fn(f64) -> f64) {
    let mut second = begin;
    while second <= end {
        let place = x(second);
        let _ = writeln!(
            out,
            "<line x1=\"{place:.1}\" y1=\"{TOP}\" x2=\"{place:.1}\" y2=\"{below:.1}\" \
             stroke=\"#e4e8ed\"/>\n<text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
             fill=\"{INK}\">{second:.0}</text>",
            below + 16.0
        );
        second += 1.0;
    }
    let _ = writeln!(
        out,
        "<line x1=\"{LEFT}\" y1=\"{below:.1}\" x2=\"{:.1}\" y2=\"{below:.1}\" stroke=\"{INK}\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{INK}\">seconds since the \
         first sample</text>",
        WIDTH - RIGHT,
        (LEFT + WIDTH - RIGHT) / 2.0,
        below + 34.0
    );
}

fn legend(out: &mut String, name: &str) {
    let _ = writeln!(
        out,
        "<text x=\"10\" y=\"18\" fill=\"{INK}\" font-weight=\"bold\">{}</text>",
        escape(name)
    );
    let entries = [
        (
            format!("<rect y=\"-9\" width=\"16\" height=\"12\" rx=\"2\" fill=\"{SPOKEN}\"/>"),
            "spoken",
        ),
        (
            format!(
                "<circle cx=\"10\" cy=\"-4\" r=\"4\" fill=\"#ffffff\" stroke=\"{SEEN}\" stroke-width=\"1.5\"/>"
            ),
            "first shown, changed later",
        ),
        (
            format!("<circle cx=\"10\" cy=\"-4\" r=\"4\" fill=\"{SEEN}\"/>"),
            "shown for good",
        ),
        (
            format!("<rect x=\"6\" y=\"-8\" width=\"8\" height=\"8\" fill=\"{COMMITTED}\"/>"),
            "committed",
        ),
    ];
    let mut place = 330.0;
    for (shape, label) in entries {
        let _ = writeln!(
            out,
            "<g transform=\"translate({place} 18)\">{shape}<text x=\"22\" fill=\"{INK}\">{label}</text></g>"
        );
        place += 44.0 + 7.0 * label.len() as f64;
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::trace::tests::{run, timing, utterance};

    #[test]
    fn every_word_has_its_marks() {
        let run = run(vec![utterance(
            0.2,
            &[(1.0, "", "Cat & bat"), (1.5, "Cat", " & sat")],
            Some((2.4, 2.0)),
            (2.5, "Cat & sat."),
        )]);
        let timing = timing(&[("cat", 0.5, 0.8), ("sat", 0.9, 1.4)]);
        let words = &traces(&run, Some(&timing))[0];
        let svg = draw("a<b>.flac", &run.utterances[0], words);
        assert!(svg.contains("a&lt;b&gt;.flac") && !svg.contains("a<b>"));
        for (part, count) in [
            (">cat</text>", 1),
            (">sat</text>", 1),
            // One committed word, and the legend's.
            (COMMITTED, 2),
            ("endpoint 2.40 s", 1),
            ("final 2.50 s", 1),
            ("end of speech 1.40 s", 1),
        ] {
            assert_eq!(svg.matches(part).count(), count, "{part}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf\""));
    }
}
