//! The flusher: full memtables become tables in L0, oldest first.
//!
//! What its range deletes hide is hidden of all tables that are there when its own is installed: they
//! are older.
//!
//! A memtable is flushed only when all its records are synced: files never hold what a crash could
//! take out of the log, so the chain of records stays whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cursor::{Cursor, MemtableCursor};
use crate::error::{Error, IoContext, Result};
use crate::events::Events;
use crate::manifest::{Edit, TableInfo};
use crate::memtable::Memtable;
use crate::range::Direction;
use crate::shared::{Plan, Shared};
use crate::table::{Table, TableWriter};
use crate::version::Version;

/// Without an event, tables are looked at this often.
const IDLE: Duration = Duration::from_secs(3600);
/// So often writers are told how far a flush is: each of them reads it, and waits for the memory if it has changed.
const TELL_BYTES: usize = 64 << 10;

pub(crate) fn run(shared: &Shared) -> Result<()> {
    loop {
        let seen = shared.events.seen();
        if shared.closing.load(Ordering::Acquire) {
            return Ok(());
        }
        let oldest = shared.view().full.last().cloned();
        let Some(memtable) = oldest else {
            shared.events.wait(seen, IDLE);
            continue;
        };
        shared.poison.check()?;
        if !shared.sync_queue.is_synced(memtable.last_lsn()) {
            shared.events.wait(seen, Events::LOOK_AGAIN);
            continue;
        }
        let flushed = flush(shared, &memtable);
        if shared.note_disk_full(&flushed) {
            shared.segments.give_back()?;
            shared.events.wait(shared.events.seen(), Events::LOOK_AGAIN);
        } else {
            flushed?;
        }
    }
}

pub(crate) fn flush(shared: &Shared, memtable: &Arc<Memtable>) -> Result<()> {
    shared.fit_cache();
    let number = shared.manifest.lock().take_number();
    let written = write(shared, number, memtable);
    if written.is_err() {
        shared.flushed_bytes.store(0, Ordering::Relaxed);
        // Best effort; what remains is removed at the next open.
        let _ = shared.io.remove(&shared.table_path(number));
    }
    let table = written?;
    let lsn = memtable.last_lsn();
    let (epoch, clock_ms) = memtable.epoch_and_clock();
    let added: Vec<_> = table.into_iter().map(|table| (0, table)).collect();
    let plan = |version: &Version| {
        let (dropped, hidden) = version.without(&memtable.spans(u64::MAX));
        Plan {
            edit: Edit {
                hidden,
                flushed_lsn: lsn,
                epoch,
                clock_ms,
                ..Edit::default()
            },
            added: added.clone(),
            dropped,
        }
    };
    let installed = shared.install(plan, |view| {
        view.full.retain(|full| !Arc::ptr_eq(full, memtable));
        shared.flushed_bytes.store(0, Ordering::Relaxed);
    });
    if let Err(Error::DiskFull { .. }) = installed {
        added.iter().for_each(|(_, table)| table.mark_obsolete());
    }
    installed?;
    let written = added.iter().map(|(_, table)| table.bytes).sum();
    shared.counters.flushed(written);
    shared.segments.flushed(lsn);
    Ok(())
}

/// `None`: nothing was worth a table. A tombstone with nothing below it is left out, or with only
/// what is about to be hidden.
fn write(shared: &Shared, number: u64, memtable: &Arc<Memtable>) -> Result<Option<Arc<Table>>> {
    let version = Arc::clone(&shared.view().version);
    let lsn = memtable.last_lsn();
    let spans = memtable.spans(lsn);
    let mut cursor = MemtableCursor::new(
        Arc::clone(memtable),
        lsn,
        Direction::Forward,
        std::ops::Bound::Unbounded,
    );
    let path = shared.table_path(number);
    let mut writer = None;
    shared.flushed_bytes.store(0, Ordering::Relaxed);
    let mut flushed = 0;
    while cursor.advance()? {
        let (key, value) = (cursor.key(), cursor.value());
        flushed += Memtable::entry_bytes(key, value.data);
        if flushed >= TELL_BYTES {
            shared.flushed_bytes.fetch_add(flushed, Ordering::Relaxed);
            flushed = 0;
        }
        if value.tombstone && (spans.contains(key) || !version.may_hold(key)) {
            continue;
        }
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(TableWriter::create(&*shared.io, &path, &shared.config)?),
        };
        writer.add(key, value)?;
    }
    let Some(writer) = writer else {
        return Ok(None);
    };
    writer.finish(lsn)?;
    shared.open_table(number).map(Some)
}

pub(crate) fn info(table: &Table) -> TableInfo {
    TableInfo {
        number: table.number,
        bytes: table.bytes,
        properties: table.properties.clone(),
    }
}

impl Shared {
    /// Opens a table just written, after its name is durable.
    pub(crate) fn open_table(&self, number: u64) -> Result<Arc<Table>> {
        let dir = self.path.join(crate::shared::TABLE_DIR);
        self.io.sync_dir(&dir).at(&dir, "sync")?;
        Table::open(&self.io, &dir, number, &self.cache).map(Arc::new)
    }

    /// True when the work found the disk full: writers are refused rather than kept waiting, and
    /// the work is tried again.
    pub(crate) fn note_disk_full<T>(&self, result: &Result<T>) -> bool {
        let full = matches!(result, Err(Error::DiskFull { .. }));
        self.disk_full.store(full, Ordering::Release);
        self.events.notify();
        full
    }
}
