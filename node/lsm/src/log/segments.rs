//! The segment files on disk: numbered without a hole, oldest first. The next one is prepared in
//! the background, from an obsolete one if possible (overwriting needs no metadata in the sync),
//! and is as large as it will get before the first frame is written: a full disk is met here, not
//! halfway through a frame.
//!
//! Where commits wait for syncs, a new segment is written over with zeros while it waits: the first write of a place that
//! is only allocated changes the file's metadata, which each sync then writes as well (of 90 to 105 us of CPU of a sync 63
//! to 70 are left, and a fifth to a quarter of its time). That begins when half of the one before is used, so that a store
//! which writes little does not write a segment of zeros, and goes on as far as it gets; nothing depends on it.
//!
//! A segment is obsolete when all its records are in SSTs, the archive has them if there is one (D7:
//! log is never dropped), nobody holds it to read on ([`LogHold`]), and it is older than the retention (request ids are rebuilt by replay, V6). Only the oldest is ever reused or removed, so that
//! what is on disk stays a contiguous run.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, IoContext, Result};
use crate::io::{Io, IoFile, OpenMode};
use crate::options::Clock;

/// Obsolete segments kept for reuse.
const SPARE: usize = 2;
/// Zeros written, and synced, at a time; smaller segments are left as they are.
const ZEROS: u64 = 1 << 20;

pub(crate) struct Segments {
    dir: PathBuf,
    io: Arc<dyn Io>,
    clock: Arc<dyn Clock>,
    segment_bytes: u64,
    retention_ms: u64,
    /// Commits wait for syncs.
    syncs: bool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Finished segments, oldest first.
    finished: VecDeque<Finished>,
    next_number: u64,
    flushed_lsn: u64,
    /// `u64::MAX`: nothing is archived.
    archived_lsn: u64,
    /// LSNs whose successors somebody still reads, by hold.
    held: BTreeMap<u64, u64>,
    next_hold: u64,
    /// Bytes the next segment must have; 0 = none is wanted.
    wanted: u64,
    ready: Option<Result<Segment>>,
    /// Half of the segment before is used: the one that is ready gets its zeros.
    filling: bool,
    closed: bool,
}

/// Keeps the records after an LSN on disk until it is dropped.
pub struct LogHold {
    segments: Arc<Segments>,
    id: u64,
}

impl Drop for LogHold {
    fn drop(&mut self) {
        self.segments.state.lock().held.remove(&self.id);
        self.segments.changed.notify_all();
    }
}

pub(crate) struct Finished {
    pub number: u64,
    /// Of its newest record; 0 when it has none.
    pub last_lsn: u64,
    pub finished_ms: u64,
    pub capacity: u64,
}

pub(crate) struct Policy {
    pub segment_bytes: u64,
    pub retention_ms: u64,
    /// Segments stay until what they hold is archived.
    pub archives: bool,
    /// Commits wait for syncs.
    pub syncs: bool,
}

/// A segment ready to be written.
pub(crate) struct Segment {
    pub number: u64,
    pub file: Arc<dyn IoFile>,
    pub path: PathBuf,
    pub capacity: u64,
    /// Bytes from its begin on that have been written before.
    pub used_before: u64,
}

pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016}.log")
}

