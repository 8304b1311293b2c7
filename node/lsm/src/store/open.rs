use std::any::Any;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::commit::committer::Committer;
use crate::commit::queue::CommitQueue;
use crate::commit::syncer::{SyncQueue, Syncer};
use crate::error::{Error, IoContext, Result};
use crate::log::recovery;
use crate::log::segments::Segments;
use crate::log::tail::Tail;
use crate::log::writer::LogWriter;
use crate::log::{LogOpKind, LogRecord};
use crate::memtable::Memtable;
use crate::options::Options;
use crate::poison::Poison;
use crate::progress::Progress;
use crate::shared::Shared;
use crate::view::View;

pub(crate) struct Opened {
    pub shared: Arc<Shared>,
    pub committer: Committer,
    pub syncer: Syncer,
    pub lock: Box<dyn Any + Send + Sync>,
}

pub(crate) fn open(path: &Path, mut options: Options) -> Result<Opened> {
    let config = options.config();
    let io = Arc::clone(&options.io);
    let clock = Arc::clone(&options.clock);
    io.create_dir(path).at(path, "create")?;
    let lock_path = path.join("LOCK");
    let lock = match io.lock(&lock_path) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Err(Error::Locked {
                path: path.to_path_buf(),
            });
        }
        result => result.at(&lock_path, "lock")?,
    };
    let log_dir = path.join("log");
    io.create_dir(&log_dir).at(&log_dir, "create")?;

    let mut gate = options.gate.take();
    let progress = Arc::new(Progress::default());
    let mut replayed = Replayed {
        memtables: vec![Memtable::default()],
        records: Vec::new(),
        last_lsn: 0,
        epoch: 0,
        clock_ms: 0,
    };
    let now_ms = clock.now_ms();
    let recovered = recovery::recover(&*io, &log_dir, 0, now_ms, &mut |record| {
        if let Some(gate) = &mut gate {
            gate.replayed(&record);
        }
        replayed.record(record, 0, config.memtable_bytes);
    })?;
    progress.recovered(recovered.last_lsn, replayed.epoch, replayed.clock_ms);
    let tail = Arc::new(Tail::new(options.tail_bytes, recovered.last_lsn));
    tail.publish(replayed.records);
    let segments = Arc::new(Segments::new(
        &log_dir,
        Arc::clone(&io),
        Arc::clone(&clock),
        options.segment_bytes,
        options.log_retention.as_millis() as u64,
        recovered.finished,
        recovered.next_number,
    ));
    let mut memtables = replayed.memtables.into_iter().rev().map(Arc::new);
    let view = View {
        active: memtables.next().unwrap_or_default(),
        full: memtables.collect(),
    };
    let poison = Arc::new(Poison::default());
    let sync_queue = Arc::new(SyncQueue::new(config.sync));
    let syncer = Syncer {
        queue: Arc::clone(&sync_queue),
        progress: Arc::clone(&progress),
        tail: Arc::clone(&tail),
        poison: Arc::clone(&poison),
        mode: config.sync,
        synced: Box::new(|| {}),
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
        view: RwLock::new(Arc::new(view)),
    });
    Ok(Opened {
        committer: Committer::new(Arc::clone(&shared), LogWriter::new(segments), gate),
        shared,
        syncer,
        lock,
    })
}

struct Replayed {
    /// Oldest first; the last is still filling.
    memtables: Vec<Memtable>,
    records: Vec<Arc<LogRecord>>,
    last_lsn: u64,
    epoch: u64,
    clock_ms: u64,
}

impl Replayed {
    fn record(&mut self, record: LogRecord, flushed_lsn: u64, memtable_bytes: usize) {
        self.last_lsn = record.lsn;
        self.clock_ms = self.clock_ms.max(record.clock_ms);
        if record.ops.iter().any(|op| op.kind == LogOpKind::Epoch) {
            self.epoch = self.epoch.max(record.epoch);
        }
        if record.lsn > flushed_lsn {
            if self
                .memtables
                .last()
                .is_none_or(|last| last.bytes() >= memtable_bytes)
            {
                self.memtables.push(Memtable::default());
            }
            if let Some(memtable) = self.memtables.last() {
                memtable.insert(&record);
            }
        }
        self.records.push(Arc::new(record));
    }
}
