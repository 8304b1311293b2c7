//! What is known of a table without reading it; stored in the table and in the manifest.

use crate::value::ValueRef;
use crate::varint;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Properties {
    pub entries: u64,
    pub tombstones: u64,
    pub smallest: Vec<u8>,
    pub largest: Vec<u8>,
    /// Of the newest record in it.
    pub last_lsn: u64,
    /// When its last value expires; `u64::MAX` when one never does.
    pub all_expired_at_ms: u64,
}

impl Properties {
    pub(crate) fn add(&mut self, key: &[u8], value: ValueRef<'_>) {
        if self.entries == 0 {
            self.smallest = key.to_vec();
        }
        self.entries += 1;
        self.tombstones += u64::from(value.tombstone);
        if !value.tombstone {
            let expiry = match value.expires_at_ms {
                0 => u64::MAX,
                expiry => expiry,
            };
            self.all_expired_at_ms = self.all_expired_at_ms.max(expiry);
        }
    }

    pub(crate) fn put(&self, buffer: &mut Vec<u8>) {
        varint::put(buffer, self.entries);
        varint::put(buffer, self.tombstones);
        varint::put_bytes(buffer, &self.smallest);
        varint::put_bytes(buffer, &self.largest);
        varint::put(buffer, self.last_lsn);
        varint::put(buffer, self.all_expired_at_ms);
    }

    pub(crate) fn take(input: &mut &[u8]) -> Option<Properties> {
        Some(Properties {
            entries: varint::take(input)?,
            tombstones: varint::take(input)?,
            smallest: varint::take_bytes(input)?.to_vec(),
            largest: varint::take_bytes(input)?.to_vec(),
            last_lsn: varint::take(input)?,
            all_expired_at_ms: varint::take(input)?,
        })
    }
}
