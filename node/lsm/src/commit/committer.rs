//! Forms groups, judges them, gives them LSNs, appends them to the log and inserts them into the
//! memtable. The only writer of all of these; whoever holds its lock is the committer of the moment.
//!
//! Invariants: a record is in the memtable before its LSN can become visible; nothing of a group
//! is visible or answered when its append failed; a group that found the disk full used no LSN.

use std::sync::Arc;

use bytes::Bytes;

use super::answer::{Answer, Completion};
use super::frames::Frames;
use super::judge::{Judge, Overlay};
use super::queue::Work;
use super::syncer::Written;
use crate::batch::{Batch, Committed, Condition, Gate, Op, Outcome};
use crate::error::{Error, Result};
use crate::log::record::{self, Header};
use crate::log::writer::LogWriter;
use crate::log::{LogOp, LogRecord, frame};
use crate::memtable::Memtable;
use crate::options::SyncMode;
use crate::pressure::Pace;
use crate::shared::Shared;

/// A new epoch leaves room for what others may have taken up to the cut (V1), once for each epoch since the last one that
/// is in this log: those between may have been served and be lost, and each of them began with such a leap.
const EPOCH_GAP: u64 = 1 << 32;
/// Of a group and of a record, what is kept as memory for the next one.
const SPARE_BYTES: usize = 64 << 10;
const SPARE_OPS: usize = 128;

/// What the log has of the records that are in no table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LogHolds {
    /// It is empty, and so are the memtables.
    Nothing,
    /// It is empty, they are not.
    NotAll,
    All,
}

pub(crate) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: LogWriter,
    pub(super) log_holds: LogHolds,
    pub(super) gate: Option<Box<dyn Gate>>,
    /// Whoever commits looks after the sync, too.
    attended: bool,
    pub(super) frames: Frames,
    /// Empty, between two groups: their memory serves the next one.
    pub(super) buffer: Vec<u8>,
    ops: Vec<LogOp>,
}

/// A record of a group, on its way to the memtable.
pub(super) enum Appended {
    /// Where it is in the group's buffer, and the tags of its operations.
    Encoded(std::ops::Range<usize>, Vec<u32>),
    /// Nobody but the memtable wants it: reading it back would cost more than to encode it.
    Plain(LogRecord),
}

/// A group while it is encoded.
pub(super) struct Group {
    pub segment: u64,
    /// `buffer` goes to the log.
    pub logged: bool,
    pub synced_lsn: u64,
    pub clock_ms: u64,
    pub buffer: Vec<u8>,
    pub records: Vec<Appended>,
    pub answers: Vec<(Answer, bool)>,
    pub last_lsn: u64,
    pub epoch: u64,
}

