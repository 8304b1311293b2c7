mod following;
mod lifecycle;
mod maintenance;
mod open;
mod reports;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
pub(crate) use open::lock;
pub use reports::{Checkpoint, CheckpointFile, Damage, LevelStats, Stats, VerifyReport};

use crate::batch::{Batch, Committed, Condition, Entry, Op, OpKind, RequestId};
use crate::commit::answer::{Completion, Waiter};
use crate::commit::import::Import;
use crate::commit::queue::Work;
use crate::commit::single::Single;
use crate::error::{Error, Result};
use crate::ingest::Ingested;
use crate::ingest::stage::stage;
use crate::log::{LogRecord, Subscription};
use crate::options::{Config, Options};
use crate::range::Range;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::value::Value;
use lifecycle::Running;

/// An open store. Clones share it; the last one dropped, or `close`, stops its threads.
#[derive(Clone)]
pub struct Store {
    running: Arc<Running>,
}

/// An answer and the LSN whose state it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub lsn: u64,
    pub entry: Option<Entry>,
}

impl Store {
    /// Opens or creates the store in the directory `path` and replays its log.
    ///
    /// Errors: `Locked`, `NotAStore`, `NewerFormat`, `Corruption`, `Io`, `DiskFull`.
    pub fn open(path: &Path, options: Options) -> Result<Store> {
        let running = Running::start(open::open(path, options)?);
        Ok(Store {
            running: Arc::new(running),
        })
    }

    /// Logs and syncs the start of a new epoch (D10). The next LSN is the last + 2^32 for each epoch
    /// since the last one; the shard's first epoch begins at 1. Returns the cut: the last LSN before.
    ///
    /// Errors: `Invalid` when `epoch` is not higher than the last one.
    pub fn begin_epoch(&self, epoch: u64) -> Result<u64> {
        self.begin_epoch_at(epoch, 0)
    }

    /// As [`Store::begin_epoch`], at `least_lsn` or later.
    pub fn begin_epoch_at(&self, epoch: u64, least_lsn: u64) -> Result<u64> {
        self.ask(|done| Work::Epoch(epoch, least_lsn, done))
    }

    pub fn epoch(&self) -> u64 {
        self.shared().progress.epoch()
    }

    /// Queues the batch; `done` is called once, on a thread of the store (on this one when the
    /// batch is refused at once). It must not block.
    ///
    /// Errors, all through `done`: `Busy` (the queue is full), `Closed`, `Poisoned`, `DiskFull`,
    /// `TooLarge`, `Invalid`.
    pub fn submit(&self, batch: Batch, done: Box<dyn FnOnce(Result<Committed>) + Send>) {
        let done = Completion::new(done);
        if let Err(error) = self.accept(&batch) {
            return done.run(Err(error));
        }
        let bytes = batch.bytes();
        let queue = &self.shared().queue;
        queue.push(Work::Batch(batch, done), bytes, false);
    }

    /// The blocking form; it waits for room in the queue instead of `Busy`. When nobody else writes
    /// it commits on this thread.
    pub fn write(&self, batch: Batch) -> Result<Committed> {
        self.accept(&batch)?;
        if let Some(single) = Single::of(&batch)
            && let Some(done) = self.running.single_here(&single)
        {
            return done.map(Committed::from);
        }
        match self.running.commit_here(batch) {
            Ok(answer) => answer,
            Err(batch) => {
                let (waiter, done) = Waiter::new();
                let bytes = batch.bytes();
                let queue = &self.shared().queue;
                queue.push(Work::Batch(batch, done), bytes, true);
                waiter.wait()
            }
        }
    }

    /// [`Store::write`] of one put without conditions, whose key and value are the caller's; returns its LSN.
    pub fn put(&self, key: &[u8], value: &[u8], expires_at_ms: u64) -> Result<u64> {
        let shared = self.shared();
        shared.poison.check()?;
        check_key(key, &shared.config)?;
        check_value(value, &shared.config)?;
        check_total(key.len() + value.len(), &shared.config)?;
        let single = Single {
            key,
            value: Some(value),
            expires_at_ms,
            request: RequestId::default(),
        };
        if let Some(done) = self.running.single_here(&single) {
            return done.map(|done| done.lsn);
        }
        let value = Bytes::copy_from_slice(value);
        let put = Op::put(key, value).with_expiry(expires_at_ms);
        self.write(vec![put].into()).map(|committed| committed.lsn)
    }

    /// Deletes every key in `range` with one record of the log, however many there are; returns its
    /// LSN. Tables wholly in the range are removed when the memtable is next flushed, without being
    /// read.
    ///
    /// Errors: as [`Store::submit`].
    pub fn delete_range(&self, range: &Range) -> Result<u64> {
        match Op::delete_range(range) {
            Some(op) => self.write(vec![op].into()).map(|committed| committed.lsn),
            None => Ok(self.visible_lsn()),
        }
    }

    /// Brings in files written by [`crate::SstWriter`], in one step and at one LSN: their values and
    /// tombstones are newer than everything before. The files are linked (copied from another file
    /// system) and stay where they are: remove them or not, but do not change them. Writers wait while what is older is flushed.
    ///
    /// `request` names the ingest: of the last 256 named ones, a repeated one is answered and not
    /// done again, also after a restart. Client 0 = not named.
    ///
    /// Errors: `Invalid` (the files overlap, or are none of such a writer), `Corruption` (of a file,
    /// which does not poison the store), `DiskFull`, `Io`, `Poisoned`, `Closed`.
    pub fn ingest(&self, files: &[impl AsRef<Path>], request: RequestId) -> Result<Ingested> {
        let shared = self.open_shared()?;
        shared.poison.check()?;
        if let Some(lsn) = shared.ingested(request) {
            let repeated = true;
            return Ok(Ingested { lsn, repeated });
        }
        let staged = stage(shared, files, request)?;
        // Most of it before the committer has to wait for the rest.
        self.flush()?;
        self.ask(|done| Work::Ingest(staged, done))
    }

