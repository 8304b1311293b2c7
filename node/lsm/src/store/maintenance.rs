//! Flush, compaction, checkpoint, verification and figures.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Store;
use super::reports::{Checkpoint, CheckpointFile, Damage, LevelStats, Stats, VerifyReport};
use crate::commit::queue::Work;
use crate::error::{Error, IoContext, Result};
use crate::events::Events;
use crate::log::recovery;
use crate::manifest::{self, Manifest};
use crate::range::Range;
use crate::shared::{LOG_DIR, Shared, TABLE_DIR};
use crate::table::Table;
use crate::table::reader::file_name;
use crate::version::{Run, Version};

impl Store {
    /// Removes a range of keys from the store, as one change of its files at one LSN, which is
    /// returned: a logged [`Store::delete_range`] whose effect on the tables is installed before this
    /// returns. Tables wholly in the range are gone; of those that straddle its ends the part within
    /// is hidden until compaction rewrites them. Snapshots taken before keep what they show.
    ///
    /// Errors: `DiskFull` (the keys are deleted, their tables are still there), and those of
    /// [`Store::submit`].
    pub fn excise(&self, range: &Range) -> Result<u64> {
        let lsn = self.delete_range(range)?;
        self.flush()?;
        Ok(lsn)
    }

    /// Puts what the memtables hold into tables.
    ///
    /// Errors: `DiskFull`, `Poisoned`, `Closed`.
    pub fn flush(&self) -> Result<()> {
        let shared = self.open_shared()?;
        let lsn = self.ask(Work::Rotate)?;
        shared.disk_full.store(false, Ordering::Release);
        self.wait_until(|shared| {
            let view = shared.view();
            let flushed = view.full.iter().all(|full| full.last_lsn() > lsn);
            if !flushed && shared.disk_full.load(Ordering::Acquire) {
                return Some(Err(Error::DiskFull {
                    path: shared.path.clone(),
                }));
            }
            flushed.then_some(Ok(()))
        })
    }

    /// Merges everything into one level, without tombstones and what expired long enough ago.
    ///
    /// Errors: `DiskFull`, `Poisoned`, `Closed`.
    pub fn compact(&self) -> Result<()> {
        self.flush()?;
        let shared = self.shared();
        let request = shared.compactions.ask();
        shared.events.notify();
        self.wait_until(|shared| shared.compactions.outcome(request))
    }

    fn wait_until(&self, check: impl Fn(&Shared) -> Option<Result<()>>) -> Result<()> {
        let shared = self.shared();
        loop {
            let seen = shared.events.seen();
            if let Some(outcome) = check(shared) {
                return outcome;
            }
            shared.poison.check()?;
            self.running.check_open()?;
            shared.events.wait(seen, Events::LOOK_AGAIN);
        }
    }

    /// Makes a copy of the store in `dir`, which must be missing or empty and on the same file
    /// system: hard links to the tables and a manifest of its own. It opens as a store.
    ///
    /// Errors: `Invalid` (the directory is not empty), `Io`, `DiskFull`, `Poisoned`, `Closed`.
    pub fn checkpoint(&self, dir: &Path) -> Result<Checkpoint> {
        self.flush()?;
        let shared = self.shared();
        let io = &shared.io;
        io.create_dir(dir).at(dir, "create")?;
        if !io.list(dir).at(dir, "list")?.is_empty() {
            return Err(Error::Invalid(format!("{} is not empty", dir.display())));
        }
        // The version keeps its files on disk until they are linked.
        let (inventory, version) = {
            let manifest = shared.manifest.lock();
            (
                manifest.inventory().clone(),
                Arc::clone(&shared.view().version),
            )
        };
        for name in [LOG_DIR, TABLE_DIR] {
            let sub = dir.join(name);
            io.create_dir(&sub).at(&sub, "create")?;
        }
        let tables = dir.join(TABLE_DIR);
        let mut files = Vec::new();
        for table in version.tables() {
            let name = file_name(table.number);
            let link = tables.join(&name);
            io.link(table.path(), &link).at(&link, "link")?;
            files.push(CheckpointFile {
                name: format!("{TABLE_DIR}/{name}"),
                bytes: table.bytes,
            });
        }
        io.sync_dir(&tables).at(&tables, "sync")?;
        let mut checkpoint = Checkpoint {
            lsn: inventory.flushed_lsn,
            epoch: inventory.epoch,
            clock_ms: inventory.clock_ms,
            files,
        };
        let manifest = Manifest::create(io, dir, inventory)?;
        checkpoint.files.push(CheckpointFile {
            name: manifest::FILE_NAME.to_owned(),
            bytes: manifest.bytes(),
        });
        Ok(checkpoint)
    }

    /// Reads every block and every record again and checks them. Damage is reported, and poisons
    /// the store.
    ///
    /// Errors: `Io`, `Closed`, `Busy` (the log was reused too fast to be read: ask again).
    pub fn verify(&self) -> Result<VerifyReport> {
        let shared = self.open_shared()?;
        let mut report = VerifyReport::default();
        let version = Arc::clone(&shared.view().version);
        for table in version.tables() {
            let checked = self.noting(&mut report, table.verify())?;
            report.tables += 1;
            report.blocks += checked.unwrap_or(0);
            report.bytes += table.bytes;
        }
        let manifest = shared.manifest.lock().verify();
        self.noting(&mut report, manifest)?;
        let synced = shared.progress.synced();
        let flushed = || shared.manifest.lock().inventory().flushed_lsn;
        let log = recovery::verify(&*shared.io, &shared.path.join(LOG_DIR), synced, flushed);
        if let Some((records, bytes)) = self.noting(&mut report, log)? {
            report.records += records;
            report.bytes += bytes;
        }
        Ok(report)
    }

