//! What is asked of a member, by slot and by key. Every operation is counted; one in [`ONE_IN`] is looked at closely, so
//! that figures of slots are estimates: of n samples, right to about 1/sqrt(n).
//!
//! Counted are reads of single keys, alone or in batches, and writes that were sequenced; not scans, and nothing that an
//! import brings. A read that a cache forwards counts at both members: both have the work.
//!
//! Bounded: two counters a slot, two sketches of keys.

mod hot;
mod latency;
mod meter;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aidb_client::key_hash;
use aidb_client::pb;
use aidb_client::slots::SLOT_COUNT;

use super::spread::ONE_IN;
use hot::{HotKey, HotKeys};
pub use latency::Latency;
pub use meter::Meter;

pub struct Load {
    /// Of each serving thread.
    readers: Mutex<Vec<Arc<Meter>>>,
    /// Of the sequencer, the only one who writes.
    writes: Meter,
    read_slots: Slots,
    written_slots: Slots,
    hot_reads: Mutex<HotKeys>,
    hot_writes: Mutex<HotKeys>,
    latency: Latency,
}

/// Samples of each slot.
struct Slots(Box<[AtomicU64]>);

impl Slots {
    fn new() -> Self {
        Self((0..SLOT_COUNT).map(|_| AtomicU64::new(0)).collect())
    }

    fn add(&self, slot: u16) {
        if let Some(samples) = self.0.get(usize::from(slot)) {
            samples.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn operations(&self, slot: u16) -> u64 {
        let samples = self.0.get(usize::from(slot));
        samples.map_or(0, |samples| samples.load(Ordering::Relaxed)) * u64::from(ONE_IN)
    }
}

/// A read that is looked at.
pub struct Sampled {
    began: Instant,
    /// Its key is among those that are read most: readers had better ask other members as well.
    pub hot: bool,
}

impl Default for Load {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            readers: Mutex::default(),
            writes: Meter::new(1),
            read_slots: Slots::new(),
            written_slots: Slots::new(),
            hot_reads: Mutex::new(HotKeys::new(now)),
            hot_writes: Mutex::new(HotKeys::new(now)),
            latency: Latency::default(),
        }
    }
}

impl Load {
    /// For one serving thread.
    pub fn reader(&self) -> Arc<Meter> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let meter = Arc::new(Meter::new(
            0x9e37_79b9_u32.wrapping_mul(2 + readers.len() as u32),
        ));
        readers.push(Arc::clone(&meter));
        meter
    }

    /// A read that `Meter::tick` picked, as it begins.
    pub fn read(&self, slot: u16, physical: &[u8]) -> Sampled {
        let began = Instant::now();
        self.read_slots.add(slot);
        let hot = offer(&self.hot_reads, physical, began);
        Sampled { began, hot }
    }

    /// It has been answered.
    pub fn answered(&self, sampled: &Sampled) {
        self.latency.add(sampled.began.elapsed());
    }

    /// A write was sequenced.
    pub fn written(&self, slot: u16, physical: &[u8]) {
        if self.writes.tick() {
            self.written_slots.add(slot);
            offer(&self.hot_writes, physical, Instant::now());
        }
    }

    pub fn stats(&self) -> pb::LoadStats {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let read_us_buckets = self.latency.buckets();
        pb::LoadStats {
            reads: readers.iter().map(|meter| meter.count()).sum(),
            writes: self.writes.count(),
            timed_reads: read_us_buckets.iter().sum(),
            read_us: self.latency.sum_us(),
            read_us_buckets,
        }
    }

    /// Slots that anything was asked of, also of those that have moved away since, and the `most` hottest keys.
    pub fn by_slot(&self, most: usize) -> pb::GetLoadResponse {
        let mut answer = pb::GetLoadResponse {
            hot_reads: top(&self.hot_reads, most),
            hot_writes: top(&self.hot_writes, most),
            ..Default::default()
        };
        for slot in 0..SLOT_COUNT {
            let reads = self.read_slots.operations(slot);
            let writes = self.written_slots.operations(slot);
            if reads + writes > 0 {
                answer.slots.push(slot.into());
                answer.reads.push(reads);
                answer.writes.push(writes);
            }
        }
        answer
    }
}

/// A sample that two threads have at once is one of them: nobody waits here.
fn offer(keys: &Mutex<HotKeys>, physical: &[u8], now: Instant) -> bool {
    let keys = keys.try_lock();
    keys.is_ok_and(|mut keys| keys.add(key_hash(physical), physical, now))
}

fn top(keys: &Mutex<HotKeys>, most: usize) -> Vec<pb::HotKey> {
    let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
    let told = keys.top(most, Instant::now()).into_iter();
    told.map(|HotKey { key, part }| pb::HotKey {
        key: key.into_vec().into(),
        part_ppm: (part * 1e6) as u32,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use aidb_client::key::physical_key;
    use aidb_client::slots::slot_of;

    use super::*;

    #[test]
    fn slots_and_keys_are_estimated_and_totals_exact() {
        let load = Load::default();
        let meter = load.reader();
        let keys: Vec<String> = (0..100).map(|number| format!("key{number}")).collect();
        let physical: Vec<_> = keys
            .iter()
            .map(|key| physical_key(0, key.as_bytes()))
            .collect();
        for turn in 0..64_000usize {
            // Every second is the first key.
            let index = if turn % 2 == 0 { 0 } else { turn / 2 % 100 };
            let slot = slot_of(keys[index].as_bytes());
            if meter.tick() {
                load.answered(&load.read(slot, &physical[index]));
            }
            load.written(slot, &physical[index]);
        }
        let stats = load.stats();
        assert_eq!((stats.reads, stats.writes), (64_000, 64_000));
        assert!((1_900..2_100).contains(&stats.timed_reads), "{stats:?}");
        let hot_slot = slot_of(keys[0].as_bytes());
        let answer = load.by_slot(4);
        let at = answer
            .slots
            .iter()
            .position(|slot| *slot == hot_slot.into());
        let at = at.unwrap();
        for rate in [answer.reads[at], answer.writes[at]] {
            assert!((29_000..37_000).contains(&rate), "{rate}");
        }
        for hot in [&answer.hot_reads[0], &answer.hot_writes[0]] {
            assert_eq!(hot.key, physical[0]);
            assert!((440_000..570_000).contains(&hot.part_ppm), "{hot:?}");
        }
        assert!(load.by_slot(0).hot_reads.is_empty());
    }

    /// cargo test -p aidb-node --lib what_counting_costs -- --ignored --nocapture
    #[test]
    #[ignore = "a measurement"]
    fn what_counting_costs() {
        const TURNS: usize = 20_000_000;
        let load = Load::default();
        let meter = load.reader();
        let keys: Vec<_> = (0..100_000)
            .map(|number| physical_key(0, format!("key{number}").as_bytes()))
            .collect();
        let began = Instant::now();
        for turn in 0..TURNS {
            if meter.tick() {
                let key = &keys[turn % keys.len()];
                load.answered(&load.read((turn % 16_384) as u16, key));
            }
        }
        let reads = began.elapsed();
        let began = Instant::now();
        for turn in 0..TURNS {
            load.written((turn % 16_384) as u16, &keys[turn % keys.len()]);
        }
        let each = |took: std::time::Duration| took.as_nanos() as f64 / TURNS as f64;
        println!(
            "a read {:.1} ns, a write {:.1} ns",
            each(reads),
            each(began.elapsed())
        );
    }
}
