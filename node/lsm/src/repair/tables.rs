use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache;
use super::newest::Newest;
use super::report::RepairReport;
use super::survey::{Survey, SurveyedTable};
use crate::compaction::picker::target_bytes;
use crate::cursor::Cursor;
use crate::error::{IoContext, Result};
use crate::flush::info;
use crate::io::Io;
use crate::manifest::{Inventory, TableInfo};
use crate::options::{Config, Options};
use crate::range::Direction;
use crate::shared::TABLE_DIR;
use crate::spans::Spans;
use crate::table::reader::file_name;
use crate::table::{Table, TableWriter};
use crate::value::ValueRef;
use crate::version::{LEVELS, Version};

/// Writes the tables that replace others; returns what the new manifest says.
pub(super) fn rebuild(
    io: &Arc<dyn Io>,
    path: &Path,
    options: &Options,
    found: &Survey,
    report: &mut RepairReport,
) -> Result<Inventory> {
    let mut rebuild = Rebuild {
        io,
        dir: path.join(TABLE_DIR),
        config: options.config(),
        next_number: next_number(io, path, found)?,
        inventory: Inventory {
            ingested: found.inventory.ingested.clone(),
            epoch: report.epoch,
            clock_ms: report.clock_ms,
            flushed_lsn: replay_from(found),
            ..Inventory::new()
        },
    };
    io.create_dir(&rebuild.dir).at(&rebuild.dir, "create")?;
    if found.manifest_is_whole() {
        rebuild.replace(found)?;
    } else {
        rebuild.merge(found)?;
    }
    rebuild.inventory.next_number = rebuild.next_number;
    Ok(rebuild.inventory)
}

/// Where replay begins. The log's last word on a key is the newest there is, so all of it may be
/// replayed; but an ingest only once.
fn replay_from(found: &Survey) -> u64 {
    let flushed = found.flushed_lsn();
    match found.log.begins_after {
        Some(lsn) if found.tables_were_lost() && !found.log.ingests => flushed.min(lsn),
        _ => flushed,
    }
}

fn next_number(io: &Arc<dyn Io>, path: &Path, found: &Survey) -> Result<u64> {
    let dir = path.join(TABLE_DIR);
    let names = io.list(&dir).at(&dir, "list").unwrap_or_default();
    let numbers = names
        .iter()
        .filter_map(|name| crate::table::reader::parse_name(name));
    let removed = found.removed.iter().copied();
    let highest = numbers.chain(removed).max().unwrap_or(0);
    Ok(found.inventory.next_number.max(highest + 1))
}

struct Rebuild<'a> {
    io: &'a Arc<dyn Io>,
    dir: PathBuf,
    config: Config,
    next_number: u64,
    inventory: Inventory,
}

impl Rebuild<'_> {
    /// Every table in its place; of the damaged ones, what is whole in them.
    fn replace(&mut self, found: &Survey) -> Result<()> {
        for (number, table) in &found.tables {
            let Some((level, info)) = &table.info else {
                continue;
            };
            let hidden = found.inventory.hidden.get(number);
            if table.is_whole() {
                self.add(*level, info.clone(), hidden);
            } else if let Some(saved) = self.save(table)? {
                self.add(*level, saved, hidden);
            }
        }
        Ok(())
    }

    fn add(&mut self, level: usize, info: TableInfo, hidden: Option<&Spans>) {
        if let Some(hidden) = hidden {
            self.inventory.hidden.insert(info.number, hidden.clone());
        }
        self.inventory.tables.insert(info.number, (level, info));
    }

    /// A new table of what is whole in a damaged one.
    fn save(&mut self, table: &SurveyedTable) -> Result<Option<TableInfo>> {
        if !table.exists || table.read.blocks.iter().all(|block| block.entries == 0) {
            return Ok(None);
        }
        let (number, mut writer) = self.create()?;
        crate::inspect::walk(&**self.io, &table.path, &mut |key, value| {
            writer.add(&key, ValueRef::of(&value))
        })?;
        // 1: there is none before the first.
        let table = self.finish(number, writer, table.last_lsn().unwrap_or(1))?;
        Ok(Some(info(&table)))
    }

    fn create(&mut self) -> Result<(u64, TableWriter)> {
        let number = self.next_number;
        self.next_number += 1;
        let path = self.dir.join(file_name(number));
        let writer = TableWriter::create(&**self.io, &path, &self.config)?;
        Ok((number, writer))
    }

    fn finish(&self, number: u64, writer: TableWriter, last_lsn: u64) -> Result<Table> {
        writer.finish(last_lsn)?;
        self.io.sync_dir(&self.dir).at(&self.dir, "sync")?;
        Table::open(self.io, &self.dir, number, &cache())
    }

    /// All tables into one level; of each key the highest version.
    fn merge(&mut self, found: &Survey) -> Result<()> {
        let mut tables = Vec::new();
        let mut hidden = Vec::new();
        let mut saved = Vec::new();
        for (original, table) in &found.tables {
            let number = if table.is_whole() {
                *original
            } else {
                match self.save(table)? {
                    Some(info) => {
                        saved.push(info.number);
                        info.number
                    }
                    None => continue,
                }
            };
            if let Some(spans) = found.inventory.hidden.get(original) {
                hidden.push((number, spans.clone()));
            }
            tables.push((
                0,
                Arc::new(Table::open(self.io, &self.dir, number, &cache())?),
            ));
        }
        let bytes: u64 = tables.iter().map(|(_, table)| table.bytes).sum();
        let fits = |level: &usize| target_bytes(&self.config, *level) >= bytes;
        let level = (1..LEVELS).find(fits).unwrap_or(LEVELS - 1);
        let version = Version::default().with(&tables, &[], &hidden);
        let cursors = tables.iter().map(|(_, table)| {
            let run = ([Arc::clone(table)].into(), (0, 1));
            let none = Spans::default();
            version.run_cursor(run, Direction::Forward, Bound::Unbounded, false, &none)
        });
        self.write_newest(cursors.collect(), level, found.flushed_lsn().max(1))?;
        for number in saved {
            let path = self.dir.join(file_name(number));
            self.io.remove(&path).at(&path, "remove")?;
        }
        Ok(())
    }

    fn write_newest(
        &mut self,
        cursors: Vec<Box<dyn Cursor>>,
        level: usize,
        last_lsn: u64,
    ) -> Result<()> {
        let mut newest = Newest::new(cursors)?;
        let mut open: Option<(u64, TableWriter)> = None;
        while let Some((key, value)) = newest.next()? {
            if value.tombstone {
                continue;
            }
            let (number, mut writer) = match open.take() {
                Some(open) => open,
                None => self.create()?,
            };
            writer.add(&key, ValueRef::of(&value))?;
            if writer.bytes() < self.config.file_bytes {
                open = Some((number, writer));
            } else {
                let table = self.finish(number, writer, last_lsn)?;
                self.add(level, info(&table), None);
            }
        }
        if let Some((number, writer)) = open {
            let table = self.finish(number, writer, last_lsn)?;
            self.add(level, info(&table), None);
        }
        Ok(())
    }
}
