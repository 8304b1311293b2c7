//! Which tables make up the levels; immutable, shared by views.
//!
//! Range deletes and excisions reach tables when the memtable that holds them is flushed: tables
//! within the range are dropped, of the others the part in the range is hidden. What is hidden is
//! kept here and in the manifest, beside the table: the file stays as it is. Compaction leaves
//! hidden keys out, and with the file goes what was hidden of it. Rejected: range tombstones in
//! tables, which every lookup and every merge of newer levels has to weigh against older ones.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::cursor::{Cursor, skipping};
use crate::error::Result;
use crate::range::{Direction, Range};
use crate::spans::Spans;
use crate::table::{LevelCursor, Table, hash};
use crate::value::Value;
use crate::view::Wanted;

pub(crate) const LEVELS: usize = 7;

/// Tables that cursors share.
pub(crate) type Run = Arc<[Arc<Table>]>;

#[derive(Clone, Default)]
pub(crate) struct Version {
    /// L0 newest first; deeper levels in key order, without overlaps.
    levels: [Run; LEVELS],
    /// By table number: keys that no longer count.
    hidden: BTreeMap<u64, Arc<Spans>>,
}

impl Version {
    /// The version after tables were removed and others added to levels, and parts of tables were
    /// hidden (each with all that is hidden of it). One removed and added moves as it is.
    pub(crate) fn with(
        &self,
        added: &[(usize, Arc<Table>)],
        removed: &[u64],
        hidden: &[(u64, Spans)],
    ) -> Version {
        let mut next = self.clone();
        for (level, tables) in next.levels.iter_mut().enumerate() {
            let old = tables.iter();
            let kept = old.filter(|table| !removed.contains(&table.number));
            let mut changed: Vec<_> = kept.cloned().collect();
            let new = added.iter().filter(|(at, _)| *at == level);
            changed.extend(new.map(|(_, table)| Arc::clone(table)));
            if level == 0 {
                changed.sort_by_key(|table| std::cmp::Reverse(table.properties.last_lsn));
            } else {
                changed.sort_by(|a, b| a.properties.smallest.cmp(&b.properties.smallest));
            }
            *tables = changed.into();
        }
        for (number, spans) in hidden {
            next.hidden.insert(*number, Arc::new(spans.clone()));
        }
        let levels = &next.levels;
        next.hidden.retain(|number, _| {
            levels
                .iter()
                .flat_map(|run| run.iter())
                .any(|table| table.number == *number)
        });
        next
    }

    pub(crate) fn levels(&self) -> &[Run] {
        &self.levels
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.levels.iter().flat_map(|run| run.iter())
    }

    /// What is hidden of a table.
    pub(crate) fn hidden(&self, number: u64) -> Option<&Arc<Spans>> {
        self.hidden.get(&number)
    }

    fn shows(&self, table: &Table, key: &[u8]) -> bool {
        self.hidden.is_empty()
            || self
                .hidden(table.number)
                .is_none_or(|hidden| !hidden.contains(key))
    }

    /// About how many of a table's entries are hidden.
    pub(crate) fn hidden_entries(&self, table: &Table) -> u64 {
        let Some(hidden) = self.hidden(table.number) else {
            return 0;
        };
        let parts = hidden.iter().map(|span| table.estimate(&span.range()).0);
        parts.sum::<u64>().min(table.properties.entries)
    }

