//! The payload of a data block:
//!
//! ```text
//! payload := entry*  restart:u32*  restarts:u32
//! entry   := shared:varint  unshared:varint  flags:u8  key suffix
//!            version:varint  [expiry:varint]  [length:varint  value]
//! flags   := 1 tombstone (no value)  2 expires
//! ```
//!
//! A key is the first `shared` bytes of the key before it and the suffix. At a restart (every 16
//! entries) `shared` is 0: where binary search and reverse iteration begin.

use std::cmp::Ordering;
use std::ops::Bound;

use bytes::Bytes;

use crate::range::Direction;
use crate::value::Value;
use crate::varint;

const RESTART_EVERY: usize = 16;
const TOMBSTONE: u8 = 1;
const EXPIRES: u8 = 2;

#[derive(Default)]
pub(crate) struct BlockBuilder {
    buffer: Vec<u8>,
    restarts: Vec<u32>,
    last_key: Vec<u8>,
    count: usize,
}

impl BlockBuilder {
    /// Keys ascend.
    pub(crate) fn add(&mut self, key: &[u8], value: &Value) {
        let shared = if self.count.is_multiple_of(RESTART_EVERY) {
            self.restarts.push(self.buffer.len() as u32);
            0
        } else {
            common_prefix(&self.last_key, key)
        };
        let buffer = &mut self.buffer;
        varint::put(buffer, shared as u64);
        varint::put(buffer, (key.len() - shared) as u64);
        let expires = if value.expires_at_ms == 0 { 0 } else { EXPIRES };
        buffer.push(expires | if value.tombstone { TOMBSTONE } else { 0 });
        buffer.extend_from_slice(&key[shared..]);
        varint::put(buffer, value.version);
        if value.expires_at_ms != 0 {
            varint::put(buffer, value.expires_at_ms);
        }
        if !value.tombstone {
            varint::put_bytes(buffer, &value.data);
        }
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() + 4 * self.restarts.len() + 4
    }

    pub(crate) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// The payload; the builder is empty afterwards.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut payload = std::mem::take(&mut self.buffer);
        for restart in &self.restarts {
            payload.extend_from_slice(&restart.to_le_bytes());
        }
        payload.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        *self = BlockBuilder::default();
        payload
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A payload whose restarts are within bounds. `None` from a method means damage.
#[derive(Clone)]
pub(crate) struct Block {
    data: Bytes,
    entries_end: usize,
    restarts: usize,
}

/// An entry before its key is put together.
struct Raw<'a> {
    shared: usize,
    suffix: &'a [u8],
    value: Value,
    end: usize,
}

