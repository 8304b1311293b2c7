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

/// A value where it lies: in a memtable or a block.
#[derive(Clone, Copy)]
pub(crate) struct ValueRef<'a> {
    pub tombstone: bool,
    pub data: &'a [u8],
    pub version: u64,
    /// 0 = never.
    pub expires_at_ms: u64,
    /// `data` is a part of it.
    owner: &'a Bytes,
}

impl<'a> ValueRef<'a> {
    pub(crate) fn of(value: &'a Value) -> ValueRef<'a> {
        ValueRef {
            tombstone: value.tombstone,
            data: &value.data,
            version: value.version,
            expires_at_ms: value.expires_at_ms,
            owner: &value.data,
        }
    }

    /// In `owner` from `data` on.
    pub(crate) fn within(
        owner: &'a Bytes,
        data: std::ops::Range<usize>,
        tombstone: bool,
        version: u64,
        expires_at_ms: u64,
    ) -> ValueRef<'a> {
        ValueRef {
            tombstone,
            data: &owner[data],
            version,
            expires_at_ms,
            owner,
        }
    }

    /// Shares the bytes.
    pub(crate) fn to_value(self) -> Value {
        Value {
            tombstone: self.tombstone,
            data: self.owner.slice_ref(self.data),
            version: self.version,
            expires_at_ms: self.expires_at_ms,
        }
    }

    pub(crate) fn expired(self, clock_ms: u64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= clock_ms
    }
}
