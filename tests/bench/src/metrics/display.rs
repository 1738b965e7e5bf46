//! A file's display as a whole, whoever shows it: what can be compared between systems that do not
//! agree on utterances, endpoints and finals.

use super::erasure::{self, Erasure};
use crate::record::FileRun;
use crate::reference::Timing;

/// All that is shown for the file at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Display {
    pub t: f64,
    pub text: String,
}

/// Seconds each, unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Displays {
    /// From the onset of speech to the first text.
    pub first_text: Vec<f64>,
    /// From the end of speech to the last change of the text.
    pub last_change: Vec<f64>,
    /// From the end of speech until the system itself says that it is done with the file.
    pub done: Vec<f64>,
    pub raw: Erasure,
    pub normalised: Erasure,
    /// Files of speech for which nothing was ever shown.
    pub blank: usize,
}

/// What our own display showed of a file: finals so far, and the partials of what is open.
pub fn displays(run: &FileRun) -> Vec<Display> {
    // Events of all utterances in the order of their arrival; each changes its own part.
    let mut changes: Vec<(f64, usize, String)> = Vec::new();
    for (index, utterance) in run.utterances.iter().enumerate() {
        for shown in &utterance.shown {
            changes.push((shown.t, index, shown.text()));
        }
        if let Some(finished) = &utterance.finished {
            changes.push((finished.t, index, finished.text.clone()));
        }
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut parts = vec![String::new(); run.utterances.len()];
    changes
        .into_iter()
        .map(|(t, index, text)| {
            parts[index] = text.trim().to_owned();
            let parts: Vec<&str> = parts
                .iter()
                .map(String::as_str)
                .filter(|part| !part.is_empty())
                .collect();
            Display {
                t,
                text: parts.join(" "),
            }
        })
        .collect()
}

impl Displays {
    /// Adds one file. `done_t`: when the system said that it was done.
    pub fn add(&mut self, displays: &[Display], done_t: Option<f64>, timing: &Timing) {
        match displays.iter().find(|d| !d.text.trim().is_empty()) {
            Some(first) => self.first_text.push(first.t - timing.onset),
            None => self.blank += 1,
        }
        let mut last = None;
        let mut before = "";
        for display in displays {
            if display.text.trim() != before {
                last = Some(display.t);
                before = display.text.trim();
            }
        }
        self.last_change.extend(last.map(|t| t - timing.offset));
        self.done.extend(done_t.map(|t| t - timing.offset));
        let texts: Vec<&str> = displays.iter().map(|d| d.text.as_str()).collect();
        self.raw.add(erasure::raw(&texts));
        self.normalised.add(erasure::normalised(&texts));
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::{run, timing, utterance};
    use super::*;

    #[test]
    fn utterances_become_one_display() {
        let run = run(vec![
            utterance(0.0, &[(1.0, "", "One")], None, (2.5, "One.")),
            // Begins to show before the first is final.
            utterance(2.0, &[(2.2, "", "Two")], None, (3.0, "Two.")),
        ]);
        let shown = displays(&run);
        let texts: Vec<(f64, &str)> = shown.iter().map(|d| (d.t, d.text.as_str())).collect();
        let expected = [
            (1.0, "One"),
            (2.2, "One Two"),
            (2.5, "One. Two"),
            (3.0, "One. Two."),
        ];
        assert_eq!(texts, expected);

        let mut figures = Displays::default();
        let said = timing(&[("one", 0.5, 1.0), ("two", 2.0, 2.5)]);
        figures.add(&shown, Some(3.5), &said);
        assert_eq!(figures.first_text, [0.5]);
        assert_eq!(figures.last_change, [0.5]);
        assert_eq!(figures.done, [1.0]);
        assert_eq!(figures.normalised, Erasure { erased: 0, kept: 2 });
        assert_eq!(figures.raw.erased, 3);
    }

    #[test]
    fn a_repeated_text_is_no_change() {
        let display = |t, text: &str| Display {
            t,
            text: text.into(),
        };
        let mut figures = Displays::default();
        let said = timing(&[("a", 0.0, 1.0)]);
        figures.add(&[display(1.0, "a"), display(5.0, "a ")], None, &said);
        figures.add(&[], None, &said);
        assert_eq!(figures.last_change, [0.0]);
        assert_eq!(figures.blank, 1);
    }
}
