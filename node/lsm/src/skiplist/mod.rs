//! A sorted list of versioned keys for one writer at a time and any number of readers, who take no
//! lock. How a node lies in memory: [`node`]; searches for many keys at once: [`together`].
//!
//! Order: by key, and within a key newest (highest LSN) first. Invariants: a node is written wholly
//! before the first link to it is stored (release; readers load with acquire); only links change
//! afterwards, and only under the writer's lock; nothing is freed before the list is dropped.
//! `back` is set after the node is linked: whoever walks backwards may miss a node that is being
//! inserted, which no reader may see yet anyway.
//!
//! Rejected: crossbeam's skip list. It supports removal and many writers, which nobody here needs,
//! and its keys lie elsewhere: a third to a half of the CPU of puts and gets was spent there.

#[cfg(all(test, feature = "shuttle"))]
mod interleavings;
mod node;
mod together;

use std::cmp::Ordering as Order;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::newest::Newest;
use crate::value::ValueRef;
pub(crate) use node::lies_in_node;
use node::{Arena, MAX_HEIGHT, Node};
pub(crate) use together::{Before, TOGETHER};

/// One node in this many is a level higher.
const BRANCHING: u32 = 4;

pub(crate) struct SkipList {
    head: Node,
    /// Levels in use.
    height: AtomicUsize,
    newest: Newest,
    writer: Mutex<Writer>,
}

/// Where an entry lies; it says nothing of the list's life.
#[derive(Clone, Copy)]
pub(crate) struct Place(Node);

// SAFETY: an address; what is done with it is up to `SkipList::at`.
unsafe impl Send for Place {}

/// A key and an LSN: where in the order of the list.
type Position<'a> = (&'a [u8], u64);

/// What a reader sees of a node.
pub(crate) struct Entry<'a> {
    pub key: &'a [u8],
    pub lsn: u64,
    pub value: ValueRef<'a>,
    node: Node,
}

struct Writer {
    arena: Arena,
    random: u32,
    /// Where the last insertion took place: for each level the node before and the one after. In
    /// ascending loads the next key belongs right behind it.
    before: [Node; MAX_HEIGHT],
    after: [Option<Node>; MAX_HEIGHT],
    /// So many levels of it are known.
    known: usize,
    /// Some value is shared: it has to be given back.
    shares: bool,
}

// SAFETY: nodes are plain memory that only this list owns. Readers see nodes through acquire loads of
// links stored with release after the node was written; everything else is under the writer's lock.
unsafe impl Send for SkipList {}
// SAFETY: as above.
unsafe impl Sync for SkipList {}

impl Default for SkipList {
    fn default() -> SkipList {
        SkipList::with_room_for(0)
    }
}

impl Entry<'_> {
    pub(crate) fn place(&self) -> Place {
        Place(self.node)
    }
}

impl SkipList {
    /// See [`Newest::with_room_for`].
    pub(crate) fn with_room_for(keys: usize) -> SkipList {
        let mut arena = Arena::default();
        let head = arena.head();
        SkipList {
            head,
            height: AtomicUsize::new(1),
            newest: Newest::with_room_for(keys),
            writer: Mutex::new(Writer {
                arena,
                random: 0x9e37_79b9,
                before: [head; MAX_HEIGHT],
                after: [None; MAX_HEIGHT],
                known: MAX_HEIGHT,
                shares: false,
            }),
        }
    }

    /// How many keys it has.
    pub(crate) fn keys(&self) -> usize {
        self.newest.keys()
    }

