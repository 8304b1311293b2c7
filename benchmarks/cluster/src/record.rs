//! What became of operations: latencies, keys, failures by name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Of the operations that ended in some span of time.
#[derive(Clone, Debug)]
pub struct Tally {
    pub latencies: Histogram<u64>,
    pub operations: u64,
    pub keys: u64,
    pub failures: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        // Microseconds would do, but 1 µs is a tenth of a fast answer.
        let latencies =
            Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("sound bounds of a histogram");
        Self {
            latencies,
            operations: 0,
            keys: 0,
            failures: BTreeMap::new(),
        }
    }
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.latencies
            .add(&other.latencies)
            .expect("histograms of one shape");
        self.operations += other.operations;
        self.keys += other.keys;
        for (name, count) in &other.failures {
            *self.failures.entry(name.clone()).or_default() += count;
        }
    }

    /// In µs.
    pub fn quantile(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// One line of a report.
    pub fn line(&self, seconds: f64) -> String {
        let failures: String = self
            .failures
            .iter()
            .map(|(name, count)| format!(", {count} {name}"))
            .collect();
        format!(
            "{:.0} op/s, {:.0} keys/s, p50 {:.0} p99 {:.0} p99.9 {:.0} max {:.0} us{failures}",
            self.operations as f64 / seconds,
            self.keys as f64 / seconds,
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(0.999),
            self.latencies.max() as f64 / 1000.0,
        )
    }
}

/// A tally that one thread fills and another one takes.
#[derive(Default)]
pub struct Recorder(Mutex<Tally>);

impl Recorder {
    pub fn done(&self, keys: u64, took: Duration) {
        let mut tally = self.lock();
        tally.latencies.saturating_record(took.as_nanos() as u64);
        tally.operations += 1;
        tally.keys += keys;
    }

    pub fn failed(&self, name: &str) {
        let mut tally = self.lock();
        match tally.failures.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                tally.failures.insert(name.to_owned(), 1);
            }
        }
    }

    /// What came together since the last time.
    pub fn take(&self) -> Tally {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
