//! How far a download is: a bar on a terminal, plain lines elsewhere. Written to standard error, so
//! that standard output has only the answer.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use super::disk::megabytes;

/// A download's progress.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines {
        label: String,
        total: u64,
        told: u64,
    },
}

/// A line for every tenth: a log of a download has eleven lines and not thousands.
const LINES: u64 = 10;

impl Progress {
    /// Shows `label` from `done` of `total` bytes on.
    pub fn new(label: &str, done: u64, total: u64) -> Self {
        let shown = match std::io::stderr().is_terminal() {
            true => Shown::Bar(bar(label, done, total)),
            false => Shown::Lines {
                label: label.to_owned(),
                total,
                told: done * LINES / total.max(1),
            },
        };
        Progress { shown }
    }

    /// `done` bytes are there.
    pub fn set(&mut self, done: u64) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines { label, total, told } => {
                let tenth = done * LINES / (*total).max(1);
                if tenth > *told {
                    *told = tenth;
                    let (done, total) = (megabytes(done), megabytes(*total));
                    say(&format!("{label}: {done} of {total}"));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.abandon();
        }
    }
}

/// Writes a line to standard error. That nobody reads it is no reason to fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn bar(label: &str, done: u64, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    );
    let bar = ProgressBar::new(total).with_prefix(label.to_owned());
    bar.set_style(style.expect("the template is a constant that a test uses"));
    bar.set_position(done);
    bar.reset_eta();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_template_is_one() {
        let bar = bar("tiny.en", 10, 100);
        assert_eq!((bar.position(), bar.length()), (10, Some(100)));
    }

    #[test]
    fn nothing_to_fetch_is_not_divided_by() {
        let mut progress = Progress::new("empty", 0, 0);
        progress.set(0);
    }
}
