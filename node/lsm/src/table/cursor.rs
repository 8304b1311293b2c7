use std::ops::Bound;
use std::sync::Arc;

use super::block::BlockCursor;
use super::reader::Table;
use crate::cursor::Cursor;
use crate::error::Result;
use crate::range::Direction;
use crate::value::ValueRef;

/// Iterates tables whose ranges do not overlap, as one sequence; blocks are read when reached.
pub(crate) struct LevelCursor {
    /// In key order.
    tables: Arc<[Arc<Table>]>,
    /// Those still to come.
    low: usize,
    high: usize,
    direction: Direction,
    /// Where the scan begins; needed until the first key is found.
    from: Bound<Vec<u8>>,
    fill_cache: bool,
    /// The table that is read.
    table: Option<usize>,
    /// The next block to read: its index, or for `Reverse` one more.
    next_block: usize,
    block: Option<BlockCursor>,
}

impl LevelCursor {
    /// Over `tables[low..high]`; all in key order. `from`: where the scan begins, seen in its direction.
    pub(crate) fn new(
        tables: Arc<[Arc<Table>]>,
        (mut low, mut high): (usize, usize),
        direction: Direction,
        from: Bound<&[u8]>,
        fill_cache: bool,
    ) -> LevelCursor {
        if let Bound::Included(key) | Bound::Excluded(key) = from {
            let within = &tables[low..high];
            match direction {
                Direction::Forward => {
                    low += within.partition_point(|table| *table.properties.largest < *key);
                }
                Direction::Reverse => {
                    high = low + within.partition_point(|table| *table.properties.smallest <= *key);
                }
            }
        }
        LevelCursor {
            tables,
            low,
            high,
            direction,
            from: from.map(<[u8]>::to_vec),
            fill_cache,
            table: None,
            next_block: 0,
            block: None,
        }
    }

    /// False when there is none.
    fn open_table(&mut self) -> bool {
        if self.low == self.high {
            return false;
        }
        let index = match self.direction {
            Direction::Forward => {
                self.low += 1;
                self.low - 1
            }
            Direction::Reverse => {
                self.high -= 1;
                self.high
            }
        };
        let table = &self.tables[index];
        self.table = Some(index);
        self.next_block = match (self.direction, &self.from) {
            (Direction::Forward, Bound::Included(key) | Bound::Excluded(key)) => {
                table.find_block(key)
            }
            (Direction::Forward, Bound::Unbounded) => 0,
            (Direction::Reverse, Bound::Included(key) | Bound::Excluded(key)) => {
                (table.find_block(key) + 1).min(table.blocks())
            }
            (Direction::Reverse, Bound::Unbounded) => table.blocks(),
        };
        true
    }

    /// Opens the next block of the current table; false when there is none.
    fn open_block(&mut self) -> Result<bool> {
        let Some(table) = self.table.map(|index| &self.tables[index]) else {
            return Ok(false);
        };
        let index = match self.direction {
            Direction::Forward => self.next_block,
            Direction::Reverse if self.next_block == 0 => return Ok(false),
            Direction::Reverse => self.next_block - 1,
        };
        let Some(block) = table.block(index, self.fill_cache)? else {
            return Ok(false);
        };
        self.next_block = match self.direction {
            Direction::Forward => index + 1,
            Direction::Reverse => index,
        };
        let from = self.from.as_ref().map(Vec::as_slice);
        match (&mut self.block, from) {
            (Some(cursor), Bound::Unbounded) => cursor.enter(block),
            (cursor, from) => {
                let opened = BlockCursor::new(block, self.direction, from);
                *cursor = Some(opened.ok_or_else(|| table.damaged("block entries"))?);
            }
        }
        Ok(true)
    }

    fn block(&self) -> &BlockCursor {
        match &self.block {
            Some(block) => block,
            None => unreachable!("a cursor is asked where it stands only where it does"),
        }
    }
}

impl Cursor for LevelCursor {
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(block) = &mut self.block {
                match block.advance() {
                    Some(true) => {
                        if !matches!(self.from, Bound::Unbounded) {
                            self.from = Bound::Unbounded;
                        }
                        return Ok(true);
                    }
                    Some(false) => {}
                    None => {
                        let table = &self.tables[self.table.unwrap_or_default()];
                        return Err(table.damaged("block entries"));
                    }
                }
            }
            if !self.open_block()? && !self.open_table() {
                return Ok(false);
            }
        }
    }

    fn key(&self) -> &[u8] {
        self.block().key()
    }

    fn value(&self) -> ValueRef<'_> {
        self.block().value()
    }
}
