//! The memory of a replica: entries by the hash of their physical key, bounded in bytes, in shards of one lock each.
//!
//! A shard's lock guards its entries and its buckets of last invalidations together, so that a fill is judged and
//! cached in one step against invalidations. Records name keys by hash, so the hash is the map's key; the entry has the
//! key itself, and of two keys with one hash the later fill stays. Eviction is quick_cache's (CLOCK-Pro, close to
//! S3-FIFO): one scan of cold keys does not push out the hot ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use quick_cache::unsync::Cache as Map;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

/// Buckets of last invalidations in all shards (C2). Two keys in one bucket cost a refused fill, nothing else.
const BUCKETS: usize = 65_536;
/// A value larger than a shard is never cached.
const LEAST_SHARD_BYTES: u64 = 4 << 20;
const MOST_SHARDS: u64 = 64;
/// Of an entry beyond key and value: itself, the map's slot, allocations and what they round up to.
const ENTRY_OVERHEAD: u64 = 256;
/// Places for so many are there from the beginning: a map that grows doubles.
const EXPECTED_ENTRY_BYTES: u64 = 384;

/// Its key and value lie behind one another in one piece: what a hit costs is the number of places in memory that it
/// visits. (In the map itself it would save one more, but the map has half as many places again for keys that went.)
#[derive(Debug)]
pub struct Entry {
    pub(super) data: Bytes,
    pub(super) key_length: usize,
    /// False: there is no such key.
    pub found: bool,
    pub version: u64,
    /// 0 = never.
    pub expires_at_ms: u64,
    /// The state it shows is exactly the one through this LSN.
    pub read_lsn: u64,
    pub generation: u64,
    pub filled_at_ns: u64,
    /// Reads since it was cached, halved whenever it is renewed. Counted without care: it is only compared.
    pub hits: AtomicU32,
}

impl Entry {
    /// A copy of `key` and `value` (None: there is no such key), for the caller to fill in the rest.
    pub fn new(key: &[u8], value: Option<&[u8]>) -> Self {
        let data = [key, value.unwrap_or_default()].concat();
        Self {
            data: data.into(),
            key_length: key.len(),
            found: value.is_some(),
            version: 0,
            expires_at_ms: 0,
            read_lsn: 0,
            generation: 0,
            filled_at_ns: 0,
            hits: AtomicU32::new(0),
        }
    }

    pub fn key(&self) -> &[u8] {
        &self.data[..self.key_length]
    }

    pub fn value(&self) -> Option<Bytes> {
        self.found.then(|| self.data.slice(self.key_length..))
    }

    pub fn hit(&self) {
        let hits = self.hits.load(Ordering::Relaxed);
        self.hits.store(hits.saturating_add(1), Ordering::Relaxed);
    }
}

/// Hits and physical keys, the least hit first.
type Hottest = BinaryHeap<Reverse<(u32, Box<[u8]>)>>;

pub struct Cache {
    shards: Box<[Mutex<Shard>]>,
    capacity: u64,
    evictions: Arc<AtomicU64>,
}

pub struct Shard {
    entries: Map<u64, Box<Entry>, ByBytes, SpreadHash, CountEvictions>,
    /// LSN of the last invalidation, by bucket.
    buckets: Box<[u64]>,
}

impl Cache {
    pub fn new(capacity: u64) -> Self {
        let count = (capacity / LEAST_SHARD_BYTES).clamp(1, MOST_SHARDS);
        let count = 1 << count.ilog2();
        let evictions = Arc::new(AtomicU64::new(0));
        let shards = (0..count)
            .map(|_| Mutex::new(Shard::new(capacity / count, count as usize, &evictions)));
        Self {
            shards: shards.collect(),
            capacity,
            evictions,
        }
    }