    fn noting<T>(&self, report: &mut VerifyReport, result: Result<T>) -> Result<Option<T>> {
        match self.shared().noting_damage(result) {
            Ok(value) => Ok(Some(value)),
            Err(Error::Corruption { file, offset, what }) => {
                report.damage.push(Damage { file, offset, what });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let view = shared.view();
        let memtables = || std::iter::once(&view.active).chain(&view.full);
        let hidden = |table| view.version.hidden_entries(table) as i64;
        let tables: i64 = view
            .version
            .tables()
            .map(|table| live(table) - hidden(table))
            .sum();
        let in_memory: i64 = memtables().map(|memtable| memtable.live()).sum();
        let levels: Vec<(u64, u64)> = view
            .version
            .levels()
            .iter()
            .map(|tables| {
                let bytes = tables.iter().map(|table| table.bytes).sum();
                (tables.len() as u64, bytes)
            })
            .collect();
        let level_stats = level_stats(shared, &view.version);
        let log_bytes = shared.segments.bytes();
        Stats {
            keys: (tables + in_memory).max(0) as u64,
            disk_bytes: log_bytes + levels.iter().map(|(_, bytes)| bytes).sum::<u64>(),
            log_bytes,
            memtable_bytes: memtables().map(|memtable| memtable.bytes() as u64).sum(),
            full_memtables: view.full.len() as u64,
            levels,
            write_amplification: write_amplification(&level_stats),
            level_stats,
            index_bytes: view
                .version
                .tables()
                .map(|table| table.memory() as u64)
                .sum(),
            cache_bytes: shared.cache.bytes(),
            cache_hits: shared.cache.hits(),
            cache_misses: shared.cache.misses(),
            stall: shared.stall.lock().clone(),
            stalls: shared.stalls.groups(),
            stall_time: shared.stalls.time(),
            debt_bytes: shared.debt_bytes.load(Ordering::Acquire),
            sync_us_buckets: shared.sync_queue.times.buckets(),
            sync_time: shared.sync_queue.times.sum(),
            poisoned: shared.poison.reason().map(str::to_owned),
            visible_lsn: shared.progress.visible(),
            synced_lsn: shared.progress.synced(),
            flushed_lsn: shared.manifest.lock().inventory().flushed_lsn,
            epoch: shared.progress.epoch(),
        }
    }

    /// About how many keys and bytes lie in the range. The memtables' part is counted, up to
    /// some thousands of keys; the tables' part follows from their indexes.
    pub fn estimate_range(&self, range: Range) -> (u64, u64) {
        let view = self.shared().view();
        let mut total = (0, 0);
        for memtable in std::iter::once(&view.active).chain(&view.full) {
            let (keys, bytes) = memtable.estimate(&range);
            total = (total.0 + keys, total.1 + bytes);
        }
        for table in view.version.tables() {
            let (keys, bytes) = table.estimate(&range);
            total = (total.0 + keys, total.1 + bytes);
        }
        total
    }

    /// About how many bytes lie between each of `bounds` (ascending) and the one after it: one figure less than bounds.
    /// Walks through the memtables; the tables' part follows from their indexes. Overwritten and deleted entries that
    /// compaction has not reached count, as they do on the disk.
    pub fn estimate_parts(&self, bounds: &[impl AsRef<[u8]>]) -> Vec<u64> {
        let view = self.shared().view();
        let mut parts = vec![0; bounds.len().saturating_sub(1)];
        for memtable in std::iter::once(&view.active).chain(&view.full) {
            memtable.add_parts(bounds, &mut parts);
        }
        for table in view.version.tables() {
            table.add_parts(bounds, &mut parts);
        }
        parts
    }
}

fn level_stats(shared: &Shared, version: &Version) -> Vec<LevelStats> {
    let levels = version.levels().iter().enumerate();
    let one = |(level, tables): (usize, &Run)| {
        let (read_bytes, written_bytes) = shared.counters.level(level);
        let mut stats = LevelStats {
            tables: tables.len() as u64,
            read_bytes,
            written_bytes,
            ..LevelStats::default()
        };
        for table in tables.iter() {
            stats.bytes += table.bytes;
            stats.entries += table.properties.entries;
            stats.tombstones += table.properties.tombstones;
            let hidden = version.hidden(table.number);
            stats.hidden_parts += hidden.map_or(0, |parts| parts.len() as u64);
        }
        stats
    };
    levels.map(one).collect()
}

fn write_amplification(levels: &[LevelStats]) -> f64 {
    let written: u64 = levels.iter().map(|level| level.written_bytes).sum();
    match levels.first().map(|level| level.written_bytes) {
        Some(flushed) if flushed > 0 => written as f64 / flushed as f64,
        _ => 0.0,
    }
}

fn live(table: &Table) -> i64 {
    table.properties.entries as i64 - 2 * table.properties.tombstones as i64
}