impl Committer {
    /// `logged`: the log has records.
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: LogWriter,
        logged: bool,
        gate: Option<Box<dyn Gate>>,
    ) -> Self {
        Committer {
            shared,
            log,
            log_holds: if logged {
                LogHolds::All
            } else {
                LogHolds::Nothing
            },
            gate,
            attended: false,
            frames: Frames::default(),
            buffer: Vec::new(),
            ops: Vec::new(),
        }
    }

    /// Commits what waits in the queue, as one group.
    pub(crate) fn drain(&mut self) {
        let works = self.shared.queue.take();
        self.poisoning(|committer| committer.group(works));
    }

    /// Commits one batch that found nobody before it, for a caller that then helps the syncer.
    pub(crate) fn alone(&mut self, batch: Batch, done: Completion<Committed>) {
        self.attended = true;
        self.poisoning(|committer| committer.commit(vec![Work::Batch(batch, done)]));
        self.attended = false;
    }

    /// Whether a write by itself needs no answer but its caller's, no judgement and no record for others.
    pub(crate) fn takes_singles(&self) -> bool {
        let shared = &self.shared;
        let at_once = shared.config.sync != SyncMode::Group;
        at_once && self.gate.is_none() && !shared.tail.keeps()
    }

    /// After a failure the tail of the log is unknown: no LSN may be given again.
    fn poisoning(&mut self, commit: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = commit(self) {
            self.shared.poison.set(error.to_string());
        }
    }

    /// Fails only if the store must be poisoned; everybody in the group is answered in any case.
    fn group(&mut self, works: Vec<Work>) -> Result<()> {
        let mut pending = Vec::new();
        for work in works {
            if let Work::Rotate(done) = work {
                self.commit(std::mem::take(&mut pending))?;
                done.run(Ok(self.rotate()));
            } else if let Work::Ingest(staged, done) = work {
                self.commit(std::mem::take(&mut pending))?;
                self.ingest(staged, done)?;
            } else if let Work::Import(import, done) = work {
                self.commit(std::mem::take(&mut pending))?;
                self.import(import, done)?;
            } else if let Work::Apply(records, logging, done) = work {
                self.commit(std::mem::take(&mut pending))?;
                self.apply(records, logging, done)?;
            } else if work.deletes_ranges() {
                // Conditions of its neighbours are judged before it, or see what it left.
                self.commit(std::mem::take(&mut pending))?;
                self.commit(vec![work])?;
            } else {
                pending.push(work);
            }
        }
        self.commit(pending)
    }

    fn commit(&mut self, works: Vec<Work>) -> Result<()> {
        if works.is_empty() {
            return Ok(());
        }
        let bytes: usize = works.iter().map(max_frame_len).sum();
        let segment = match self.room(bytes) {
            Ok(segment) => segment,
            Err(error) => {
                works.into_iter().for_each(|work| work.fail(error.clone()));
                return Ok(());
            }
        };
        let group = self.encode(works, segment, bytes);
        self.append(group)
    }

    /// Room for `bytes` of writers' records in the log, in the segment that is returned.
    ///
    /// Errors: `DiskFull`, `Poisoned`, and those of admission.
    pub(super) fn room(&mut self, bytes: usize) -> Result<u64> {
        self.shared.poison.check()?;
        self.shared.admit(bytes, Pace::Smooth)?;
        self.begin_logging()?;
        self.log.reserve(bytes as u64)
    }

    /// Before anything is logged: what is in no log has to be in tables, or a crash would leave a hole before the log.
    ///
    /// Errors: `DiskFull`, `Poisoned`.
    pub(super) fn begin_logging(&mut self) -> Result<()> {
        if self.log_holds == LogHolds::NotAll {
            self.rotate();
            self.shared.wait_for_flushes()?;
        }
        self.log_holds = LogHolds::All;
        Ok(())
    }

    fn encode(&mut self, works: Vec<Work>, segment: u64, bytes: usize) -> Group {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.reserve(bytes);
        let progress = &self.shared.progress;
        let mut group = Group {
            segment,
            logged: true,
            synced_lsn: progress.synced(),
            clock_ms: self.shared.clock_ms(),
            buffer,
            records: Vec::with_capacity(works.len()),
            answers: Vec::with_capacity(works.len()),
            last_lsn: progress.appended(),
            epoch: progress.epoch(),
        };
        let conditional = works.iter().any(|work| match work {
            Work::Batch(batch, _) => batch.ops.iter().any(|op| op.condition != Condition::None),
            _ => false,
        });
        let mut overlay = conditional.then(Overlay::new);
        for work in works {
            match work {
                Work::Batch(batch, done) => self.batch(&mut group, batch, done, &mut overlay),
                Work::Epoch(epoch, least_lsn, done) => group.begin_epoch(epoch, least_lsn, done),
                work
                @ (Work::Rotate(_) | Work::Apply(..) | Work::Import(..) | Work::Ingest(..)) => {
                    work.fail(Error::Invalid("not part of a group".into()));
                }
            }
        }
        group
    }

    fn batch(
        &mut self,
        group: &mut Group,
        batch: Batch,
        done: Completion<Committed>,
        overlay: &mut Option<Overlay>,
    ) {
        let lsn = group.last_lsn + 1;
        let clock_ms = group.clock_ms;
        let lookup = |key: &[u8]| {
            let view = self.shared.view();
            let value = self.shared.noting_damage(view.get(key, u64::MAX))?;
            Ok(value.and_then(|value| value.visible(clock_ms)))
        };
        let mut judge = Judge {
            gate: self.gate.as_deref_mut(),
            lookup: &lookup,
            overlay: overlay.as_mut(),
            lsn,
            clock_ms,
        };
        let outcomes = match judge.batch(&batch) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                if let Some(gate) = &mut self.gate {
                    gate.abandoned(lsn);
                }
                return done.run(Err(error));
            }
        };
        let applied = || {
            let pairs = batch.ops.iter().zip(&outcomes);
            pairs.filter_map(|(op, outcome)| {
                matches!(outcome, Outcome::Applied { .. }).then_some(op)
            })
        };
        let durable = batch.sync == Some(SyncMode::Group);
        if applied().next().is_some() {
            let header = group.header(lsn);
            let place = group.put_record(header, applied());
            group.records.push(if self.shared.tail.keeps() {
                Appended::Encoded(place, applied().map(|op| op.tag).collect())
            } else {
                let ops = std::mem::take(&mut self.ops);
                let pairs = batch.ops.into_iter().zip(&outcomes);
                let applied = pairs.filter_map(|(op, outcome)| {
                    matches!(outcome, Outcome::Applied { .. }).then_some(op)
                });
                let keep = |value: Bytes| match Memtable::copies(&value) {
                    true => value,
                    false => self.frames.keep(&value),
                };
                Appended::Plain(LogRecord::plain(ops, header, applied, keep))
            });
        }
        let committed = Committed {
            lsn: group.last_lsn,
            clock_ms,
            outcomes,
        };
        group
            .answers
            .push((Answer::Batch(done, committed), durable));
    }

    pub(super) fn append(&mut self, group: Group) -> Result<()> {
        let Group {
            logged,
            mut buffer,
            records,
            answers,
            last_lsn,
            epoch,
            ..
        } = group;
        let first_lsn = self.shared.progress.appended() + 1;
        let bytes = buffer.len();
        let mut file = None;
        if !records.is_empty() && logged {
            match self.log.append(&buffer, last_lsn) {
                Ok(synced_by) => file = Some(synced_by),
                Err(error) => {
                    if let (Some(gate), Error::DiskFull { .. }) = (&mut self.gate, &error) {
                        gate.abandoned(first_lsn);
                    }
                    for (answer, _) in answers {
                        answer.run(Err(error.clone()));
                    }
                    return match error {
                        Error::DiskFull { .. } => Ok(()),
                        error => Err(error),
                    };
                }
            }
        }
        self.shared.logged(bytes);
        let encoded = |record: &Appended| matches!(record, Appended::Encoded(..));
        let frames = if records.iter().any(encoded) {
            self.frames.keep_all(&mut buffer)
        } else {
            Bytes::new()
        };
        self.spare(buffer);
        let (records, full) = self.insert(&frames, records)?;
        self.shared.progress.set_epoch(epoch);
        self.shared.progress.set_appended(last_lsn);
        let at_once = self.shared.config.sync != SyncMode::Group;
        if at_once {
            self.shared.progress.set_visible(last_lsn);
        }
        let mut waiting = Vec::new();
        for (answer, durable) in answers {
            if at_once && !durable {
                answer.run(Ok(()));
            } else {
                waiting.push(answer);
            }
        }
        // There is nothing to sync of what is not logged, but whoever flushes it waits for its LSN.
        if file.is_some() || !waiting.is_empty() || !logged {
            self.shared.sync_queue.push(Written {
                file,
                last_lsn,
                records,
                bytes,
                attended: self.attended && !waiting.is_empty(),
                answers: waiting,
            });
        }
        if full {
            self.rotate();
        }
        Ok(())
    }

    pub(super) fn spare(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= SPARE_BYTES {
            buffer.clear();
            self.buffer = buffer;
        }
    }

    /// The records, if anybody wants them, and whether the memtable is full.
    fn insert(
        &mut self,
        frames: &Bytes,
        records: Vec<Appended>,
    ) -> Result<(Vec<Arc<LogRecord>>, bool)> {
        let keeps = self.shared.tail.keeps();
        let mut memtable = Arc::clone(&self.shared.view().active);
        let mut inserted = Vec::new();
        for record in records {
            let (mut record, complete) = match record {
                Appended::Plain(record) => (record, false),
                Appended::Encoded(range, tags) => {
                    let mut record = LogRecord::decode(frames.slice(range))?;
                    for (op, tag) in record.ops.iter_mut().zip(tags) {
                        op.tag = tag;
                    }
                    (record, true)
                }
            };
            if !memtable.has_room_for(&record) {
                self.rotate();
                memtable = Arc::clone(&self.shared.view().active);
            }
            memtable.insert(&record);
            if keeps && complete {
                inserted.push(Arc::new(record));
            } else if record.ops.capacity() <= SPARE_OPS {
                record.ops.clear();
                self.ops = record.ops;
            }
        }
        let full = memtable.bytes() >= self.shared.config.memtable_bytes;
        Ok((inserted, full))
    }

    /// Hands the memtable to the flusher; returns the last LSN that a flush must cover.
    pub(super) fn rotate(&self) -> u64 {
        self.shared.update_view(|view| {
            if !view.active.is_empty() {
                let next = Arc::new(view.active.successor());
                let full = std::mem::replace(&mut view.active, next);
                view.full.insert(0, full);
            }
        });
        self.shared.events.notify();
        self.shared.progress.appended()
    }
}

