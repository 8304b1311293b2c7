//! What the store's threads and its callers share.
//!
//! Lock order: manifest, then view. Neither is held while waiting for anything but the disk, the
//! view not even for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::commit::queue::CommitQueue;
use crate::commit::syncer::SyncQueue;
use crate::compaction::picker::Hull;
use crate::compaction::requests::Requests;
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::io::Io;
use crate::log::segments::Segments;
use crate::log::tail::Tail;
use crate::manifest::{Edit, Manifest};
use crate::options::{Clock, Config};
use crate::poison::Poison;
use crate::pressure::{Admission, Load, Pace, admission};
use crate::progress::Progress;
use crate::table::Table;
use crate::table::cache::BlockCache;
use crate::version::Version;
use crate::view::View;
use crate::waits::Stalls;

pub(crate) const TABLE_DIR: &str = "sst";
pub(crate) const LOG_DIR: &str = "log";

/// Part of the memory budget that the block cache keeps in any case.
const SMALLEST_CACHE: usize = 16;
/// A slowed group sleeps no longer than this, however large it is.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub path: PathBuf,
    pub config: Config,
    pub io: Arc<dyn Io>,
    pub clock: Arc<dyn Clock>,
    pub progress: Arc<Progress>,
    pub poison: Arc<Poison>,
    pub queue: CommitQueue,
    pub sync_queue: Arc<SyncQueue>,
    pub tail: Arc<Tail>,
    pub segments: Arc<Segments>,
    pub manifest: Mutex<Manifest>,
    pub cache: Arc<BlockCache>,
    pub events: Arc<Events>,
    pub compactions: Requests,
    /// What the running compaction will fill. Taken after the manifest's lock.
    pub compacting: Mutex<Option<Hull>>,
    /// The background threads should end.
    pub closing: AtomicBool,
    pub disk_full: AtomicBool,
    pub debt_bytes: AtomicU64,
    /// Of the log, appended since the store was opened and not archived.
    pub unarchived_bytes: AtomicU64,
    pub counters: Counters,
    /// Of the memtable that is being flushed, written so far.
    pub flushed_bytes: AtomicUsize,
    /// Why writers are slowed or refused at the moment.
    pub stall: Mutex<Option<String>>,
    /// Whether there is a reason: spares each commit the lock.
    pub stalled: AtomicBool,
    pub stalls: Stalls,
    pub view: RwLock<Arc<View>>,
}

/// A change of the levels.
#[derive(Default)]
pub(crate) struct Plan {
    /// Without `added`, which follows from the tables.
    pub edit: Edit,
    pub added: Vec<(usize, Arc<Table>)>,
    pub dropped: Vec<Arc<Table>>,
}

