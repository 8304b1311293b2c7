//! A sorted list of versioned keys for one writer at a time and any number of readers, who take no
//! lock. A node is one piece of an arena, so that a step of a search touches one place in memory:
//!
//! ```text
//! node := key_len:u32  height:u32  back:ptr  next:ptr*height  key  padding  lsn:u64  Value
//! ```
//!
//! Order: by key, and within a key newest (highest LSN) first. Invariants: a node is written wholly
//! before the first link to it is stored (release; readers load with acquire); only links change
//! afterwards, and only under the writer's lock; nothing is freed before the list is dropped.
//! `back` is set after the node is linked: whoever walks backwards may miss a node that is being
//! inserted, which no reader may see yet anyway.
//!
//! Rejected: crossbeam's skip list. It supports removal and many writers, which nobody here needs,
//! and its keys lie elsewhere: a third to a half of the CPU of puts and gets was spent there.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cmp::Ordering as Order;
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::interleave::interleave;
use crate::newest::Newest;
use crate::value::Value;

const MAX_HEIGHT: usize = 14;
/// One node in this many is a level higher.
const BRANCHING: u32 = 4;
const FIRST_CHUNK: usize = 4 << 10;
const LAST_CHUNK: usize = 1 << 20;
const ALIGN: usize = align_of::<Value>();

pub(crate) struct SkipList {
    head: Node,
    /// Levels in use.
    height: AtomicUsize,
    newest: Newest,
    writer: Mutex<Writer>,
}

/// A node of a list that is alive.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Node(NonNull<u8>);

/// Where an entry lies; it says nothing of the list's life.
#[derive(Clone, Copy)]
pub(crate) struct Place(Node);

// SAFETY: an address; what is done with it is up to `SkipList::at`.
unsafe impl Send for Place {}

/// What a reader sees of a node.
pub(crate) struct Entry<'a> {
    pub key: &'a [u8],
    pub lsn: u64,
    pub value: &'a Value,
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
}

struct Arena {
    chunks: Vec<(NonNull<u8>, Layout)>,
    free: *mut u8,
    left: usize,
}

// SAFETY: nodes are plain memory that only this list owns. Readers see nodes through acquire loads of
// links stored with release after the node was written; everything else is under the writer's lock.
unsafe impl Send for SkipList {}
// SAFETY: as above.
unsafe impl Sync for SkipList {}

impl Default for SkipList {
    fn default() -> SkipList {
        let mut arena = Arena {
            chunks: Vec::new(),
            free: ptr::null_mut(),
            left: 0,
        };
        let head = arena.node(&[], 0, MAX_HEIGHT, None);
        SkipList {
            head,
            height: AtomicUsize::new(1),
            newest: Newest::default(),
            writer: Mutex::new(Writer {
                arena,
                random: 0x9e37_79b9,
                before: [head; MAX_HEIGHT],
                after: [None; MAX_HEIGHT],
                known: MAX_HEIGHT,
            }),
        }
    }
}

impl Entry<'_> {
    pub(crate) fn place(&self) -> Place {
        Place(self.node)
    }
}

impl SkipList {
    /// The entry again.
    ///
    /// # Safety
    /// The place is that of an entry of this list.
    pub(crate) unsafe fn at(&self, place: Place) -> Entry<'_> {
        self.entry(place.0)
    }

    /// Of several with the same key and LSN, the one inserted last is the first. `hash`: the key's, always by
    /// the same function; a key's LSNs do not descend.
    pub(crate) fn insert(&self, key: &[u8], hash: u64, lsn: u64, value: Value) {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        let at = (key, lsn);
        let mut height = writer.random_height();
        let behind_last = height <= writer.known
            && (writer.before[0] == self.head || writer.before[0].is_before(at))
            && writer.after[0].is_none_or(|after| !after.is_before(at));
        if !behind_last {
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
            } else {
                self.find(at, &mut writer.before, &mut writer.after);
                writer.known = MAX_HEIGHT;
            }
        }
        let node = writer.arena.node(key, lsn, height, Some(value));
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
        self.height.fetch_max(height, Ordering::Relaxed);
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

    /// Brings to the processor what [`SkipList::get`] will look at for keys with these hashes. The places of one key
    /// have to be waited for one after the other, those of many keys not.
    pub(crate) fn look_ahead(&self, hashes: &[u64]) {
        let nodes: Vec<Node> = hashes
            .iter()
            .filter_map(|hash| NonNull::new(self.newest.first(*hash)?).map(Node))
            .collect();
        let lengths = nodes.iter().map(|node| node.lengths().0);
        black_box(lengths.sum::<usize>());
        let values = nodes.iter().map(|node| self.entry(*node).value);
        black_box(
            values
                .filter_map(|value| value.data.first())
                .fold(0, |sum, byte| sum ^ byte),
        );
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

    fn entry(&self, node: Node) -> Entry<'_> {
        let (lsn, value) = node.lsn_and_value();
        // SAFETY: the node is not the head, so it has a value, written before it was linked; it
        // lives and stays unchanged as long as the list does.
        let value = unsafe { &*value };
        Entry {
            key: node.key(),
            lsn,
            value,
            node,
        }
    }

    fn entry_unless_head(&self, node: Node) -> Option<Entry<'_>> {
        (node != self.head).then(|| self.entry(node))
    }

    /// The last node before `at` and the one seen behind it. That link must not be read again: by then it
    /// may lead to a node that was inserted between the two, which is before `at`.
    fn around(&self, at: (&[u8], u64)) -> (Node, Option<Node>) {
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
        at: (&[u8], u64),
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
        let mut next = self.head.next(0);
        while let Some(node) = next {
            next = node.next(0);
            // SAFETY: nobody else has the list any more; every node but the head has a value, and
            // each is met once.
            unsafe { ptr::drop_in_place(node.lsn_and_value().1) };
        }
        for (chunk, layout) in self.writer.get_mut().arena.chunks.drain(..) {
            // SAFETY: allocated with this layout, freed once, no node is used after.
            unsafe { dealloc(chunk.as_ptr(), layout) };
        }
    }
}

