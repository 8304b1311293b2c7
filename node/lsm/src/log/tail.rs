//! The newest synced records in memory, and who wants to be woken when there are more.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::record::LogRecord;
use crate::error::{Error, Result};

type Wake = dyn Fn() + Send + Sync;

pub(crate) struct Tail {
    limit: usize,
    ring: Mutex<Ring>,
    wakers: Mutex<Vec<(u64, Arc<Wake>)>>,
}

/// Invariant: each record's predecessor is the one before it; `last_lsn` is the newest's LSN, or
/// the LSN at which the store was opened.
struct Ring {
    records: VecDeque<Arc<LogRecord>>,
    bytes: usize,
    last_lsn: u64,
    next_waker: u64,
}

/// Unsubscribes when dropped. A wake that has begun may still finish afterwards.
pub struct Subscription {
    tail: Weak<Tail>,
    id: u64,
}

impl Tail {
    pub(crate) fn new(limit: usize, last_lsn: u64) -> Tail {
        Tail {
            limit,
            ring: Mutex::new(Ring {
                records: VecDeque::new(),
                bytes: 0,
                last_lsn,
                next_waker: 0,
            }),
            wakers: Mutex::new(Vec::new()),
        }
    }

    /// Whether records are kept at all: a store that nobody follows saves their memory.
    pub(crate) fn keeps(&self) -> bool {
        self.limit > 0
    }

    /// The newest LSN when there are no records to say it.
    pub(crate) fn advance(&self, lsn: u64) {
        self.ring.lock().last_lsn = lsn;
    }

    pub(crate) fn publish(&self, records: impl IntoIterator<Item = Arc<LogRecord>>) {
        let mut ring = self.ring.lock();
        for record in records {
            ring.last_lsn = record.lsn;
            ring.bytes += cost(&record);
            ring.records.push_back(record);
        }
        while ring.bytes > self.limit {
            let Some(record) = ring.records.pop_front() else {
                break;
            };
            ring.bytes -= cost(&record);
        }
    }

    pub(crate) fn wake(&self) {
        let wakers: Vec<Arc<Wake>> = {
            let wakers = self.wakers.lock();
            wakers.iter().map(|(_, wake)| Arc::clone(wake)).collect()
        };
        for wake in wakers {
            wake();
        }
    }

    pub(crate) fn after(&self, lsn: u64, max_bytes: usize) -> Result<Vec<Arc<LogRecord>>> {
        let ring = self.ring.lock();
        if lsn == ring.last_lsn {
            return Ok(Vec::new());
        }
        let first = ring
            .records
            .partition_point(|record| record.previous_lsn < lsn);
        match ring.records.get(first) {
            Some(record) if record.previous_lsn == lsn => {}
            _ => {
                let oldest = ring.records.front();
                return Err(Error::Gap {
                    asked: lsn,
                    oldest: oldest.map_or(ring.last_lsn, |record| record.previous_lsn),
                });
            }
        }
        let mut bytes = 0;
        let mut records = Vec::new();
        for record in ring.records.range(first..) {
            bytes += record.encoded().len();
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push(Arc::clone(record));
        }
        Ok(records)
    }

    pub(crate) fn subscribe(self: &Arc<Tail>, wake: Box<Wake>) -> Subscription {
        let id = {
            let mut ring = self.ring.lock();
            ring.next_waker += 1;
            ring.next_waker
        };
        self.wakers.lock().push((id, Arc::from(wake)));
        Subscription {
            tail: Arc::downgrade(self),
            id,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(tail) = self.tail.upgrade() {
            tail.wakers.lock().retain(|(id, _)| *id != self.id);
        }
    }
}

/// Of a record beside itself and its bytes: the counts of who shares both, and what the allocator rounds up.
const BESIDE_BYTES: usize = 64;

fn cost(record: &LogRecord) -> usize {
    let ops = record.ops.len() * size_of::<super::record::LogOp>();
    record.encoded().len() + ops + size_of::<LogRecord>() + BESIDE_BYTES
}
