//! The log as an archive follows it, and as a restored store takes it back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Store;
use crate::commit::queue::{Logging, Work};
use crate::error::{Error, Result};
use crate::log::{LogHold, LogRecord, reread};

impl Store {
    /// As [`Store::records_after`], and from the segments on disk what memory no longer holds.
    ///
    /// Errors: `Gap` when the disk does not hold it either, `Corruption`, `Io`.
    pub fn log_after(&self, lsn: u64, max_bytes: usize) -> Result<Vec<Arc<LogRecord>>> {
        let shared = self.open_shared()?;
        let synced = shared.progress.synced();
        match self.records_after(lsn, max_bytes) {
            Err(Error::Gap { .. }) if lsn < synced => {
                let found = reread::after(&*shared.io, &shared.segments, lsn, synced, max_bytes)?;
                Ok(found.into_iter().map(Arc::new).collect())
            }
            found => found,
        }
    }

    /// The records after `lsn` stay on disk while the hold lives, as far as they are there now.
    pub fn hold_log(&self, lsn: u64) -> LogHold {
        self.shared().segments.hold(lsn)
    }

    /// The archive has the log through `lsn`, of which `bytes` are new to it: their segments may go, and no
    /// writer is held back for them.
    pub fn archived(&self, lsn: u64, bytes: u64) {
        let shared = self.shared();
        shared.segments.archived(lsn);
        let less = |before: u64| Some(before.saturating_sub(bytes));
        let lag = &shared.unarchived_bytes;
        // Never refused: the closure always has a value.
        let _ = lag.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Bytes of the log, appended since the store was opened, that the archive lacks.
    pub fn unarchived_bytes(&self) -> u64 {
        self.shared().unarchived_bytes.load(Ordering::Relaxed)
    }

    /// Appends records of another store's log, which must continue this one's chain, as they are. All or
    /// none of them; returns the last LSN. Nobody else may write.
    ///
    /// Errors: `Gap` (they continue elsewhere), `Invalid` (of an older epoch, or an ingest, whose files are
    /// not at hand), `DiskFull`, `Poisoned`, `Closed`.
    pub fn apply(&self, records: Vec<LogRecord>) -> Result<u64> {
        self.take_over(records, Logging::Needed)
    }

    /// As [`Store::apply`], but without the log as long as that is empty: for a store that is thrown away if
    /// it does not get to its end. What was applied so is durable after the next [`Store::flush`]; a crash takes
    /// the store back to the last one. Whatever is logged next waits for one.
    ///
    /// Errors: as [`Store::apply`]; `Invalid` when the store keeps a tail, which would miss these records.
    pub fn apply_unlogged(&self, records: Vec<LogRecord>) -> Result<u64> {
        if self.shared().tail.keeps() {
            let what = "records cannot bypass the log of a store that is followed";
            return Err(Error::Invalid(what.into()));
        }
        self.take_over(records, Logging::Spared)
    }

    fn take_over(&self, records: Vec<LogRecord>, logging: Logging) -> Result<u64> {
        if records.is_empty() {
            return Ok(self.visible_lsn());
        }
        self.ask(|done| Work::Apply(records, logging, done))
    }
}
