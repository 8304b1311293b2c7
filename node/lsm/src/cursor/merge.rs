use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bytes::Bytes;

use super::Cursor;
use crate::error::Result;
use crate::range::Direction;
use crate::value::Value;

/// Merges sources given newest first; of a key in several, the newest source's value wins.
pub(crate) struct MergeCursor {
    sources: Vec<Box<dyn Cursor>>,
    heap: BinaryHeap<Head>,
    direction: Direction,
    started: bool,
}

/// A source's next key. The greatest head is the one to take next.
struct Head {
    key: Bytes,
    value: Value,
    rank: usize,
    direction: Direction,
}

impl Ord for Head {
    fn cmp(&self, other: &Head) -> Ordering {
        let by_key = match self.direction {
            Direction::Forward => other.key.cmp(&self.key),
            Direction::Reverse => self.key.cmp(&other.key),
        };
        by_key.then(other.rank.cmp(&self.rank))
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

impl MergeCursor {
    pub(crate) fn new(sources: Vec<Box<dyn Cursor>>, direction: Direction) -> MergeCursor {
        MergeCursor {
            heap: BinaryHeap::with_capacity(sources.len()),
            sources,
            direction,
            started: false,
        }
    }

    fn fetch(&mut self, rank: usize) -> Result<Option<Head>> {
        let next = self.sources[rank].next()?;
        Ok(next.map(|(key, value)| Head {
            key,
            value,
            rank,
            direction: self.direction,
        }))
    }

    /// Takes the top and puts its source's next key in its place.
    fn take(&mut self) -> Result<Option<Head>> {
        let Some(rank) = self.heap.peek().map(|head| head.rank) else {
            return Ok(None);
        };
        let next = self.fetch(rank)?;
        let Some(mut top) = self.heap.peek_mut() else {
            return Ok(None);
        };
        Ok(Some(match next {
            Some(next) => std::mem::replace(&mut *top, next),
            None => std::collections::binary_heap::PeekMut::pop(top),
        }))
    }
}

impl Cursor for MergeCursor {
    fn next(&mut self) -> Result<Option<(Bytes, Value)>> {
        if !self.started {
            self.started = true;
            for rank in 0..self.sources.len() {
                let head = self.fetch(rank)?;
                self.heap.extend(head);
            }
        }
        let Some(newest) = self.take()? else {
            return Ok(None);
        };
        while self
            .heap
            .peek()
            .is_some_and(|older| older.key == newest.key)
        {
            self.take()?;
        }
        Ok(Some((newest.key, newest.value)))
    }
}
