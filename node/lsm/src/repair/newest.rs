use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::error::Result;
use crate::value::Value;

/// Merges forward cursors whose order is unknown: of each key, the value of the highest version. Of
/// one version, a tombstone stands for a value that had expired.
pub(super) struct Newest {
    cursors: Vec<Box<dyn Cursor>>,
    heads: BinaryHeap<Head>,
}

/// A cursor's next key. The greatest head is the one to take next.
struct Head {
    key: Bytes,
    value: Value,
    source: usize,
}

impl Head {
    fn rank(&self) -> (Reverse<&Bytes>, u64, bool, usize) {
        let Value {
            version, tombstone, ..
        } = self.value;
        (Reverse(&self.key), version, tombstone, self.source)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Head) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

impl Newest {
    pub(super) fn new(cursors: Vec<Box<dyn Cursor>>) -> Result<Newest> {
        let mut newest = Newest {
            heads: BinaryHeap::with_capacity(cursors.len()),
            cursors,
        };
        for source in 0..newest.cursors.len() {
            newest.fetch(source)?;
        }
        Ok(newest)
    }

    fn fetch(&mut self, source: usize) -> Result<()> {
        let cursor = &mut self.cursors[source];
        if cursor.advance()? {
            let key = Bytes::copy_from_slice(cursor.key());
            let value = cursor.value().to_value();
            self.heads.push(Head { key, value, source });
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> Result<Option<(Bytes, Value)>> {
        let Some(first) = self.heads.pop() else {
            return Ok(None);
        };
        self.fetch(first.source)?;
        while let Some(older) = self.heads.peek().filter(|head| head.key == first.key) {
            let source = older.source;
            self.heads.pop();
            self.fetch(source)?;
        }
        Ok(Some((first.key, first.value)))
    }
}