impl Block {
    pub(crate) fn new(data: Bytes) -> Option<Block> {
        let (_, count) = data.split_last_chunk::<4>()?;
        let restarts = u32::from_le_bytes(*count) as usize;
        let entries_end = data.len().checked_sub(restarts.checked_mul(4)? + 4)?;
        Some(Block {
            data,
            entries_end,
            restarts,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    fn restart(&self, index: usize) -> Option<usize> {
        let at = self.entries_end + 4 * index;
        let field = self.data.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(field) as usize)
    }

    fn restart_key(&self, index: usize) -> Option<&[u8]> {
        let mut input = self.data.get(self.restart(index)?..self.entries_end)?;
        let shared = varint::take(&mut input)?;
        let length = varint::take(&mut input)? as usize;
        (shared == 0).then_some(())?;
        input.get(1..)?.get(..length)
    }

    fn entry(&self, offset: usize) -> Option<Raw<'_>> {
        let mut input = self.data.get(offset..self.entries_end)?;
        let shared = varint::take(&mut input)? as usize;
        let unshared = varint::take(&mut input)? as usize;
        let (&flags, rest) = input.split_first()?;
        let (suffix, rest) = rest.split_at_checked(unshared)?;
        input = rest;
        if flags & !(TOMBSTONE | EXPIRES) != 0 {
            return None;
        }
        let version = varint::take(&mut input)?;
        let expires_at_ms = if flags & EXPIRES == 0 {
            0
        } else {
            varint::take(&mut input)?
        };
        let tombstone = flags & TOMBSTONE != 0;
        let data = if tombstone {
            Bytes::new()
        } else {
            self.data.slice_ref(varint::take_bytes(&mut input)?)
        };
        Some(Raw {
            shared,
            suffix,
            value: Value {
                tombstone,
                data,
                version,
                expires_at_ms,
            },
            end: self.entries_end - input.len(),
        })
    }

    /// The last restart whose key satisfies `before`, which holds for a prefix of them.
    fn last_restart(&self, before: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let (mut low, mut high) = (0, self.restarts);
        while low < high {
            let middle = low.midpoint(high);
            if before(self.restart_key(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low.saturating_sub(1))
    }

    /// Compares without putting keys together: as long as the keys before are smaller than `key`,
    /// how much of it they match says how the next one compares.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Value>> {
        if self.restarts == 0 {
            return Some(None);
        }
        let mut offset = self.restart(self.last_restart(|at| at <= key)?)?;
        let mut matched = 0;
        while offset < self.entries_end {
            let entry = self.entry(offset)?;
            match entry.shared.cmp(&matched) {
                Ordering::Less => return Some(None),
                Ordering::Greater => {}
                Ordering::Equal => {
                    let rest = &key[matched..];
                    let common = common_prefix(rest, entry.suffix);
                    match entry.suffix.get(common).cmp(&rest.get(common)) {
                        Ordering::Equal => return Some(Some(entry.value)),
                        Ordering::Greater => return Some(None),
                        Ordering::Less => matched += common,
                    }
                }
            }
            offset = entry.end;
        }
        Some(None)
    }
}

/// Iterates a block in one direction. `None` from a method means damage.
pub(crate) struct BlockCursor {
    block: Block,
    direction: Direction,
    /// Forward: the next entry, and the key before it.
    offset: usize,
    key: Vec<u8>,
    /// Reverse: intervals before this one are still to come, of this one `pending`.
    interval: usize,
    pending: Vec<(Bytes, Value)>,
}

impl BlockCursor {
    /// Positioned at the first entry, in the cursor's direction, within `from`.
    pub(crate) fn new(
        block: Block,
        direction: Direction,
        from: Bound<&[u8]>,
    ) -> Option<BlockCursor> {
        let mut cursor = BlockCursor {
            offset: 0,
            key: Vec::new(),
            interval: block.restarts,
            pending: Vec::new(),
            direction,
            block,
        };
        if cursor.block.restarts > 0 {
            match direction {
                Direction::Forward => cursor.seek_forward(from)?,
                Direction::Reverse => cursor.seek_reverse(from)?,
            }
        }
        Some(cursor)
    }

    fn seek_forward(&mut self, from: Bound<&[u8]>) -> Option<()> {
        let (Bound::Included(start) | Bound::Excluded(start)) = from else {
            return Some(());
        };
        self.offset = self
            .block
            .restart(self.block.last_restart(|at| at <= start)?)?;
        let mut key = Vec::new();
        while self.offset < self.block.entries_end {
            let entry = self.block.entry(self.offset)?;
            extend_key(&mut key, &entry)?;
            let reached = match from {
                Bound::Included(_) => key.as_slice() >= start,
                _ => key.as_slice() > start,
            };
            if reached {
                break;
            }
            self.key.clone_from(&key);
            self.offset = entry.end;
        }
        Some(())
    }

    fn seek_reverse(&mut self, from: Bound<&[u8]>) -> Option<()> {
        let (Bound::Included(end) | Bound::Excluded(end)) = from else {
            return Some(());
        };
        self.interval = self.block.last_restart(|at| at <= end)? + 1;
        self.fetch_interval()?;
        let beyond = |key: &[u8]| match from {
            Bound::Included(_) => key > end,
            _ => key >= end,
        };
        while self.pending.last().is_some_and(|(key, _)| beyond(key)) {
            self.pending.pop();
        }
        Some(())
    }

    /// Decodes the interval before the current one.
    fn fetch_interval(&mut self) -> Option<()> {
        self.interval -= 1;
        let mut offset = self.block.restart(self.interval)?;
        let end = if self.interval + 1 < self.block.restarts {
            self.block.restart(self.interval + 1)?
        } else {
            self.block.entries_end
        };
        let mut key = Vec::new();
        while offset < end {
            let entry = self.block.entry(offset)?;
            extend_key(&mut key, &entry)?;
            offset = entry.end;
            self.pending
                .push((Bytes::copy_from_slice(&key), entry.value));
        }
        Some(())
    }

    pub(crate) fn next(&mut self) -> Option<Option<(Bytes, Value)>> {
        if self.direction == Direction::Reverse {
            while self.pending.is_empty() && self.interval > 0 {
                self.fetch_interval()?;
            }
            return Some(self.pending.pop());
        }
        if self.offset >= self.block.entries_end {
            return Some(None);
        }
        let entry = self.block.entry(self.offset)?;
        extend_key(&mut self.key, &entry)?;
        self.offset = entry.end;
        Some(Some((Bytes::copy_from_slice(&self.key), entry.value)))
    }
}

fn extend_key(key: &mut Vec<u8>, entry: &Raw<'_>) -> Option<()> {
    (entry.shared <= key.len()).then_some(())?;
    key.truncate(entry.shared);
    key.extend_from_slice(entry.suffix);
    Some(())
}
