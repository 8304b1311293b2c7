use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::batch::Committed;
use crate::error::{Error, Result};
use crate::ingest::Ingested;

/// Tells one caller its result exactly once, even if a panic drops it on the way.
pub(crate) struct Completion<T>(Option<Receiver<T>>);

enum Receiver<T> {
    Callback(Box<dyn FnOnce(Result<T>) + Send>),
    Waiter(Waiter<T>),
}

/// Where a blocked caller waits for its result.
pub(crate) struct Waiter<T>(Arc<(Mutex<Option<Result<T>>>, Condvar)>);

impl<T> Waiter<T> {
    pub(crate) fn new() -> (Waiter<T>, Completion<T>) {
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let done = Completion(Some(Receiver::Waiter(Waiter(Arc::clone(&slot)))));
        (Waiter(slot), done)
    }

    /// The result, when it is there already.
    pub(crate) fn answered(&self) -> Option<Result<T>> {
        self.0.0.lock().take()
    }

    pub(crate) fn wait(self) -> Result<T> {
        let (result, arrived) = &*self.0;
        let mut result = result.lock();
        loop {
            if let Some(result) = result.take() {
                return result;
            }
            arrived.wait(&mut result);
        }
    }
}

impl<T> Completion<T> {
    pub(crate) fn new(done: Box<dyn FnOnce(Result<T>) + Send>) -> Completion<T> {
        Completion(Some(Receiver::Callback(done)))
    }

    fn is_callback(&self) -> bool {
        matches!(self.0, Some(Receiver::Callback(_)))
    }

    pub(crate) fn run(mut self, result: Result<T>) {
        self.tell(result);
    }

    fn tell(&mut self, result: Result<T>) {
        match self.0.take() {
            Some(Receiver::Callback(done)) => done(result),
            Some(Receiver::Waiter(waiter)) => {
                let (slot, arrived) = &*waiter.0;
                *slot.lock() = Some(result);
                arrived.notify_one();
            }
            None => {}
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.tell(Err(Error::Poisoned("a background thread failed".into())));
        }
    }
}

/// What is told when a group is durable.
pub(crate) enum Answer {
    Batch(Completion<Committed>, Committed),
    Epoch(Completion<u64>, u64),
    Ingest(Completion<Ingested>, Ingested),
}

impl Answer {
    pub(crate) fn is_callback(&self) -> bool {
        match self {
            Answer::Batch(done, _) => done.is_callback(),
            Answer::Epoch(done, _) => done.is_callback(),
            Answer::Ingest(done, _) => done.is_callback(),
        }
    }

    pub(crate) fn run(self, outcome: Result<()>) {
        match self {
            Answer::Batch(done, committed) => done.run(outcome.map(|()| committed)),
            Answer::Epoch(done, cut) => done.run(outcome.map(|()| cut)),
            Answer::Ingest(done, ingested) => done.run(outcome.map(|()| ingested)),
        }
    }
}
