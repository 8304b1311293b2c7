//! What a replica keeps of its primary's log (D5): the records that the archive lacks, as they are in the log. No I/O.
//!
//! A **run** is a chain of records without a gap from its start on. The newest is fed by a stream; older ones are of epochs
//! that have ended, when the next primary's log does not continue them, and are kept until its archive covers them. What
//! the archive has is dropped from the front, and a run's start rises with it: so a start is never above the cut of an
//! archive that is sealed later, and a taker finds no hole between the cut and a run (t41).
//!
//! A run is **complete** when it reaches the LSN that its primary named at the stream's begin: nothing was acknowledged by
//! then without this replica that lies beyond it. From then on the primary waits for this replica, if it is a member. One
//! that restarts begins anew, and counts again only when it has come so far (t42).
//!
//! Bounded: `capacity` bytes of records; the primary sends no more than fit, and one that does loses the stream.

use std::collections::VecDeque;
use std::fmt;

use aidb_client::pb;
use aidb_lsm::LogRecord;
use bytes::Bytes;

/// Of epochs that ended before anything of them was archived; more takeovers in a row than that lose the oldest tail.
const MOST_RUNS: usize = 8;
/// Of a record beyond its bytes.
const RECORD_OVERHEAD: usize = 48;

#[derive(Default)]
pub struct Held {
    capacity: usize,
    /// No records of older epochs are taken: the newest that was heard of, or that a taker sealed for.
    floor: u64,
    /// Of the stream that feeds the newest run.
    epoch: u64,
    runs: VecDeque<Run>,
    bytes: usize,
}

#[derive(Clone, Default)]
pub struct Run {
    pub start_lsn: u64,
    pub last_lsn: u64,
    pub complete_lsn: u64,
    pub records: VecDeque<(u64, Bytes)>,
}

impl Run {
    pub fn complete(&self) -> bool {
        self.last_lsn >= self.complete_lsn
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// A newer one is known, or a taker has sealed this tail.
    OldEpoch {
        known: u64,
        offered: u64,
    },
    Gap {
        last: u64,
        previous: u64,
    },
    Full,
    Damaged,
    /// Records before the begin.
    Order,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldEpoch { known, offered } => {
                write!(f, "epoch {offered} is over: {known} has begun")
            }
            Self::Gap { last, previous } => write!(
                f,
                "a record continues LSN {previous}, but what is held ends at {last}"
            ),
            Self::Full => f.write_str("there is no room for more records"),
            Self::Damaged => f.write_str("a record that is none"),
            Self::Order => f.write_str("records came before the stream's begin"),
        }
    }
}

impl Held {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// The shard has come to `epoch`.
    pub fn learn(&mut self, epoch: u64) {
        self.floor = self.floor.max(epoch);
    }

    pub fn hello(&self, name: &str) -> pb::HoldHello {
        pb::HoldHello {
            name: name.into(),
            epoch: self.floor,
            last_lsn: self.last_lsn(),
            capacity_bytes: self.capacity as u64,
        }
    }

    pub fn last_lsn(&self) -> u64 {
        self.runs.back().map_or(0, |run| run.last_lsn)
    }

    /// A stream begins: it continues the newest run, or a new one begins beside it.
    pub fn begin(&mut self, begin: &pb::HoldBegin) -> Result<(), Refused> {
        self.check(begin.epoch)?;
        self.floor = begin.epoch;
        self.epoch = begin.epoch;
        match self.runs.back_mut() {
            Some(run) if run.last_lsn == begin.after_lsn => {
                // A run that was not complete before does not become so by a lower mark.
                run.complete_lsn = run.complete_lsn.max(begin.complete_lsn);
            }
            _ => self.runs.push_back(Run {
                start_lsn: begin.after_lsn,
                last_lsn: begin.after_lsn,
                complete_lsn: begin.complete_lsn,
                records: VecDeque::new(),
            }),
        }
        self.archived(begin.archived_lsn);
        while self.runs.len() > MOST_RUNS
            && let Some(oldest) = self.runs.pop_front()
        {
            self.bytes -= oldest.records.iter().map(cost).sum::<usize>();
        }
        Ok(())
    }

