//! What a reader needs, as one immutable value: it is replaced, never changed.
//!
//! Snapshots pin a view and an LSN. The files of a view hold only what was visible when it was
//! installed, so only memtables are filtered by LSN, and compaction need not know of snapshots: it
//! keeps one version per key. Rejected: multi-version files with a registry of snapshot LSNs, which
//! makes every compaction and scan pay for readers that are rare. The price: a snapshot held long
//! keeps up to its memtables in memory and replaced files on disk.

use std::ops::Bound;
use std::sync::Arc;

use crate::cursor::{Cursor, MemtableCursor, MergeCursor, skipping};
use crate::error::Result;
use crate::memtable::Memtable;
use crate::range::{Direction, Range};
use crate::spans::Spans;
use crate::table::hash;
use crate::value::Value;
use crate::version::Version;

/// So many keys are looked up side by side.
const TOGETHER: usize = 64;

/// Keys that are not found yet: their places among those that were asked for, themselves, their hashes.
pub(crate) type Wanted<'k> = Vec<(usize, &'k [u8], u64)>;

#[derive(Clone)]
pub(crate) struct View {
    pub active: Arc<Memtable>,
    /// Full memtables on their way to L0, newest first.
    pub full: Vec<Arc<Memtable>>,
    pub version: Arc<Version>,
}

impl View {
    /// The newest value of `key` at or below `lsn`.
    pub(crate) fn get(&self, key: &[u8], lsn: u64) -> Result<Option<Value>> {
        let hash = hash(key);
        let memtables = std::iter::once(&self.active).chain(&self.full);
        for memtable in memtables {
            if let Some(value) = memtable.get(key, hash, lsn) {
                return Ok(Some(value));
            }
            if memtable.hides(key, lsn) {
                return Ok(None);
            }
        }
        self.version.get(key, hash)
    }

    /// [`View::get`] of each key. A lookup waits for memory a dozen times, one time after the other; here those of
    /// different keys are waited for together.
    pub(crate) fn get_many(
        &self,
        keys: &[impl AsRef<[u8]>],
        lsn: u64,
    ) -> Result<Vec<Option<Value>>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(TOGETHER) {
            match keys {
                [key] => found.push(self.get(key.as_ref(), lsn)?),
                _ => self.get_some(keys, lsn, &mut found)?,
            }
        }
        Ok(found)
    }

    fn get_some(
        &self,
        keys: &[impl AsRef<[u8]>],
        lsn: u64,
        found: &mut Vec<Option<Value>>,
    ) -> Result<()> {
        let first = found.len();
        found.resize(first + keys.len(), None);
        let found = &mut found[first..];
        let mut wanted: Wanted<'_> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| (index, key.as_ref(), hash(key.as_ref())))
            .collect();
        for memtable in std::iter::once(&self.active).chain(&self.full) {
            let hashes: Vec<u64> = wanted.iter().map(|(_, _, hash)| *hash).collect();
            memtable.look_ahead(&hashes);
            wanted.retain(|(index, key, hash)| {
                found[*index] = memtable.get(key, *hash, lsn);
                found[*index].is_none() && !memtable.hides(key, lsn)
            });
        }
        self.version.get_many(wanted, found)
    }

    /// Everything at or below `lsn` from where a scan of `range` begins; the caller watches its far
    /// end.
    pub(crate) fn cursor(&self, range: &Range, direction: Direction, lsn: u64) -> MergeCursor {
        let from = match direction {
            Direction::Forward => range.start_ref(),
            Direction::Reverse => range.end_ref(),
        };
        let mut sources: Vec<Box<dyn Cursor>> = Vec::new();
        // What newer memtables hide of the source at hand.
        let mut hidden = Spans::default();
        for memtable in std::iter::once(&self.active).chain(&self.full) {
            let spans = memtable.spans(lsn);
            let memtable = Arc::clone(memtable);
            let open = move |from: Bound<&[u8]>| -> Box<dyn Cursor> {
                let memtable = Arc::clone(&memtable);
                Box::new(MemtableCursor::new(memtable, lsn, direction, from))
            };
            sources.push(skipping(&hidden, direction, from, open));
            hidden.extend(&spans);
        }
        sources.extend(self.version.cursors(range, direction, from, &hidden));
        MergeCursor::new(sources, direction)
    }
}
