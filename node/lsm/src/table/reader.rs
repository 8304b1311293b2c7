use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::block::{Block, BlockCursor};
use super::cache::BlockCache;
use super::filter::Filter;
use super::format::{Footer, read_block};
use super::index::Index;
use super::properties::Properties;
use crate::error::{Error, IoContext, Result};
use crate::io::{Io, IoFile, OpenMode};
use crate::range::{Direction, Range};
use crate::value::Value;

/// An open SST. The file is deleted when the last reader of an obsolete one is gone.
pub(crate) struct Table {
    pub number: u64,
    pub bytes: u64,
    pub properties: Properties,
    path: PathBuf,
    io: Arc<dyn Io>,
    file: Arc<dyn IoFile>,
    index: Index,
    filter: Filter,
    cache: Arc<BlockCache>,
    obsolete: AtomicBool,
}

/// A key's lookup, at the place in its block where the search begins.
pub(crate) struct Lookup<'t> {
    table: &'t Table,
    block: Block,
    from: usize,
}

impl Lookup<'_> {
    /// See [`Block::look_ahead`].
    pub(crate) fn look_ahead(&self) -> u8 {
        self.block.look_ahead(self.from)
    }

    pub(crate) fn end(self, key: &[u8]) -> Result<Option<Value>> {
        let found = self.block.get_from(self.from, key);
        found.ok_or_else(|| self.table.damaged("block entries"))
    }
}

pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016}.sst")
}

pub(crate) fn parse_name(name: &str) -> Option<u64> {
    name.strip_suffix(".sst")?.parse().ok()
}

impl Table {
    pub(crate) fn open(
        io: &Arc<dyn Io>,
        dir: &Path,
        number: u64,
        cache: &Arc<BlockCache>,
    ) -> Result<Table> {
        let path = dir.join(file_name(number));
        let file = io.open(&path, OpenMode::Read).at(&path, "open")?;
        let footer = Footer::read(&*file, &path)?;
        let damaged = |offset: u64, what: &str| Error::corruption(&path, offset, what);
        let index = Index::new(read_block(&*file, &path, footer.index)?)
            .ok_or_else(|| damaged(footer.index.offset, "index"))?;
        let filter = Filter::new(read_block(&*file, &path, footer.filter)?)
            .ok_or_else(|| damaged(footer.filter.offset, "filter"))?;
        let properties = read_block(&*file, &path, footer.properties)?;
        let properties = Properties::take(&mut properties.as_ref())
            .ok_or_else(|| damaged(footer.properties.offset, "properties"))?;
        Ok(Table {
            number,
            bytes: file.len().at(&path, "stat")?,
            properties,
            io: Arc::clone(io),
            file,
            index,
            filter,
            cache: Arc::clone(cache),
            obsolete: AtomicBool::new(false),
            path,
        })
    }

    /// `hash`: the key's, from [`super::filter::hash`].
    pub(crate) fn get(&self, key: &[u8], hash: u64) -> Result<Option<Value>> {
        match self.begin_get(key, hash)? {
            Some(lookup) => lookup.end(key),
            None => Ok(None),
        }
    }

