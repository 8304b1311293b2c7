use bytes::Bytes;

use crate::batch::Entry;

/// What the tree holds for a key: a value or a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub tombstone: bool,
    pub data: Bytes,
    pub version: u64,
    /// 0 = never.
    pub expires_at_ms: u64,
}

impl Value {
    pub(crate) fn expired(&self, clock_ms: u64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= clock_ms
    }

    /// What a reader sees of it at `clock_ms` (V3).
    pub(crate) fn visible(self, clock_ms: u64) -> Option<Entry> {
        if self.tombstone || self.expired(clock_ms) {
            return None;
        }
        Some(Entry {
            value: self.data,
            version: self.version,
            expires_at_ms: self.expires_at_ms,
        })
    }
}