    /// Takes what a stream of `epoch` brings; the LSN to confirm.
    pub fn take(&mut self, epoch: u64, records: pb::HoldRecords) -> Result<u64, Refused> {
        self.check(epoch)?;
        self.archived(records.archived_lsn);
        for encoded in records.records {
            let record = LogRecord::decode(encoded.clone()).map_err(|_| Refused::Damaged)?;
            let Some(run) = self.runs.back_mut().filter(|_| self.epoch == epoch) else {
                return Err(Refused::Order);
            };
            if record.previous_lsn != run.last_lsn || record.lsn <= run.last_lsn {
                return Err(Refused::Gap {
                    last: run.last_lsn,
                    previous: record.previous_lsn,
                });
            }
            let held = (record.lsn, encoded);
            if self.bytes + cost(&held) > self.capacity && self.bytes > 0 {
                return Err(Refused::Full);
            }
            self.bytes += cost(&held);
            run.last_lsn = record.lsn;
            run.records.push_back(held);
        }
        Ok(self.last_lsn())
    }

    /// The archive of the newest epoch has everything through `lsn`.
    fn archived(&mut self, lsn: u64) {
        for run in &mut self.runs {
            while let Some(record) = run.records.front()
                && record.0 <= lsn
            {
                self.bytes -= cost(record);
                run.start_lsn = record.0;
                run.records.pop_front();
            }
        }
        let newest = self.runs.len();
        let mut position = 0;
        self.runs.retain(|run| {
            position += 1;
            position == newest || !run.records.is_empty()
        });
    }

    /// A taker of `epoch` ends what older primaries may add; what is held stays.
    pub fn seal(&mut self, epoch: u64) -> Result<Vec<Run>, Refused> {
        self.check(epoch)?;
        self.floor = epoch;
        Ok(self.runs.iter().cloned().collect())
    }

    /// Of no use to anybody: this replica is no member, so that nothing was acknowledged because of it.
    pub fn forget(&mut self) {
        self.runs.clear();
        self.bytes = 0;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn check(&self, epoch: u64) -> Result<(), Refused> {
        if epoch < self.floor {
            return Err(Refused::OldEpoch {
                known: self.floor,
                offered: epoch,
            });
        }
        Ok(())
    }
}

fn cost((_, encoded): &(u64, Bytes)) -> usize {
    encoded.len() + RECORD_OVERHEAD
}

#[cfg(test)]
mod tests {
    use aidb_lsm::{Batch, Condition, Op, OpKind, Options, RequestId, Store};

    use super::*;

    /// A log of `count` records, and where it begins.
    fn log(count: usize) -> Vec<LogRecord> {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Options::default()).unwrap();
        store.begin_epoch(1).unwrap();
        let start = store.synced_lsn();
        for number in 0..count {
            let op = Op {
                key: number.to_be_bytes().to_vec(),
                kind: OpKind::Put {
                    value: vec![7; 100].into(),
                    expires_at_ms: 0,
                },
                condition: Condition::None,
                request: RequestId::default(),
                first_sent_ms: 0,
                deadline_ms: 0,
                tag: 0,
            };
            store.write(Batch::from(vec![op])).unwrap();
        }
        let records = store.records_after(start, usize::MAX).unwrap();
        records
            .iter()
            .map(|record| LogRecord::decode(record.encoded().clone()).unwrap())
            .collect()
    }

    fn begin(epoch: u64, after: u64, complete: u64) -> pb::HoldBegin {
        pb::HoldBegin {
            epoch,
            after_lsn: after,
            archived_lsn: after,
            complete_lsn: complete,
        }
    }

    fn records(records: &[LogRecord], archived_lsn: u64) -> pb::HoldRecords {
        pb::HoldRecords {
            records: records
                .iter()
                .map(|record| record.encoded().clone())
                .collect(),
            archived_lsn,
        }
    }

    fn runs(held: &Held) -> Vec<(u64, u64, usize, bool)> {
        let of = |run: &Run| {
            (
                run.start_lsn,
                run.last_lsn,
                run.records.len(),
                run.complete(),
            )
        };
        held.runs.iter().map(of).collect()
    }