    /// `hash`: the key's.
    pub(crate) fn get(&self, key: &[u8], hash: u64) -> Result<Option<Value>> {
        for table in self.levels[0].iter() {
            if table.covers(key)
                && self.shows(table, key)
                && let Some(value) = table.get(key, hash)?
            {
                return Ok(Some(value));
            }
        }
        for tables in &self.levels[1..] {
            if let Some(table) = find(tables, key)
                && self.shows(table, key)
                && let Some(value) = table.get(key, hash)?
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// [`Version::get`] of many keys; see [`View::get_many`](crate::view::View::get_many).
    pub(crate) fn get_many(
        &self,
        mut wanted: Wanted<'_>,
        found: &mut [Option<Value>],
    ) -> Result<()> {
        for table in self.levels[0].iter() {
            self.search(&mut wanted, found, |key| table.covers(key).then_some(table))?;
        }
        for tables in &self.levels[1..] {
            self.search(&mut wanted, found, |key| find(tables, key))?;
        }
        Ok(())
    }

    /// Takes those out of `wanted` that the tables of one level hold: all their filters, blocks and places in these are
    /// looked at before the first entry is read.
    fn search<'t>(
        &self,
        wanted: &mut Wanted<'_>,
        found: &mut [Option<Value>],
        table_of: impl Fn(&[u8]) -> Option<&'t Arc<Table>>,
    ) -> Result<()> {
        let mut lookups = Vec::with_capacity(wanted.len());
        for (index, key, hash) in wanted.iter() {
            if let Some(table) = table_of(key)
                && self.shows(table, key)
                && let Some(lookup) = table.begin_get(key, *hash)?
            {
                lookups.push((*index, key, lookup));
            }
        }
        let places = lookups.iter().map(|(_, _, lookup)| lookup.look_ahead());
        std::hint::black_box(places.fold(0, |sum, byte| sum ^ byte));
        for (index, key, lookup) in lookups {
            found[index] = lookup.end(key)?;
        }
        wanted.retain(|(index, _, _)| found[*index].is_none());
        Ok(())
    }

    /// False: no table holds the key.
    pub(crate) fn may_hold(&self, key: &[u8]) -> bool {
        let hash = hash(key);
        self.tables()
            .any(|table| table.covers(key) && table.may_contain(hash))
    }

    /// Whether a level below `level` may hold the key.
    pub(crate) fn is_below(&self, level: usize, key: &[u8]) -> bool {
        let deeper = &self.levels[level + 1..];
        deeper.iter().any(|tables| find(tables, key).is_some())
    }

    /// Cursors newest first. `also_hidden`: by what is newer than all tables.
    pub(crate) fn cursors(
        &self,
        range: &Range,
        direction: Direction,
        from: Bound<&[u8]>,
        also_hidden: &Spans,
    ) -> Vec<Box<dyn Cursor>> {
        let mut cursors: Vec<Box<dyn Cursor>> = Vec::new();
        let mut add = |run: &Run, low: usize, high: usize| {
            if low < high {
                let part = (Arc::clone(run), (low, high));
                cursors.push(self.run_cursor(part, direction, from, true, also_hidden));
            }
        };
        let begins =
            |table: &Arc<Table>| !range.is_past(Direction::Forward, &table.properties.smallest);
        let ends_before =
            |table: &Arc<Table>| range.is_past(Direction::Reverse, &table.properties.largest);
        let newest = &self.levels[0];
        for (index, table) in newest.iter().enumerate() {
            if begins(table) && !ends_before(table) {
                add(newest, index, index + 1);
            }
        }
        for run in &self.levels[1..] {
            let low = run.partition_point(ends_before);
            add(run, low, run.partition_point(begins));
        }
        cursors
    }

    /// Over a part of tables that do not overlap, in key order, without what is hidden of them.
    pub(crate) fn run_cursor(
        &self,
        (run, (low, high)): (Run, (usize, usize)),
        direction: Direction,
        from: Bound<&[u8]>,
        fill_cache: bool,
        also_hidden: &Spans,
    ) -> Box<dyn Cursor> {
        let mut hidden = Spans::default();
        if !self.hidden.is_empty() {
            for table in &run[low..high] {
                if let Some(spans) = self.hidden(table.number) {
                    // What is hidden of one table says nothing of its neighbours.
                    let properties = &table.properties;
                    hidden.extend(&spans.clipped(&properties.smallest, &properties.largest));
                }
            }
        }
        let open = move |from: Bound<&[u8]>| -> LevelCursor {
            LevelCursor::new(Arc::clone(&run), (low, high), direction, from, fill_cache)
        };
        if hidden.is_empty() && also_hidden.is_empty() {
            return Box::new(open(from));
        }
        hidden.extend(also_hidden);
        skipping(&hidden, direction, from, move |from| Box::new(open(from)))
    }

    /// What becomes of the tables when `spans` are hidden: those that go, and those that straddle
    /// with all that is then hidden of them.
    pub(crate) fn without(&self, spans: &Spans) -> (Vec<Arc<Table>>, Vec<(u64, Spans)>) {
        let (mut dropped, mut trimmed) = (Vec::new(), Vec::new());
        for table in self.tables() {
            let (smallest, largest) = (&table.properties.smallest, &table.properties.largest);
            let mut hidden = spans.overlapping(smallest, largest);
            if hidden.is_empty() {
                continue;
            }
            if let Some(before) = self.hidden(table.number) {
                hidden.extend(before);
            }
            if hidden.covers(smallest, largest) {
                dropped.push(Arc::clone(table));
            } else {
                trimmed.push((table.number, hidden));
            }
        }
        (dropped, trimmed)
    }
}

fn find<'a>(tables: &'a [Arc<Table>], key: &[u8]) -> Option<&'a Arc<Table>> {
    let index = tables.partition_point(|table| table.properties.largest.as_slice() < key);
    tables.get(index).filter(|table| table.covers(key))
}