impl Writer {
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

const BACK: usize = 8;
const LINKS: usize = 16;
const LINK: usize = size_of::<AtomicPtr<u8>>();

fn value_offset(height: usize, key_len: usize) -> usize {
    (LINKS + height * LINK + key_len).next_multiple_of(ALIGN) + 8
}

impl Node {
    /// Whether the node at this address has that key.
    fn is_of(node: *mut u8, key: &[u8]) -> bool {
        NonNull::new(node).is_some_and(|node| Node(node).key() == key)
    }

    fn is_before(self, (key, lsn): (&[u8], u64)) -> bool {
        match self.key().cmp(key) {
            Order::Less => true,
            Order::Equal => self.lsn_and_value().0 > lsn,
            Order::Greater => false,
        }
    }

    fn lengths(self) -> (usize, usize) {
        // SAFETY: every node begins with these, written before it was linked, never changed.
        let (key_len, height) = unsafe {
            let fields = self.0.as_ptr().cast::<u32>();
            (fields.read(), fields.add(1).read())
        };
        (key_len as usize, height as usize)
    }

    fn key<'a>(self) -> &'a [u8] {
        let (key_len, height) = self.lengths();
        // SAFETY: the key lies behind the links, as `Arena::node` wrote it. The callers hand it on
        // no longer than they borrow the list.
        unsafe {
            let key = self.0.as_ptr().add(LINKS + height * LINK);
            std::slice::from_raw_parts(key, key_len)
        }
    }

    fn lsn_and_value(self) -> (u64, *mut Value) {
        let (key_len, height) = self.lengths();
        // SAFETY: as laid out by `Arena::node`; aligned by `value_offset`.
        unsafe {
            let value = self.0.as_ptr().add(value_offset(height, key_len));
            (value.sub(8).cast::<u64>().read(), value.cast::<Value>())
        }
    }

    fn back<'a>(self) -> &'a AtomicPtr<u8> {
        interleave();
        // SAFETY: as laid out by `Arena::node`; the field is only ever used as an atomic once linked.
        unsafe { &*self.0.as_ptr().add(BACK).cast::<AtomicPtr<u8>>() }
    }

    /// `level` is below the node's height.
    fn link<'a>(self, level: usize) -> &'a AtomicPtr<u8> {
        debug_assert!(level < self.lengths().1);
        interleave();
        // SAFETY: as for `back`; who comes along a level's links meets only nodes of that height.
        unsafe {
            &*self
                .0
                .as_ptr()
                .add(LINKS + level * LINK)
                .cast::<AtomicPtr<u8>>()
        }
    }

    fn next(self, level: usize) -> Option<Node> {
        NonNull::new(self.link(level).load(Ordering::Acquire)).map(Node)
    }

    fn set_next(self, level: usize, next: Option<Node>, ordering: Ordering) {
        let next = next.map_or(ptr::null_mut(), |next| next.0.as_ptr());
        self.link(level).store(next, ordering);
    }
}

impl Arena {
    /// A node that nobody sees yet; `value` is `None` only for the head.
    fn node(&mut self, key: &[u8], lsn: u64, height: usize, value: Option<Value>) -> Node {
        let at = value_offset(height, key.len());
        let node = self.take(at + size_of::<Value>());
        // SAFETY: `take` gave this many bytes, aligned for `Value`, pointers and numbers; every
        // field of the layout above lies within them.
        unsafe {
            let start = node.as_ptr();
            start.cast::<u32>().write(key.len() as u32);
            start.cast::<u32>().add(1).write(height as u32);
            ptr::write_bytes(start.add(BACK), 0, LINKS - BACK + height * LINK);
            let to = start.add(LINKS + height * LINK);
            ptr::copy_nonoverlapping(key.as_ptr(), to, key.len());
            start.add(at - 8).cast::<u64>().write(lsn);
            if let Some(value) = value {
                start.add(at).cast::<Value>().write(value);
            }
        }
        Node(node)
    }

