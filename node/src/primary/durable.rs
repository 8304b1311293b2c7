//! How far the log is safe beyond this disk, and who waits for it (D4, C6).
//!
//! Two marks only rise: through `archived` the object store has the log, through `held` writes of mode `replica` are safe:
//! every member of the tail set has them, or the archive does. Requests wait for a mark by LSN; who raises it wakes those
//! that it has reached and nobody else. A request that gives up is forgotten.
//!
//! Bounded: at most `most` requests are inside, each let in before its write is sequenced, so that one too many is refused
//! as certainly not done. It is less than admission lets in: while the store is away, reads of what is safe go on.
//!
//! Nothing here is touched by requests of mode `async`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aidb_client::pb;
use tokio::sync::{oneshot, watch};
use tonic::Status;

use crate::serve::busy;

/// What an answer waits for, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    #[default]
    Async,
    Replica,
    Archived,
}

impl From<pb::Durability> for Mode {
    fn from(said: pb::Durability) -> Self {
        match said {
            pb::Durability::Default | pb::Durability::Async => Self::Async,
            pb::Durability::Replica => Self::Replica,
            pb::Durability::Archived => Self::Archived,
        }
    }
}

pub struct Durable {
    archived: AtomicU64,
    held: AtomicU64,
    inside: AtomicUsize,
    most: usize,
    /// The highest LSN that is waited for in the archive.
    wanted: AtomicU64,
    /// The tail set is empty: mode `replica` waits for the archive (D4).
    by_archive: AtomicBool,
    /// How far the archive goes is known.
    knows_archive: AtomicBool,
    waiting: Mutex<Waiting>,
    /// The next wait of the archive's thread, or the one it is in, ends at once.
    ended: Mutex<bool>,
    hurry: Condvar,
    /// Changes when a mark rises or more is synced: what streams may send.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Waiting {
    held: Queue,
    archived: Queue,
    last_id: u64,
}

/// By LSN, and by a number of their own.
type Queue = BTreeMap<(u64, u64), oneshot::Sender<()>>;

/// The time was over before it was safe.
#[derive(Debug, PartialEq, Eq)]
pub struct Late;

/// A request inside.
pub struct Place<'a>(&'a Durable);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Durable {
    pub fn new(most: usize, changed: watch::Sender<()>) -> Self {
        Self {
            archived: AtomicU64::new(0),
            held: AtomicU64::new(0),
            inside: AtomicUsize::new(0),
            most,
            wanted: AtomicU64::new(0),
            by_archive: AtomicBool::new(true),
            knows_archive: AtomicBool::new(false),
            waiting: Mutex::default(),
            ended: Mutex::default(),
            hurry: Condvar::new(),
            changed,
        }
    }

    /// Through which LSN everything is safe as `mode` says.
    pub fn mark(&self, mode: Mode) -> u64 {
        match mode {
            Mode::Async => u64::MAX,
            Mode::Replica => self.held.load(Ordering::Acquire),
            Mode::Archived => self.archived.load(Ordering::Acquire),
        }
    }

    /// The LSN to name in an answer that shows the state at `read`, of which nothing is newer than `shown`: no token is
    /// ahead of what is safe.
    pub fn position(&self, mode: Mode, read: u64, shown: u64) -> u64 {
        read.min(self.mark(mode)).max(shown)
    }

