//! Percentiles.

/// The middle and the upper end of many values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub n: usize,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
}

/// `None` without values.
pub fn spread(values: &[f64]) -> Option<Spread> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(Spread {
        n: sorted.len(),
        p50: percentile(&sorted, 0.50),
        p90: percentile(&sorted, 0.90),
        p95: percentile(&sorted, 0.95),
    })
}

/// Between the two nearest ranks, as most tools have it.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_ranks() {
        assert_eq!(spread(&[]), None);
        let one = spread(&[3.0]).unwrap();
        assert_eq!((one.n, one.p50, one.p95), (1, 3.0, 3.0));
        let many: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let many = spread(&many).unwrap();
        assert_eq!((many.p50, many.p90, many.p95), (50.0, 90.0, 95.0));
        assert_eq!(spread(&[1.0, 2.0]).unwrap().p50, 1.5);
    }
}
