//! Where the data blocks are. Payload: per block `last key length:varint, last key, offset:varint,
//! length:varint`, in key order.

use bytes::Bytes;

use super::format::Handle;
use super::heads::Heads;
use crate::varint;

pub(crate) fn put(buffer: &mut Vec<u8>, last_key: &[u8], handle: Handle) {
    varint::put_bytes(buffer, last_key);
    varint::put(buffer, handle.offset);
    varint::put(buffer, u64::from(handle.length));
}

/// Keys stay in the payload: one allocation for all of them.
pub(crate) struct Index {
    payload: Bytes,
    blocks: Vec<Position>,
    last_keys: Heads,
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
            last_keys: Heads::new(0, |_| &[]),
        };
        index.last_keys = Heads::new(index.len(), |block| index.last_key(block));
        Some(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.blocks.len() * size_of::<Position>() + self.last_keys.bytes()
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
        self.last_keys
            .before(key, |block| self.last_key(block), |last| last < key)
    }
}