impl Group {
    /// Where it is in the buffer.
    fn put_record<'a>(
        &mut self,
        header: Header,
        ops: impl Iterator<Item = &'a Op>,
    ) -> std::ops::Range<usize> {
        self.last_lsn = header.lsn;
        frame::put(&mut self.buffer, self.segment, self.synced_lsn, |buffer| {
            record::put_record(buffer, header, ops);
        })
    }

    fn begin_epoch(&mut self, epoch: u64, least_lsn: u64, done: Completion<u64>) {
        if epoch <= self.epoch {
            let what = format!("epoch {epoch} after {}", self.epoch);
            return done.run(Err(Error::Invalid(what)));
        }
        let cut = self.last_lsn;
        // Only the first of all epochs begins without one.
        let leaps = epoch - self.epoch - u64::from(cut == 0);
        let lsn = cut.saturating_add(leaps.saturating_mul(EPOCH_GAP));
        let lsn = lsn.max(cut + 1).max(least_lsn);
        self.epoch = epoch;
        let header = self.header(lsn);
        let range = frame::put(&mut self.buffer, self.segment, self.synced_lsn, |buffer| {
            record::put_epoch_record(buffer, header);
        });
        self.records.push(Appended::Encoded(range, Vec::new()));
        self.last_lsn = lsn;
        self.answers.push((Answer::Epoch(done, cut), true));
    }

    fn header(&self, lsn: u64) -> Header {
        Header {
            epoch: self.epoch,
            lsn,
            previous_lsn: self.last_lsn,
            clock_ms: self.clock_ms,
        }
    }
}

fn max_frame_len(work: &Work) -> usize {
    let ops: &[Op] = match work {
        Work::Batch(batch, _) => &batch.ops,
        Work::Epoch(..)
        | Work::Rotate(_)
        | Work::Apply(..)
        | Work::Import(..)
        | Work::Ingest(..) => &[],
    };
    frame::HEADER_BYTES + 16 + record::max_encoded_len(ops.iter())
}
