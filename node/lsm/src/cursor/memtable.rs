use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::Cursor;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::range::Direction;
use crate::value::Value;

const FIRST_CHUNK: usize = 16;
const LAST_CHUNK: usize = 256;

/// Fetches chunks of growing size, each with one seek: an iterator held between calls would borrow
/// from the memtable that the cursor itself keeps alive.
pub(crate) struct MemtableCursor {
    memtable: Arc<Memtable>,
    lsn: u64,
    direction: Direction,
    next: Bound<Vec<u8>>,
    fetched: VecDeque<(Bytes, Value)>,
    chunk: usize,
    done: bool,
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
            next: from.map(<[u8]>::to_vec),
            fetched: VecDeque::new(),
            chunk: FIRST_CHUNK,
            done: false,
        }
    }

    fn fetch(&mut self) {
        let from = self.next.as_ref().map(Vec::as_slice);
        let fetched = &mut self.fetched;
        match self.direction {
            Direction::Forward => self.memtable.forward(from, self.lsn, self.chunk, fetched),
            Direction::Reverse => self.memtable.backward(from, self.lsn, self.chunk, fetched),
        }
        self.done = self.fetched.len() < self.chunk;
        self.chunk = (self.chunk * 2).min(LAST_CHUNK);
        if let Some((last, _)) = self.fetched.back() {
            self.next = Bound::Excluded(last.to_vec());
        }
    }
}

impl Cursor for MemtableCursor {
    fn next(&mut self) -> Result<Option<(Bytes, Value)>> {
        if self.fetched.is_empty() && !self.done {
            self.fetch();
        }
        Ok(self.fetched.pop_front())
    }
}
