//! The payload of a data block:
//!
//! ```text
//! payload := entry*  restart:u32*  restarts:u32
//! entry   := shared:varint  unshared:varint  flags:u8  key suffix
//!            version:varint  [expiry:varint]  [length:varint  value]
//! flags   := 1 tombstone (no value)  2 expires
//! ```
//!
//! A key is the first `shared` bytes of the key before it and the suffix. At a restart (every 4
//! entries; readers rely on no number) `shared` is 0: where binary search and reverse iteration begin.
//! Every 8 would make a table a hundredth smaller, and lookups walk twice as far.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::heads::Heads;
use crate::range::Direction;
use crate::value::{Value, ValueRef};
use crate::varint;

const RESTART_EVERY: usize = 4;
/// Of a cache.
const LINE: usize = 64;
/// Four entries with values of 100 bytes.
const LINES_AHEAD: usize = 8;
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
    pub(crate) fn add(&mut self, key: &[u8], value: ValueRef<'_>) {
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
            varint::put_bytes(buffer, value.data);
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
        self.buffer.reserve(payload.len());
        self.restarts.clear();
        self.last_key.clear();
        self.count = 0;
        payload
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut equal = 0;
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        let different = word(a) ^ word(b);
        if different != 0 {
            return equal + different.trailing_zeros() as usize / 8;
        }
        equal += 8;
    }
    let rest = a[equal..].iter().zip(&b[equal..]);
    equal + rest.take_while(|(a, b)| a == b).count()
}

/// A payload whose restarts are within bounds. `None` from a method means damage.
#[derive(Clone)]
pub(crate) struct Block {
    data: Bytes,
    entries_end: usize,
    restarts: usize,
    /// Of the keys at restarts, in blocks that are kept: a search that looks at these keys visits a place in memory
    /// for each.
    heads: Option<Arc<Heads>>,
}