impl Shared {
    pub(crate) fn clock_ms(&self) -> u64 {
        self.progress.clock(self.clock.now_ms())
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// A view and the LSN to read it at. Both are taken under the lock: a view replaced before has
    /// files that hold no more than what was visible then; one replaced later is not this one.
    pub(crate) fn read_view(&self) -> (Arc<View>, u64) {
        let view = self.view.read();
        (Arc::clone(&view), self.progress.visible())
    }

    pub(crate) fn update_view(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.write();
        let mut next = View::clone(&view);
        change(&mut next);
        *view = Arc::new(next);
    }

    /// Makes a change of the levels durable, then visible.
    ///
    /// `plan` sees the newest version, which stays so until the change is installed, and says what
    /// to add and what to drop; the files of what is dropped go with their last reader.
    ///
    /// Errors: `DiskFull`, with nothing changed; any other must poison the store.
    pub(crate) fn install(
        &self,
        plan: impl FnOnce(&Version) -> Plan,
        change: impl FnOnce(&mut View),
    ) -> Result<()> {
        let dropped = {
            let mut manifest = self.manifest.lock();
            let version = Arc::clone(&self.view().version);
            let Plan {
                mut edit,
                added,
                dropped,
            } = plan(&version);
            let infos = added.iter();
            edit.added = infos
                .map(|(level, table)| (*level, crate::flush::info(table)))
                .collect();
            edit.removed
                .extend(dropped.iter().map(|table| table.number));
            let next = version.with(&added, &edit.removed, &edit.hidden);
            manifest.append(edit)?;
            self.update_view(|view| {
                view.version = Arc::new(next);
                change(view);
            });
            dropped
        };
        dropped.iter().for_each(|table| table.mark_obsolete());
        self.fit_cache();
        self.events.notify();
        Ok(())
    }

    /// Gives the block cache what the budget leaves of memory beside indexes, filters and memtables:
    /// those that are full, and one that fills.
    pub(crate) fn fit_cache(&self) {
        let Some(budget) = self.config.memory_bytes else {
            return;
        };
        let view = self.view();
        let tables: usize = view.version.tables().map(|table| table.memory()).sum();
        let full: usize = view.full.iter().map(|full| full.bytes()).sum();
        let memtables = full + self.config.memtable_bytes.max(view.active.bytes());
        // A memtable holds up to two fifths more than it counts: chunks begun, places by hash left behind as it grew, frames
        // around larger values.
        let taken = tables + memtables + memtables * 2 / 5;
        let left = budget.saturating_sub(taken).max(budget / SMALLEST_CACHE);
        self.cache.set_capacity(left as u64);
    }

    pub(crate) fn table_path(&self, number: u64) -> PathBuf {
        let name = crate::table::reader::file_name(number);
        self.path.join(TABLE_DIR).join(name)
    }

    /// Backpressure: returns when a group of `bytes` may be written.
    ///
    /// Errors: `DiskFull`, `Stalled`, `Poisoned`.
    pub(crate) fn admit(&self, bytes: usize, pace: Pace) -> Result<()> {
        let at_once = match admission(&self.load(), &self.config) {
            Admission::Now => true,
            Admission::Slow { .. } => pace == Pace::Bulk,
            _ => false,
        };
        if at_once {
            self.set_stall(None);
            return Ok(());
        }
        let began = Instant::now();
        let admitted = self.admit_when_it_may(bytes, pace);
        self.stalls.add(began.elapsed());
        admitted
    }

    fn admit_when_it_may(&self, bytes: usize, pace: Pace) -> Result<()> {
        loop {
            let seen = self.events.seen();
            match admission(&self.load(), &self.config) {
                Admission::Now => {
                    self.set_stall(None);
                    return Ok(());
                }
                Admission::Slow { .. } if pace == Pace::Bulk => {
                    self.set_stall(None);
                    return Ok(());
                }
                Admission::Slow { bytes_per_second } => {
                    self.set_stall(Some("slowed: flush or compaction is behind"));
                    let pause = Duration::from_secs_f64(bytes as f64 / bytes_per_second);
                    self.queue.pause(pause.min(LONGEST_PAUSE));
                    return Ok(());
                }
                Admission::Wait(reason) => {
                    self.set_stall(Some(reason));
                    self.poison.check()?;
                    self.events.wait(seen, Events::LOOK_AGAIN);
                }
                Admission::Refuse(reason) => {
                    self.set_stall(Some(reason));
                    return Err(Error::Stalled(reason));
                }
                Admission::DiskFull => {
                    self.set_stall(Some("the disk is full"));
                    return Err(Error::DiskFull {
                        path: self.path.clone(),
                    });
                }
            }
        }
    }

    /// So much more is in the log.
    pub(crate) fn logged(&self, bytes: usize) {
        if self.config.archive_lag_bytes > 0 {
            let bytes = bytes as u64;
            self.unarchived_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn load(&self) -> Load {
        let view = self.view.read();
        Load {
            full_memtables: view.full.len(),
            memtable_bytes: view.active.bytes(),
            flushed_bytes: self.flushed_bytes.load(Ordering::Relaxed),
            l0_files: view.version.levels()[0].len(),
            debt_bytes: self.debt_bytes.load(Ordering::Acquire),
            unarchived_bytes: self.unarchived_bytes.load(Ordering::Relaxed),
            disk_full: self.disk_full.load(Ordering::Acquire),
        }
    }

    fn set_stall(&self, reason: Option<&str>) {
        if reason.is_none() && !self.stalled.load(Ordering::Relaxed) {
            return;
        }
        self.stalled.store(reason.is_some(), Ordering::Relaxed);
        let mut stall = self.stall.lock();
        if stall.as_deref() != reason {
            *stall = reason.map(str::to_owned);
        }
    }

    /// Damage poisons the store, whoever meets it.
    pub(crate) fn noting_damage<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error @ Error::Corruption { .. }) = &result {
            self.poison.set(error.to_string());
        }
        result
    }
}
