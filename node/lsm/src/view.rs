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
