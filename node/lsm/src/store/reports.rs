use std::path::PathBuf;
use std::time::Duration;

/// What a checkpoint holds: the store's state at `lsn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub lsn: u64,
    pub epoch: u64,
    pub clock_ms: u64,
    /// Paths relative to the checkpoint; all that it consists of.
    pub files: Vec<CheckpointFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFile {
    pub name: String,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    pub tables: u64,
    pub blocks: u64,
    pub records: u64,
    pub bytes: u64,
    /// Empty when all is well.
    pub damage: Vec<Damage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    pub offset: u64,
    pub what: String,
}

/// Of one level; bytes are of tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LevelStats {
    pub tables: u64,
    pub bytes: u64,
    /// Tombstones included.
    pub entries: u64,
    pub tombstones: u64,
    /// Parts of its tables that range deletes hide until compaction rewrites them.
    pub hidden_parts: u64,
    /// Read by compactions into this level, since the store was opened.
    pub read_bytes: u64,
    /// Written to this level by flushes (level 0) and compactions, since the store was opened.
    pub written_bytes: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Live keys: puts less deletes; exact where nothing was overwritten or expired.
    pub keys: u64,
    /// SSTs and log on disk.
    pub disk_bytes: u64,
    pub log_bytes: u64,
    pub memtable_bytes: u64,
    /// Memtables that wait for a flush.
    pub full_memtables: u64,
    /// Files and bytes of each level.
    pub levels: Vec<(u64, u64)>,
    pub level_stats: Vec<LevelStats>,
    /// Bytes written to tables for each byte flushed, since the store was opened; 0 before.
    pub write_amplification: f64,
    /// Indexes and filters of the open tables.
    pub index_bytes: u64,
    pub cache_bytes: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    /// Why writers are slowed or refused.
    pub stall: Option<String>,
    /// Groups of writes that were slowed, kept waiting or refused for that, and how long they were.
    pub stalls: u64,
    pub stall_time: Duration,
    /// Bytes that the levels hold beyond their targets: what compaction has yet to do.
    pub debt_bytes: u64,
    /// Syncs of the log: bucket i counts those that took less than 2^i microseconds, and no less than the one before.
    pub sync_us_buckets: Vec<u64>,
    pub sync_time: Duration,
    /// Why the store refuses writes until it is opened again.
    pub poisoned: Option<String>,
    pub visible_lsn: u64,
    pub synced_lsn: u64,
    pub flushed_lsn: u64,
    pub epoch: u64,
}
