use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::block::BlockCursor;
use super::reader::Table;
use crate::cursor::Cursor;
use crate::error::Result;
use crate::range::Direction;
use crate::value::Value;

/// Iterates tables whose ranges do not overlap, as one sequence; blocks are read when reached.
pub(crate) struct LevelCursor {
    /// In the cursor's direction.
    tables: std::vec::IntoIter<Arc<Table>>,
    direction: Direction,
    /// Where the scan begins; needed until the first key is found.
    from: Bound<Vec<u8>>,
    fill_cache: bool,
    current: Option<Position>,
}

struct Position {
    table: Arc<Table>,
    /// The next block to read: its index, or for `Reverse` one more.
    next_block: usize,
    block: Option<BlockCursor>,
}

impl LevelCursor {
    /// `tables` in key order. `from`: where the scan begins, seen in its direction.
    pub(crate) fn new(
        mut tables: Vec<Arc<Table>>,
        direction: Direction,
        from: Bound<&[u8]>,
        fill_cache: bool,
    ) -> LevelCursor {
        if let Bound::Included(key) | Bound::Excluded(key) = from {
            tables.retain(|table| match direction {
                Direction::Forward => table.properties.largest.as_slice() >= key,
                Direction::Reverse => table.properties.smallest.as_slice() <= key,
            });
        }
        if direction == Direction::Reverse {
            tables.reverse();
        }
        LevelCursor {
            tables: tables.into_iter(),
            direction,
            from: from.map(<[u8]>::to_vec),
            fill_cache,
            current: None,
        }
    }

    fn open_table(&self, table: Arc<Table>) -> Position {
        let next_block = match (self.direction, &self.from) {
            (Direction::Forward, Bound::Included(key) | Bound::Excluded(key)) => {
                table.find_block(key)
            }
            (Direction::Forward, Bound::Unbounded) => 0,
            (Direction::Reverse, Bound::Included(key) | Bound::Excluded(key)) => {
                (table.find_block(key) + 1).min(table.blocks())
            }
            (Direction::Reverse, Bound::Unbounded) => table.blocks(),
        };
        Position {
            table,
            next_block,
            block: None,
        }
    }

    /// Opens the next block of the current table; false when there is none.
    fn open_block(&mut self) -> Result<bool> {
        let Some(position) = &mut self.current else {
            return Ok(false);
        };
        let index = match self.direction {
            Direction::Forward => position.next_block,
            Direction::Reverse if position.next_block == 0 => return Ok(false),
            Direction::Reverse => position.next_block - 1,
        };
        let Some(block) = position.table.block(index, self.fill_cache)? else {
            return Ok(false);
        };
        position.next_block = match self.direction {
            Direction::Forward => index + 1,
            Direction::Reverse => index,
        };
        let from = self.from.as_ref().map(Vec::as_slice);
        let cursor = BlockCursor::new(block, self.direction, from);
        position.block = Some(cursor.ok_or_else(|| position.table.damaged("block entries"))?);
        Ok(true)
    }
}

impl Cursor for LevelCursor {
    fn next(&mut self) -> Result<Option<(Bytes, Value)>> {
        loop {
            if let Some(position) = &mut self.current
                && let Some(block) = &mut position.block
            {
                let next = block.next();
                let next = next.ok_or_else(|| position.table.damaged("block entries"))?;
                if next.is_some() {
                    self.from = Bound::Unbounded;
                    return Ok(next);
                }
            }
            if !self.open_block()? {
                match self.tables.next() {
                    Some(table) => self.current = Some(self.open_table(table)),
                    None => return Ok(None),
                }
            }
        }
    }
}