    #[test]
    fn records_are_held_until_the_archive_has_them() {
        let log = log(4);
        let after = log[0].previous_lsn;
        let mut held = Held::new(1 << 20);
        held.begin(&begin(1, after, log[1].lsn)).unwrap();
        assert_eq!(runs(&held), [(after, after, 0, false)]);
        assert_eq!(held.take(1, records(&log[..2], 0)), Ok(log[1].lsn));
        assert_eq!(runs(&held), [(after, log[1].lsn, 2, true)]);
        assert_eq!(
            held.take(1, records(&log[3..], 0)),
            Err(Refused::Gap {
                last: log[1].lsn,
                previous: log[2].lsn
            })
        );
        held.take(1, records(&log[2..], log[1].lsn)).unwrap();
        assert_eq!(runs(&held), [(log[1].lsn, log[3].lsn, 2, true)]);
        held.take(1, records(&[], log[3].lsn)).unwrap();
        assert_eq!(runs(&held), [(log[3].lsn, log[3].lsn, 0, true)]);
        assert_eq!(held.bytes(), 0);
    }

    #[test]
    fn a_sealed_tail_takes_nothing_of_older_epochs_and_stays() {
        let log = log(3);
        let after = log[0].previous_lsn;
        let mut held = Held::new(1 << 20);
        held.begin(&begin(1, after, 0)).unwrap();
        held.take(1, records(&log[..2], 0)).unwrap();
        assert_eq!(held.seal(2).unwrap().len(), 1);
        let old = Refused::OldEpoch {
            known: 2,
            offered: 1,
        };
        assert_eq!(held.take(1, records(&log[2..], 0)), Err(old));
        assert!(held.begin(&begin(1, log[1].lsn, 0)).is_err());
        assert!(held.seal(1).is_err());
        // The next epoch's log does not continue it: kept beside the new run, until its archive is that far.
        held.begin(&begin(2, after, 0)).unwrap();
        assert_eq!(
            runs(&held),
            [(after, log[1].lsn, 2, true), (after, after, 0, true)]
        );
        assert_eq!(held.seal(3).unwrap().len(), 2);
        held.begin(&begin(3, log[1].lsn, 0)).unwrap();
        assert_eq!(runs(&held), [(log[1].lsn, log[1].lsn, 0, true)]);
    }

    #[test]
    fn what_continues_a_run_does_not_complete_it_by_a_lower_mark() {
        let log = log(2);
        let after = log[0].previous_lsn;
        let mut held = Held::new(1 << 20);
        held.begin(&begin(1, after, log[1].lsn)).unwrap();
        held.take(1, records(&log[..1], 0)).unwrap();
        held.begin(&pb::HoldBegin {
            archived_lsn: 0,
            ..begin(2, log[0].lsn, 0)
        })
        .unwrap();
        assert_eq!(runs(&held), [(after, log[0].lsn, 1, false)]);
        held.take(2, records(&log[1..], 0)).unwrap();
        assert_eq!(runs(&held), [(after, log[1].lsn, 2, true)]);
    }

    #[test]
    fn its_memory_is_bounded() {
        let log = log(3);
        let mut held = Held::new(250);
        held.begin(&begin(1, log[0].previous_lsn, 0)).unwrap();
        held.take(1, records(&log[..1], 0)).unwrap();
        assert_eq!(held.take(1, records(&log[1..], 0)), Err(Refused::Full));
        assert_eq!(held.last_lsn(), log[0].lsn);
        held.take(1, records(&[], log[0].lsn)).unwrap();
        assert_eq!(held.take(1, records(&log[1..2], 0)), Ok(log[1].lsn));
        held.forget();
        assert_eq!((held.bytes(), held.last_lsn()), (0, 0));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let mut held = Held::new(1 << 20);
        let damaged = pb::HoldRecords {
            records: vec![Bytes::from_static(b"nonsense")],
            archived_lsn: 0,
        };
        assert_eq!(held.take(1, damaged.clone()), Err(Refused::Damaged));
        held.begin(&begin(1, 0, 0)).unwrap();
        assert_eq!(held.take(1, damaged), Err(Refused::Damaged));
    }
}
