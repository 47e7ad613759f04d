//! Latencies, counted and printed as JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Latencies of one kind, in nanoseconds, exact to one in a thousand; longer than a minute counts as one.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        // These bounds are valid for a histogram.
        Self(Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("the bounds are in order"))
    }
}

impl Times {
    /// Counts one.
    pub fn note(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds another's counts.
    ///
    /// # Panics
    /// Never: all have the same bounds.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Count, mean and percentiles, in microseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let at = |percentile| micros(self.0.value_at_percentile(percentile));
        json!({
            "count": self.0.len(),
            "mean_us": (self.0.mean() / 100.0).round() / 10.0,
            "p50_us": at(50.0),
            "p90_us": at(90.0),
            "p95_us": at(95.0),
            "p99_us": at(99.0),
            "p999_us": at(99.9),
            "max_us": micros(self.0.max()),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a minute of nanoseconds is exact in an f64")]
fn micros(nanos: u64) -> f64 {
    (nanos as f64 / 100.0).round() / 10.0
}
