//! What waits for the committer; bounded in number and bytes.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::answer::Completion;
use super::import::Import;
use crate::batch::{Batch, Committed};
use crate::error::{Error, Result};
use crate::ingest::Ingested;
use crate::ingest::stage::Staged;
use crate::log::LogRecord;

/// A group takes no more than this, so that one sync covers many writers but none waits for
/// megabytes of others; a larger batch is a group of its own.
const GROUP_BYTES: usize = 4 << 20;
const GROUP_BATCHES: usize = 4096;

/// Whether records that are taken over go to the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logging {
    Needed,
    /// Not while the log is empty; what is in none is durable when its memtable is flushed.
    Spared,
}

pub(crate) enum Work {
    Batch(Batch, Completion<Committed>),
    /// Begin this epoch at this LSN or a later one; answered with the cut.
    Epoch(u64, u64, Completion<u64>),
    /// Start a new memtable; answered with the last LSN of the old one.
    Rotate(Completion<u64>),
    /// Take over records of another store's log, which continue this one's; answered with the last LSN.
    Apply(Vec<LogRecord>, Logging, Completion<u64>),
    /// Log operations of another store as one record of this one; answered with its LSN.
    Import(Import, Completion<u64>),
    /// Make the files part of the store; answered with the LSN.
    Ingest(Staged, Completion<Ingested>),
}

impl Work {
    pub(crate) fn deletes_ranges(&self) -> bool {
        matches!(self, Work::Batch(batch, _) if batch.deletes_ranges())
    }

    pub(crate) fn fail(self, error: Error) {
        match self {
            Work::Batch(_, done) => done.run(Err(error)),
            Work::Epoch(_, _, done)
            | Work::Rotate(done)
            | Work::Apply(_, _, done)
            | Work::Import(_, done) => done.run(Err(error)),
            Work::Ingest(_, done) => done.run(Err(error)),
        }
    }
}

pub(crate) struct CommitQueue {
    max_batches: usize,
    max_bytes: usize,
    state: Mutex<State>,
    arrived: Condvar,
    left: Condvar,
    closing: Condvar,
}

#[derive(Default)]
struct State {
    work: VecDeque<(Work, usize)>,
    bytes: usize,
    closed: bool,
}

impl CommitQueue {
    pub(crate) fn new(max_batches: usize, max_bytes: usize) -> CommitQueue {
        CommitQueue {
            max_batches,
            max_bytes,
            state: Mutex::default(),
            arrived: Condvar::new(),
            left: Condvar::new(),
            closing: Condvar::new(),
        }
    }

    /// Queues the work, or fails it with `Busy` or `Closed`. `wait`: for room instead of `Busy`.
    pub(crate) fn push(&self, work: Work, bytes: usize, wait: bool) {
        let mut state = self.state.lock();
        while !state.closed && !self.has_room(&state, bytes) {
            if !wait {
                drop(state);
                return work.fail(Error::Busy);
            }
            self.left.wait(&mut state);
        }
        if state.closed {
            drop(state);
            return work.fail(Error::Closed);
        }
        state.bytes += bytes;
        state.work.push_back((work, bytes));
        drop(state);
        self.arrived.notify_one();
    }

    fn has_room(&self, state: &State, bytes: usize) -> bool {
        state.work.is_empty()
            || (state.work.len() < self.max_batches && state.bytes + bytes <= self.max_bytes)
    }

    /// Waits for work; false when the queue is closed and drained. What is there is taken later,
    /// under the committer's lock, so that nobody overtakes it.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.work.is_empty() {
            if state.closed {
                return false;
            }
            self.arrived.wait(&mut state);
        }
        true
    }

    /// Whether nothing waits.
    ///
    /// Errors: `Closed`.
    pub(crate) fn is_idle(&self) -> Result<bool> {
        let state = self.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        Ok(state.work.is_empty())
    }

    /// The next group; empty when nothing waits.
    pub(crate) fn take(&self) -> Vec<Work> {
        let mut state = self.state.lock();
        let mut group = Vec::new();
        let mut total = 0;
        while let Some((_, bytes)) = state.work.front() {
            total += bytes;
            if !group.is_empty() && (total > GROUP_BYTES || group.len() == GROUP_BATCHES) {
                break;
            }
            if let Some((work, bytes)) = state.work.pop_front() {
                state.bytes -= bytes;
                group.push(work);
            }
        }
        drop(state);
        self.left.notify_all();
        group
    }

    /// Nothing more is accepted; what is queued is still taken.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
        self.left.notify_all();
        self.closing.notify_all();
    }

    /// Slows the committer without keeping a closing store waiting; true when closed.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            self.closing.wait_for(&mut state, time);
        }
        state.closed
    }

    pub(crate) fn fail_all(&self, error: &Error) {
        let work = {
            let mut state = self.state.lock();
            state.bytes = 0;
            std::mem::take(&mut state.work)
        };
        self.left.notify_all();
        for (work, _) in work {
            work.fail(error.clone());
        }
    }
}
