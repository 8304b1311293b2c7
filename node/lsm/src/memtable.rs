//! The newest writes, sorted by key and, within a key, newest first. The committer is the only
//! writer; readers skip what is above their LSN, so a half-inserted record is never seen.

use std::borrow::Borrow;
use std::cmp::Ordering as Order;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;

use crate::log::{LogOpKind, LogRecord};
use crate::range::{Direction, Range};
use crate::value::Value;

/// What an entry costs beside its key and value (tower, key and value structs), about.
const ENTRY_OVERHEAD: usize = 160;
/// Keys that an estimate of a range looks at.
const ESTIMATE_LIMIT: usize = 4096;

#[derive(Default)]
pub(crate) struct Memtable {
    map: SkipMap<Versioned, Value>,
    bytes: AtomicUsize,
    live: AtomicI64,
    last_lsn: AtomicU64,
    epoch: AtomicU64,
    clock_ms: AtomicU64,
}

struct Versioned {
    key: Bytes,
    lsn: u64,
}

/// Lets a borrowed key look up an owned one without copying it.
trait Position {
    fn position(&self) -> (&[u8], u64);
}

impl Position for Versioned {
    fn position(&self) -> (&[u8], u64) {
        (&self.key, self.lsn)
    }
}

impl Position for (&[u8], u64) {
    fn position(&self) -> (&[u8], u64) {
        *self
    }
}

impl<'a> Borrow<dyn Position + 'a> for Versioned {
    fn borrow(&self) -> &(dyn Position + 'a) {
        self
    }
}

fn compare(a: (&[u8], u64), b: (&[u8], u64)) -> Order {
    a.0.cmp(b.0).then(b.1.cmp(&a.1))
}

impl Ord for dyn Position + '_ {
    fn cmp(&self, other: &Self) -> Order {
        compare(self.position(), other.position())
    }
}

impl PartialOrd for dyn Position + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Position + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Position + '_ {}

impl Ord for Versioned {
    fn cmp(&self, other: &Self) -> Order {
        compare(self.position(), other.position())
    }
}

impl PartialOrd for Versioned {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Versioned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Versioned {}

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
            let key = Versioned {
                key: op.key.clone(),
                lsn: record.lsn,
            };
            self.map.insert(
                key,
                Value {
                    tombstone,
                    data: op.value.clone(),
                    version: op.version,
                    expires_at_ms: op.expires_at_ms,
                },
            );
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.live.fetch_add(live, Ordering::Relaxed);
        self.epoch.store(record.epoch, Ordering::Relaxed);
        self.clock_ms.store(record.clock_ms, Ordering::Relaxed);
        self.last_lsn.store(record.lsn, Ordering::Release);
    }

    /// The newest value of `key` at or below `lsn`.
    pub(crate) fn get(&self, key: &[u8], lsn: u64) -> Option<Value> {
        let from: &dyn Position = &(key, lsn);
        let entry = self.map.lower_bound(Bound::Included(from))?;
        (entry.key().key == key).then(|| entry.value().clone())
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
        let at;
        let from: Bound<&dyn Position> = match start {
            Bound::Included(key) => {
                at = (key, u64::MAX);
                Bound::Included(&at)
            }
            Bound::Excluded(key) => {
                at = (key, 0);
                Bound::Excluded(&at)
            }
            Bound::Unbounded => Bound::Unbounded,
        };
        let mut previous: Option<Bytes> = None;
        let mut count = 0;
        for entry in self.map.range::<dyn Position, _>((from, Bound::Unbounded)) {
            let Versioned { key, lsn: at } = entry.key();
            if *at > lsn || previous.as_ref() == Some(key) {
                continue;
            }
            if count == limit {
                break;
            }
            count += 1;
            previous = Some(key.clone());
            out.extend([(key.clone(), entry.value().clone())]);
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
        let at;
        let until: Bound<&dyn Position> = match end {
            Bound::Included(key) => {
                at = (key, 0);
                Bound::Included(&at)
            }
            Bound::Excluded(key) => {
                at = (key, u64::MAX);
                Bound::Excluded(&at)
            }
            Bound::Unbounded => Bound::Unbounded,
        };
        let mut newest: Option<(Bytes, Value)> = None;
        let mut count = 0;
        let range = self.map.range::<dyn Position, _>((Bound::Unbounded, until));
        for entry in range.rev() {
            let Versioned { key, lsn: at } = entry.key();
            if *at > lsn {
                continue;
            }
            if let Some(found) = newest.take_if(|(found, _)| found != key) {
                out.extend([found]);
                count += 1;
                if count == limit {
                    return;
                }
            }
            newest = Some((key.clone(), entry.value().clone()));
        }
        out.extend(newest);
    }
}