    /// The lookup of a key that it may hold, as far as the place in its block.
    pub(crate) fn begin_get(&self, key: &[u8], hash: u64) -> Result<Option<Lookup<'_>>> {
        if !self.filter.may_contain(hash) {
            return Ok(None);
        }
        let Some(block) = self.block(self.index.find(key), true)? else {
            return Ok(None);
        };
        let from = block
            .place(key)
            .ok_or_else(|| self.damaged("block entries"))?;
        let table = self;
        Ok(Some(Lookup { table, block, from }))
    }

    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        self.properties.smallest.as_slice() <= key && key <= self.properties.largest.as_slice()
    }

    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.filter.may_contain(hash)
    }

    pub(crate) fn blocks(&self) -> usize {
        self.index.len()
    }

    /// The first block that can hold keys not before `key`.
    pub(crate) fn find_block(&self, key: &[u8]) -> usize {
        self.index.find(key)
    }

    /// `fill`: keep it in the cache. `None`: there is no such block.
    pub(crate) fn block(&self, index: usize, fill: bool) -> Result<Option<Block>> {
        let Some(handle) = self.index.handle(index) else {
            return Ok(None);
        };
        if fill && let Some(block) = self.cache.get(self.number, handle.offset) {
            return Ok(Some(block));
        }
        let payload = read_block(&*self.file, &self.path, handle)?;
        let block = Block::new(payload).ok_or_else(|| self.damaged("block restarts"))?;
        if !fill {
            return Ok(Some(block));
        }
        let block = block.kept().ok_or_else(|| self.damaged("block restarts"))?;
        self.cache.insert(self.number, handle.offset, block.clone());
        Ok(Some(block))
    }

    /// Reads the file again, past the cache, and checks everything; returns the number of blocks.
    pub(crate) fn verify(&self) -> Result<u64> {
        let footer = Footer::read(&*self.file, &self.path)?;
        for handle in [footer.index, footer.filter, footer.properties] {
            read_block(&*self.file, &self.path, handle)?;
        }
        let mut entries = 0;
        let mut last = Vec::new();
        for index in 0..self.blocks() {
            let Some(block) = self.block(index, false)? else {
                break;
            };
            let damaged = || self.damaged("block entries");
            if block.restarts_fit() != Some(true) {
                return Err(self.damaged("block restarts"));
            }
            let mut cursor = BlockCursor::new(block, Direction::Forward, Bound::Unbounded)
                .ok_or_else(damaged)?;
            while cursor.advance().ok_or_else(damaged)? {
                if entries > 0 && last.as_slice() >= cursor.key() {
                    return Err(self.damaged("keys out of order"));
                }
                last.clear();
                last.extend_from_slice(cursor.key());
                entries += 1;
            }
        }
        if entries != self.properties.entries {
            return Err(self.damaged("number of entries"));
        }
        Ok(self.blocks() as u64)
    }

    pub(crate) fn damaged(&self, what: &str) -> Error {
        Error::corruption(&self.path, 0, what)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Of index and filter.
    pub(crate) fn memory(&self) -> usize {
        self.index.bytes() + self.filter.bytes()
    }

    /// About how many entries and bytes of it lie in the range.
    pub(crate) fn estimate(&self, range: &Range) -> (u64, u64) {
        let properties = &self.properties;
        let outside = range.is_past(Direction::Forward, &properties.smallest)
            || range.is_past(Direction::Reverse, &properties.largest);
        let blocks = self.blocks() as u64;
        if outside || blocks == 0 {
            return (0, 0);
        }
        let first = match range.start_ref() {
            Bound::Included(key) | Bound::Excluded(key) => self.find_block(key) as u64,
            Bound::Unbounded => 0,
        };
        let last = match range.end_ref() {
            Bound::Included(key) | Bound::Excluded(key) => {
                (self.find_block(key) as u64).min(blocks - 1)
            }
            Bound::Unbounded => blocks - 1,
        };
        let within = (last + 1).saturating_sub(first);
        let live = properties.entries.saturating_sub(properties.tombstones);
        (live * within / blocks, self.bytes * within / blocks)
    }

    /// Adds to `parts[i]` about how many bytes lie between `bounds[i]` (ascending) and the one after it. Together they are
    /// all of what lies between the first and the last: a block with several bounds in it is shared out evenly.
    pub(crate) fn add_parts(&self, bounds: &[impl AsRef<[u8]>], parts: &mut [u64]) {
        let blocks = self.blocks();
        let at_or_before = |key: &[u8]| bounds.partition_point(|bound| bound.as_ref() <= key);
        let (first, end) = (
            at_or_before(&self.properties.smallest),
            at_or_before(&self.properties.largest),
        );
        let mut before = 0;
        let mut add = |bound: usize, through: u64| {
            let part = bound.checked_sub(1).and_then(|part| parts.get_mut(part));
            if let Some(part) = part {
                *part += through - before;
            }
            before = through;
        };
        let mut next = first;
        while next < end {
            let block = self.find_block(bounds[next].as_ref());
            let within = bounds[next..end]
                .iter()
                .take_while(|bound| self.find_block(bound.as_ref()) == block)
                .count();
            for nth in 1..=within {
                let shares = blocks as u128 * (within as u128 + 1);
                let share = block as u128 * (within as u128 + 1) + nth as u128;
                add(
                    next,
                    (u128::from(self.bytes) * share / shares.max(1)) as u64,
                );
                next += 1;
            }
        }
        add(end, self.bytes);
    }

    /// The opposite of [`Table::mark_obsolete`].
    pub(crate) fn keep(&self) {
        self.obsolete.store(false, Ordering::Release);
    }

    pub(crate) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            // What remains is removed at the next open: no manifest names it.
            let _ = self.io.remove(&self.path);
        }
    }
}
