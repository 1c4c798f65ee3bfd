//! A histogram of durations with fixed buckets, as Prometheus has them; made to be kept in a file.

use serde::{Deserialize, Serialize};

/// Upper bounds of the buckets, seconds: from an idle disk's fsync to an outage of a day.
pub const BOUNDS_SECONDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 300.0, 3_600.0, 21_600.0,
    86_400.0,
];

/// Durations, counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// How many fell into each bucket and in none before it; beyond the last bound into none at all.
    pub buckets: [u64; BOUNDS_SECONDS.len()],
    /// How many there were.
    pub count: u64,
    /// All of them together, microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn observe_us(&mut self, us: u64) {
        let seconds = us as f64 / 1e6;
        let bound = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        if let Some(bucket) = bound.and_then(|bound| self.buckets.get_mut(bound)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        for us in [1, 1_000, 1_001, 90_000_000_000] {
            histogram.observe_us(us);
        }
        assert_eq!(histogram.buckets.get(..2), Some(&[2, 1][..]));
        assert_eq!(histogram.buckets.iter().sum::<u64>(), 3, "one is beyond every bound");
        assert_eq!((histogram.count, histogram.sum_us), (4, 90_000_002_002));
    }
}
