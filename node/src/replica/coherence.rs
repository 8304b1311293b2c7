//! A cache that is never staler than asked (rules C1-C4, C7): stream, cache and the rules between them. No I/O; the
//! clock is an argument.
//!
//! A lookup reads the stream's state before the entry, and a record is applied to the entries before the state says so:
//! hence an entry found shows every record at or below the `applied` it is answered with.
//! Lock order: a shard of the cache, then the stream.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use aidb_client::pb;
use aidb_client::{Position, SLOT_COUNT, key_hash};
use bytes::Bytes;

use tokio::sync::watch;

use super::cache::{Cache, Entry};
use super::faults::Faults;
use super::stream::{Broken, Stream};

/// No entry lives longer (C7): a fuse against defects in the rest.
const LONGEST_LIFE_NS: u64 = 3_600_000_000_000;

/// What a read asks of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The staleness it bears (C3).
    pub bound_ns: u64,
    /// What its session has seen of this shard (C5); None: it does not ask.
    pub seen: Option<Position>,
    /// C5: from which LSN on this shard's answers show all of the key's slot; 0 = it always had it.
    pub since_lsn: u64,
}

impl Demand {
    /// Whether an answer at `position` shows what the session has seen (C5).
    pub fn shown_by(&self, position: Position) -> bool {
        position.lsn >= self.since_lsn
            && self.seen.is_none_or(|seen| {
                seen == Position::default()
                    || seen.epoch == position.epoch && seen.lsn <= position.lsn
            })
    }
}

/// The time of a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic.
    pub ns: u64,
    pub wall_ms: u64,
    /// The largest difference between two clocks of the cluster (C7).
    pub skew_ms: u64,
}

/// What an entry that may be served says, and the position the answer shows.
#[derive(Debug)]
pub struct Hit {
    /// None: there is no such key.
    pub value: Option<Bytes>,
    pub version: u64,
    pub expires_at_ms: u64,
    pub position: Position,
}

/// A fill under way: what it needs to be judged by when its answer comes (C2).
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    epoch: u64,
    generation: u64,
}

/// What the primary answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub value: Option<Bytes>,
    pub version: u64,
    pub expires_at_ms: u64,
    /// Epoch and LSN of the state it shows.
    pub position: Position,
}

#[derive(Default)]
pub struct Counters {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub fills: AtomicU64,
    pub refused_fills: AtomicU64,
    pub invalidations: AtomicU64,
    pub flushes: AtomicU64,
    /// Of the hits: that there is no such key.
    pub negative_hits: AtomicU64,
    /// Entries renewed by the stream instead of invalidated.
    pub updates: AtomicU64,
    /// Entries that were there before anybody asked for them.
    pub warmed: AtomicU64,
}

pub struct Coherence {
    cache: Cache,
    stream: RwLock<Stream>,
    /// By slot: entries read below it are void (C4: slot lost, range delete, ingest).
    slot_floors: Box<[AtomicU64]>,
    pub counters: Counters,
    generations: watch::Sender<u64>,
    faults: Faults,
}

impl Coherence {
    pub fn new(capacity: u64, faults: Faults) -> Self {
        Self {
            cache: Cache::new(capacity),
            stream: RwLock::default(),
            slot_floors: (0..SLOT_COUNT).map(|_| AtomicU64::new(0)).collect(),
            counters: Counters::default(),
            generations: watch::Sender::new(0),
            faults,
        }
    }

    pub fn stream(&self) -> Stream {
        *self.read()
    }