    fn take(&mut self, bytes: usize) -> NonNull<u8> {
        let bytes = bytes.next_multiple_of(ALIGN);
        if bytes > self.left {
            let grown = FIRST_CHUNK << self.chunks.len().min(8);
            let size = grown.min(LAST_CHUNK).max(bytes);
            let Ok(layout) = Layout::from_size_align(size, ALIGN) else {
                unreachable!("keys are limited far below isize::MAX");
            };
            // SAFETY: the size is not 0.
            let chunk = NonNull::new(unsafe { alloc(layout) });
            let chunk = chunk.unwrap_or_else(|| handle_alloc_error(layout));
            self.chunks.push((chunk, layout));
            (self.free, self.left) = (chunk.as_ptr(), size);
        }
        let taken = self.free;
        // SAFETY: `bytes` are left behind `free` in its chunk.
        self.free = unsafe { taken.add(bytes) };
        self.left -= bytes;
        NonNull::new(taken).unwrap_or_else(|| unreachable!("a chunk was allocated"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicU64;

    use bytes::Bytes;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::table::hash;

    fn value(version: u64) -> Value {
        Value {
            tombstone: false,
            data: Bytes::from(version.to_le_bytes().to_vec()),
            version,
            expires_at_ms: 0,
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
            list.insert(&key, hash(&key), lsn, value(lsn));
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

    /// It was: the link behind the last smaller key was read twice, and a get of "m" missed it.
    #[test]
    fn a_seek_is_not_misled_by_what_is_inserted_before_its_key() {
        let list = SkipList::default();
        list.insert(b"m", hash(b"m"), 1, value(1));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for lsn in 2..200_000_u64 {
                    let key = [b"l".as_slice(), &lsn.to_be_bytes()].concat();
                    list.insert(&key, hash(&key), lsn, value(lsn));
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
                    list.insert(&key, hash(&key), lsn, value(lsn));
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
                        assert_eq!(entry.value.data.as_ref(), entry.lsn.to_le_bytes());
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

#[cfg(all(test, feature = "shuttle"))]
mod interleavings {
    use std::sync::Arc;

    use bytes::Bytes;
    use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
    use shuttle::{Config, Runner, thread};

    use super::*;
    use crate::progress::Progress;
    use crate::table::hash;

    const ORDERS: usize = 3_000;
    const KEYS: [&[u8]; 8] = [b"d", b"b", b"f", b"b", b"a", b"e", b"b", b"g"];

    fn value(lsn: u64) -> Value {
        Value {
            tombstone: false,
            data: Bytes::from(lsn.to_le_bytes().to_vec()),
            version: lsn,
            expires_at_ms: 0,
        }
    }

    /// Whatever is visible is there, in order, by every way of looking.
    fn look(list: &SkipList, seen: u64) {
        for backwards in [false, true] {
            let mut found = Vec::new();
            let mut at = if backwards { list.last() } else { list.first() };
            while let Some(entry) = at {
                assert_eq!(entry.value.data.as_ref(), entry.lsn.to_le_bytes());
                found.push((entry.key.to_vec(), u64::MAX - entry.lsn));
                at = if backwards {
                    list.before(&entry)
                } else {
                    list.after(&entry)
                };
            }
            if backwards {
                found.reverse();
            }
            assert!(found.is_sorted_by(|a, b| a < b));
            let visible = found.iter().filter(|(_, lsn)| u64::MAX - lsn <= seen);
            assert_eq!(visible.count() as u64, seen);
        }
        for (lsn, key) in (1..=seen).zip(KEYS) {
            for entry in [list.seek(key, lsn), list.get(key, hash(key), lsn)] {
                assert_eq!(entry.map(|entry| (entry.key, entry.lsn)), Some((key, lsn)));
            }
        }
    }

    fn one_writes_two_read() {
        let list = Arc::new(SkipList::default());
        let progress = Arc::new(Progress::default());
        let writer = {
            let (list, progress) = (Arc::clone(&list), Arc::clone(&progress));
            thread::spawn(move || {
                for (lsn, key) in (1..).zip(KEYS) {
                    list.insert(key, hash(key), lsn, value(lsn));
                    progress.set_visible(lsn);
                }
            })
        };
        let readers = [0, 1].map(|_| {
            let (list, progress) = (Arc::clone(&list), Arc::clone(&progress));
            thread::spawn(move || (0..3).for_each(|_| look(&list, progress.visible())))
        });
        writer.join().unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
        look(&list, KEYS.len() as u64);
    }

    fn check(scheduler: impl Scheduler + 'static) {
        Runner::new(scheduler, Config::default()).run(one_writes_two_read);
    }

    #[test]
    fn readers_see_what_is_visible_in_random_orders() {
        check(RandomScheduler::new_from_seed(7, ORDERS));
    }

    #[test]
    fn readers_see_what_is_visible_with_few_well_placed_changes() {
        check(PctScheduler::new_from_seed(7, 3, ORDERS));
    }
}
