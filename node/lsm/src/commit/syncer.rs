//! Makes written groups durable and then, in LSN order: publishes the records to the tail, raises
//! `synced` (and `visible`), answers: whoever sees an LSN synced or visible finds its record in the
//! tail. The only place that calls fdatasync on the log, outside of any lock the committer needs.
//!
//! Rounds are run one at a time, under the lock `turn`: by the syncer's thread, or by a caller that
//! waits for its own commit anyway ([`Syncer::help`]), which saves waking the thread and being woken
//! by it. Nobody is forgotten: whoever leaves groups behind when it gives `turn` back wakes the
//! thread, and who queues a group looks for `turn` afterwards. Callbacks run on the thread only.
//!
//! Writers that wait for each other's sync come back one after the other: a round that began with
//! the first of them would sync for one, and the next for all others. So a round waits for as many
//! as the last one answered and for those that came while it synced, though not long
//! ([`GATHER_PART`]). Without the latter two crowds of writers would take turns for ever, and each
//! sync would be for one of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::answer::Answer;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::io::IoFile;
use crate::log::LogRecord;
use crate::options::{SYNC_AT_LEAST_EACH, SyncMode};
use crate::poison::Poison;
use crate::progress::Progress;
use crate::waits::SyncTimes;

/// Written but unsynced bytes at which the committer waits.
const MAX_UNSYNCED_BYTES: usize = 64 << 20;

/// A round waits for more writers at most for this part of the time that the last sync took.
const GATHER_PART: u32 = 4;
const LONGEST_GATHER: Duration = Duration::from_millis(2);

pub(crate) struct Written {
    /// What to sync; `None` when the group appended nothing.
    pub file: Option<Arc<dyn IoFile>>,
    pub last_lsn: u64,
    pub records: Vec<Arc<LogRecord>>,
    pub bytes: usize,
    /// Those that wait for durability.
    pub answers: Vec<Answer>,
    /// The caller will [`Syncer::help`]: the thread need not be woken.
    pub attended: bool,
}

pub(crate) struct SyncQueue {
    /// `None`: as soon as possible.
    interval: Option<Duration>,
    state: Mutex<State>,
    /// For the thread.
    changed: Condvar,
    /// Less is unsynced than before.
    shrunk: Condvar,
    /// As many answers are queued as a round wants.
    gathered: Condvar,
    events: Arc<Events>,
    pub(crate) times: SyncTimes,
}

