use crate::batch::Committed;
use crate::error::{Error, Result};
use crate::ingest::Ingested;

/// A callback that runs exactly once, even if a panic drops it on the way.
pub(crate) struct Completion<T>(Option<Box<dyn FnOnce(Result<T>) + Send>>);

impl<T> Completion<T> {
    pub(crate) fn new(done: Box<dyn FnOnce(Result<T>) + Send>) -> Completion<T> {
        Completion(Some(done))
    }

    pub(crate) fn run(mut self, result: Result<T>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(Error::Poisoned("a background thread failed".into())));
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
    pub(crate) fn run(self, outcome: Result<()>) {
        match self {
            Answer::Batch(done, committed) => done.run(outcome.map(|()| committed)),
            Answer::Epoch(done, cut) => done.run(outcome.map(|()| cut)),
            Answer::Ingest(done, ingested) => done.run(outcome.map(|()| ingested)),
        }
    }
}
