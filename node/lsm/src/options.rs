use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::batch::Gate;
use crate::io::{Io, RealIo};

/// When a write is acknowledged. In every mode at most [`SYNC_AT_LEAST_EACH`] passes between the
/// append of a record and its sync (V4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// After an fdatasync that it shares with its neighbours. Only durable data is visible.
    Group,
    /// After write(); a background sync follows within the interval.
    Interval(Duration),
    /// After write(); a background sync follows within a second.
    None,
}

pub(crate) const SYNC_AT_LEAST_EACH: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
}

/// Wall time. The store's own clock (V3) never goes back even if this does.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as u64)
    }
}

pub struct Options {
    /// Create the store when the directory is missing or empty.
    pub create: bool,
    pub sync: SyncMode,
    pub memtable_bytes: usize,
    /// Of the block cache, unless `memory_bytes` is given.
    pub cache_bytes: usize,
    /// One budget for block cache, indexes and filters of open tables, and memtables: the cache gets
    /// what the others leave, but at least a sixteenth; a memtable has an eighth at most. Not in it: what snapshots keep of older
    /// states, a block for each level of an open scan, the log's tail (`tail_bytes`) and queue.
    pub memory_bytes: Option<usize>,
    pub block_bytes: usize,
    pub bloom_bits_per_key: u32,
    pub compression: Compression,
    /// Size of a log segment; a record that does not fit gets a larger one.
    pub segment_bytes: u64,
    /// SSTs written by compaction are cut at about this size.
    pub file_bytes: u64,
    /// Files in L0 that start a compaction.
    pub l0_compact_at: usize,
    /// Files in L0 at which writers are first slowed.
    pub l0_slow_at: usize,
    /// Files in L0 at which writers wait.
    pub l0_stop_at: usize,
    /// Target size of L1; each deeper level is `level_ratio` times larger.
    pub level_base_bytes: u64,
    pub level_ratio: u64,
    /// Compaction drops a value only this long after its expiry (V3).
    pub expiry_grace: Duration,
    /// Log segments are kept at least this long: request ids are rebuilt by replay (V6).
    pub log_retention: Duration,
    /// Bytes of synced records kept in memory for subscribers; 0 keeps none, and nobody can follow.
    pub tail_bytes: usize,
    /// Batches, and bytes of batches, that may wait for the committer.
    pub queue_batches: usize,
    pub queue_bytes: usize,
    /// `Some`: an archive follows the log ([`crate::Store::archived`]). Segments stay until it has them,
    /// and writers are slowed from half of so many bytes that it lacks, and refused at all of them (D7).
    pub archive_lag_bytes: Option<u64>,
    pub max_key_bytes: usize,
    pub max_value_bytes: usize,
    pub max_batch_bytes: usize,
    pub io: Arc<dyn Io>,
    pub clock: Arc<dyn Clock>,
    pub gate: Option<Box<dyn Gate>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            create: true,
            sync: SyncMode::Group,
            memtable_bytes: 64 << 20,
            cache_bytes: 256 << 20,
            memory_bytes: None,
            block_bytes: 4 << 10,
            bloom_bits_per_key: 10,
            compression: Compression::None,
            segment_bytes: 32 << 20,
            file_bytes: 32 << 20,
            l0_compact_at: 4,
            l0_slow_at: 8,
            l0_stop_at: 20,
            level_base_bytes: 256 << 20,
            level_ratio: 10,
            expiry_grace: Duration::from_secs(3600),
            log_retention: Duration::from_secs(60),
            tail_bytes: 64 << 20,
            queue_batches: 16 << 10,
            queue_bytes: 64 << 20,
            archive_lag_bytes: None,
            max_key_bytes: 16 << 10,
            max_value_bytes: 32 << 20,
            max_batch_bytes: 64 << 20,
            io: Arc::new(RealIo),
            clock: Arc::new(SystemClock),
            gate: None,
        }
    }
}

/// A memtable is at most this part of the memory budget: one fills while others are flushed.
const MEMTABLE_PART: usize = 8;

/// The plain numbers of [`Options`].
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub sync: SyncMode,
    pub memory_bytes: Option<usize>,
    pub memtable_bytes: usize,
    pub block_bytes: usize,
    pub bloom_bits_per_key: u32,
    pub compression: Compression,
    pub file_bytes: u64,
    pub l0_compact_at: usize,
    pub l0_slow_at: usize,
    pub l0_stop_at: usize,
    pub level_base_bytes: u64,
    pub level_ratio: u64,
    pub expiry_grace_ms: u64,
    /// 0: nothing is archived.
    pub archive_lag_bytes: u64,
    pub max_key_bytes: usize,
    pub max_value_bytes: usize,
    pub max_batch_bytes: usize,
}

impl Options {
    pub(crate) fn config(&self) -> Config {
        Config {
            sync: self.sync,
            memory_bytes: self.memory_bytes,
            memtable_bytes: self.memory_bytes.map_or(self.memtable_bytes, |budget| {
                self.memtable_bytes.min(budget / MEMTABLE_PART)
            }),
            block_bytes: self.block_bytes,
            bloom_bits_per_key: self.bloom_bits_per_key,
            compression: self.compression,
            file_bytes: self.file_bytes,
            l0_compact_at: self.l0_compact_at.max(1),
            l0_slow_at: self.l0_slow_at.max(2),
            l0_stop_at: self.l0_stop_at.max(3),
            level_base_bytes: self.level_base_bytes.max(1),
            level_ratio: self.level_ratio.max(2),
            expiry_grace_ms: self.expiry_grace.as_millis() as u64,
            archive_lag_bytes: self.archive_lag_bytes.map_or(0, |limit| limit.max(2)),
            max_key_bytes: self.max_key_bytes,
            max_value_bytes: self.max_value_bytes,
            max_batch_bytes: self.max_batch_bytes,
        }
    }
}
