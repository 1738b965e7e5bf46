//! The figures at the end of `listen`. No input or output.

use std::fmt;

use wstream_api::keys;

use crate::event::Event;

/// What a session came to. Eight bytes are kept for each figure of each utterance.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// Utterances that got a final, perhaps an empty one.
    finals: usize,
    failed: usize,
    cancelled: usize,
    /// From the end of speech to the final, as the daemon measured it.
    latencies_ms: Vec<f64>,
    /// What decoding took, as the server says.
    processing_ms: Vec<f64>,
}

impl Summary {
    /// Counts `event`.
    pub(crate) fn add(&mut self, event: &Event) {
        match event {
            Event::Final { details, .. } => {
                self.finals += 1;
                self.latencies_ms.extend(details.number(keys::LATENCY_MS));
                self.processing_ms
                    .extend(details.number(keys::PROCESSING_TIME_MS));
            }
            Event::Failed { .. } => self.failed += 1,
            Event::Cancelled { .. } => self.cancelled += 1,
            _ => {}
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utterances = self.finals + self.failed + self.cancelled;
        match utterances {
            1 => f.write_str("1 utterance")?,
            many => write!(f, "{many} utterances")?,
        }
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        if self.cancelled > 0 {
            write!(f, ", {} cancelled", self.cancelled)?;
        }
        if let (Some(mean), Some(p95)) = (mean(&self.latencies_ms), p95(&self.latencies_ms)) {
            write!(f, "; latency mean {mean:.0} ms, p95 {p95:.0} ms")?;
        }
        if let Some(mean) = mean(&self.processing_ms) {
            write!(f, "; processing mean {mean:.0} ms")?;
        }
        Ok(())
    }
}

fn mean(figures: &[f64]) -> Option<f64> {
    (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
}

/// The figure that 95 of 100 do not exceed: the nearest rank, so one of those that were measured.
fn p95(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * 95).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Details;

    fn final_of(latency_ms: f64, processing_ms: f64) -> Event {
        let details = [
            ("latency_ms", zbus::Variant::from(latency_ms)),
            ("processing_time_ms", zbus::Variant::from(processing_ms)),
        ];
        Event::Final {
            utterance: 1,
            text: "text".to_owned(),
            details: Details::of(&details.into_iter().collect()),
        }
    }

    #[test]
    fn figures() {
        for (figures, expected) in [
            (vec![], None),
            (vec![7.0], Some(7.0)),
            (vec![2.0, 1.0], Some(2.0)),
            ((1..=20).map(f64::from).collect(), Some(19.0)),
            ((1..=100).rev().map(f64::from).collect(), Some(95.0)),
        ] {
            assert_eq!(p95(&figures), expected, "{figures:?}");
        }
    }

    #[test]
    fn sentences() {
        let mut summary = Summary::default();
        assert_eq!(summary.to_string(), "0 utterances");
        summary.add(&Event::Cancelled { utterance: 1 });
        assert_eq!(summary.to_string(), "1 utterance, 1 cancelled");
        summary.add(&final_of(100.0, 50.0));
        summary.add(&final_of(300.4, 60.0));
        assert_eq!(
            summary.to_string(),
            "3 utterances, 1 cancelled; latency mean 200 ms, p95 300 ms; processing mean 55 ms"
        );
    }
}
