use std::sync::atomic::{AtomicU64, Ordering};

use crate::interleave::interleave;

/// How far the store is. Written by the committer (`appended`, `epoch`, the clock) and the syncer
/// (`synced`); `visible` follows `synced` with sync `Group`, else `appended`.
///
/// Invariant: flushed <= synced <= appended, visible <= appended; none goes back.
#[derive(Default)]
pub(crate) struct Progress {
    appended: AtomicU64,
    synced: AtomicU64,
    visible: AtomicU64,
    epoch: AtomicU64,
    clock_ms: AtomicU64,
}

impl Progress {
    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn visible(&self) -> u64 {
        interleave();
        self.visible.load(Ordering::Acquire)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The shard clock (V3): never goes back.
    pub(crate) fn clock(&self, now_ms: u64) -> u64 {
        self.clock_ms
            .fetch_max(now_ms, Ordering::AcqRel)
            .max(now_ms)
    }

    pub(crate) fn set_appended(&self, lsn: u64) {
        self.appended.store(lsn, Ordering::Release);
    }

    pub(crate) fn set_synced(&self, lsn: u64) {
        self.synced.fetch_max(lsn, Ordering::AcqRel);
    }

    pub(crate) fn set_visible(&self, lsn: u64) {
        interleave();
        self.visible.fetch_max(lsn, Ordering::AcqRel);
    }

    pub(crate) fn set_epoch(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Release);
    }

    /// What was found at open: all of it is durable.
    pub(crate) fn recovered(&self, lsn: u64, epoch: u64, clock_ms: u64) {
        self.set_appended(lsn);
        self.set_synced(lsn);
        self.set_visible(lsn);
        self.set_epoch(epoch);
        self.clock(clock_ms);
    }
}