    /// The shard of the keys with `hash`, locked.
    pub fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let index = (hash >> 48) as usize % self.shards.len();
        self.lock(index)
    }

    /// Drops everything and forgets invalidations: the floor stands for them.
    pub fn clear(&self) {
        for index in 0..self.shards.len() {
            let mut shard = self.lock(index);
            shard.entries.clear();
            shard.buckets.fill(0);
        }
    }

    /// Entries and their bytes.
    pub fn size(&self) -> (u64, u64) {
        (0..self.shards.len()).map(|index| self.lock(index)).fold(
            (0, 0),
            |(entries, bytes), shard| {
                (
                    entries + shard.entries.len() as u64,
                    bytes + shard.entries.weight(),
                )
            },
        )
    }

    /// The physical keys of the `count` entries most read, the hottest first; each shard is locked for its own part.
    pub fn hottest(&self, count: usize) -> Vec<Box<[u8]>> {
        let mut hottest = BinaryHeap::new();
        for index in 0..self.shards.len() {
            self.lock(index).hottest(count, &mut hottest);
        }
        let sorted = hottest.into_sorted_vec().into_iter();
        sorted.map(|Reverse((_, key))| key).collect()
    }

    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index]
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Shard {
    fn new(capacity: u64, shards: usize, evictions: &Arc<AtomicU64>) -> Self {
        let estimated = (capacity / EXPECTED_ENTRY_BYTES).max(1) as usize;
        let options = OptionsBuilder::new()
            .weight_capacity(capacity)
            .estimated_items_capacity(estimated)
            .build();
        let counter = CountEvictions(Arc::clone(evictions));
        let entries = match options {
            Ok(options) => Map::with_options(options, ByBytes, SpreadHash, counter),
            Err(_) => Map::with(estimated, capacity, ByBytes, SpreadHash, counter),
        };
        Self {
            entries,
            buckets: vec![0; BUCKETS / shards].into(),
        }
    }

    pub fn get(&self, hash: u64) -> Option<&Entry> {
        self.entries.get(&hash).map(Box::as_ref)
    }

    pub fn insert(&mut self, hash: u64, entry: Entry) {
        self.entries.insert(hash, Box::new(entry));
    }

    /// The LSN of the last invalidation in the bucket of `hash`.
    pub fn invalidated(&self, hash: u64) -> u64 {
        self.buckets[self.bucket(hash)]
    }

    /// A key with `hash` was written at `lsn`; true when an entry went.
    pub fn invalidate(&mut self, hash: u64, lsn: u64) -> bool {
        let bucket = self.bucket(hash);
        self.buckets[bucket] = self.buckets[bucket].max(lsn);
        self.entries
            .remove_if(&hash, |entry| entry.read_lsn < lsn)
            .is_some()
    }

    /// The most read entries, `count` of them at most, into `hottest` (hits, physical key).
    fn hottest(&self, count: usize, hottest: &mut Hottest) {
        for (_, entry) in self.entries.iter() {
            let hits = entry.hits.load(Ordering::Relaxed);
            let least = hottest.peek().map_or(0, |Reverse((hits, _))| *hits);
            if hits == 0 || !entry.found || hottest.len() == count && hits <= least {
                continue;
            }
            hottest.push(Reverse((hits, entry.key().into())));
            if hottest.len() > count {
                hottest.pop();
            }
        }
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash >> 32) as usize % self.buckets.len()
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<u64, Box<Entry>> for ByBytes {
    fn weight(&self, _: &u64, entry: &Box<Entry>) -> u64 {
        entry.data.len() as u64 + ENTRY_OVERHEAD
    }
}

struct CountEvictions(Arc<AtomicU64>);

impl Lifecycle<u64, Box<Entry>> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: u64, _: Box<Entry>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The key is a good hash already; its high bits chose shard and bucket, so the low ones are left for the map.
#[derive(Clone, Default)]
struct SpreadHash;

struct Identity(u64);

impl BuildHasher for SpreadHash {
    type Hasher = Identity;

    fn build_hasher(&self) -> Identity {
        Identity(0)
    }
}

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        // hashbrown tags entries by the topmost bits, which within a shard are all alike.
        self.0 = hash.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: usize, read_lsn: u64) -> Entry {
        Entry {
            version: 1,
            read_lsn,
            generation: 1,
            ..Entry::new(b"", Some(&vec![0; size]))
        }
    }

    fn hash(key: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&key.to_be_bytes())
    }

    #[test]
    fn memory_is_bounded_and_evictions_are_counted() {
        let cache = Cache::new(1 << 20);
        for key in 0..5000 {
            cache.shard(hash(key)).insert(hash(key), entry(1000, 1));
        }
        let (entries, bytes) = cache.size();
        assert!(
            bytes <= 1 << 20 && entries > 500,
            "{entries} entries, {bytes} bytes"
        );
        assert_eq!(cache.evictions() + entries, 5000);
    }

    #[test]
    fn a_scan_does_not_push_out_what_is_read_again() {
        let cache = Cache::new(1 << 20);
        let hot = || 0..200u64;
        for key in hot().chain(hot()) {
            let mut shard = cache.shard(hash(key));
            if shard.get(hash(key)).is_none() {
                shard.insert(hash(key), entry(1000, 1));
            }
        }
        for key in 1000..6000 {
            cache.shard(hash(key)).insert(hash(key), entry(1000, 1));
        }
        let kept = hot()
            .filter(|&key| cache.shard(hash(key)).get(hash(key)).is_some())
            .count();
        assert!(kept > 150, "{kept} of 200 left");
    }

    #[test]
    fn the_hottest_are_those_read_most() {
        let cache = Cache::new(16 << 20);
        for key in 0..100u64 {
            let hot = Entry {
                hits: AtomicU32::new((key % 50) as u32),
                ..Entry::new(&key.to_be_bytes(), Some(b"value"))
            };
            cache.shard(hash(key)).insert(hash(key), hot);
        }
        let mut hottest: Vec<u64> = cache
            .hottest(4)
            .iter()
            .map(|key| u64::from_be_bytes(key[..].try_into().unwrap()))
            .collect();
        hottest.sort_unstable();
        assert_eq!(hottest, [48, 49, 98, 99]);
        assert_eq!(cache.hottest(1000).len(), 98, "two were never read");
    }

    #[test]
    fn an_invalidation_spares_what_was_read_after_it() {
        let cache = Cache::new(1 << 20);
        cache.shard(7).insert(7, entry(1, 10));
        assert!(!cache.shard(7).invalidate(7, 10));
        assert!(cache.shard(7).invalidate(7, 11));
        assert!(cache.shard(7).get(7).is_none());
        assert_eq!(cache.shard(7).invalidated(7), 11);
        cache.clear();
        assert_eq!(cache.shard(7).invalidated(7), 0);
        assert_eq!(cache.size(), (0, 0));
    }
}
