use std::any::Any;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use parking_lot::{Mutex, RwLock};

use crate::commit::committer::Committer;
use crate::commit::queue::CommitQueue;
use crate::commit::syncer::{SyncQueue, Syncer};
use crate::compaction::requests::Requests;
use crate::counters::Counters;
use crate::error::{Error, IoContext, Result};
use crate::events::Events;
use crate::ingest;
use crate::ingest::replay::Pending;
use crate::ingest::stage::OPEN_LSN;
use crate::io::Io;
use crate::log::LogRecord;
use crate::log::recovery;
use crate::log::segments::{Policy, Segments};
use crate::log::tail::Tail;
use crate::log::writer::LogWriter;
use crate::manifest::{self, Inventory, Manifest};
use crate::memtable::Memtable;
use crate::options::{Options, SyncMode};
use crate::poison::Poison;
use crate::progress::Progress;
use crate::shared::{LOG_DIR, Shared, TABLE_DIR};
use crate::table::cache::BlockCache;
use crate::table::{self, Table};
use crate::version::Version;
use crate::view::View;
use crate::waits::Stalls;

pub(crate) struct Opened {
    pub shared: Arc<Shared>,
    pub committer: Committer,
    pub syncer: Syncer,
    pub lock: Box<dyn Any + Send + Sync>,
}

/// Names in a store's directory beside the manifest's.
const LOCK: &str = "LOCK";

pub(crate) fn open(path: &Path, mut options: Options) -> Result<Opened> {
    let config = options.config();
    let io = Arc::clone(&options.io);
    let clock = Arc::clone(&options.clock);
    check_is_ours(&*io, path, options.create)?;
    let lock = lock(&*io, path)?;
    let manifest = open_manifest(&io, path, options.create)?;
    let cache = Arc::new(BlockCache::new(options.cache_bytes, options.block_bytes));
    let version = open_tables(&io, path, manifest.inventory(), &cache)?;

    let inventory = manifest.inventory();
    let flushed_lsn = inventory.flushed_lsn;
    let tail = Arc::new(Tail::new(options.tail_bytes, flushed_lsn));
    let mut gate = options.gate.take();
    let mut replayed = Replayed {
        memtables: Vec::new(),
        ingests: Vec::new(),
        epoch: inventory.epoch,
        clock_ms: inventory.clock_ms,
    };
    let log_dir = path.join(LOG_DIR);
    let now_ms = clock.now_ms();
    let recovered = recovery::recover(&*io, &log_dir, flushed_lsn, now_ms, &mut |record| {
        if let Some(gate) = &mut gate {
            gate.replayed(&record);
        }
        replayed.record(&record, flushed_lsn, config.memtable_bytes);
        tail.publish([Arc::new(record)]);
    })?;
    let last_lsn = recovered.last_lsn.max(flushed_lsn);
    let logged = recovered.last_lsn != 0;
    let progress = Arc::new(Progress::default());
    progress.recovered(last_lsn, replayed.epoch, replayed.clock_ms);

    let segments = Arc::new(Segments::new(
        &log_dir,
        Arc::clone(&io),
        Arc::clone(&clock),
        &Policy {
            segment_bytes: options.segment_bytes,
            retention_ms: options.log_retention.as_millis() as u64,
            archives: options.archive_lag_bytes.is_some(),
            syncs: options.sync == SyncMode::Group,
        },
        recovered.finished,
        recovered.next_number,
    ));
    segments.flushed(flushed_lsn);
    let memtables = std::mem::take(&mut replayed.memtables);
    let mut memtables = newest_first(memtables);
    let view = View {
        active: memtables.next().unwrap_or_default(),
        full: memtables.collect(),
        version: Arc::new(version),
    };
    let poison = Arc::new(Poison::default());
    let events = Arc::new(Events::default());
    let sync_queue = Arc::new(SyncQueue::new(config.sync, last_lsn, Arc::clone(&events)));
    let syncer = Syncer {
        queue: Arc::clone(&sync_queue),
        progress: Arc::clone(&progress),
        tail: Arc::clone(&tail),
        poison: Arc::clone(&poison),
        mode: config.sync,
        turn: Mutex::default(),
    };
    let shared = Arc::new(Shared {
        path: path.to_path_buf(),
        config,
        io,
        clock,
        progress,
        poison,
        queue: CommitQueue::new(options.queue_batches, options.queue_bytes),
        sync_queue,
        tail,
        segments: Arc::clone(&segments),
        manifest: Mutex::new(manifest),
        cache,
        events,
        compactions: Requests::default(),
        compacting: Mutex::new(None),
        closing: AtomicBool::new(false),
        disk_full: AtomicBool::new(false),
        debt_bytes: AtomicU64::new(0),
        unarchived_bytes: AtomicU64::new(0),
        flushed_bytes: AtomicUsize::new(0),
        counters: Counters::default(),
        stall: Mutex::new(None),
        stalled: AtomicBool::new(false),
        stalls: Stalls::default(),
        view: RwLock::new(Arc::new(view)),
    });
    ingest::replay::complete(&shared, &replayed.ingests)?;
    shared.fit_cache();
    Ok(Opened {
        committer: Committer::new(Arc::clone(&shared), LogWriter::new(segments), logged, gate),
        shared,
        syncer,
        lock,
    })
}

