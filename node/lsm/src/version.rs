//! Which tables make up the levels; immutable, shared by views.

use std::ops::Bound;
use std::sync::Arc;

use crate::cursor::Cursor;
use crate::error::Result;
use crate::range::{Direction, Range};
use crate::table::{LevelCursor, Table, filter};
use crate::value::Value;

pub(crate) const LEVELS: usize = 7;

#[derive(Clone, Default)]
pub(crate) struct Version {
    /// L0 newest first; deeper levels in key order, without overlaps.
    levels: [Vec<Arc<Table>>; LEVELS],
}

impl Version {
    /// The version after tables were added to levels and others removed.
    pub(crate) fn with(&self, added: &[(usize, Arc<Table>)], removed: &[u64]) -> Version {
        let mut next = self.clone();
        for tables in &mut next.levels {
            tables.retain(|table| !removed.contains(&table.number));
        }
        for (level, table) in added {
            next.levels[*level].push(Arc::clone(table));
        }
        next.levels[0].sort_by_key(|table| std::cmp::Reverse(table.properties.last_lsn));
        for tables in &mut next.levels[1..] {
            tables.sort_by(|a, b| a.properties.smallest.cmp(&b.properties.smallest));
        }
        next
    }

    pub(crate) fn levels(&self) -> &[Vec<Arc<Table>>] {
        &self.levels
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.levels.iter().flatten()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        let hash = filter::hash(key);
        for table in &self.levels[0] {
            if table.covers(key)
                && let Some(value) = table.get(key, hash)?
            {
                return Ok(Some(value));
            }
        }
        for tables in &self.levels[1..] {
            if let Some(table) = find(tables, key)
                && let Some(value) = table.get(key, hash)?
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// False: no table holds the key.
    pub(crate) fn may_hold(&self, key: &[u8]) -> bool {
        let hash = filter::hash(key);
        self.tables()
            .any(|table| table.covers(key) && table.may_contain(hash))
    }

    /// Whether a level below `level` may hold the key.
    pub(crate) fn is_below(&self, level: usize, key: &[u8]) -> bool {
        let deeper = &self.levels[level + 1..];
        deeper.iter().any(|tables| find(tables, key).is_some())
    }

    /// Cursors newest first.
    pub(crate) fn cursors(
        &self,
        range: &Range,
        direction: Direction,
        from: Bound<&[u8]>,
    ) -> Vec<Box<dyn Cursor>> {
        let mut cursors: Vec<Box<dyn Cursor>> = Vec::new();
        let mut add = |tables: Vec<Arc<Table>>| {
            if !tables.is_empty() {
                cursors.push(Box::new(LevelCursor::new(tables, direction, from, true)));
            }
        };
        let within = |table: &&Arc<Table>| {
            !range.is_past(Direction::Forward, &table.properties.smallest)
                && !range.is_past(Direction::Reverse, &table.properties.largest)
        };
        for table in self.levels[0].iter().filter(within) {
            add(vec![Arc::clone(table)]);
        }
        for tables in &self.levels[1..] {
            add(tables.iter().filter(within).cloned().collect());
        }
        cursors
    }
}

fn find<'a>(tables: &'a [Arc<Table>], key: &[u8]) -> Option<&'a Arc<Table>> {
    let index = tables.partition_point(|table| table.properties.largest.as_slice() < key);
    tables.get(index).filter(|table| table.covers(key))
}
