use std::sync::atomic::{AtomicU64, Ordering};

use crate::version::LEVELS;

/// What flushes and compactions read and wrote since the store was opened, in bytes of tables.
#[derive(Default)]
pub(crate) struct Counters {
    levels: [Level; LEVELS],
}

#[derive(Default)]
struct Level {
    read: AtomicU64,
    written: AtomicU64,
}

impl Counters {
    pub(crate) fn flushed(&self, bytes: u64) {
        self.levels[0].written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Into the level `target`.
    pub(crate) fn compacted(&self, target: usize, read: u64, written: u64) {
        let level = &self.levels[target];
        level.read.fetch_add(read, Ordering::Relaxed);
        level.written.fetch_add(written, Ordering::Relaxed);
    }

    /// Bytes read for and written to the level.
    pub(crate) fn level(&self, level: usize) -> (u64, u64) {
        let level = &self.levels[level];
        (
            level.read.load(Ordering::Relaxed),
            level.written.load(Ordering::Relaxed),
        )
    }
}
