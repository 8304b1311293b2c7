//! How long reads take in here, of those that were looked at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bucket `i` counts what took less than 2^i microseconds, and no less than the one before; the last whatever took longer.
const BUCKETS: usize = 25;

#[derive(Default)]
pub struct Latency {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Latency {
    pub fn add(&self, took: Duration) {
        self.add_many(took, 1);
    }

    /// `count` that took as long.
    pub fn add_many(&self, took: Duration, count: u64) {
        let micros = took.as_micros() as u64;
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(count, Ordering::Relaxed);
        self.sum_ns
            .fetch_add(took.as_nanos() as u64 * count, Ordering::Relaxed);
    }

    pub fn buckets(&self) -> Vec<u64> {
        let read = |bucket: &AtomicU64| bucket.load(Ordering::Relaxed);
        self.buckets.iter().map(read).collect()
    }

    pub fn sum_us(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_twice_as_wide_as_the_one_before() {
        let latency = Latency::default();
        for micros in [0, 1, 2, 3, 4, 1_000, 3_600_000_000] {
            latency.add(Duration::from_micros(micros));
        }
        let buckets = latency.buckets();
        assert_eq!(buckets[..4], [1, 1, 2, 1]);
        assert_eq!((buckets[10], buckets[BUCKETS - 1]), (1, 1));
        assert_eq!(latency.sum_us(), 3_600_001_010);
    }
}
