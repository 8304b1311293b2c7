use std::ops::Bound;
use std::sync::Arc;

use super::Cursor;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::range::Direction;
use crate::skiplist::{Entry, Place};
use crate::value::ValueRef;

pub(crate) struct MemtableCursor {
    memtable: Arc<Memtable>,
    lsn: u64,
    direction: Direction,
    from: Option<Bound<Vec<u8>>>,
    /// In `memtable`, from the first step on.
    place: Option<Place>,
}

impl MemtableCursor {
    /// `from`: where the scan begins, seen in its direction.
    pub(crate) fn new(
        memtable: Arc<Memtable>,
        lsn: u64,
        direction: Direction,
        from: Bound<&[u8]>,
    ) -> MemtableCursor {
        MemtableCursor {
            memtable,
            lsn,
            direction,
            from: Some(from.map(<[u8]>::to_vec)),
            place: None,
        }
    }

    fn entry(&self) -> Option<Entry<'_>> {
        let place = self.place?;
        // SAFETY: the place was found in this memtable, which the cursor keeps alive.
        Some(unsafe { self.memtable.at(place) })
    }
}

impl Cursor for MemtableCursor {
    fn advance(&mut self) -> Result<bool> {
        let next = match (self.from.take(), self.entry()) {
            (Some(from), _) => {
                let from = from.as_ref().map(Vec::as_slice);
                self.memtable.first(self.direction, from, self.lsn)
            }
            (None, Some(entry)) => self.memtable.next(self.direction, &entry, self.lsn),
            (None, None) => None,
        };
        let next = next.map(|entry| entry.place());
        self.place = next;
        Ok(next.is_some())
    }

    fn key(&self) -> &[u8] {
        self.entry().map_or(&[], |entry| entry.key)
    }

    fn value(&self) -> ValueRef<'_> {
        match self.entry() {
            Some(entry) => entry.value,
            None => unreachable!("a cursor is asked where it stands only where it does"),
        }
    }
}
