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

/// Live entries in key order; ends after the first error. As an iterator it gives keys of their own;
/// [`Scan::step`] copies nothing.
pub struct Scan {
    shared: Arc<Shared>,
    cursor: Option<MergeCursor>,
    range: Range,
    direction: Direction,
    clock_ms: u64,
}

/// An entry where it lies, until the scan's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub version: u64,
    /// Milliseconds since the Unix epoch; 0 = never.
    pub expires_at_ms: u64,
}

impl Scan {
    /// The next entry, borrowed.
    pub fn step(&mut self) -> Result<Option<EntryRef<'_>>> {
        self.advance()?;
        Ok(self.cursor.as_ref().map(|cursor| {
            let value = cursor.value();
            EntryRef {
                key: cursor.key(),
                value: value.data,
                version: value.version,
                expires_at_ms: value.expires_at_ms,
            }
        }))
    }

    /// Afterwards there is a cursor, on a live entry, or none.
    fn advance(&mut self) -> Result<()> {
        let moved = self.live();
        let live = self.shared.noting_damage(moved);
        if !matches!(live, Ok(true)) {
            self.cursor = None;
        }
        live.map(|_| ())
    }

    fn live(&mut self) -> Result<bool> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(false);
        };
        while cursor.advance()? {
            if self.range.is_past(self.direction, cursor.key()) {
                break;
            }
            let value = cursor.value();
            if !value.tombstone && !value.expired(self.clock_ms) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.advance() {
            return Some(Err(error));
        }
        let cursor = self.cursor.as_ref()?;
        let entry = cursor.value().to_value().visible(self.clock_ms)?;
        Some(Ok((Bytes::copy_from_slice(cursor.key()), entry)))
    }
}