/// Nothing is created in a directory that holds something else.
fn check_is_ours(io: &dyn Io, path: &Path, create: bool) -> Result<()> {
    let not_a_store = || Error::NotAStore {
        path: path.to_path_buf(),
    };
    let names = match io.list(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && create => {
            return io.create_dir(path).at(path, "create");
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(not_a_store());
        }
        names => names.at(path, "list")?,
    };
    let ours = |name: &String| {
        manifest::is_own_name(name) || [LOCK, LOG_DIR, TABLE_DIR].contains(&name.as_str())
    };
    let is_store = names.iter().any(|name| name == manifest::FILE_NAME);
    if !is_store && (!create || !names.iter().all(ours)) {
        return Err(not_a_store());
    }
    Ok(())
}

pub(crate) fn lock(io: &dyn Io, path: &Path) -> Result<Box<dyn Any + Send + Sync>> {
    let file = path.join(LOCK);
    match io.lock(&file) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Error::Locked {
            path: path.to_path_buf(),
        }),
        result => result.at(&file, "lock"),
    }
}

fn open_manifest(io: &Arc<dyn Io>, path: &Path, create: bool) -> Result<Manifest> {
    if let Some(manifest) = Manifest::open(io, path)? {
        return Ok(manifest);
    }
    if !create {
        return Err(Error::NotAStore {
            path: path.to_path_buf(),
        });
    }
    for name in [LOG_DIR, TABLE_DIR] {
        let dir = path.join(name);
        io.create_dir(&dir).at(&dir, "create")?;
        if !io.list(&dir).at(&dir, "list")?.is_empty() {
            let manifest = path.join(manifest::FILE_NAME);
            let what = format!("missing, but {name}/ is not empty");
            return Err(Error::corruption(&manifest, 0, what));
        }
    }
    Manifest::create(io, path, Inventory::new())
}

/// Opens the tables the manifest names.
fn open_tables(
    io: &Arc<dyn Io>,
    path: &Path,
    inventory: &Inventory,
    cache: &Arc<BlockCache>,
) -> Result<Version> {
    let dir = path.join(TABLE_DIR);
    let mut tables = Vec::new();
    for (level, info) in inventory.tables.values() {
        let file = dir.join(table::reader::file_name(info.number));
        let mut table = match Table::open(io, &dir, info.number, cache) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(Error::corruption(&file, 0, "the table is missing"));
            }
            table => table?,
        };
        if table.properties.last_lsn == OPEN_LSN {
            table.properties.last_lsn = info.properties.last_lsn;
        }
        if table.bytes != info.bytes || table.properties != info.properties {
            return Err(Error::corruption(
                &file,
                0,
                "not the table the manifest names",
            ));
        }
        tables.push((*level, Arc::new(table)));
    }
    let hidden = inventory.hidden.clone().into_iter();
    Ok(Version::default().with(&tables, &[], &hidden.collect::<Vec<_>>()))
}

/// The one that is still filling comes first, even when it is empty; of the others, empty ones are
/// left out.
fn newest_first(mut memtables: Vec<Memtable>) -> impl Iterator<Item = Arc<Memtable>> {
    let active = memtables.pop().unwrap_or_default();
    memtables.retain(|memtable| !memtable.is_empty());
    let older = memtables.into_iter().rev();
    std::iter::once(active).chain(older).map(Arc::new)
}

struct Replayed {
    /// Oldest first; the last is still filling.
    memtables: Vec<Memtable>,
    ingests: Vec<Pending>,
    epoch: u64,
    clock_ms: u64,
}

impl Replayed {
    fn record(&mut self, record: &LogRecord, flushed_lsn: u64, memtable_bytes: usize) {
        self.clock_ms = self.clock_ms.max(record.clock_ms);
        self.epoch = self.epoch.max(record.epoch);
        if record.lsn <= flushed_lsn {
            return;
        }
        if let Some(pending) = Pending::new(record) {
            // What is older is flushed before, what is newer goes to a memtable of its own.
            self.ingests.push(pending);
            self.memtables.push(Memtable::default());
            return;
        }
        if self
            .memtables
            .last()
            .is_none_or(|last| last.bytes() >= memtable_bytes || !last.has_room_for(record))
        {
            self.memtables.push(Memtable::default());
        }
        if let Some(memtable) = self.memtables.last() {
            memtable.insert(record);
        }
    }
}
