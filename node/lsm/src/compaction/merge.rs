//! Writes the tables that a task results in.
//!
//! What it leaves out: older values of a key; values an hour (`expiry_grace`) after their expiry,
//! which first become tombstones, because they may hide an older value below; tombstones under
//! which no level can hold the key.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::picker::Task;
use crate::cursor::{Cursor, MergeCursor};
use crate::error::{Error, Result};
use crate::range::Direction;
use crate::shared::Shared;
use crate::spans::Spans;
use crate::table::{Table, TableWriter};
use crate::value::{Value, ValueRef};
use crate::version::{Run, Version};

pub(crate) struct Output<'a> {
    shared: &'a Shared,
    version: &'a Version,
    target: usize,
    clock_ms: u64,
    last_lsn: u64,
    writer: Option<(u64, TableWriter)>,
    pub tables: Vec<Arc<Table>>,
}

/// Keys between looks at whether the store is closing.
const LOOK_EVERY: usize = 1024;

/// Errors: `Closed` when the store is closing; what was written is removed on any error.
pub(crate) fn merge(shared: &Shared, version: &Version, task: &Task) -> Result<Vec<Arc<Table>>> {
    let mut sources: Vec<Box<dyn Cursor>> = Vec::new();
    let mut last_lsn = 0;
    for run in &task.runs {
        let all = version.tables();
        let tables: Run = all
            .filter(|table| run.contains(&table.number))
            .cloned()
            .collect();
        let newest = tables.iter().map(|table| table.properties.last_lsn).max();
        last_lsn = last_lsn.max(newest.unwrap_or(0));
        let part = (0, tables.len());
        sources.push(version.run_cursor(
            (tables, part),
            Direction::Forward,
            Bound::Unbounded,
            false,
            &Spans::default(),
        ));
    }
    let mut output = Output {
        shared,
        version,
        target: task.target,
        clock_ms: shared.clock_ms(),
        last_lsn,
        writer: None,
        tables: Vec::new(),
    };
    let written = output.write(&mut MergeCursor::new(sources, Direction::Forward));
    if written.is_err() {
        output.abandon();
    }
    written.map(|()| output.tables)
}

impl Output<'_> {
    fn write(&mut self, merged: &mut MergeCursor) -> Result<()> {
        let mut count = 0;
        while merged.advance()? {
            count += 1;
            if count % LOOK_EVERY == 0 && self.shared.closing.load(Ordering::Acquire) {
                return Err(Error::Closed);
            }
            let (key, value) = (merged.key(), merged.value());
            if value.expired(
                self.clock_ms
                    .saturating_sub(self.shared.config.expiry_grace_ms),
            ) {
                let tombstone = Value {
                    tombstone: true,
                    data: bytes::Bytes::new(),
                    version: value.version,
                    expires_at_ms: 0,
                };
                self.add(key, ValueRef::of(&tombstone))?;
            } else {
                self.add(key, value)?;
            }
        }
        self.finish()
    }

    fn add(&mut self, key: &[u8], value: ValueRef<'_>) -> Result<()> {
        if value.tombstone && !self.version.is_below(self.target, key) {
            return Ok(());
        }
        let shared = self.shared;
        let writer = match &mut self.writer {
            Some((_, writer)) => writer,
            None => {
                let number = shared.manifest.lock().take_number();
                let path = shared.table_path(number);
                let writer = TableWriter::create(&*shared.io, &path, &shared.config)?;
                &mut self.writer.insert((number, writer)).1
            }
        };
        writer.add(key, value)?;
        if writer.bytes() >= shared.config.file_bytes {
            self.finish()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if let Some((number, writer)) = self.writer.take() {
            let written = writer
                .finish(self.last_lsn)
                .and_then(|_| self.shared.open_table(number));
            if written.is_err() {
                self.remove(number);
            }
            self.tables.push(written?);
        }
        Ok(())
    }

    fn abandon(&mut self) {
        if let Some((number, _)) = self.writer.take() {
            self.remove(number);
        }
        for table in self.tables.drain(..) {
            table.mark_obsolete();
        }
    }

    fn remove(&self, number: u64) {
        // Best effort; what remains is removed at the next open.
        let _ = self.shared.io.remove(&self.shared.table_path(number));
    }
}
