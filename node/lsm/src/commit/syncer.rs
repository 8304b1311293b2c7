//! Makes written groups durable and then, in LSN order: publishes the records to the tail, raises
//! `synced` (and `visible`), answers: whoever sees an LSN synced or visible finds its record in the
//! tail. It is the only caller of fdatasync on the log, outside of any lock the committer needs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::answer::Answer;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::io::IoFile;
use crate::log::LogRecord;
use crate::options::{SYNC_AT_LEAST_EACH, SyncMode};
use crate::poison::Poison;
use crate::progress::Progress;

/// Written but unsynced bytes at which the committer waits.
const MAX_UNSYNCED_BYTES: usize = 64 << 20;

pub(crate) struct Written {
    /// What to sync; `None` when the group appended nothing.
    pub file: Option<Arc<dyn IoFile>>,
    pub last_lsn: u64,
    pub records: Vec<Arc<LogRecord>>,
    pub bytes: usize,
    /// Those that wait for durability.
    pub answers: Vec<Answer>,
}

pub(crate) struct SyncQueue {
    /// `None`: as soon as possible.
    interval: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
    events: Arc<Events>,
}

#[derive(Default)]
struct State {
    groups: VecDeque<Written>,
    bytes: usize,
    /// When the oldest group must be synced; with `Group`, at once.
    due: Option<Instant>,
    synced_lsn: u64,
    /// Somebody wants to be told through `events` when `synced_lsn` rose.
    awaited: bool,
    /// Why nothing is synced any more, once that is so.
    closed: Option<Error>,
}

impl SyncQueue {
    /// `synced_lsn`: what is durable at open.
    pub(crate) fn new(mode: SyncMode, synced_lsn: u64, events: Arc<Events>) -> SyncQueue {
        SyncQueue {
            interval: match mode {
                SyncMode::Group => None,
                SyncMode::Interval(interval) => Some(interval.min(SYNC_AT_LEAST_EACH)),
                SyncMode::None => Some(SYNC_AT_LEAST_EACH),
            },
            state: Mutex::new(State {
                synced_lsn,
                ..State::default()
            }),
            changed: Condvar::new(),
            events,
        }
    }

    /// Waits while too much is unsynced: a disk that stalls must not fill the memory.
    pub(crate) fn push(&self, group: Written) {
        let mut state = self.state.lock();
        while state.bytes > MAX_UNSYNCED_BYTES && state.closed.is_none() {
            state.due = Some(Instant::now());
            self.changed.notify_all();
            self.changed.wait(&mut state);
        }
        if let Some(error) = state.closed.clone() {
            // Another thread failed while the committer wrote this group: nobody would ever answer it.
            drop(state);
            return fail(group, &error);
        }
        let now = Instant::now();
        let delay = match self.interval {
            Some(interval) if group.answers.is_empty() => interval,
            _ => Duration::ZERO,
        };
        let due = now + delay;
        let sooner = state.due.is_none_or(|earlier| due < earlier);
        if sooner {
            state.due = Some(due);
        }
        state.bytes += group.bytes;
        state.groups.push_back(group);
        drop(state);
        // The syncer sleeps until what was due before: it need not be woken for what is due later.
        if sooner {
            self.changed.notify_all();
        }
    }

    /// Whether everything through `lsn` is durable; if not, it is synced now instead of at the end
    /// of the interval, and `events` tells when.
    pub(crate) fn is_synced(&self, lsn: u64) -> bool {
        let mut state = self.state.lock();
        if state.synced_lsn >= lsn {
            return true;
        }
        state.awaited = true;
        if state.due.is_some() {
            state.due = Some(Instant::now());
        }
        drop(state);
        self.changed.notify_all();
        false
    }

    fn finished(&self, lsn: u64) {
        let mut state = self.state.lock();
        state.synced_lsn = lsn;
        if std::mem::take(&mut state.awaited) {
            drop(state);
            self.events.notify();
        }
    }

    /// The first reason stays.
    pub(crate) fn close(&self, why: Error) {
        self.state.lock().closed.get_or_insert(why);
        self.changed.notify_all();
    }

    fn take(&self) -> Option<VecDeque<Written>> {
        let mut state = self.state.lock();
        loop {
            let due = state.due.is_some_and(|due| due <= Instant::now());
            if !state.groups.is_empty() && (due || state.closed.is_some()) {
                state.bytes = 0;
                state.due = None;
                self.changed.notify_all();
                return Some(std::mem::take(&mut state.groups));
            }
            match state.due {
                _ if state.closed.is_some() => return None,
                Some(due) => {
                    self.changed.wait_until(&mut state, due);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Answers what nobody will sync any more.
    pub(crate) fn fail_all(&self, error: &Error) {
        self.close(error.clone());
        for group in std::mem::take(&mut self.state.lock().groups) {
            fail(group, error);
        }
    }
}

fn fail(group: Written, error: &Error) {
    for answer in group.answers {
        answer.run(Err(error.clone()));
    }
}

pub(crate) struct Syncer {
    pub queue: Arc<SyncQueue>,
    pub progress: Arc<Progress>,
    pub tail: Arc<crate::log::tail::Tail>,
    pub poison: Arc<Poison>,
    pub mode: SyncMode,
}

impl Syncer {
    pub(crate) fn run(&self) {
        while let Some(groups) = self.queue.take() {
            let outcome = self.poison.check().and_then(|()| self.sync(&groups));
            match outcome {
                Ok(()) => self.finish(groups),
                Err(error) => groups.into_iter().for_each(|group| fail(group, &error)),
            }
        }
    }

    /// In order of their segments: the log never has a hole that a later sync hides.
    fn sync(&self, groups: &VecDeque<Written>) -> Result<()> {
        let mut files: Vec<&Arc<dyn IoFile>> = Vec::new();
        for file in groups.iter().filter_map(|group| group.file.as_ref()) {
            if files.last().is_none_or(|last| !Arc::ptr_eq(last, file)) {
                files.push(file);
            }
        }
        for file in files {
            if let Err(error) = file.sync() {
                self.poison.set(format!("sync of the log failed: {error}"));
                return self.poison.check();
            }
        }
        Ok(())
    }

    fn finish(&self, groups: VecDeque<Written>) {
        let Some(last_lsn) = groups.back().map(|group| group.last_lsn) else {
            return;
        };
        let mut answers = Vec::new();
        let mut records = Vec::new();
        for group in groups {
            records.extend(group.records);
            answers.extend(group.answers);
        }
        let before = self.progress.synced();
        self.tail.publish(records);
        if !self.tail.keeps() {
            self.tail.advance(last_lsn);
        }
        self.progress.set_synced(last_lsn);
        if self.mode == SyncMode::Group {
            self.progress.set_visible(last_lsn);
        }
        for answer in answers {
            answer.run(Ok(()));
        }
        let synced = self.progress.synced();
        if synced > before {
            self.queue.finished(synced);
            self.tail.wake();
        }
    }
}
