//! Which keys are asked for most, in bounded memory: the space-saving sketch (Metwally, Agrawal, El Abbadi 2005) of a stream
//! of samples. A key that is not among the `CAPACITY` takes the place of the one with the fewest, and may have had as many
//! as that before: its count is too high by `error` at most. So every key with more than one in `CAPACITY` is there.
//!
//! All counts are halved every `HALVING`: what was hot a minute ago is forgotten.

use std::time::{Duration, Instant};

const CAPACITY: usize = 64;
const HALVING: Duration = Duration::from_secs(10);
/// A key that has one in so many of all samples is hot,
const HOT_PART: u32 = 16;
/// if it has so many of them: at one in 32 operations, some 25 to 50 a second.
const HOT_SAMPLES: u32 = 16;

pub struct HotKeys {
    hashes: Vec<u64>,
    entries: Vec<Entry>,
    /// Halved like the counts.
    total: u32,
    halved: Instant,
}

struct Entry {
    key: Box<[u8]>,
    count: u32,
    error: u32,
}

impl Entry {
    fn at_least(&self) -> u32 {
        self.count - self.error
    }
}

#[derive(Debug, PartialEq)]
pub struct HotKey {
    pub key: Box<[u8]>,
    /// Of all samples, at least; 0 to 1.
    pub part: f64,
}

impl HotKeys {
    pub fn new(now: Instant) -> Self {
        Self {
            hashes: Vec::with_capacity(CAPACITY),
            entries: Vec::with_capacity(CAPACITY),
            total: 0,
            halved: now,
        }
    }

    /// One more sample; whether its key is hot.
    pub fn add(&mut self, hash: u64, key: &[u8], now: Instant) -> bool {
        self.forget(now);
        self.total += 1;
        let known = self.hashes.iter().position(|&known| known == hash);
        if let Some(index) = known
            && *self.entries[index].key == *key
        {
            let entry = &mut self.entries[index];
            entry.count += 1;
            return entry.at_least() >= HOT_SAMPLES
                && entry.at_least() >= self.total.div_ceil(HOT_PART);
        }
        if self.entries.len() < CAPACITY {
            self.hashes.push(hash);
            self.entries.push(Entry {
                key: key.into(),
                count: 1,
                error: 0,
            });
            return false;
        }
        let least = self.entries.iter().enumerate();
        if let Some((index, entry)) = least.min_by_key(|(_, entry)| entry.count) {
            self.hashes[index] = hash;
            self.entries[index] = Entry {
                key: key.into(),
                count: entry.count + 1,
                error: entry.count,
            };
        }
        false
    }

    /// The hottest first, `most` at most; only those that certainly were asked for more than once.
    pub fn top(&mut self, most: usize, now: Instant) -> Vec<HotKey> {
        self.forget(now);
        let mut hottest: Vec<&Entry> = self.entries.iter().collect();
        hottest.retain(|entry| entry.at_least() > 1);
        hottest.sort_by_key(|entry| std::cmp::Reverse(entry.at_least()));
        hottest.truncate(most);
        let total = f64::from(self.total.max(1));
        let told = hottest.into_iter().map(|entry| HotKey {
            key: entry.key.clone(),
            part: f64::from(entry.at_least()) / total,
        });
        told.collect()
    }

    fn forget(&mut self, now: Instant) {
        let halvings = now.duration_since(self.halved).as_secs() / HALVING.as_secs();
        if halvings == 0 {
            return;
        }
        self.halved += HALVING * halvings.min(1 << 20) as u32;
        let shift = halvings.min(31) as u32;
        self.total >>= shift;
        for entry in &mut self.entries {
            // The part that is certain is halved by itself: rounding must not make it more.
            let certain = entry.at_least() >> shift;
            entry.error >>= shift;
            entry.count = certain + entry.error;
        }
        let mut kept = self.entries.iter().map(|entry| entry.count > 0);
        self.hashes.retain(|_| kept.next().unwrap_or_default());
        self.entries.retain(|entry| entry.count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(hot: &mut HotKeys, key: u64, now: Instant) -> bool {
        hot.add(key, &key.to_be_bytes(), now)
    }

    #[test]
    fn a_frequent_key_is_found_among_many() {
        let now = Instant::now();
        let mut hot = HotKeys::new(now);
        let mut marked = 0;
        for turn in 0..10_000u64 {
            add(&mut hot, 1_000 + turn, now);
            if turn % 5 == 0 {
                marked += u32::from(add(&mut hot, 1, now));
            }
        }
        let top = hot.top(3, now);
        assert_eq!(*top[0].key, 1u64.to_be_bytes());
        assert!(
            (0.14..=2_000.0 / 12_000.0).contains(&top[0].part),
            "{top:?}"
        );
        assert!(marked > 1_900, "{marked}");
        assert!(top.iter().skip(1).all(|other| other.part < 0.01), "{top:?}");
    }

    #[test]
    fn keys_asked_for_alike_are_not_hot() {
        let now = Instant::now();
        let mut hot = HotKeys::new(now);
        let any = (0..100_000u64).any(|turn| add(&mut hot, turn % 1_000, now));
        assert!(!any);
    }

    #[test]
    fn what_was_hot_is_forgotten() {
        let start = Instant::now();
        let mut hot = HotKeys::new(start);
        for _ in 0..1_000 {
            add(&mut hot, 1, start);
        }
        assert!(add(&mut hot, 1, start));
        let later = start + Duration::from_secs(65);
        for key in 100..400 {
            add(&mut hot, key, later);
        }
        assert!(!add(&mut hot, 1, later));
        assert!(hot.top(10, start + Duration::from_secs(3_600)).is_empty());
    }

    #[test]
    fn two_keys_of_one_hash_are_two_keys() {
        let now = Instant::now();
        let mut hot = HotKeys::new(now);
        for _ in 0..100 {
            hot.add(9, b"a", now);
            hot.add(9, b"b", now);
        }
        assert!(hot.top(10, now).iter().all(|one| one.part <= 0.5));
    }
}
