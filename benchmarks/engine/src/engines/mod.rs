//! The engines behind one interface, with matched settings.

mod aidb;
mod fjall;
mod rocksdb;

use std::path::Path;

/// What all three are given alike. Not matched: RocksDB and fjall keep index and filters in ways of their own.
pub struct Settings {
    pub cache_bytes: usize,
    pub memtable_bytes: usize,
    /// Every put is durable before it is answered; else it is handed to the operating system.
    pub sync: bool,
}

pub const BLOCK_BYTES: usize = 4096;
pub const BLOOM_BITS: u32 = 10;
pub const FILE_BYTES: u64 = 32 << 20;
pub const LEVEL_BASE_BYTES: u64 = 256 << 20;
pub const BACKGROUND_THREADS: i32 = 2;
/// In memory at most: what this engine's backpressure comes to, and more than RocksDB's default of 2.
pub const MEMTABLES: i32 = 4;

/// Reads something of what was found, so that nobody gets away with a promise of it.
pub fn touch(bytes: &[u8]) {
    std::hint::black_box((bytes.first(), bytes.last()));
}

pub trait Engine: Sync {
    fn put(&self, key: &[u8], value: &[u8]);
    fn put_batch(&self, items: &[(Vec<u8>, Vec<u8>)]);
    fn get(&self, key: &[u8]) -> bool;
    /// How many of the keys were found.
    fn get_many(&self, keys: &[Vec<u8>]) -> usize;
    /// Visits up to `limit` entries from `start` on (`None`: from the end that comes first); how many.
    fn scan(&self, start: Option<&[u8]>, limit: usize, reverse: bool) -> usize;
    /// Writes out what is in memory and merges all files.
    fn settle(&self);
}

pub const NAMES: [&str; 3] = ["aidb", "rocksdb", "fjall"];

pub fn open(name: &str, path: &Path, settings: &Settings) -> Box<dyn Engine> {
    match name {
        "aidb" => Box::new(aidb::Aidb::open(path, settings)),
        "rocksdb" => Box::new(rocksdb::Rocks::open(path, settings)),
        "fjall" => Box::new(fjall::Fjall::open(path, settings)),
        other => panic!("there is no engine {other:?}; there are {NAMES:?}"),
    }
}
