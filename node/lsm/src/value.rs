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
    /// `data` is a part of it, unless there is none.
    owner: Option<&'a Bytes>,
}

impl<'a> ValueRef<'a> {
    pub(crate) fn of(value: &'a Value) -> ValueRef<'a> {
        let (version, expires_at_ms) = (value.version, value.expires_at_ms);
        ValueRef::whole(&value.data, value.tombstone, version, expires_at_ms)
    }

    pub(crate) fn whole(
        data: &'a Bytes,
        tombstone: bool,
        version: u64,
        expires_at_ms: u64,
    ) -> ValueRef<'a> {
        let all = 0..data.len();
        ValueRef::within(data, all, tombstone, version, expires_at_ms)
    }

    /// Of bytes that nobody shares: [`ValueRef::shared`] copies them.
    pub(crate) fn alone(
        data: &'a [u8],
        tombstone: bool,
        version: u64,
        expires_at_ms: u64,
    ) -> ValueRef<'a> {
        ValueRef {
            tombstone,
            data,
            version,
            expires_at_ms,
            owner: None,
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
            owner: Some(owner),
        }
    }

    /// The bytes, for as long as they are wanted.
    pub(crate) fn shared(self) -> Bytes {
        match self.owner {
            Some(owner) => owner.slice_ref(self.data),
            None => Bytes::copy_from_slice(self.data),
        }
    }

    pub(crate) fn to_value(self) -> Value {
        Value {
            tombstone: self.tombstone,
            data: self.shared(),
            version: self.version,
            expires_at_ms: self.expires_at_ms,
        }
    }

    pub(crate) fn expired(self, clock_ms: u64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= clock_ms
    }
}
