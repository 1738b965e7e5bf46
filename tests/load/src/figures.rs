//! What a run gave, as a line of a table.

use std::fmt;

/// The middle and the upper end of many values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
}

/// `None` without values.
pub(crate) fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = |share: f64| sorted[(share * last as f64).round() as usize];
    Some(Spread {
        p50: at(0.50),
        p95: at(0.95),
    })
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) sessions: usize,
    pub(crate) waits: Spread,
    pub(crate) first: Spread,
    pub(crate) partials_per_s: f64,
    pub(crate) finals: usize,
    pub(crate) lost: usize,
    pub(crate) cores: f64,
    pub(crate) before_mb: f64,
    pub(crate) peak_mb: f64,
}

impl Row {
    pub(crate) const HEAD: &'static str = "\
| sessions | endpoint to final, p50 / p95 s | first words, p50 / p95 s | partials per s of sound \
| finals | lost | cores used | memory, peak MB | of which per session MB |
|---|---|---|---|---|---|---|---|---|";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = (self.peak_mb - self.before_mb) / self.sessions as f64;
        write!(
            f,
            "| {} | {:.3} / {:.2} | {:.2} / {:.2} | {:.2} | {} | {} | {:.2} | {:.0} | {each:.1} |",
            self.sessions,
            self.waits.p50,
            self.waits.p95,
            self.first.p50,
            self.first.p95,
            self.partials_per_s,
            self.finals,
            self.lost,
            self.cores,
            self.peak_mb,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        assert_eq!(spread(&[]), None);
        let many: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let many = spread(&many).unwrap();
        assert_eq!((many.p50, many.p95), (50.0, 95.0));
    }
}
