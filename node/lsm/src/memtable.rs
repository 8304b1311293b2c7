//! The newest writes, sorted by key and, within a key, newest first. The committer is the only
//! writer; readers skip what is above their LSN, so a half-inserted record is never seen.
//!
//! A range delete is kept as a span that hides what *older* memtables and tables hold; the
//! memtable's own keys in it become tombstones. So points and spans need no comparison of LSNs: a
//! point, even a tombstone, beats the spans of its own memtable. Where that would be many
//! tombstones at once, the range delete goes to a new memtable instead.

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::log::record::Header;
use crate::log::{LogOp, LogOpKind, LogRecord};
use crate::range::{Direction, Range};
use crate::skiplist::{Before, Entry, Place, SkipList, TOGETHER, lies_in_node};
use crate::spans::{Span, Spans};
use crate::table::hash;
use crate::value::{Value, ValueRef};

/// What an entry costs beside its key and value, about: its node (38) and its place by hash (16, of which half are free).
const ENTRY_OVERHEAD: usize = 70;
/// Keys that an estimate of a range looks at.
const ESTIMATE_LIMIT: usize = 4096;
/// Keys of its own that a range delete turns into tombstones; with more it starts a new memtable.
const TOMBSTONES_AT_ONCE: usize = 1024;
/// Every lookup that finds no point looks at all spans.
const MAX_SPANS: usize = 256;

#[derive(Default)]
pub(crate) struct Memtable {
    map: SkipList,
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

impl Memtable {
    /// To be filled after this one, with about as many keys.
    pub(crate) fn successor(&self) -> Memtable {
        Memtable {
            map: SkipList::with_room_for(self.map.keys()),
            ..Memtable::default()
        }
    }

    /// Whether the value is copied rather than shared.
    pub(crate) fn copies(value: &[u8]) -> bool {
        lies_in_node(value)
    }

    /// By one writer at a time.
    pub(crate) fn insert(&self, record: &LogRecord) {
        for ops in record.ops.chunks(TOGETHER) {
            let mut keys = [([].as_slice(), 0); TOGETHER];
            for (key, op) in keys.iter_mut().zip(ops) {
                *key = (&op.key, hash(&op.key));
            }
            let near = match ops.len() {
                1 => [None; TOGETHER],
                count => self.map.near(&keys[..count], record.lsn),
            };
            for ((op, (_, hash)), near) in ops.iter().zip(keys).zip(&near) {
                self.insert_op(record.lsn, op, hash, near.as_ref());
            }
        }
        self.inserted(record.lsn, record.epoch, record.clock_ms);
    }

    fn insert_op(&self, lsn: u64, op: &LogOp, hash: u64, near: Option<&Before>) {
        let tombstone = match op.kind {
            LogOpKind::Put => false,
            LogOpKind::Delete => true,
            LogOpKind::Epoch | LogOpKind::Ingest | LogOpKind::Gained | LogOpKind::Lost => return,
            LogOpKind::RangeDelete => return self.delete_range(lsn, op),
        };
        let (version, expires_at_ms) = (op.version, op.expires_at_ms);
        let value = ValueRef::whole(&op.value, tombstone, version, expires_at_ms);
        self.point(&op.key, hash, lsn, value, near);
    }

    /// The one value of a record; larger ones are shared, if they can be.
    pub(crate) fn insert_one(&self, header: Header, key: &[u8], value: ValueRef<'_>) {
        self.point(key, hash(key), header.lsn, value, None);
        self.inserted(header.lsn, header.epoch, header.clock_ms);
    }

    fn point(&self, key: &[u8], hash: u64, lsn: u64, value: ValueRef<'_>, near: Option<&Before>) {
        self.map.insert(key, hash, lsn, value, near);
        // Nobody else changes them: no need for the processor to lock them.
        let bytes = self.bytes() + Memtable::entry_bytes(key, value.data);
        self.bytes.store(bytes, Ordering::Relaxed);
        let live = self.live() + if value.tombstone { -1 } else { 1 };
        self.live.store(live, Ordering::Relaxed);
    }

    fn inserted(&self, lsn: u64, epoch: u64, clock_ms: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
        self.clock_ms.store(clock_ms, Ordering::Relaxed);
        self.last_lsn.store(lsn, Ordering::Release);
    }

