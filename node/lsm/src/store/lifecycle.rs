//! The threads of an open store.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use super::open::Opened;
use crate::batch::{Batch, Committed};
use crate::commit::answer::Waiter;
use crate::commit::committer::Committer;
use crate::commit::single::{Done, Single};
use crate::commit::syncer::Syncer;
use crate::error::{Error, Result};
use crate::shared::Shared;

pub(crate) struct Running {
    shared: Arc<Shared>,
    /// Taken before any lock of [`Shared`].
    committer: Arc<Mutex<Committer>>,
    takes_singles: bool,
    syncer: Arc<Syncer>,
    closed: AtomicBool,
    threads: Mutex<Threads>,
}

/// In the order in which they are stopped: each is fed by those before it.
struct Threads {
    committer: Option<JoinHandle<()>>,
    syncer: Option<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    lock: Option<Box<dyn Any + Send + Sync>>,
}

impl Running {
    pub(crate) fn start(opened: Opened) -> Running {
        let Opened {
            shared,
            committer,
            syncer,
            lock,
        } = opened;
        let takes_singles = committer.takes_singles();
        let committer = Arc::new(Mutex::new(committer));
        let queued = Arc::clone(&committer);
        let syncer = Arc::new(syncer);
        let syncing = Arc::clone(&syncer);
        let preparer = Arc::clone(&shared.segments);
        let threads = Threads {
            committer: Some(spawn("committer", &shared, move |shared| {
                while shared.queue.wait() {
                    queued.lock().drain();
                }
                Ok(())
            })),
            syncer: Some(spawn("syncer", &shared, move |_| {
                syncing.run();
                Ok(())
            })),
            background: vec![
                spawn("log preparer", &shared, move |_| preparer.run()),
                spawn("flusher", &shared, crate::flush::run),
                spawn("compactor", &shared, crate::compaction::run::run),
            ],
            lock: Some(lock),
        };
        Running {
            shared,
            committer,
            takes_singles,
            syncer,
            closed: AtomicBool::new(false),
            threads: Mutex::new(threads),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Commits a write on the caller's thread, if that is all there is to it. `None`: it has to go the way of batches.
    pub(crate) fn single_here(&self, single: &Single<'_>) -> Option<Result<Done>> {
        if !self.takes_singles {
            return None;
        }
        let mut committer = self.committer.lock();
        match self.shared.queue.is_idle() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(closed) => return Some(Err(closed)),
        }
        let commit = AssertUnwindSafe(|| committer.single(single));
        Some(catch_unwind(commit).unwrap_or_else(|panic| {
            fail(&self.shared, "committer", &panic_text(panic.as_ref()));
            self.shared.poison.check().and(Err(Error::Closed))
        }))
    }

    /// Commits and, where that is waited for, syncs on the caller's thread. The batch comes back when others wait: it must queue.
    pub(crate) fn commit_here(
        &self,
        batch: Batch,
    ) -> std::result::Result<Result<Committed>, Batch> {
        let (waiter, done) = Waiter::new();
        {
            let mut committer = self.committer.lock();
            match self.shared.queue.is_idle() {
                Ok(true) => {}
                Ok(false) => return Err(batch),
                Err(closed) => return Ok(Err(closed)),
            }
            let commit = AssertUnwindSafe(|| committer.alone(batch, done));
            if let Err(panic) = catch_unwind(commit) {
                fail(&self.shared, "committer", &panic_text(panic.as_ref()));
            }
        }
        if let Some(answer) = waiter.answered() {
            return Ok(answer);
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.syncer.help())) {
            fail(&self.shared, "syncer", &panic_text(panic.as_ref()));
        }
        Ok(waiter.wait())
    }

    /// Idempotent: the first caller stops the threads, the others wait for it.
    pub(crate) fn stop(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        self.shared.queue.close();
        let mut threads = self.threads.lock();
        let committer = threads.committer.take();
        let own = is_own(committer.as_ref());
        join(committer);
        if !own {
            // Who commits on its own thread has come before the queue was closed, and ends.
            drop(self.committer.lock());
        }
        self.shared.sync_queue.close(Error::Closed);
        let syncer = threads.syncer.take();
        let others = syncer.is_some() && !is_own(syncer.as_ref());
        join(syncer);
        if others {
            // A caller may be at the sync of what it wrote.
            drop(self.syncer.turn.lock());
        }
        self.shared.segments.close();
        self.shared.closing.store(true, Ordering::Release);
        self.shared.events.notify();
        for thread in threads.background.drain(..) {
            join(Some(thread));
        }
        threads.lock = None;
        self.shared.poison.check()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A poisoned store has told its writers.
        let _ = self.stop();
    }
}

/// A failure or panic poisons the store and answers everybody who waits: no writer hangs.
fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    body: impl FnOnce(&Shared) -> Result<()> + Send + 'static,
) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    let role = name.to_owned();
    let run = move || {
        let reason = match catch_unwind(AssertUnwindSafe(|| body(&shared))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_text(panic.as_ref()),
        };
        fail(&shared, &role, &reason);
    };
    thread::Builder::new()
        .name(format!("aidb {name}"))
        .spawn(run)
        .unwrap_or_else(|error| panic!("cannot start a thread: {error}"))
}

fn fail(shared: &Shared, role: &str, reason: &str) {
    let reason = format!("{role}: {reason}");
    shared.poison.set(reason.clone());
    let error = Error::Poisoned(reason);
    shared.queue.close();
    shared.queue.fail_all(&error);
    shared.sync_queue.fail_all(&error);
    shared.segments.close();
    shared.events.notify();
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic".to_owned())
}

fn is_own(thread: Option<&JoinHandle<()>>) -> bool {
    thread.is_some_and(|thread| thread.thread().id() == thread::current().id())
}

/// A callback may drop the last handle on one of the store's own threads, which cannot wait for
/// itself; it ends by itself then.
fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread
        && thread.thread().id() != thread::current().id()
    {
        // A panic was caught in the thread and has poisoned the store.
        let _ = thread.join();
    }
}
