use std::cmp::Ordering;

use super::Cursor;
use crate::error::Result;
use crate::range::Direction;
use crate::value::ValueRef;

/// Merges sources given newest first; of a key in several, the newest source's value wins.
pub(crate) struct MergeCursor {
    /// By rank: the newest first.
    sources: Vec<Box<dyn Cursor>>,
    /// Ranks of those not at their end, that with the next key first; of one key the newest first.
    /// Sources are few, and a source often has many keys in a row: no heap.
    order: Vec<usize>,
    direction: Direction,
    started: bool,
}

impl MergeCursor {
    pub(crate) fn new(sources: Vec<Box<dyn Cursor>>, direction: Direction) -> MergeCursor {
        MergeCursor {
            order: Vec::with_capacity(sources.len()),
            sources,
            direction,
            started: false,
        }
    }

    fn start(&mut self) -> Result<()> {
        self.started = true;
        for rank in 0..self.sources.len() {
            if self.sources[rank].advance()? {
                self.order.push(rank);
                let mut at = self.order.len() - 1;
                while at > 0 && self.compare(self.order[at - 1], rank).is_gt() {
                    self.order.swap(at - 1, at);
                    at -= 1;
                }
            }
        }
        Ok(())
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let by_key = self.sources[a].key().cmp(self.sources[b].key());
        match self.direction {
            Direction::Forward => by_key,
            Direction::Reverse => by_key.reverse(),
        }
        .then(a.cmp(&b))
    }

    /// Moves the source that is `at` in order, and puts it where it then belongs.
    fn step(&mut self, mut at: usize) -> Result<()> {
        let rank = self.order[at];
        if !self.sources[rank].advance()? {
            self.order.remove(at);
            return Ok(());
        }
        while at + 1 < self.order.len() && self.compare(rank, self.order[at + 1]).is_gt() {
            self.order.swap(at, at + 1);
            at += 1;
        }
        Ok(())
    }

    fn hides_the_second(&self) -> bool {
        let [first, second, ..] = self.order[..] else {
            return false;
        };
        self.sources[first].key() == self.sources[second].key()
    }
}

impl Cursor for MergeCursor {
    fn advance(&mut self) -> Result<bool> {
        if !self.started {
            self.start()?;
        } else if !self.order.is_empty() {
            while self.hides_the_second() {
                self.step(1)?;
            }
            self.step(0)?;
        }
        Ok(!self.order.is_empty())
    }

    fn key(&self) -> &[u8] {
        self.sources[self.order[0]].key()
    }

    fn value(&self) -> ValueRef<'_> {
        self.sources[self.order[0]].value()
    }
}
