//! Where the data blocks are. Payload: per block `last key length:varint, last key, offset:varint,
//! length:varint`, in key order.

use bytes::Bytes;

use super::format::Handle;
use crate::varint;

pub(crate) fn put(buffer: &mut Vec<u8>, last_key: &[u8], handle: Handle) {
    varint::put_bytes(buffer, last_key);
    varint::put(buffer, handle.offset);
    varint::put(buffer, u64::from(handle.length));
}

/// Keys stay in the payload: one allocation for all of them. A search compares numbers that lie close
/// together, and whole keys only where these are equal.
pub(crate) struct Index {
    payload: Bytes,
    blocks: Vec<Position>,
    /// Bytes that all keys begin with, and of each key the eight that follow.
    shared: usize,
    heads: Vec<u64>,
}

/// The first eight bytes as a number that compares like them; what is missing counts as zero.
fn head(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

struct Position {
    key: u32,
    key_length: u32,
    handle: Handle,
}

impl Index {
    /// `None` when the payload is damaged.
    pub(crate) fn new(payload: Bytes) -> Option<Index> {
        let mut blocks = Vec::new();
        let mut input = payload.as_ref();
        while !input.is_empty() {
            let key = varint::take_bytes(&mut input)?;
            let key_start = payload.len() - input.len() - key.len();
            let offset = varint::take(&mut input)?;
            let length = u32::try_from(varint::take(&mut input)?).ok()?;
            blocks.push(Position {
                key: key_start as u32,
                key_length: key.len() as u32,
                handle: Handle { offset, length },
            });
        }
        let mut index = Index {
            payload,
            blocks,
            shared: 0,
            heads: Vec::new(),
        };
        let last = index.last_key(index.len().saturating_sub(1));
        let pairs = index.last_key(0).iter().zip(last);
        index.shared = pairs.take_while(|(a, b)| a == b).count();
        // Keys of a damaged file may not ascend, and then not share either.
        let beyond = |block| head(index.last_key(block).get(index.shared..).unwrap_or(&[]));
        index.heads = (0..index.len()).map(beyond).collect();
        Some(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.blocks.len() * (size_of::<Position>() + 8)
    }

    pub(crate) fn handle(&self, block: usize) -> Option<Handle> {
        self.blocks.get(block).map(|position| position.handle)
    }

    pub(crate) fn last_key(&self, block: usize) -> &[u8] {
        let position = self.blocks.get(block);
        position.map_or(&[], |at| {
            let start = at.key as usize;
            &self.payload[start..start + at.key_length as usize]
        })
    }

    /// The first block whose last key is not before `key`: the only one that can hold it.
    pub(crate) fn find(&self, key: &[u8]) -> usize {
        if self.blocks.is_empty() {
            return 0;
        }
        let prefix = &self.last_key(0)[..self.shared];
        let Some(rest) = key.strip_prefix(prefix) else {
            return if key < prefix { 0 } else { self.len() };
        };
        let head = head(rest);
        let first = self.heads.partition_point(|other| *other < head);
        let equal = self.heads[first..].partition_point(|other| *other == head);
        let (mut low, mut high) = (first, first + equal);
        while low < high {
            let middle = low.midpoint(high);
            if self.last_key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
