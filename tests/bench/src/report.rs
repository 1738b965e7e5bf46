//! Results: a table for people, a file for programs, several side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::figures::{Figure, Figures, VALUE};
use crate::record::FileRun;

/// All that is kept of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub label: String,
    pub about: BTreeMap<String, String>,
    pub figures: Figures,
    /// What was seen, so that figures can be made anew.
    #[serde(default)]
    pub files: Vec<FileRun>,
}

impl Report {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no result", path.display()))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_string(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// One result.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    for (key, value) in &report.about {
        let _ = writeln!(out, "{key:14} {value}");
    }
    let _ = writeln!(
        out,
        "\n{:48} {:>9} {:>9} {:>9} {:>7}",
        "", "p50", "p90", "p95", "n"
    );
    for figure in &report.figures.0 {
        let cell = |stat: &str| number(figure.values.get(stat).copied());
        let line = if figure.values.contains_key("p50") {
            let n = figure.values.get("n").copied().unwrap_or_default();
            format!(
                "{:>9} {:>9} {:>9} {n:>7}",
                cell("p50"),
                cell("p90"),
                cell("p95")
            )
        } else {
            format!("{:>9}", cell(VALUE))
        };
        let _ = writeln!(out, "{:48} {line}", figure.label);
    }
    out
}

/// Several results; the ratio is against the first.
pub fn compare(reports: &[Report]) -> String {
    let mut out = String::new();
    let _ = write!(out, "{:52}", "");
    for report in reports {
        let _ = write!(out, " {:>18}", shortened(&report.label, 18));
    }
    out.push('\n');
    for (figure, stat) in lines(reports) {
        let label = if stat == VALUE {
            figure.label.clone()
        } else {
            format!("{} {stat}", figure.label)
        };
        let _ = write!(out, "{label:52}");
        let first = reports[0].figures.get(&figure.key, stat);
        for (index, report) in reports.iter().enumerate() {
            let value = report.figures.get(&figure.key, stat);
            let ratio = value
                .zip(first)
                .filter(|(_, first)| index > 0 && *first != 0.0);
            let ratio = ratio.map_or(String::new(), |(value, first)| {
                format!("×{:.2}", value / first)
            });
            let _ = write!(out, " {:>11} {ratio:>6}", number(value));
        }
        out.push('\n');
    }
    out
}

/// The lines that any of the results has, in the order of the one that has most.
fn lines(reports: &[Report]) -> Vec<(&Figure, &'static str)> {
    let mut lines: Vec<(&Figure, &'static str)> = Vec::new();
    let mut ordered: Vec<&Report> = reports.iter().collect();
    ordered.sort_by_key(|report| std::cmp::Reverse(report.figures.0.len()));
    for figure in ordered.iter().flat_map(|report| &report.figures.0) {
        for stat in ["p50", "p95", VALUE] {
            let known = lines.iter().any(|(f, s)| f.key == figure.key && *s == stat);
            if figure.values.contains_key(stat) && !known {
                lines.push((figure, stat));
            }
        }
    }
    lines
}

/// As many digits as one can make use of.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.fract() == 0.0 && value.abs() < 1e9 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn shortened(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(label: &str, lag: f64, rate: Option<f64>) -> Report {
        let mut figures = Figures::default();
        figures.spread("lag", "lag, s", &[lag]);
        figures.value("rate", "rate, %", rate);
        Report {
            label: label.into(),
            figures,
            ..Report::default()
        }
    }

    #[test]
    fn a_table_has_a_dash_where_nothing_is_known() {
        let text = table(&report("one", 0.25, None));
        assert!(text.contains("0.250"), "{text}");
        let rate = text.lines().find(|line| line.starts_with("rate")).unwrap();
        assert!(rate.trim_end().ends_with('-'), "{rate}");
    }

    #[test]
    fn results_stand_side_by_side() {
        let text = compare(&[
            report("one", 0.5, Some(4.0)),
            report("two", 0.25, Some(5.0)),
        ]);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("lag, s p50").contains("×0.50"), "{text}");
        assert!(line("rate").contains("×1.25"), "{text}");
        assert!(text.lines().next().unwrap().contains("two"));
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (None, "-"),
            (Some(3.0), "3"),
            (Some(0.12345), "0.123"),
            (Some(12.345), "12.3"),
            (Some(1234.5), "1234"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