    /// The cache's generation, once its entries can be of it; 0 = there was no stream yet.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.generations.subscribe()
    }

    pub fn count_warmed(&self) {
        count(&self.counters.warmed);
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What the next stream is asked to resume after.
    pub fn hello(&self) -> (u64, u64) {
        let stream = self.stream();
        if self.faults.no_resync() {
            (0, 0)
        } else {
            (stream.epoch, stream.applied)
        }
    }

    pub fn welcome(&self, welcome: &pb::Welcome) -> Result<(), Broken> {
        let kept = self.write().welcome(welcome, self.faults)?;
        if !kept {
            count(&self.counters.flushes);
            self.cache.clear();
            self.generations.send_replace(self.stream().generation);
        }
        Ok(())
    }

    /// Applies one record: to the entries first, then to what is answered with.
    pub fn apply(&self, record: &pb::CacheRecord) -> Result<(), Broken> {
        self.stream().expect(record.previous_lsn)?;
        for &hash in &record.key_hashes {
            if self.cache.shard(hash).invalidate(hash, record.lsn) {
                count(&self.counters.invalidations);
            }
        }
        let generation = self.stream().generation;
        for update in &record.updates {
            self.renew(update, record.lsn, generation);
        }
        for span in &record.dropped_slots {
            let slots = self
                .slot_floors
                .get(span.first as usize..=span.last as usize);
            for floor in slots.unwrap_or_default() {
                floor.fetch_max(record.lsn, Ordering::Release);
            }
        }
        self.write().applied = record.lsn;
        Ok(())
    }

    /// Update in place: an entry that was read since it last changed is replaced by what was written; any other is
    /// invalidated, since a key that is written and not read would stay for ever by being written. Nothing is added.
    fn renew(&self, update: &pb::CacheUpdate, lsn: u64, generation: u64) {
        let hash = key_hash(&update.key);
        let mut shard = self.cache.shard(hash);
        let renewed = shard.get(hash).and_then(|held| {
            let hits = held.hits.load(Ordering::Relaxed);
            let renewable = hits > 0 && held.generation == generation && held.key() == update.key;
            let value = (!update.deleted).then_some(&update.value[..]);
            renewable.then(|| Entry {
                version: if update.deleted { 0 } else { update.version },
                expires_at_ms: update.expires_at_unix_ms,
                read_lsn: lsn,
                generation,
                // Of the first fill: an entry that was never asked for anew ages (C7).
                filled_at_ns: held.filled_at_ns,
                hits: AtomicU32::new(hits / 2),
                ..Entry::new(&update.key, value)
            })
        });
        if !shard.invalidate(hash, lsn) {
            return;
        }
        match renewed {
            Some(entry) => {
                shard.insert(hash, entry);
                count(&self.counters.updates);
            }
            None => count(&self.counters.invalidations),
        }
    }

    pub fn echoed(&self, committed: u64, sent_ns: u64) -> Result<(), Broken> {
        self.write().echoed(committed, sent_ns)
    }

    pub fn lost(&self) {
        self.write().lost();
    }

    /// The entry of `key`, when it may be served to `demand` now; `slot` and `hash` are of `key`.
    pub fn lookup(
        &self,
        slot: u16,
        hash: u64,
        key: &[u8],
        demand: &Demand,
        now: &Now,
    ) -> Option<Hit> {
        let hit = self.find(slot, hash, key, demand, now);
        let counters = &self.counters;
        count(match &hit {
            Some(_) => &counters.hits,
            None => &counters.misses,
        });
        if hit.as_ref().is_some_and(|hit| hit.value.is_none()) {
            count(&counters.negative_hits);
        }
        hit
    }

    fn find(&self, slot: u16, hash: u64, key: &[u8], demand: &Demand, now: &Now) -> Option<Hit> {
        let stream = self.stream();
        if !stream.live || stream.staleness_ns(now.ns)? > demand.bound_ns {
            return None;
        }
        let shard = self.cache.shard(hash);
        let entry = shard.get(hash)?;
        let current = entry.key() == key
            && entry.generation == stream.generation
            && entry.read_lsn >= self.slot_floor(slot)
            && now.ns.saturating_sub(entry.filled_at_ns) < LONGEST_LIFE_NS
            && (entry.expires_at_ms == 0
                || now.wall_ms.saturating_add(now.skew_ms) < entry.expires_at_ms);
        let shown = Position {
            epoch: stream.epoch,
            lsn: stream.applied.max(entry.read_lsn),
        };
        if !current || !demand.shown_by(shown) {
            return None;
        }
        entry.hit();
        // An absence has no version: it may be a deletion that the stream has yet to bring, so its reading counts.
        let shown = match entry.found {
            true => entry.version,
            false => entry.read_lsn,
        };
        let lsn = stream.applied.max(shown);
        Some(Hit {
            value: entry.value(),
            version: entry.version,
            expires_at_ms: entry.expires_at_ms,
            position: Position {
                epoch: stream.epoch,
                lsn,
            },
        })
    }

    /// Before the primary is asked.
    pub fn begin_fill(&self) -> Fill {
        let stream = self.stream();
        Fill {
            epoch: stream.epoch,
            generation: stream.generation,
        }
    }

    /// Caches an answer if nothing it does not show can have been missed (C2); true when it was cached.
    pub fn finish_fill(
        &self,
        fill: Fill,
        slot: u16,
        hash: u64,
        key: &[u8],
        answer: &Answer,
        now_ns: u64,
    ) -> bool {
        let mut shard = self.cache.shard(hash);
        let stream = self.stream();
        let sound = fill.generation == stream.generation
            && fill.epoch == stream.epoch
            && answer.position.epoch == stream.epoch
            && answer.position.lsn
                >= shard
                    .invalidated(hash)
                    .max(stream.floor)
                    .max(self.slot_floor(slot));
        let newer_held = shard.get(hash).is_some_and(|held| {
            held.generation == stream.generation
                && held.key() == key
                && held.read_lsn >= answer.position.lsn
        });
        if newer_held && !self.faults.unguarded_fill() {
            return false;
        }
        if stream.generation == 0 || !(sound || self.faults.unguarded_fill()) {
            count(&self.counters.refused_fills);
            return false;
        }
        // A copy: the answer's bytes share a network buffer, which they would keep alive.
        let entry = Entry {
            version: answer.version,
            expires_at_ms: answer.expires_at_ms,
            read_lsn: answer.position.lsn,
            generation: stream.generation,
            filled_at_ns: now_ns,
            ..Entry::new(key, answer.value.as_deref())
        };
        shard.insert(hash, entry);
        count(&self.counters.fills);
        true
    }

    fn slot_floor(&self, slot: u16) -> u64 {
        self.slot_floors
            .get(usize::from(slot))
            .map_or(u64::MAX, |floor| floor.load(Ordering::Acquire))
    }

    fn read(&self) -> RwLockReadGuard<'_, Stream> {
        self.stream
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stream> {
        self.stream
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
