//! How long the store keeps its writers waiting: for the disk, and for flushes and compactions that are behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bucket `i` counts what took less than 2^i microseconds, and no less than the one before; the last whatever took longer.
const BUCKETS: usize = 25;

/// The log's syncs, one for each group of writes.
#[derive(Default)]
pub(crate) struct SyncTimes {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl SyncTimes {
    pub(crate) fn add(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns
            .fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn buckets(&self) -> Vec<u64> {
        let read = |bucket: &AtomicU64| bucket.load(Ordering::Relaxed);
        self.buckets.iter().map(read).collect()
    }

    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }
}

/// Groups of writes that backpressure held back, and for how long.
#[derive(Default)]
pub(crate) struct Stalls {
    groups: AtomicU64,
    ns: AtomicU64,
}

impl Stalls {
    pub(crate) fn add(&self, held_back: Duration) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.ns
            .fetch_add(held_back.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_nanos(self.ns.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_twice_as_wide_as_the_one_before() {
        let times = SyncTimes::default();
        for micros in [0, 1, 3, 1_000, 3_600_000_000] {
            times.add(Duration::from_micros(micros));
        }
        let buckets = times.buckets();
        assert_eq!(buckets[..3], [1, 1, 1]);
        assert_eq!((buckets[10], buckets[BUCKETS - 1]), (1, 1));
        assert_eq!(times.sum(), Duration::from_micros(3_600_001_004));
    }
}
