use std::sync::Arc;

use bytes::Bytes;

use crate::batch::Entry;
use crate::cursor::{Cursor, MergeCursor};
use crate::error::Result;
use crate::range::{Direction, Range};
use crate::shared::Shared;
use crate::view::View;

/// The store as it was at one LSN and clock, until dropped. Held long, it keeps up to its memtables
/// in memory and files replaced since on disk.
pub struct Snapshot {
    shared: Arc<Shared>,
    view: Arc<View>,
    lsn: u64,
    clock_ms: u64,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>) -> Snapshot {
        let (view, lsn) = shared.read_view();
        Snapshot {
            clock_ms: shared.clock_ms(),
            shared,
            view,
            lsn,
        }
    }

    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Entry>> {
        let value = self.shared.noting_damage(self.view.get(key, self.lsn))?;
        Ok(value.and_then(|value| value.visible(self.clock_ms)))
    }

    /// Errors come from the iterator, where blocks are read.
    pub fn scan(&self, range: Range, direction: Direction) -> Result<Scan> {
        let cursor = self.view.cursor(&range, direction, self.lsn);
        Ok(Scan {
            shared: Arc::clone(&self.shared),
            cursor: Some(cursor),
            range,
            direction,
            clock_ms: self.clock_ms,
        })
    }
}

/// Live entries in key order; ends after the first error.
pub struct Scan {
    shared: Arc<Shared>,
    cursor: Option<MergeCursor>,
    range: Range,
    direction: Direction,
    clock_ms: u64,
}

impl Scan {
    fn advance(&mut self) -> Result<Option<(Bytes, Entry)>> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(None);
        };
        while let Some((key, value)) = cursor.next()? {
            if self.range.is_past(self.direction, &key) {
                break;
            }
            if let Some(entry) = value.visible(self.clock_ms) {
                return Ok(Some((key, entry)));
            }
        }
        Ok(None)
    }
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        let advanced = self.advance();
        let next = self.shared.noting_damage(advanced).transpose();
        if !matches!(next, Some(Ok(_))) {
            self.cursor = None;
        }
        next
    }
}