/// An entry before its key is put together; places in the payload.
#[derive(Clone, Copy, Default)]
struct Raw {
    shared: usize,
    suffix: usize,
    suffix_end: usize,
    tombstone: bool,
    version: u64,
    expires_at_ms: u64,
    data: usize,
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
            heads: None,
        })
    }

    /// To be looked at often.
    pub(crate) fn kept(mut self) -> Option<Block> {
        let keys: Option<Vec<_>> = (0..self.restarts).map(|at| self.restart_key(at)).collect();
        let keys = keys?;
        let heads = Heads::new(keys.len(), |at| keys.get(at).copied().unwrap_or_default());
        self.heads = Some(Arc::new(heads));
        Some(self)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.heads.as_ref().map_or(0, |heads| heads.bytes())
    }

    fn restart(&self, index: usize) -> Option<usize> {
        let at = self.entries_end + 4 * index;
        let field = self.data.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(field) as usize)
    }

    fn restart_key(&self, index: usize) -> Option<&[u8]> {
        let entries = self.data.get(..self.entries_end)?;
        let mut at = self.restart(index)?;
        let shared = varint::take_at(entries, &mut at)?;
        let length = varint::take_at(entries, &mut at)? as usize;
        (shared == 0).then_some(())?;
        entries.get(at + 1..)?.get(..length)
    }

    /// Whether each restart is the beginning of an entry with a whole key, the first entry's among them: forward iteration
    /// needs none, searches and reverse iteration would miss entries, or see others.
    pub(crate) fn restarts_fit(&self) -> Option<bool> {
        let (mut offset, mut fitting) = (0, 0);
        while offset < self.entries_end {
            let entry = self.entry(offset)?;
            if fitting < self.restarts && self.restart(fitting)? == offset {
                if entry.shared != 0 {
                    return Some(false);
                }
                fitting += 1;
            } else if offset == 0 {
                return Some(false);
            }
            offset = entry.end;
        }
        Some(fitting == self.restarts)
    }

    #[inline]
    fn entry(&self, offset: usize) -> Option<Raw> {
        let payload = self.data.get(..self.entries_end)?;
        let mut at = offset;
        let shared = varint::take_at(payload, &mut at)? as usize;
        let unshared = usize::try_from(varint::take_at(payload, &mut at)?).ok()?;
        let flags = *payload.get(at)?;
        let suffix = at + 1;
        let suffix_end = suffix.checked_add(unshared)?;
        if flags & !(TOMBSTONE | EXPIRES) != 0 || suffix_end > payload.len() {
            return None;
        }
        at = suffix_end;
        let version = varint::take_at(payload, &mut at)?;
        let expires_at_ms = if flags & EXPIRES == 0 {
            0
        } else {
            varint::take_at(payload, &mut at)?
        };
        let tombstone = flags & TOMBSTONE != 0;
        let length = if tombstone {
            0
        } else {
            usize::try_from(varint::take_at(payload, &mut at)?).ok()?
        };
        let end = at.checked_add(length)?;
        (end <= payload.len()).then_some(Raw {
            shared,
            suffix,
            suffix_end,
            tombstone,
            version,
            expires_at_ms,
            data: at,
            end,
        })
    }

    fn suffix(&self, entry: &Raw) -> &[u8] {
        &self.data[entry.suffix..entry.suffix_end]
    }

    fn value(&self, entry: &Raw) -> ValueRef<'_> {
        ValueRef::within(
            &self.data,
            entry.data..entry.end,
            entry.tombstone,
            entry.version,
            entry.expires_at_ms,
        )
    }

    /// The last restart at or before `key`.
    fn last_restart(&self, key: &[u8]) -> Option<usize> {
        if let Some(heads) = &self.heads {
            let restart_key = |index| self.restart_key(index).unwrap_or_default();
            let before = heads.before(key, restart_key, |at| at <= key);
            return Some(before.saturating_sub(1));
        }
        let (mut low, mut high) = (0, self.restarts);
        while low < high {
            let middle = low.midpoint(high);
            if self.restart_key(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low.saturating_sub(1))
    }

    /// Where the search for `key` begins.
    pub(crate) fn place(&self, key: &[u8]) -> Option<usize> {
        match self.restarts {
            0 => Some(self.entries_end),
            _ => self.restart(self.last_restart(key)?),
        }
    }

    /// Any bytes of those that a search from `place` reads, so that they are brought to the processor.
    pub(crate) fn look_ahead(&self, place: usize) -> u8 {
        let ahead = self.data.get(place..self.entries_end).unwrap_or_default();
        let lines = ahead.iter().step_by(LINE).take(LINES_AHEAD);
        lines.fold(0, |sum, byte| sum ^ byte)
    }

    /// The search for `key` from its [`Block::place`] on. Compares without putting keys together: as long as the keys
    /// before are smaller than `key`, how much of it they match says how the next one compares.
    pub(crate) fn get_from(&self, mut offset: usize, key: &[u8]) -> Option<Option<Value>> {
        let mut matched = 0;
        while offset < self.entries_end {
            let entry = self.entry(offset)?;
            match entry.shared.cmp(&matched) {
                Ordering::Less => return Some(None),
                Ordering::Greater => {}
                Ordering::Equal => {
                    let rest = &key[matched..];
                    let suffix = self.suffix(&entry);
                    let common = common_prefix(rest, suffix);
                    match suffix.get(common).cmp(&rest.get(common)) {
                        Ordering::Equal => return Some(Some(self.value(&entry).to_value())),
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
    /// Forward: the next entry. Reverse: unused.
    offset: usize,
    /// Reverse: intervals before this one are still to come, of this one `pending`.
    interval: usize,
    pending: Vec<Pending>,
    /// Forward: the key of where the cursor stands. Reverse: those of the interval, one after the other.
    keys: Vec<u8>,
    at: Pending,
    /// The next step stays here.
    found: bool,
}

/// An entry with the place of its key in `keys`.
#[derive(Clone, Copy, Default)]
struct Pending {
    key: usize,
    key_end: usize,
    entry: Raw,
}

impl BlockCursor {
    /// Before the first entry, in the cursor's direction, within `from`.
    pub(crate) fn new(
        block: Block,
        direction: Direction,
        from: Bound<&[u8]>,
    ) -> Option<BlockCursor> {
        let mut cursor = BlockCursor {
            offset: 0,
            interval: block.restarts,
            pending: Vec::new(),
            keys: Vec::new(),
            at: Pending::default(),
            found: false,
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

    /// Before the first entry of another block.
    pub(crate) fn enter(&mut self, block: Block) {
        self.offset = 0;
        self.interval = block.restarts;
        self.pending.clear();
        self.keys.clear();
        self.found = false;
        self.block = block;
    }

    fn seek_forward(&mut self, from: Bound<&[u8]>) -> Option<()> {
        let (Bound::Included(start) | Bound::Excluded(start)) = from else {
            return Some(());
        };
        let restart = self.block.last_restart(start)?;
        self.offset = self.block.restart(restart)?;
        while self.advance()? {
            self.found = match from {
                Bound::Included(_) => self.key() >= start,
                _ => self.key() > start,
            };
            if self.found {
                break;
            }
        }
        Some(())
    }

    fn seek_reverse(&mut self, from: Bound<&[u8]>) -> Option<()> {
        let (Bound::Included(end) | Bound::Excluded(end)) = from else {
            return Some(());
        };
        self.interval = self.block.last_restart(end)? + 1;
        self.fetch_interval()?;
        while let Some(last) = self.pending.last() {
            let key = &self.keys[last.key..last.key_end];
            let beyond = match from {
                Bound::Included(_) => key > end,
                _ => key >= end,
            };
            if !beyond {
                break;
            }
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
        self.keys.clear();
        let (mut before, mut before_end) = (0, 0);
        while offset < end {
            let entry = self.block.entry(offset)?;
            (entry.shared <= before_end - before).then_some(())?;
            let key = self.keys.len();
            self.keys.extend_from_within(before..before + entry.shared);
            self.keys.extend_from_slice(self.block.suffix(&entry));
            (before, before_end) = (key, self.keys.len());
            self.pending.push(Pending {
                key,
                key_end: before_end,
                entry,
            });
            offset = entry.end;
        }
        Some(())
    }

    /// Moves to the next entry; false when there is none.
    pub(crate) fn advance(&mut self) -> Option<bool> {
        if std::mem::take(&mut self.found) {
            return Some(true);
        }
        if self.direction == Direction::Reverse {
            while self.pending.is_empty() && self.interval > 0 {
                self.fetch_interval()?;
            }
            let next = self.pending.pop();
            self.at = next.unwrap_or_default();
            return Some(next.is_some());
        }
        if self.offset >= self.block.entries_end {
            return Some(false);
        }
        let entry = self.block.entry(self.offset)?;
        (entry.shared <= self.keys.len()).then_some(())?;
        self.keys.truncate(entry.shared);
        self.keys.extend_from_slice(self.block.suffix(&entry));
        self.offset = entry.end;
        self.at = Pending {
            key: 0,
            key_end: self.keys.len(),
            entry,
        };
        Some(true)
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.keys[self.at.key..self.at.key_end]
    }

    pub(crate) fn value(&self) -> ValueRef<'_> {
        self.block.value(&self.at.entry)
    }
}