#[derive(Default)]
struct State {
    groups: VecDeque<Written>,
    bytes: usize,
    answers: usize,
    callbacks: usize,
    /// What a round waits for; 0 = none does.
    wanted_answers: usize,
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
            shrunk: Condvar::new(),
            gathered: Condvar::new(),
            events,
            times: SyncTimes::default(),
        }
    }

    /// Waits while too much is unsynced: a disk that stalls must not fill the memory.
    pub(crate) fn push(&self, group: Written) {
        let mut state = self.state.lock();
        while state.bytes > MAX_UNSYNCED_BYTES && state.closed.is_none() {
            state.due = Some(Instant::now());
            self.changed.notify_all();
            self.shrunk.wait(&mut state);
        }
        if let Some(error) = state.closed.clone() {
            // Another thread failed while the committer wrote this group: nobody would ever answer it.
            drop(state);
            return fail(group, &error);
        }
        let delay = match self.interval {
            Some(interval) if group.answers.is_empty() => interval,
            _ => Duration::ZERO,
        };
        // With the longest delay it is never due before what is there.
        let sooner = (delay.is_zero() || state.due.is_none()) && {
            let due = Instant::now() + delay;
            let sooner = state.due.is_none_or(|earlier| due < earlier);
            if sooner {
                state.due = Some(due);
            }
            sooner
        };
        let attended = group.attended;
        state.bytes += group.bytes;
        state.answers += group.answers.len();
        state.callbacks += group.callbacks();
        match state.groups.back_mut() {
            Some(last) if last.takes(&group) => {
                last.last_lsn = group.last_lsn;
                last.records.extend(group.records);
                last.bytes += group.bytes;
            }
            _ => state.groups.push_back(group),
        }
        let gathered = state.wanted_answers > 0 && state.answers >= state.wanted_answers;
        drop(state);
        if gathered {
            self.gathered.notify_all();
        }
        // The syncer sleeps until what was due before: it need not be woken for what is due later.
        if sooner && !attended {
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
        self.shrunk.notify_all();
        self.gathered.notify_all();
    }

    /// Waits until a round is due; false when there will be none any more.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            let due = state.due.is_some_and(|due| due <= Instant::now());
            match state.due {
                _ if !state.groups.is_empty() && (due || state.closed.is_some()) => return true,
                _ if state.closed.is_some() => return false,
                Some(due) => {
                    self.changed.wait_until(&mut state, due);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// How many wait for the next round.
    fn answers(&self) -> usize {
        self.state.lock().answers
    }

    /// Waits for `answers` to be queued, but no longer than `time`.
    fn gather(&self, answers: usize, time: Duration) {
        let deadline = Instant::now() + time;
        let mut state = self.state.lock();
        state.wanted_answers = answers;
        while state.answers < answers && state.closed.is_none() {
            if self.gathered.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.wanted_answers = 0;
    }

    fn take(&self) -> VecDeque<Written> {
        let mut state = self.state.lock();
        state.bytes = 0;
        state.answers = 0;
        state.callbacks = 0;
        state.due = None;
        self.shrunk.notify_all();
        std::mem::take(&mut state.groups)
    }

    /// Whether a round is due now, and whether it would run callbacks.
    fn is_due(&self) -> (bool, bool) {
        let state = self.state.lock();
        let due = state.due.is_some_and(|due| due <= Instant::now());
        (due && !state.groups.is_empty(), state.callbacks > 0)
    }

    /// Answers what nobody will sync any more.
    pub(crate) fn fail_all(&self, error: &Error) {
        self.close(error.clone());
        for group in std::mem::take(&mut self.state.lock().groups) {
            fail(group, error);
        }
    }
}

impl Written {
    /// Whether the next group can be a part of this one: nobody waits for either, and the same sync
    /// covers both. With a sync each second there are hundreds of thousands.
    fn takes(&self, next: &Written) -> bool {
        let same_file = match (&self.file, &next.file) {
            (Some(file), Some(next)) => Arc::ptr_eq(file, next),
            _ => false,
        };
        same_file && self.answers.is_empty() && next.answers.is_empty()
    }

    fn callbacks(&self) -> usize {
        let answers = self.answers.iter();
        answers.filter(|answer| answer.is_callback()).count()
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
    pub turn: Mutex<Turn>,
}

/// What the last round was like.
#[derive(Default)]
pub(crate) struct Turn {
    /// Those it answered, and those that came meanwhile: who may come before the next.
    expected: usize,
    sync_time: Duration,
}

impl Syncer {
    /// The thread.
    pub(crate) fn run(&self) {
        while self.queue.wait() {
            self.round(self.turn.lock());
        }
    }

    /// Makes durable what the caller waits for, unless somebody else is at it or callbacks would run.
    pub(crate) fn help(&self) {
        let (due, callbacks) = self.queue.is_due();
        if due && callbacks {
            self.queue.changed.notify_all();
        } else if due && let Some(turn) = self.turn.try_lock() {
            // Else whoever has it looks at what is left.
            self.round(turn);
        }
    }

    fn round(&self, mut turn: MutexGuard<'_, Turn>) {
        if turn.expected > 1 {
            let time = (turn.sync_time / GATHER_PART).min(LONGEST_GATHER);
            self.queue.gather(turn.expected, time);
        }
        let groups = self.queue.take();
        let answers: usize = groups.iter().map(|group| group.answers.len()).sum();
        let begin = Instant::now();
        let outcome = self.poison.check().and_then(|()| self.sync(&groups));
        turn.sync_time = begin.elapsed();
        if !groups.is_empty() {
            self.queue.times.add(turn.sync_time);
        }
        turn.expected = answers + self.queue.answers();
        match outcome {
            Ok(()) => self.finish(groups),
            Err(error) => groups.into_iter().for_each(|group| fail(group, &error)),
        }
        drop(turn);
        if self.queue.is_due().0 {
            self.queue.changed.notify_all();
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
