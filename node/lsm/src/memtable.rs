//! The newest writes, sorted by key and, within a key, newest first. The committer is the only
//! writer; readers skip what is above their LSN, so a half-inserted record is never seen.
//!
//! A range delete is kept as a span that hides what *older* memtables and tables hold; the
//! memtable's own keys in it become tombstones. So points and spans need no comparison of LSNs: a
//! point, even a tombstone, beats the spans of its own memtable. Where that would be many
//! tombstones at once, the range delete goes to a new memtable instead.

use std::borrow::Borrow;
use std::cmp::Ordering as Order;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use parking_lot::RwLock;

use crate::log::{LogOp, LogOpKind, LogRecord};
use crate::range::{Direction, Range};
use crate::spans::{Span, Spans};
use crate::value::Value;

/// What an entry costs beside its key and value (tower, key and value structs), about.
const ENTRY_OVERHEAD: usize = 160;
/// Keys that an estimate of a range looks at.
const ESTIMATE_LIMIT: usize = 4096;
/// Keys of its own that a range delete turns into tombstones; with more it starts a new memtable.
const TOMBSTONES_AT_ONCE: usize = 1024;
/// Every lookup that finds no point looks at all spans.
const MAX_SPANS: usize = 256;

#[derive(Default)]
pub(crate) struct Memtable {
    map: SkipMap<Versioned, Value>,
    bytes: AtomicUsize,
    live: AtomicI64,
    last_lsn: AtomicU64,
    epoch: AtomicU64,
    clock_ms: AtomicU64,
    /// With the LSNs from which they hide what is older.
    spans: RwLock<Vec<(u64, Span)>>,
    /// Spares readers the lock while there are none.
    has_spans: AtomicBool,
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
                LogOpKind::Epoch | LogOpKind::Ingest => continue,
                LogOpKind::RangeDelete => {
                    self.delete_range(record.lsn, op);
                    continue;
                }
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

    fn delete_range(&self, lsn: u64, op: &LogOp) {
        let Some(span) = Span::new(&op.key, op.end_key().unwrap_or_default()) else {
            return;
        };
        let mut found = Vec::new();
        let mut start = Bound::Included(span.begin.clone());
        loop {
            let from = start.as_ref().map(Vec::as_slice);
            self.forward(from, u64::MAX, TOMBSTONES_AT_ONCE, &mut found);
            let more = found.len() == TOMBSTONES_AT_ONCE;
            let last = found.last().map(|(key, _)| key.to_vec());
            for (key, value) in found.drain(..) {
                if !span.contains(&key) {
                    break;
                }
                if value.tombstone {
                    continue;
                }
                self.bytes
                    .fetch_add(key.len() + ENTRY_OVERHEAD, Ordering::Relaxed);
                self.live.fetch_sub(1, Ordering::Relaxed);
                let tombstone = Value {
                    tombstone: true,
                    data: Bytes::new(),
                    version: op.version,
                    expires_at_ms: 0,
                };
                self.map.insert(Versioned { key, lsn }, tombstone);
            }
            match last {
                Some(last) if more && span.contains(&last) => start = Bound::Excluded(last),
                _ => break,
            }
        }
        let bytes = op.key.len() + op.value.len() + ENTRY_OVERHEAD;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.spans.write().push((lsn, span));
        self.has_spans.store(true, Ordering::Release);
    }

    /// False: a range delete in the record should begin a new memtable.
    pub(crate) fn has_room_for(&self, record: &LogRecord) -> bool {
        let ops = record.ops.iter();
        let mut deletes = ops
            .filter(|op| op.kind == LogOpKind::RangeDelete)
            .peekable();
        if deletes.peek().is_none() {
            return true;
        }
        let few = |op: &LogOp| {
            let Some(span) = Span::new(&op.key, op.end_key().unwrap_or_default()) else {
                return true;
            };
            let mut found = Vec::new();
            let start = Bound::Included(span.begin.as_slice());
            self.forward(start, u64::MAX, TOMBSTONES_AT_ONCE, &mut found);
            found.len() < TOMBSTONES_AT_ONCE
                || !found.last().is_some_and(|(key, _)| span.contains(key))
        };
        let spans = self.spans.read().len();
        deletes.all(|op| spans < MAX_SPANS && few(op))
    }

    /// Whether a range delete at or below `lsn` hides what older memtables and tables hold of
    /// `key`.
    pub(crate) fn hides(&self, key: &[u8], lsn: u64) -> bool {
        self.has_spans.load(Ordering::Acquire)
            && self
                .spans
                .read()
                .iter()
                .any(|(at, span)| *at <= lsn && span.contains(key))
    }

    /// What range deletes at or below `lsn` hide of older memtables and tables.
    pub(crate) fn spans(&self, lsn: u64) -> Spans {
        if !self.has_spans.load(Ordering::Acquire) {
            return Spans::default();
        }
        let spans = self.spans.read();
        let below = spans.iter().filter(|(at, _)| *at <= lsn);
        below.map(|(_, span)| span.clone()).collect()
    }

    /// The newest value of `key` at or below `lsn`.
    pub(crate) fn get(&self, key: &[u8], lsn: u64) -> Option<Value> {
        let from: &dyn Position = &(key, lsn);
        let entry = self.map.lower_bound(Bound::Included(from))?;
        (entry.key().key == key).then(|| entry.value().clone())
    }

    /// What an entry counts in [`Memtable::bytes`].
    pub(crate) fn entry_bytes(key: &[u8], value: &[u8]) -> usize {
        key.len() + value.len() + ENTRY_OVERHEAD
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
