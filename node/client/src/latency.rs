//! How long members take to answer: an average that rises at once and falls slowly ("peak EWMA"), so that a member that
//! has become slow is seen before many calls wait for it. The Python client has the same in `aidb/loads.py`.

use std::collections::HashMap;

/// An answer so many seconds ago weighs 1/e.
const DECAY_SECONDS: f64 = 10.0;

#[derive(Default)]
pub struct Latencies {
    /// By address.
    seen: HashMap<String, Seen>,
}

struct Seen {
    shard: u32,
    average: f64,
    at: f64,
}

impl Latencies {
    /// `address`, a replica of `shard`, answered at `now` after `took` seconds; returns its average.
    pub fn answered(&mut self, shard: u32, address: &str, took: f64, now: f64) -> f64 {
        if let Some(seen) = self.seen.get_mut(address) {
            let weight = (-(now - seen.at) / DECAY_SECONDS).exp();
            let mixed = seen.average * weight + took * (1.0 - weight);
            seen.average = if took > seen.average { took } else { mixed };
            (seen.shard, seen.at) = (shard, now);
            return seen.average;
        }
        let seen = Seen {
            shard,
            average: took,
            at: now,
        };
        self.seen.insert(address.to_owned(), seen);
        took
    }

    /// The averages of the shard's replicas but `address`.
    pub fn siblings(&self, shard: u32, address: &str) -> impl Iterator<Item = f64> {
        self.seen
            .iter()
            .filter(move |(other, seen)| seen.shard == shard && *other != address)
            .map(|(_, seen)| seen.average)
    }

    /// Judge it anew.
    pub fn forget(&mut self, address: &str) {
        self.seen.remove(address);
    }

    /// Forgets members for which `stays` is false.
    pub fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.seen.retain(|address, _| stays(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_rise_at_once_and_fall_slowly() {
        let mut latencies = Latencies::default();
        latencies.answered(1, "a", 0.01, 0.0);
        assert_eq!(latencies.answered(1, "a", 1.0, 1.0), 1.0);
        let fallen = latencies.answered(1, "a", 0.01, 2.0);
        assert!(0.9 < fallen && fallen < 1.0, "{fallen}");
        latencies.answered(1, "b", 0.5, 2.0);
        latencies.answered(2, "c", 0.5, 2.0);
        assert_eq!(latencies.siblings(1, "a").collect::<Vec<_>>(), [0.5]);
        latencies.forget("b");
        assert_eq!(latencies.siblings(1, "a").count(), 0);
    }
}
