use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::stage::{Staged, StagedFile};
use crate::batch::RequestId;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::log::{LogOp, LogOpKind};
use crate::manifest::Edit;
use crate::shared::{Plan, Shared};
use crate::table::Table;
use crate::version::Version;

/// The operations of the record that names the files.
pub(crate) fn operations(staged: &Staged, lsn: u64) -> Vec<LogOp> {
    let files = staged.files.iter();
    let operation = |file: &StagedFile| {
        let properties = &file.table.properties;
        let end = [properties.largest.as_slice(), &[0]].concat();
        LogOp {
            kind: LogOpKind::Ingest,
            key: properties.smallest.clone().into(),
            value: [file.sha256.as_slice(), &end].concat().into(),
            expires_at_ms: 0,
            version: lsn,
            request: staged.request,
            tag: 0,
        }
    };
    files.map(operation).collect()
}

impl Shared {
    /// The LSN at which the request was done, if it was.
    pub(crate) fn ingested(&self, request: RequestId) -> Option<u64> {
        let manifest = self.manifest.lock();
        let done = &manifest.inventory().ingested;
        let mut known = done.iter().filter(|(id, _)| id.client != 0);
        known.find(|(id, _)| *id == request).map(|(_, lsn)| *lsn)
    }

    /// Returns when no full memtable is left.
    ///
    /// Errors: `DiskFull`, `Poisoned`.
    pub(crate) fn wait_for_flushes(&self) -> Result<()> {
        self.disk_full.store(false, Ordering::Release);
        loop {
            let seen = self.events.seen();
            if self.view().full.is_empty() {
                return Ok(());
            }
            self.poison.check()?;
            if self.disk_full.load(Ordering::Acquire) {
                return Err(Error::DiskFull {
                    path: self.path.clone(),
                });
            }
            self.events.wait(seen, Events::LOOK_AGAIN);
        }
    }

    /// Puts the tables into the levels at `lsn`, the last of the log. All that is older is in
    /// tables, and nothing newer is sequenced yet.
    ///
    /// Errors: any must poison the store, whose log says that the tables are there; the next open
    /// completes it.
    pub(crate) fn install_ingested(
        &self,
        tables: Vec<Table>,
        lsn: u64,
        (epoch, clock_ms): (u64, u64),
        request: RequestId,
    ) -> Result<()> {
        let tables: Vec<Arc<Table>> = tables
            .into_iter()
            .map(|mut table| {
                table.properties.last_lsn = lsn;
                Arc::new(table)
            })
            .collect();
        let plan = |version: &Version| Plan {
            edit: Edit {
                flushed_lsn: lsn,
                epoch,
                clock_ms,
                ingested: vec![(request, lsn)],
                ..Edit::default()
            },
            added: tables
                .iter()
                .map(|table| (self.level_for(version, table), Arc::clone(table)))
                .collect(),
            dropped: Vec::new(),
        };
        // Shown with the view: no reader sees the tables at an older LSN.
        self.install(plan, |_| self.progress.set_visible(lsn))?;
        self.segments.flushed(lsn);
        Ok(())
    }

    /// The deepest level in use above which nothing overlaps the table, now or when the running
    /// compaction is done.
    fn level_for(&self, version: &Version, table: &Table) -> usize {
        let compacting = self.compacting.lock();
        let (smallest, largest) = (&table.properties.smallest, &table.properties.largest);
        let levels = version.levels();
        let deepest = levels.iter().rposition(|tables| !tables.is_empty());
        let taken = |level: usize| {
            let target = compacting.as_ref().filter(|hull| hull.target == level);
            target.is_some_and(|hull| hull.smallest <= *largest && *smallest <= hull.largest)
                || levels[level].iter().any(|other| {
                    other.properties.smallest <= *largest && *smallest <= other.properties.largest
                })
        };
        let free = (0..=deepest.unwrap_or(0).max(1)).take_while(|level| !taken(*level));
        free.last().unwrap_or(0)
    }
}