    /// The entry again.
    ///
    /// # Safety
    /// The place is that of an entry of this list.
    pub(crate) unsafe fn at(&self, place: Place) -> Entry<'_> {
        self.entry(place.0)
    }

    /// Of several with the same key and LSN, the one inserted last is the first. `hash`: the key's, always by
    /// the same function; a key's LSNs do not descend. `near`: see [`SkipList::near`].
    pub(crate) fn insert(
        &self,
        key: &[u8],
        hash: u64,
        lsn: u64,
        value: ValueRef<'_>,
        near: Option<&Before>,
    ) {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        let at = (key, lsn);
        let mut height = writer.random_height();
        if height > writer.known || !writer.is_behind_last(at, self.head) {
            let older = self.newest_of(key, hash);
            let older = older.filter(|older| !older.is_before(at));
            // Its place is right before the value that it replaces: on the lowest level, no search is needed. So fewer of
            // these are tall. Some have to be: a search for a neighbour walks through all values of a key on one level.
            if older.is_some() && height > 1 && writer.random_height() == 1 {
                height = 1;
            }
            if let Some(older) = older.filter(|_| height == 1) {
                let before = older.back().load(Ordering::Relaxed);
                writer.before[0] = NonNull::new(before).map_or(self.head, Node);
                writer.after[0] = Some(older);
                writer.known = 1;
            } else if let Some(near) = near {
                for level in 0..height {
                    let (before, after) = near.0[level].last_before(at, level);
                    (writer.before[level], writer.after[level]) = (before, after);
                }
                writer.known = height;
            } else {
                self.find(at, &mut writer.before, &mut writer.after);
                writer.known = MAX_HEIGHT;
            }
        }
        let node = writer.arena.node(key, lsn, height, value);
        writer.shares |= !lies_in_node(value.data);
        node.back()
            .store(writer.before[0].0.as_ptr(), Ordering::Relaxed);
        for level in 0..height {
            node.set_next(level, writer.after[level], Ordering::Relaxed);
        }
        for level in 0..height {
            writer.before[level].set_next(level, Some(node), Ordering::Release);
            writer.before[level] = node;
        }
        if let Some(after) = writer.after[0] {
            after.back().store(node.0.as_ptr(), Ordering::Release);
        }
        // Only the writer changes it.
        if height > self.height.load(Ordering::Relaxed) {
            self.height.store(height, Ordering::Relaxed);
        }
        self.newest
            .insert(hash, node.0.as_ptr(), |other| Node::is_of(other, key));
    }

    /// The newest entry of `key` at or below `lsn`.
    pub(crate) fn get(&self, key: &[u8], hash: u64, lsn: u64) -> Option<Entry<'_>> {
        let newest = self.entry(self.newest_of(key, hash)?);
        if newest.lsn <= lsn {
            return Some(newest);
        }
        self.seek(key, lsn).filter(|entry| entry.key == key)
    }

    fn is_behind_last(&self, at: Position<'_>) -> bool {
        self.writer.lock().is_behind_last(at, self.head)
    }

    fn newest_of(&self, key: &[u8], hash: u64) -> Option<Node> {
        let found = self.newest.find(hash, |node| Node::is_of(node, key))?;
        NonNull::new(found).map(Node)
    }

    /// The first entry at or after `(key, lsn)`: the newest of `key` at or below `lsn`, or a later
    /// key's newest.
    pub(crate) fn seek(&self, key: &[u8], lsn: u64) -> Option<Entry<'_>> {
        let (_, next) = self.around((key, lsn));
        Some(self.entry(next?))
    }

    pub(crate) fn first(&self) -> Option<Entry<'_>> {
        Some(self.entry(self.head.next(0)?))
    }

    /// The last entry before `(key, lsn)`.
    pub(crate) fn seek_before(&self, key: &[u8], lsn: u64) -> Option<Entry<'_>> {
        self.entry_unless_head(self.around((key, lsn)).0)
    }

    pub(crate) fn last(&self) -> Option<Entry<'_>> {
        let mut node = self.head;
        for level in (0..self.height.load(Ordering::Relaxed)).rev() {
            while let Some(next) = node.next(level) {
                node = next;
            }
        }
        self.entry_unless_head(node)
    }

    pub(crate) fn after(&self, entry: &Entry<'_>) -> Option<Entry<'_>> {
        Some(self.entry(entry.node.next(0)?))
    }

    pub(crate) fn before(&self, entry: &Entry<'_>) -> Option<Entry<'_>> {
        let back = entry.node.back().load(Ordering::Acquire);
        self.entry_unless_head(Node(NonNull::new(back)?))
    }

    /// The node is not the head.
    fn entry(&self, node: Node) -> Entry<'_> {
        Entry {
            key: node.key(),
            lsn: node.lsn(),
            value: node.value(),
            node,
        }
    }

    fn entry_unless_head(&self, node: Node) -> Option<Entry<'_>> {
        (node != self.head).then(|| self.entry(node))
    }

    /// The last node before `at` and the one seen behind it. That link must not be read again: by then it
    /// may lead to a node that was inserted between the two, which is before `at`.
    fn around(&self, at: Position<'_>) -> (Node, Option<Node>) {
        let mut node = self.head;
        let mut beyond = None;
        for level in (0..self.height.load(Ordering::Relaxed)).rev() {
            loop {
                match node.next(level) {
                    // The one that stopped the search a level higher is often met again.
                    Some(next) if Some(next) != beyond && next.is_before(at) => node = next,
                    next => {
                        beyond = next;
                        break;
                    }
                }
            }
        }
        (node, beyond)
    }

    fn find(
        &self,
        at: Position<'_>,
        before: &mut [Node; MAX_HEIGHT],
        after: &mut [Option<Node>; MAX_HEIGHT],
    ) {
        let height = self.height.load(Ordering::Relaxed);
        let mut node = self.head;
        let mut beyond = None;
        for level in (0..MAX_HEIGHT).rev() {
            if level < height {
                while let Some(next) = node.next(level) {
                    if Some(next) == beyond {
                        break;
                    }
                    if !next.is_before(at) {
                        beyond = Some(next);
                        break;
                    }
                    node = next;
                }
            }
            before[level] = node;
            after[level] = node.next(level);
        }
    }
}

