//! Named figures in the order in which they are shown; what a result file holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::metrics::spread::spread;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name for programs.
    pub key: String,
    /// Its name for people, with the unit.
    pub label: String,
    /// `value`, or `p50`, `p90`, `p95` and `n`.
    pub values: BTreeMap<String, f64>,
}

/// All lines of a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Figures(pub Vec<Figure>);

/// Under which name a single value is kept.
pub const VALUE: &str = "value";

impl Figures {
    /// Adds a line with percentiles; none where there are no values.
    pub fn spread(&mut self, key: &str, label: &str, values: &[f64]) {
        let found = spread(values).map(|s| {
            [
                ("n", s.n as f64),
                ("p50", s.p50),
                ("p90", s.p90),
                ("p95", s.p95),
            ]
        });
        self.push(key, label, found.into_iter().flatten());
    }

    /// Adds a line with one value, if there is one.
    pub fn value(&mut self, key: &str, label: &str, value: impl Into<Option<f64>>) {
        self.push(key, label, value.into().map(|value| (VALUE, value)));
    }

    /// Adds a line with one count.
    pub fn count(&mut self, key: &str, label: &str, count: usize) {
        self.value(key, label, count as f64);
    }

    /// One value of one line.
    pub fn get(&self, key: &str, stat: &str) -> Option<f64> {
        let figure = self.0.iter().find(|figure| figure.key == key)?;
        figure.values.get(stat).copied()
    }

    fn push<'a>(
        &mut self,
        key: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.0.push(Figure {
            key: key.to_owned(),
            label: label.to_owned(),
            values: values
                .into_iter()
                .map(|(stat, value)| (stat.to_owned(), value))
                .collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_name() {
        let mut figures = Figures::default();
        figures.spread("lag", "lag, s", &[1.0, 3.0]);
        figures.spread("none", "none, s", &[]);
        figures.value("rate", "rate", 0.5);
        assert_eq!(figures.get("lag", "p50"), Some(2.0));
        assert_eq!(figures.get("lag", "n"), Some(2.0));
        assert_eq!(figures.get("none", "p50"), None);
        assert_eq!(figures.get("rate", VALUE), Some(0.5));
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), figures);
    }
}
