//! Operations that another store had logged, as one record of this one: they keep the versions and request ids that
//! they came with (V1), as ingested values do.

use super::answer::{Answer, Completion};
use super::committer::{Appended, Committer, Group};
use crate::error::{Error, Result};
use crate::log::{LogOp, LogOpKind, LogRecord, frame};

/// What [`crate::Store::import`] appends.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// Without ingests and epochs.
    pub ops: Vec<LogOp>,
    /// The record's LSN is at least this.
    pub least_lsn: u64,
    /// The record's clock is at least this (V3).
    pub least_clock_ms: u64,
}

impl Committer {
    /// Fails only if the store must be poisoned; the caller is answered in any case.
    pub(super) fn import(&mut self, import: Import, done: Completion<u64>) -> Result<()> {
        let record = match self.record_of(import) {
            Ok(record) => record,
            Err(error) => {
                done.run(Err(error));
                return Ok(());
            }
        };
        let bytes = frame::HEADER_BYTES + record.encoded().len();
        let segment = match self.room(bytes) {
            Ok(segment) => segment,
            Err(error) => {
                done.run(Err(error));
                return Ok(());
            }
        };
        let progress = &self.shared.progress;
        progress.clock(record.clock_ms);
        let mut group = Group {
            segment,
            logged: true,
            synced_lsn: progress.synced(),
            clock_ms: record.clock_ms,
            buffer: Vec::with_capacity(bytes),
            records: Vec::with_capacity(1),
            answers: Vec::with_capacity(1),
            last_lsn: record.lsn,
            epoch: record.epoch,
        };
        let place = frame::put(&mut group.buffer, segment, group.synced_lsn, |buffer| {
            buffer.extend_from_slice(record.encoded());
        });
        if let Some(gate) = &mut self.gate {
            gate.replayed(&record);
        }
        group.answers.push((Answer::Epoch(done, record.lsn), true));
        group.records.push(if self.shared.tail.keeps() {
            Appended::Encoded(place, vec![0; record.ops.len()])
        } else {
            Appended::Plain(record)
        });
        self.append(group)
    }

    /// Errors: `Invalid`.
    fn record_of(&mut self, import: Import) -> Result<LogRecord> {
        let unfit = |op: &LogOp| matches!(op.kind, LogOpKind::Epoch | LogOpKind::Ingest);
        if import.ops.is_empty() || import.ops.iter().any(unfit) {
            let what = "an import has operations on keys and ranges, at least one";
            return Err(Error::Invalid(what.into()));
        }
        if let Some(gate) = &mut self.gate
            && let Some(why) = gate.refuses(&import.ops)
        {
            return Err(Error::Invalid(why));
        }
        let progress = &self.shared.progress;
        let previous = progress.appended();
        let lsn = import.least_lsn.max(previous + 1);
        let clock_ms = import.least_clock_ms.max(self.shared.clock_ms());
        Ok(LogRecord::new(
            progress.epoch(),
            lsn,
            previous,
            clock_ms,
            import.ops,
        ))
    }
}