    /// Appends operations that another store had logged as one record: their versions and request ids stay what they
    /// were. Conditions are not judged; the gate is asked. Returns the record's LSN, when it is synced.
    ///
    /// Errors: `Invalid` (the gate refuses them, or they are not of one key or range each), `DiskFull`, `Poisoned`, `Closed`.
    pub fn import(&self, import: Import) -> Result<u64> {
        self.ask(|done| Work::Import(import, done))
    }

    pub fn get(&self, key: &[u8]) -> Result<Read> {
        let shared = self.open_shared()?;
        let (view, lsn) = shared.read_view();
        let value = shared.noting_damage(view.get(key, lsn))?;
        Ok(Read {
            lsn,
            entry: value.and_then(|value| {
                // Few values expire: spare the others the clock.
                let clock_ms = match value.expires_at_ms {
                    0 => 0,
                    _ => shared.clock_ms(),
                };
                value.visible(clock_ms)
            }),
        })
    }

    /// `.1[i]` answers `keys[i]`, all at the LSN `.0`.
    pub fn get_many(&self, keys: &[impl AsRef<[u8]>]) -> Result<(u64, Vec<Option<Entry>>)> {
        let shared = self.open_shared()?;
        let (view, lsn) = shared.read_view();
        let clock_ms = shared.clock_ms();
        let values = shared.noting_damage(view.get_many(keys, lsn))?;
        let entry = |value: Option<Value>| value.and_then(|value| value.visible(clock_ms));
        Ok((lsn, values.into_iter().map(entry).collect()))
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(self.shared()))
    }

    pub fn visible_lsn(&self) -> u64 {
        self.shared().progress.visible()
    }

    pub fn synced_lsn(&self) -> u64 {
        self.shared().progress.synced()
    }

    /// The shard clock (V3): max(wall clock, last logged), never going back.
    pub fn clock_ms(&self) -> u64 {
        self.shared().clock_ms()
    }

    /// Synced records whose chain continues at `lsn` (the first one's `previous_lsn`), up to about
    /// `max_bytes` but at least one; none when `lsn` is the newest.
    ///
    /// Errors: `Gap` when memory no longer holds them, or `lsn` is not the LSN of a record.
    pub fn records_after(&self, lsn: u64, max_bytes: usize) -> Result<Vec<Arc<LogRecord>>> {
        self.shared().tail.after(lsn, max_bytes)
    }

    /// Calls `wake` after `synced_lsn` rose, on the thread that synced: it must not block, nor close the store.
    pub fn on_synced(&self, wake: Box<dyn Fn() + Send + Sync>) -> Subscription {
        self.shared().tail.subscribe(wake)
    }

    /// Syncs what is queued or written, and stops the threads. Other clones get `Closed`; snapshots
    /// stay readable.
    pub fn close(self) -> Result<()> {
        self.running.stop()
    }

    fn shared(&self) -> &Arc<Shared> {
        self.running.shared()
    }

    fn open_shared(&self) -> Result<&Arc<Shared>> {
        self.running.check_open()?;
        Ok(self.running.shared())
    }

    fn accept(&self, batch: &Batch) -> Result<()> {
        let shared = self.shared();
        shared.poison.check()?;
        check_limits(batch, shared)
    }

    fn ask<T: Send + 'static>(&self, work: impl FnOnce(Completion<T>) -> Work) -> Result<T> {
        let shared = self.shared();
        shared.poison.check()?;
        let (waiter, done) = Waiter::new();
        shared.queue.push(work(done), 0, true);
        waiter.wait()
    }
}

fn check_limits(batch: &Batch, shared: &Shared) -> Result<()> {
    let limits = &shared.config;
    let ranges = batch.deletes_ranges();
    if ranges && batch.ops.iter().any(|op| op.condition != Condition::None) {
        let what = "a condition in a batch that deletes a range";
        return Err(Error::Invalid(what.into()));
    }
    for op in &batch.ops {
        if let OpKind::DeleteRange { end } = &op.kind {
            at_most("key", op.key.len(), limits.max_key_bytes)?;
            at_most("key", end.len(), limits.max_key_bytes)?;
            continue;
        }
        check_key(&op.key, limits)?;
        if let OpKind::Put { value, .. } = &op.kind {
            check_value(value, limits)?;
        }
    }
    check_total(batch.bytes(), limits)
}

fn check_key(key: &[u8], limits: &Config) -> Result<()> {
    if key.is_empty() {
        return Err(Error::Invalid("an empty key".into()));
    }
    at_most("key", key.len(), limits.max_key_bytes)
}

fn check_value(value: &[u8], limits: &Config) -> Result<()> {
    at_most("value", value.len(), limits.max_value_bytes)
}

fn check_total(bytes: usize, limits: &Config) -> Result<()> {
    at_most("batch", bytes, limits.max_batch_bytes)
}

fn at_most(what: &str, bytes: usize, limit: usize) -> Result<()> {
    if bytes > limit {
        let what = format!("{what} of {bytes} bytes, at most {limit}");
        return Err(Error::TooLarge(what));
    }
    Ok(())
}