pub(crate) fn parse_name(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

impl State {
    /// The next zeros of the segment that is ready; its file, if it got some. Under the lock: nobody may take it meanwhile.
    fn write_zeros(&mut self) -> Option<Arc<dyn IoFile>> {
        let Some(Ok(segment)) = &mut self.ready else {
            return None;
        };
        if !self.filling || segment.used_before + ZEROS > segment.capacity {
            return None;
        }
        let at = segment.used_before;
        segment.used_before += ZEROS;
        let written = segment.file.write_at(at, &vec![0; ZEROS as usize]);
        if written.is_err() {
            // It can do without them.
            segment.used_before = segment.capacity;
        }
        written.ok().map(|()| Arc::clone(&segment.file))
    }
}

impl Segments {
    pub(crate) fn new(
        dir: &Path,
        io: Arc<dyn Io>,
        clock: Arc<dyn Clock>,
        policy: &Policy,
        finished: VecDeque<Finished>,
        next_number: u64,
    ) -> Segments {
        Segments {
            dir: dir.to_path_buf(),
            io,
            clock,
            segment_bytes: policy.segment_bytes,
            retention_ms: policy.retention_ms,
            syncs: policy.syncs,
            state: Mutex::new(State {
                finished,
                next_number,
                flushed_lsn: 0,
                archived_lsn: if policy.archives { 0 } else { u64::MAX },
                held: BTreeMap::new(),
                next_hold: 0,
                wanted: policy.segment_bytes,
                ready: None,
                filling: false,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// The next segment, with room for `bytes`. Waits for the preparer; after a failure it is asked
    /// again, so that the first write after space came back succeeds.
    pub(crate) fn take(&self, bytes: u64) -> Result<Segment> {
        let mut state = self.state.lock();
        let mut retried = false;
        loop {
            if state.closed {
                return Err(Error::Closed);
            }
            match state.ready.take() {
                Some(Ok(segment)) if segment.capacity >= bytes => {
                    state.wanted = self.segment_bytes;
                    state.filling = false;
                    self.changed.notify_all();
                    return Ok(segment);
                }
                Some(Ok(_too_small)) => {
                    // A larger one replaces it under the same number.
                    state.next_number -= 1;
                    state.wanted = bytes;
                }
                Some(Err(error)) if retried => return Err(error),
                Some(Err(_)) => {
                    retried = true;
                    state.wanted = bytes.max(self.segment_bytes);
                }
                None => {
                    retried = true;
                    state.wanted = state.wanted.max(bytes);
                }
            }
            self.changed.notify_all();
            self.changed.wait(&mut state);
        }
    }

    /// Removes the segment that is prepared, if there is one: the disk is full, and its room may be all that a flush lacks.
    /// Who writes next has another one prepared, under the same number.
    pub(crate) fn give_back(&self) -> Result<()> {
        let mut state = self.state.lock();
        match state.ready.take() {
            Some(Ok(segment)) => {
                state.next_number -= 1;
                // Under the lock: the preparer may not make it anew meanwhile.
                let removed = self.io.remove(&segment.path);
                removed.at(&segment.path, "remove")?;
                self.io.sync_dir(&self.dir).at(&self.dir, "sync")
            }
            other => {
                state.ready = other;
                Ok(())
            }
        }
    }

    /// Of the segment that is written.
    pub(crate) fn half_used(&self) {
        if self.syncs {
            self.state.lock().filling = true;
            self.changed.notify_all();
        }
    }

    pub(crate) fn finish(&self, segment: Segment, last_lsn: u64) {
        self.state.lock().finished.push_back(Finished {
            number: segment.number,
            last_lsn,
            finished_ms: self.clock.now_ms(),
            capacity: segment.capacity,
        });
    }

    /// Records through `lsn` are in SSTs.
    pub(crate) fn flushed(&self, lsn: u64) {
        let mut state = self.state.lock();
        state.flushed_lsn = lsn;
        self.changed.notify_all();
    }

    /// The archive has the records through `lsn`.
    pub(crate) fn archived(&self, lsn: u64) {
        let mut state = self.state.lock();
        state.archived_lsn = state.archived_lsn.max(lsn);
        self.changed.notify_all();
    }

    /// The records after `lsn` stay, as far as they are there now.
    pub(crate) fn hold(self: &Arc<Self>, lsn: u64) -> LogHold {
        let mut state = self.state.lock();
        state.next_hold += 1;
        let id = state.next_hold;
        state.held.insert(id, lsn);
        LogHold {
            segments: Arc::clone(self),
            id,
        }
    }

    /// The files that may hold records after `lsn`, oldest first, with their numbers. The newest may be
    /// missing, or hold none.
    pub(crate) fn holding(&self, lsn: u64) -> Vec<(u64, PathBuf)> {
        let state = self.state.lock();
        let older = |segment: &Finished| segment.last_lsn <= lsn;
        let skipped = state.finished.iter().take_while(|old| older(old)).count();
        let finished = state.finished.iter().skip(skipped);
        let mut numbers: Vec<u64> = finished.map(|segment| segment.number).collect();
        let after = state.finished.back().map_or(0, |last| last.number + 1);
        numbers.extend(after..state.next_number);
        let named = |number| (number, self.dir.join(file_name(number)));
        numbers.into_iter().map(named).collect()
    }

    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state.lock();
        let finished: u64 = state.finished.iter().map(|segment| segment.capacity).sum();
        finished + self.segment_bytes
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// The preparer's thread.
    pub(crate) fn run(&self) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Ok(());
            }
            if let Some(spare) = self.take_obsolete(&mut state, SPARE + 1, 0) {
                let path = self.dir.join(file_name(spare.number));
                parking_lot::MutexGuard::unlocked(&mut state, || {
                    self.io.remove(&path).at(&path, "remove")?;
                    // Before the next one goes: a run without a hole, whatever a crash brings back.
                    self.io.sync_dir(&self.dir).at(&self.dir, "sync")
                })?;
            } else if state.wanted > 0 && state.ready.is_none() {
                let capacity = state.wanted;
                let number = state.next_number;
                let old = self.take_obsolete(&mut state, 1, capacity);
                let prepared = parking_lot::MutexGuard::unlocked(&mut state, || {
                    self.prepare(number, capacity, old.as_ref())
                });
                if prepared.is_ok() {
                    state.next_number += 1;
                } else if let Some(old) = old {
                    state.finished.push_front(old);
                }
                state.wanted = 0;
                state.ready = Some(prepared);
                self.changed.notify_all();
            } else if let Some(file) = state.write_zeros() {
                // If it cannot, the syncs of those who write there meet the same failure.
                let _ = parking_lot::MutexGuard::unlocked(&mut state, || file.sync());
            } else {
                self.changed.wait(&mut state);
            }
        }
    }

    /// Takes the oldest segment off the list when at least `least` segments are obsolete and it
    /// has `capacity`.
    fn take_obsolete(&self, state: &mut State, least: usize, capacity: u64) -> Option<Finished> {
        let now = self.clock.now_ms();
        let held = state.held.values().min().copied().unwrap_or(u64::MAX);
        let kept_after = state.flushed_lsn.min(state.archived_lsn).min(held);
        let obsolete = |segment: &&Finished| {
            segment.last_lsn <= kept_after
                && segment.finished_ms.saturating_add(self.retention_ms) <= now
        };
        let count = state.finished.iter().take_while(obsolete).count();
        if count < least || state.finished.front()?.capacity < capacity {
            return None;
        }
        state.finished.pop_front()
    }

    fn prepare(&self, number: u64, capacity: u64, old: Option<&Finished>) -> Result<Segment> {
        let path = self.dir.join(file_name(number));
        if let Some(old) = old {
            let from = self.dir.join(file_name(old.number));
            self.io.rename(&from, &path).at(&path, "rename")?;
            self.io.sync_dir(&self.dir).at(&self.dir, "sync")?;
            let file = self.io.open(&path, OpenMode::Write).at(&path, "open")?;
            return Ok(Segment {
                number,
                file,
                path,
                capacity: old.capacity,
                used_before: old.capacity,
            });
        }
        let created = self.create(&path, capacity);
        if created.is_err() {
            // Best effort: an empty segment is skipped at open.
            let _ = self.io.remove(&path);
        }
        Ok(Segment {
            number,
            file: created?,
            path,
            capacity,
            used_before: 0,
        })
    }

    fn create(&self, path: &Path, capacity: u64) -> Result<Arc<dyn IoFile>> {
        let file = self.io.open(path, OpenMode::Create).at(path, "create")?;
        file.preallocate(capacity).at(path, "preallocate")?;
        file.sync().at(path, "sync")?;
        self.io.sync_dir(&self.dir).at(&self.dir, "sync")?;
        Ok(file)
    }
}
