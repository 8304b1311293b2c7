//! Records of another store's log, taken over as they are: LSNs, epochs, versions, clocks and request ids stay what
//! they were. So a store that was restored from a snapshot catches up with an archive, which is its log until it is
//! there: its own is spared, from its begin on (a log with a hole would be a damaged one).

use super::answer::{Answer, Completion};
use super::committer::{Appended, Committer, Group, LogHolds};
use super::queue::Logging;
use crate::error::{Error, Result};
use crate::log::{LogOpKind, LogRecord, frame};
use crate::pressure::Pace;

impl Committer {
    /// Fails only if the store must be poisoned; the caller is answered in any case.
    pub(super) fn apply(
        &mut self,
        records: Vec<LogRecord>,
        logging: Logging,
        done: Completion<u64>,
    ) -> Result<()> {
        let logged = logging == Logging::Needed || self.log_holds == LogHolds::All;
        let bytes = if logged {
            let frames = records.iter();
            frames
                .map(|record| frame::HEADER_BYTES + record.encoded().len())
                .sum()
        } else {
            0
        };
        let segment = self
            .shared
            .poison
            .check()
            .and_then(|()| self.check_continues(&records))
            .and_then(|()| self.shared.admit(bytes, Pace::Bulk))
            .and_then(|()| self.place(logged, bytes));
        let segment = match segment {
            Ok(segment) => segment,
            Err(error) => {
                done.run(Err(error));
                return Ok(());
            }
        };
        let shared = &self.shared;
        let progress = &shared.progress;
        let mut group = Group {
            segment,
            logged,
            synced_lsn: progress.synced(),
            clock_ms: 0,
            buffer: Vec::with_capacity(bytes),
            records: Vec::with_capacity(records.len()),
            answers: Vec::new(),
            last_lsn: progress.appended(),
            epoch: progress.epoch(),
        };
        let keeps = shared.tail.keeps();
        for record in records {
            let place = logged.then(|| {
                frame::put(&mut group.buffer, segment, group.synced_lsn, |buffer| {
                    buffer.extend_from_slice(record.encoded());
                })
            });
            group.last_lsn = record.lsn;
            group.epoch = record.epoch;
            progress.clock(record.clock_ms);
            if let Some(gate) = &mut self.gate {
                gate.replayed(&record);
            }
            // Who follows gets what the log has; the memtable alone takes what was decoded already.
            group.records.push(match place {
                Some(place) if keeps => Appended::Encoded(place, Vec::new()),
                _ => Appended::Plain(record),
            });
        }
        let last_lsn = group.last_lsn;
        group.answers.push((Answer::Epoch(done, last_lsn), false));
        self.append(group)
    }

    /// Room in the log, of the segment that is returned, if that is where the records go.
    fn place(&mut self, logged: bool, bytes: usize) -> Result<u64> {
        if logged {
            self.begin_logging()?;
            return self.log.reserve(bytes as u64);
        }
        self.log_holds = LogHolds::NotAll;
        Ok(0)
    }

    /// Errors: `Gap` (the chain of predecessors does not continue here), `Invalid`.
    fn check_continues(&self, records: &[LogRecord]) -> Result<()> {
        let progress = &self.shared.progress;
        let (mut last_lsn, mut epoch) = (progress.appended(), progress.epoch());
        for record in records {
            if record.previous_lsn != last_lsn || record.lsn <= last_lsn {
                return Err(Error::Gap {
                    asked: last_lsn,
                    oldest: record.previous_lsn,
                });
            }
            let lsn = record.lsn;
            if record.epoch < epoch {
                let what = format!(
                    "the record at lsn {lsn} is of epoch {}, after {epoch}",
                    record.epoch
                );
                return Err(Error::Invalid(what));
            }
            if record.ops.iter().any(|op| op.kind == LogOpKind::Ingest) {
                let what =
                    format!("the record at lsn {lsn} brings in files, which are not at hand");
                return Err(Error::Invalid(what));
            }
            (last_lsn, epoch) = (lsn, record.epoch);
        }
        Ok(())
    }
}