impl Drop for SkipList {
    fn drop(&mut self) {
        if !self.writer.get_mut().shares {
            return;
        }
        let mut next = self.head.next(0);
        while let Some(node) = next {
            next = node.next(0);
            // SAFETY: nobody else has the list any more; each node is met once.
            unsafe { node.drop_shared() };
        }
    }
}

impl Writer {
    /// Whether it belongs right behind the last insertion.
    fn is_behind_last(&self, at: Position<'_>, head: Node) -> bool {
        (self.before[0] == head || self.before[0].is_before(at))
            && self.after[0].is_none_or(|after| !after.is_before(at))
    }

    fn random_height(&mut self) -> usize {
        let mut height = 1;
        loop {
            // xorshift32 (Marsaglia 2003): heights need no better randomness.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            if height == MAX_HEIGHT || !self.random.is_multiple_of(BRANCHING) {
                return height;
            }
            height += 1;
        }
    }
}

impl Node {
    fn is_before(self, (key, lsn): Position<'_>) -> bool {
        match self.key().cmp(key) {
            Order::Less => true,
            Order::Equal => self.lsn() > lsn,
            Order::Greater => false,
        }
    }

    /// From a node before `at` on: the last one before it on this level, and the one behind that.
    fn last_before(mut self, at: Position<'_>, level: usize) -> (Node, Option<Node>) {
        loop {
            match self.next(level) {
                Some(next) if next.is_before(at) => self = next,
                next => return (self, next),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicU64;

    use bytes::Bytes;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::node::INLINE_BYTES;
    use super::*;
    use crate::table::hash;
    use crate::value::Value;

    fn put(list: &SkipList, key: &[u8], lsn: u64) {
        let data = lsn.to_le_bytes();
        let value = ValueRef::alone(&data, false, lsn, 0);
        list.insert(key, hash(key), lsn, value, None);
    }

    /// Each optional part of a node is there or not, and values lie in it or are shared.
    #[test]
    fn gives_back_what_was_inserted() {
        let list = SkipList::default();
        let mut inserted = Vec::new();
        for lsn in 1..2_000_u64 {
            let key = vec![lsn as u8; (lsn % 37) as usize];
            let length = INLINE_BYTES - 2 + (lsn % 5) as usize;
            let tombstone = lsn % 11 == 0;
            let value = Value {
                tombstone,
                data: Bytes::from(vec![lsn as u8; if tombstone { 0 } else { length }]),
                version: lsn - lsn % 2,
                expires_at_ms: lsn % 3,
            };
            list.insert(&key, hash(&key), lsn, ValueRef::of(&value), None);
            inserted.push((key, lsn, value));
        }
        for (key, lsn, value) in &inserted {
            for found in [list.seek(key, *lsn), list.get(key, hash(key), *lsn)] {
                let found = found.map(|entry| (entry.key, entry.lsn, entry.value.to_value()));
                assert_eq!(found, Some((key.as_slice(), *lsn, value.clone())));
            }
        }
        drop(list);
        for (_, _, value) in inserted {
            assert!(value.data.is_empty() || value.data.is_unique());
        }
    }

    #[test]
    fn is_the_sorted_map_of_the_same_entries() {
        let mut random = SmallRng::seed_from_u64(7);
        let list = SkipList::default();
        let mut model = BTreeMap::new();
        assert!(list.first().is_none() && list.last().is_none());
        for lsn in 1..5_000_u64 {
            let mut key = random.random_range(0..800_u32).to_string().into_bytes();
            if lsn % 3 == 0 {
                key = format!("{lsn:08}").into_bytes();
            }
            put(&list, &key, lsn);
            model.insert((key, u64::MAX - lsn), lsn);
        }
        let mut walked = Vec::new();
        let mut at = list.first();
        while let Some(entry) = at {
            assert_eq!(entry.value.version, entry.lsn);
            walked.push((entry.key.to_vec(), u64::MAX - entry.lsn));
            at = list.after(&entry);
        }
        assert!(walked.iter().eq(model.keys()));
        let mut back = Vec::new();
        let mut at = list.last();
        while let Some(entry) = at {
            back.push((entry.key.to_vec(), u64::MAX - entry.lsn));
            at = list.before(&entry);
        }
        assert!(back.iter().eq(model.keys().rev()));
        for _ in 0..5_000 {
            let key = random.random_range(0..900_u32).to_string().into_bytes();
            let lsn = random.random_range(0..6_000);
            let position = (key.clone(), u64::MAX - lsn);
            let found = list.seek(&key, lsn).map(|entry| entry.lsn);
            let expected = model.range(position.clone()..).next().map(|(_, lsn)| *lsn);
            assert_eq!(found, expected);
            let found = list.seek_before(&key, lsn).map(|entry| entry.lsn);
            let expected = model.range(..position).next_back().map(|(_, lsn)| *lsn);
            assert_eq!(found, expected);
            let found = list.get(&key, hash(&key), lsn).map(|entry| entry.lsn);
            let versions = (key.clone(), u64::MAX - lsn)..=(key.clone(), u64::MAX);
            let expected = model.range(versions).next().map(|(_, lsn)| *lsn);
            assert_eq!(found, expected);
        }
    }

    /// In batches of few and many, ascending or not, with keys that come twice and values of keys that are there.
    #[test]
    fn what_is_searched_for_together_gets_the_same_place() {
        let mut random = SmallRng::seed_from_u64(11);
        let list = SkipList::default();
        let mut model = BTreeMap::new();
        for lsn in 1..3_000_u64 {
            let count = random.random_range(1..=TOGETHER);
            let range = [100, 20_000][lsn as usize % 2];
            let numbers = (0..count).map(|_| random.random_range(0..range) + lsn as u32 / 9 * 11);
            let mut keys: Vec<_> = numbers.map(|n: u32| n.to_be_bytes()).collect();
            if lsn % 5 == 0 {
                keys.sort();
            }
            let hashed: Vec<_> = keys.iter().map(|key| (&key[..], hash(key))).collect();
            let near = list.near(&hashed, lsn);
            for ((key, hash), near) in hashed.into_iter().zip(&near) {
                let value = ValueRef::alone(&[], false, lsn, 0);
                list.insert(key, hash, lsn, value, near.as_ref());
                *model.entry((key.to_vec(), u64::MAX - lsn)).or_insert(0) += 1;
            }
        }
        let mut at = list.first();
        for ((key, inverse), count) in model {
            for _ in 0..count {
                let entry = at.unwrap();
                assert_eq!((entry.key, u64::MAX - entry.lsn), (key.as_slice(), inverse));
                at = list.after(&entry);
            }
        }
        assert!(at.is_none());
    }

    /// It was: the link behind the last smaller key was read twice, and a get of "m" missed it.
    #[test]
    fn a_seek_is_not_misled_by_what_is_inserted_before_its_key() {
        let list = SkipList::default();
        put(&list, b"m", 1);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for lsn in 2..200_000_u64 {
                    let key = [b"l".as_slice(), &lsn.to_be_bytes()].concat();
                    put(&list, &key, lsn);
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                let found = list.seek(b"m", u64::MAX);
                assert_eq!(found.map(|entry| entry.key), Some(b"m".as_slice()));
                assert!(list.get(b"m", hash(b"m"), u64::MAX).is_some());
            }
        });
    }

    #[test]
    fn readers_see_every_published_entry_while_more_come() {
        let list = SkipList::default();
        let published = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = SmallRng::seed_from_u64(3);
                for lsn in 1..=20_000_u64 {
                    let key = random.random::<u64>().to_be_bytes();
                    put(&list, &key, lsn);
                    published.store(lsn, Ordering::Release);
                }
            });
            loop {
                let seen = published.load(Ordering::Acquire);
                for backwards in [false, true] {
                    let mut count = 0;
                    let mut last: Option<Vec<u8>> = None;
                    let mut at = if backwards { list.last() } else { list.first() };
                    while let Some(entry) = at {
                        let order = last.as_deref().map(|last| last.cmp(entry.key));
                        assert!(order.is_none_or(|order| order.is_gt() == backwards));
                        assert_eq!(entry.value.data, entry.lsn.to_le_bytes());
                        last = Some(entry.key.to_vec());
                        count += u64::from(entry.lsn <= seen);
                        at = if backwards {
                            list.before(&entry)
                        } else {
                            list.after(&entry)
                        };
                    }
                    assert_eq!(count, seen);
                }
                if seen == 20_000 {
                    break;
                }
            }
        });
    }
}
