//! The committer's part of an ingest. It stops sequencing until the files are installed: their place
//! in the order of commits is decided here, like any other, and no crash or error can leave them
//! between two records.

use std::sync::Arc;

use super::answer::{Answer, Completion};
use super::committer::{Committer, LogHolds};
use super::syncer::Written;
use crate::error::{Error, Result};
use crate::ingest::Ingested;
use crate::ingest::commit::operations;
use crate::ingest::stage::Staged;
use crate::log::{LogRecord, frame};

impl Committer {
    /// Fails only if the store must be poisoned; the caller is answered in any case.
    pub(super) fn ingest(&mut self, staged: Staged, done: Completion<Ingested>) -> Result<()> {
        if let Some(lsn) = self.shared.ingested(staged.request) {
            let repeated = true;
            done.run(Ok(Ingested { lsn, repeated }));
            return Ok(());
        }
        let record = match self.prepare(&staged) {
            Ok(record) => record,
            Err(error) => {
                done.run(Err(error));
                return Ok(());
            }
        };
        let lsn = record.lsn;
        let mut frames = Vec::new();
        let reserved = self
            .log
            .reserve((frame::HEADER_BYTES + record.encoded().len()) as u64);
        let appended = reserved.and_then(|segment| {
            let synced = self.shared.progress.synced();
            frame::put(&mut frames, segment, synced, |buffer| {
                buffer.extend_from_slice(record.encoded());
            });
            // From here on the log may name the files.
            staged.files.iter().for_each(|file| file.table.keep());
            self.log.append(&frames, lsn)
        });
        let file = match appended {
            Err(error @ Error::DiskFull { .. }) => {
                let files = staged.files.iter();
                files.for_each(|file| file.table.mark_obsolete());
                done.run(Err(error));
                return Ok(());
            }
            appended => appended,
        };
        let installed = file.and_then(|file| {
            let path = &self.shared.path;
            file.sync()
                .map_err(|error| Error::io(path, "sync the log of", error))?;
            self.shared.progress.set_appended(lsn);
            let request = staged.request;
            let tables = staged.files.into_iter().map(|file| file.table).collect();
            let at = (record.epoch, record.clock_ms);
            self.shared.install_ingested(tables, lsn, at, request)?;
            Ok(file)
        });
        let file = match installed {
            Ok(file) => file,
            Err(error) => {
                done.run(Err(error.clone()));
                return Err(error);
            }
        };
        let repeated = false;
        self.shared.sync_queue.push(Written {
            attended: false,
            file: Some(file),
            last_lsn: lsn,
            records: vec![Arc::new(record)],
            bytes: frames.len(),
            answers: vec![Answer::Ingest(done, Ingested { lsn, repeated })],
        });
        Ok(())
    }

    /// What is older is in tables when this returns the record to log.
    fn prepare(&mut self, staged: &Staged) -> Result<LogRecord> {
        self.shared.poison.check()?;
        self.rotate();
        self.shared.wait_for_flushes()?;
        self.log_holds = LogHolds::All;
        let shared = &self.shared;
        let previous = shared.progress.appended();
        let lsn = previous + 1;
        Ok(LogRecord::new(
            shared.progress.epoch(),
            lsn,
            previous,
            shared.clock_ms(),
            operations(staged, lsn),
        ))
    }
}
