//! The newest writes, sorted by key and, within a key, newest first. The committer is the only
//! writer; readers skip what is above their LSN, so a half-inserted record is never seen.

use std::ops::Bound;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use crate::log::{LogOpKind, LogRecord};
use crate::range::{Direction, Range};
use crate::skiplist::{Entry, SkipList};
use crate::value::Value;

/// What an entry costs beside its key and value (tower, key and value structs), about.
const ENTRY_OVERHEAD: usize = 160;
/// Keys that an estimate of a range looks at.
const ESTIMATE_LIMIT: usize = 4096;

#[derive(Default)]
pub(crate) struct Memtable {
    map: SkipList,
    bytes: AtomicUsize,
    live: AtomicI64,
    last_lsn: AtomicU64,
    epoch: AtomicU64,
    clock_ms: AtomicU64,
}

impl Memtable {
    pub(crate) fn insert(&self, record: &LogRecord) {
        let (mut bytes, mut live) = (0, 0);
        for op in &record.ops {
            let tombstone = match op.kind {
                LogOpKind::Put => false,
                LogOpKind::Delete => true,
                LogOpKind::Epoch => continue,
            };
            bytes += op.key.len() + op.value.len() + ENTRY_OVERHEAD;
            live += if tombstone { -1 } else { 1 };
            let value = Value {
                tombstone,
                data: op.value.clone(),
                version: op.version,
                expires_at_ms: op.expires_at_ms,
            };
            self.map.insert(&op.key, record.lsn, value);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.live.fetch_add(live, Ordering::Relaxed);
        self.epoch.store(record.epoch, Ordering::Relaxed);
        self.clock_ms.store(record.clock_ms, Ordering::Relaxed);
        self.last_lsn.store(record.lsn, Ordering::Release);
    }

    /// The newest value of `key` at or below `lsn`.
    pub(crate) fn get(&self, key: &[u8], lsn: u64) -> Option<Value> {
        let entry = self.map.seek(key, lsn)?;
        (entry.key == key).then(|| entry.value.clone())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last_lsn() == 0
    }

    /// Puts less deletes.
    pub(crate) fn live(&self) -> i64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Of the newest record; 0 when there is none.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.last_lsn.load(Ordering::Acquire)
    }

    /// Epoch and clock of the newest record.
    pub(crate) fn epoch_and_clock(&self) -> (u64, u64) {
        (
            self.epoch.load(Ordering::Relaxed),
            self.clock_ms.load(Ordering::Relaxed),
        )
    }

    /// About how many keys and bytes lie in the range; exact up to some thousands.
    pub(crate) fn estimate(&self, range: &Range) -> (u64, u64) {
        if *range == Range::all() {
            return (self.live().max(0) as u64, self.bytes() as u64);
        }
        let mut found = Vec::new();
        self.forward(range.start_ref(), u64::MAX, ESTIMATE_LIMIT, &mut found);
        let within = found
            .iter()
            .take_while(|(key, _)| !range.is_past(Direction::Forward, key))
            .filter(|(_, value)| !value.tombstone);
        within.fold((0, 0), |(keys, bytes), (key, value)| {
            (keys + 1, bytes + (key.len() + value.data.len()) as u64)
        })
    }

    /// Appends up to `limit` keys at or after `start`, each with its newest value at or below `lsn`.
    pub(crate) fn forward(
        &self,
        start: Bound<&[u8]>,
        lsn: u64,
        limit: usize,
        out: &mut impl Extend<(Bytes, Value)>,
    ) {
        let mut at = match start {
            Bound::Included(key) => self.map.seek(key, u64::MAX),
            Bound::Excluded(key) => self.map.seek(key, 0),
            Bound::Unbounded => self.map.first(),
        };
        let mut previous: Option<&[u8]> = None;
        let mut count = 0;
        while let Some(entry) = at {
            if entry.lsn <= lsn && previous != Some(entry.key) {
                if count == limit {
                    break;
                }
                count += 1;
                previous = Some(entry.key);
                out.extend([owned(&entry)]);
            }
            at = self.map.after(&entry);
        }
    }

    /// The mirror image: up to `limit` keys at or before `end`, in descending order.
    pub(crate) fn backward(
        &self,
        end: Bound<&[u8]>,
        lsn: u64,
        limit: usize,
        out: &mut impl Extend<(Bytes, Value)>,
    ) {
        let mut at = match end {
            Bound::Included(key) => self.map.seek_before(key, 0),
            Bound::Excluded(key) => self.map.seek_before(key, u64::MAX),
            Bound::Unbounded => self.map.last(),
        };
        let mut newest: Option<Entry<'_>> = None;
        let mut count = 0;
        while let Some(entry) = at {
            let before = self.map.before(&entry);
            if entry.lsn <= lsn {
                if let Some(found) = newest.take_if(|found| found.key != entry.key) {
                    out.extend([owned(&found)]);
                    count += 1;
                    if count == limit {
                        return;
                    }
                }
                newest = Some(entry);
            }
            at = before;
        }
        out.extend(newest.as_ref().map(owned));
    }
}

fn owned(entry: &Entry<'_>) -> (Bytes, Value) {
    (Bytes::copy_from_slice(entry.key), entry.value.clone())
}