    /// Before a request that will wait is begun. Refuses with BUSY.
    pub fn enter(&self) -> Result<Place<'_>, Status> {
        let place = Place(self);
        if self.inside.fetch_add(1, Ordering::Relaxed) < self.most {
            return Ok(place);
        }
        Err(busy(
            "as many requests as may be wait for the archive or the tail set already",
        ))
    }

    pub fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    /// Waits until everything through `lsn` is safe, at most for `time`.
    pub async fn wait(
        &self,
        _: &Place<'_>,
        mode: Mode,
        lsn: u64,
        time: Duration,
    ) -> Result<(), Late> {
        if lsn <= self.mark(mode) {
            return Ok(());
        }
        let Some((key, woken)) = self.queue(mode, lsn) else {
            return Ok(());
        };
        let _forget = Forget {
            durable: self,
            mode,
            key,
        };
        if mode == Mode::Archived || self.by_archive.load(Ordering::Acquire) {
            self.want(lsn);
        }
        match tokio::time::timeout(time, woken).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Late),
        }
    }

    /// None: it is safe already.
    fn queue(&self, mode: Mode, lsn: u64) -> Option<((u64, u64), oneshot::Receiver<()>)> {
        let (wake, woken) = oneshot::channel();
        let mut waiting = self.waiting();
        // Marks rise under the lock: one that has not reached it by now will wake it.
        if lsn <= self.mark(mode) {
            return None;
        }
        waiting.last_id += 1;
        let key = (lsn, waiting.last_id);
        waiting.of(mode).insert(key, wake);
        Some((key, woken))
    }

    /// The object store has the log through `lsn`.
    pub fn archived(&self, lsn: u64) {
        self.knows_archive.store(true, Ordering::Release);
        self.raise(Mode::Archived, lsn);
        self.raise(Mode::Replica, lsn);
        self.changed.send_replace(());
    }

    /// Whether mode `replica` waits for the archive.
    pub fn by_archive(&self, by_archive: bool) {
        if self.by_archive.swap(by_archive, Ordering::AcqRel) == by_archive || !by_archive {
            return;
        }
        let last = self.waiting().held.keys().next_back().copied();
        if let Some((lsn, _)) = last {
            self.want(lsn);
        }
    }

    pub fn knows_archive(&self) -> bool {
        self.knows_archive.load(Ordering::Acquire)
    }

    /// Every member of the tail set has the log through `lsn`.
    pub fn held(&self, lsn: u64) {
        if self.raise(Mode::Replica, lsn) {
            self.changed.send_replace(());
        }
    }

    fn raise(&self, mode: Mode, lsn: u64) -> bool {
        let mark = match mode {
            Mode::Async => return false,
            Mode::Replica => &self.held,
            Mode::Archived => &self.archived,
        };
        let reached = {
            let mut waiting = self.waiting();
            if mark.fetch_max(lsn, Ordering::AcqRel) >= lsn {
                return false;
            }
            let queue = waiting.of(mode);
            let beyond = queue.split_off(&(lsn + 1, 0));
            std::mem::replace(queue, beyond)
        };
        for wake in reached.into_values() {
            let _ = wake.send(());
        }
        true
    }

    /// Somebody waits until the archive has `lsn`: its thread need not wait for its next turn.
    pub fn want(&self, lsn: u64) {
        if self.wanted.fetch_max(lsn, Ordering::AcqRel) < lsn {
            self.wake_archive();
        }
    }

    /// More is synced: asked for each sync, so it has to be cheap while nobody waits.
    pub fn synced(&self) {
        if self.wanted.load(Ordering::Acquire) > self.mark(Mode::Archived) {
            self.wake_archive();
        }
    }

    fn wake_archive(&self) {
        // Under the lock, so that it cannot fall between a look and the wait that follows.
        drop(self.ended());
        self.hurry.notify_all();
    }

    /// One wait of the archive's thread ends, whatever is wanted.
    pub fn end_wait(&self) {
        *self.ended() = true;
        self.hurry.notify_all();
    }

    /// The archive's thread, between two pieces: true once somebody waits for what is synced and not archived.
    pub fn await_demand(&self, time: Duration, synced: impl Fn() -> u64) -> bool {
        let until = Instant::now() + time;
        let mut ended = self.ended();
        loop {
            let archived = self.mark(Mode::Archived);
            if self.wanted.load(Ordering::Acquire) > archived && synced() > archived {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || std::mem::take(&mut *ended) {
                return false;
            }
            (ended, _) = self
                .hurry
                .wait_timeout(ended, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn ended(&self) -> MutexGuard<'_, bool> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn of(&mut self, mode: Mode) -> &mut Queue {
        match mode {
            Mode::Archived => &mut self.archived,
            Mode::Async | Mode::Replica => &mut self.held,
        }
    }
}

/// Of a request that waits no more.
struct Forget<'a> {
    durable: &'a Durable,
    mode: Mode,
    key: (u64, u64),
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.durable.waiting().of(self.mode).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn durable(most: usize) -> Arc<Durable> {
        Arc::new(Durable::new(most, watch::Sender::new(())))
    }

    async fn wait(durable: &Durable, mode: Mode, lsn: u64, time: Duration) -> Result<(), Late> {
        let place = durable.enter().unwrap();
        durable.wait(&place, mode, lsn, time).await
    }

    #[test]
    fn the_stronger_mode_counts() {
        let of = |cluster: pb::Durability, request: pb::Durability| {
            Mode::from(cluster).max(Mode::from(request))
        };
        use pb::Durability as D;
        assert_eq!(of(D::Default, D::Default), Mode::Async);
        assert_eq!(of(D::Archived, D::Async), Mode::Archived);
        assert_eq!(of(D::Async, D::Replica), Mode::Replica);
        assert_eq!(of(D::Replica, D::Archived), Mode::Archived);
    }

    #[tokio::test]
    async fn a_mark_wakes_those_that_it_has_reached() {
        let durable = durable(10);
        let spawn = |mode, lsn| {
            let durable = Arc::clone(&durable);
            tokio::spawn(async move { wait(&durable, mode, lsn, LONG).await })
        };
        let (held, first, second) = (
            spawn(Mode::Replica, 5),
            spawn(Mode::Archived, 5),
            spawn(Mode::Archived, 6),
        );
        while durable.inside() < 3 {
            tokio::task::yield_now().await;
        }
        durable.held(5);
        assert_eq!(held.await.unwrap(), Ok(()));
        durable.archived(5);
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(durable.inside(), 1);
        durable.archived(4);
        assert_eq!(durable.mark(Mode::Archived), 5);
        durable.archived(100);
        assert_eq!(second.await.unwrap(), Ok(()));
        assert_eq!(wait(&durable, Mode::Replica, 100, LONG).await, Ok(()));
        assert_eq!(durable.inside(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_is_forgotten() {
        let durable = durable(10);
        let soon = Duration::from_millis(1);
        assert_eq!(wait(&durable, Mode::Archived, 5, soon).await, Err(Late));
        assert_eq!(durable.inside(), 0);
        assert!(durable.waiting().archived.is_empty());
    }

    #[tokio::test]
    async fn one_too_many_is_refused_before_anything_is_done() {
        let durable = durable(1);
        let place = durable.enter().unwrap();
        assert!(durable.enter().is_err());
        assert_eq!(durable.inside(), 1);
        drop(place);
        assert!(durable.enter().is_ok());
    }

    #[tokio::test]
    async fn no_answer_names_more_than_what_is_safe() {
        let durable = durable(1);
        durable.archived(7);
        assert_eq!(durable.position(Mode::Async, 9, 3), 9);
        assert_eq!(durable.position(Mode::Archived, 9, 3), 7);
        assert_eq!(durable.position(Mode::Archived, 5, 3), 5);
    }

    #[test]
    fn the_archive_is_woken_for_what_is_wanted_and_synced() {
        let durable = durable(1);
        let none = Duration::ZERO;
        assert!(!durable.await_demand(none, || 10));
        durable.want(8);
        assert!(!durable.await_demand(none, || 0), "not synced yet");
        assert!(durable.await_demand(none, || 10));
        durable.archived(8);
        assert!(!durable.await_demand(none, || 10), "nobody waits for more");
        let waker = Arc::clone(&durable);
        let waiting = std::thread::spawn(move || waker.await_demand(LONG, || 10));
        durable.want(9);
        assert!(waiting.join().unwrap());
        durable.archived(9);
        let waker = Arc::clone(&durable);
        durable.end_wait();
        let waiting = std::thread::spawn(move || waker.await_demand(LONG, || 10));
        assert!(!waiting.join().unwrap());
    }
}