    fn delete_range(&self, lsn: u64, op: &LogOp) {
        let Some(span) = Span::new(&op.key, op.end_key().unwrap_or_default()) else {
            return;
        };
        let start = Bound::Included(span.begin.as_slice());
        // Tombstones are newer than what was found so far, and of keys already passed.
        for entry in self.forward(start, u64::MAX, usize::MAX) {
            if !span.contains(entry.key) {
                break;
            }
            if entry.value.tombstone {
                continue;
            }
            let tombstone = ValueRef::alone(&[], true, op.version, 0);
            self.point(entry.key, hash(entry.key), lsn, tombstone, None);
        }
        let bytes = self.bytes() + Memtable::entry_bytes(&op.key, &op.value);
        self.bytes.store(bytes, Ordering::Relaxed);
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
            let start = Bound::Included(span.begin.as_slice());
            let found = self.forward(start, u64::MAX, TOMBSTONES_AT_ONCE);
            let within = found.take_while(|entry| span.contains(entry.key));
            within.count() < TOMBSTONES_AT_ONCE
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

    /// The newest value of `key` at or below `lsn`; `hash`: the key's.
    pub(crate) fn get(&self, key: &[u8], hash: u64, lsn: u64) -> Option<Value> {
        let entry = self.map.get(key, hash, lsn)?;
        Some(entry.value.to_value())
    }

    /// See [`SkipList::look_ahead`].
    pub(crate) fn look_ahead(&self, hashes: &[u64]) {
        self.map.look_ahead(hashes);
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
        let within = self
            .forward(range.start_ref(), u64::MAX, ESTIMATE_LIMIT)
            .take_while(|entry| !range.is_past(Direction::Forward, entry.key))
            .filter(|entry| !entry.value.tombstone);
        within.fold((0, 0), |(keys, bytes), entry| {
            let size = entry.key.len() + entry.value.data.len();
            (keys + 1, bytes + size as u64)
        })
    }

    /// Adds to `parts[i]` how many bytes lie between `bounds[i]` (ascending) and the one after it.
    pub(crate) fn add_parts(&self, bounds: &[impl AsRef<[u8]>], parts: &mut [u64]) {
        let Some(start) = bounds.first() else {
            return;
        };
        let mut at = 0;
        for entry in self.forward(Bound::Included(start.as_ref()), u64::MAX, usize::MAX) {
            while bounds
                .get(at + 1)
                .is_some_and(|end| end.as_ref() <= entry.key)
            {
                at += 1;
            }
            let Some(part) = parts.get_mut(at) else {
                return;
            };
            *part += (entry.key.len() + entry.value.data.len()) as u64;
        }
    }

    /// The first key of a scan from `from` on, with its newest value at or below `lsn`.
    pub(crate) fn first(
        &self,
        direction: Direction,
        from: Bound<&[u8]>,
        lsn: u64,
    ) -> Option<Entry<'_>> {
        match direction {
            Direction::Forward => {
                let at = match from {
                    Bound::Included(key) => self.map.seek(key, u64::MAX),
                    Bound::Excluded(key) => self.map.seek(key, 0),
                    Bound::Unbounded => self.map.first(),
                };
                self.at_or_after(at, lsn, None)
            }
            Direction::Reverse => {
                let at = match from {
                    Bound::Included(key) => self.map.seek_before(key, 0),
                    Bound::Excluded(key) => self.map.seek_before(key, u64::MAX),
                    Bound::Unbounded => self.map.last(),
                };
                self.at_or_before(at, lsn, None)
            }
        }
    }

    /// The key that follows `entry` in this direction.
    pub(crate) fn next<'a>(
        &'a self,
        direction: Direction,
        entry: &Entry<'a>,
        lsn: u64,
    ) -> Option<Entry<'a>> {
        let but = Some(entry.key);
        match direction {
            Direction::Forward => self.at_or_after(self.map.after(entry), lsn, but),
            Direction::Reverse => self.at_or_before(self.map.before(entry), lsn, but),
        }
    }

    /// # Safety
    /// The place is that of an entry of this memtable.
    pub(crate) unsafe fn at(&self, place: Place) -> Entry<'_> {
        // SAFETY: as promised by the caller.
        unsafe { self.map.at(place) }
    }

    /// Older values of the key `but` are passed over.
    fn at_or_after<'a>(
        &'a self,
        mut at: Option<Entry<'a>>,
        lsn: u64,
        but: Option<&[u8]>,
    ) -> Option<Entry<'a>> {
        while let Some(entry) = at {
            if entry.lsn <= lsn && but != Some(entry.key) {
                return Some(entry);
            }
            at = self.map.after(&entry);
        }
        None
    }

    /// The mirror image: a key's newest value comes last.
    fn at_or_before<'a>(
        &'a self,
        mut at: Option<Entry<'a>>,
        lsn: u64,
        but: Option<&[u8]>,
    ) -> Option<Entry<'a>> {
        let mut newest: Option<Entry<'a>> = None;
        while let Some(entry) = at {
            if newest.as_ref().is_some_and(|found| found.key != entry.key) {
                break;
            }
            let before = self.map.before(&entry);
            if entry.lsn <= lsn && but != Some(entry.key) {
                newest = Some(entry);
            }
            at = before;
        }
        newest
    }

    /// Up to `limit` keys at or after `start`, each with its newest value at or below `lsn`.
    fn forward<'a>(
        &'a self,
        start: Bound<&[u8]>,
        lsn: u64,
        limit: usize,
    ) -> impl Iterator<Item = Entry<'a>> {
        let first = self.first(Direction::Forward, start, lsn);
        let next = move |entry: &Entry<'a>| self.next(Direction::Forward, entry, lsn);
        std::iter::successors(first, next).take(limit)
    }
}
