//! A node of the list and the arena that it is a piece of: a step of a search touches one place in memory.
//!
//! ```text
//! node  := key_len:u32  shape:u32  back:ptr  lsn:u64  next:ptr*height  [version:u64]  [expiry:u64]  [Bytes]  key  [data]
//! shape := height:4 bits  tombstone  version  expiry  shared  length of data:24 bits
//! ```
//!
//! A small value lies behind its key; a larger one is shared with whom it came from. The version is there when it is
//! not the LSN. Rejected: every value shared, with its version and expiry: a third more memory for values of 100 bytes,
//! and two counts of references for each, in memory that somebody else wrote.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use bytes::Bytes;

use crate::interleave::interleave;
use crate::value::ValueRef;

pub(super) const MAX_HEIGHT: usize = 14;
/// A get copies what lies in a node: with larger values that costs more than to share them.
pub(super) const INLINE_BYTES: usize = 256;
const FIRST_CHUNK: usize = 4 << 10;
const LAST_CHUNK: usize = 1 << 20;
const ALIGN: usize = align_of::<u64>();

const BACK: usize = 8;
const LSN: usize = 16;
const LINKS: usize = 24;
const LINK: usize = size_of::<AtomicPtr<u8>>();

const HEIGHT: u32 = 15;
const TOMBSTONE: u32 = 1 << 4;
const VERSION: u32 = 1 << 5;
const EXPIRES: u32 = 1 << 6;
const SHARED: u32 = 1 << 7;
const DATA_SHIFT: u32 = 8;

/// Whether a value is copied into its node rather than shared.
pub(crate) fn lies_in_node(data: &[u8]) -> bool {
    data.len() <= INLINE_BYTES
}

/// A node of a list that is alive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Node(pub(super) NonNull<u8>);

#[derive(Clone, Copy)]
struct Shape(u32);

impl Shape {
    fn new(height: usize, lsn: u64, value: &ValueRef<'_>) -> Shape {
        let flag = |holds, flag| if holds { flag } else { 0 };
        let shared = !lies_in_node(value.data);
        let length = if shared { 0 } else { value.data.len() };
        Shape(
            height as u32
                | flag(value.tombstone, TOMBSTONE)
                | flag(value.version != lsn, VERSION)
                | flag(value.expires_at_ms != 0, EXPIRES)
                | flag(shared, SHARED)
                | (length as u32) << DATA_SHIFT,
        )
    }

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    fn height(self) -> usize {
        (self.0 & HEIGHT) as usize
    }

    fn data_len(self) -> usize {
        (self.0 >> DATA_SHIFT) as usize
    }

    fn version_at(self) -> usize {
        LINKS + self.height() * LINK
    }

    fn expiry_at(self) -> usize {
        self.version_at() + if self.has(VERSION) { 8 } else { 0 }
    }

    fn bytes_at(self) -> usize {
        self.expiry_at() + if self.has(EXPIRES) { 8 } else { 0 }
    }

    fn key_at(self) -> usize {
        let shared = self.has(SHARED);
        self.bytes_at() + if shared { size_of::<Bytes>() } else { 0 }
    }
}

impl Node {
    /// Whether the node at this address has that key.
    pub(super) fn is_of(node: *mut u8, key: &[u8]) -> bool {
        NonNull::new(node).is_some_and(|node| Node(node).key() == key)
    }

    pub(super) fn key_len(self) -> usize {
        // SAFETY: every node begins with it, written before it was linked, never changed.
        unsafe { self.0.as_ptr().cast::<u32>().read() as usize }
    }

    fn shape(self) -> Shape {
        // SAFETY: as above; it comes second.
        Shape(unsafe { self.0.as_ptr().cast::<u32>().add(1).read() })
    }

    pub(super) fn key<'a>(self) -> &'a [u8] {
        // SAFETY: the key lies there, as `Arena::node` wrote it. The callers hand it on no longer than they
        // borrow the list.
        unsafe {
            let key = self.0.as_ptr().add(self.shape().key_at());
            std::slice::from_raw_parts(key, self.key_len())
        }
    }

    pub(super) fn lsn(self) -> u64 {
        // SAFETY: as laid out by `Arena::node`, which aligns nodes.
        unsafe { self.0.as_ptr().add(LSN).cast::<u64>().read() }
    }

    /// Of any node but the head.
    pub(super) fn value<'a>(self) -> ValueRef<'a> {
        let shape = self.shape();
        // SAFETY: what the shape names was written there before the node was linked, aligned, and stays unchanged; the
        // callers hand it on no longer than they borrow the list.
        unsafe {
            let start = self.0.as_ptr();
            let number = |at| start.add(at).cast::<u64>().read();
            let version = if shape.has(VERSION) {
                number(shape.version_at())
            } else {
                self.lsn()
            };
            let expires_at_ms = if shape.has(EXPIRES) {
                number(shape.expiry_at())
            } else {
                0
            };
            let tombstone = shape.has(TOMBSTONE);
            if shape.has(SHARED) {
                let owner = &*start.add(shape.bytes_at()).cast::<Bytes>();
                return ValueRef::whole(owner, tombstone, version, expires_at_ms);
            }
            let data = start.add(shape.key_at() + self.key_len());
            let data = std::slice::from_raw_parts(data, shape.data_len());
            ValueRef::alone(data, tombstone, version, expires_at_ms)
        }
    }

    /// # Safety
    /// Once for each node, which nobody looks at afterwards.
    pub(super) unsafe fn drop_shared(self) {
        let shape = self.shape();
        if shape.has(SHARED) {
            // SAFETY: `Arena::node` wrote it there.
            unsafe {
                let shared = self.0.as_ptr().add(shape.bytes_at());
                ptr::drop_in_place(shared.cast::<Bytes>());
            }
        }
    }

    pub(super) fn back<'a>(self) -> &'a AtomicPtr<u8> {
        interleave();
        // SAFETY: as laid out by `Arena::node`; the field is only ever used as an atomic once linked.
        unsafe { &*self.0.as_ptr().add(BACK).cast::<AtomicPtr<u8>>() }
    }

    /// `level` is below the node's height.
    fn link<'a>(self, level: usize) -> &'a AtomicPtr<u8> {
        debug_assert!(level < self.shape().height());
        interleave();
        // SAFETY: as for `back`; who comes along a level's links meets only nodes of that height.
        unsafe {
            let link = self.0.as_ptr().add(LINKS + level * LINK);
            &*link.cast::<AtomicPtr<u8>>()
        }
    }

    pub(super) fn next(self, level: usize) -> Option<Node> {
        NonNull::new(self.link(level).load(Ordering::Acquire)).map(Node)
    }

    pub(super) fn set_next(self, level: usize, next: Option<Node>, ordering: Ordering) {
        let next = next.map_or(ptr::null_mut(), |next| next.0.as_ptr());
        self.link(level).store(next, ordering);
    }
}

pub(super) struct Arena {
    chunks: Vec<(NonNull<u8>, Layout)>,
    free: *mut u8,
    left: usize,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena {
            chunks: Vec::new(),
            free: ptr::null_mut(),
            left: 0,
        }
    }
}

impl Arena {
    pub(super) fn head(&mut self) -> Node {
        let none = ValueRef::alone(&[], false, 0, 0);
        self.node(&[], 0, MAX_HEIGHT, none)
    }

    /// A node that nobody sees yet.
    pub(super) fn node(
        &mut self,
        key: &[u8],
        lsn: u64,
        height: usize,
        value: ValueRef<'_>,
    ) -> Node {
        let shape = Shape::new(height, lsn, &value);
        let key_at = shape.key_at();
        let node = self.take(key_at + key.len() + shape.data_len());
        // SAFETY: `take` gave this many bytes, aligned for `Bytes`, pointers and numbers; every field of the layout
        // above lies within them.
        unsafe {
            let start = node.as_ptr();
            let number = |at, number| start.add(at).cast::<u64>().write(number);
            start.cast::<u32>().write(key.len() as u32);
            start.cast::<u32>().add(1).write(shape.0);
            start.add(BACK).cast::<*mut u8>().write(ptr::null_mut());
            number(LSN, lsn);
            ptr::write_bytes(start.add(LINKS), 0, height * LINK);
            if shape.has(VERSION) {
                number(shape.version_at(), value.version);
            }
            if shape.has(EXPIRES) {
                number(shape.expiry_at(), value.expires_at_ms);
            }
            if shape.has(SHARED) {
                let to = start.add(shape.bytes_at());
                to.cast::<Bytes>().write(value.shared());
            }
            let to = start.add(key_at);
            ptr::copy_nonoverlapping(key.as_ptr(), to, key.len());
            let to = to.add(key.len());
            ptr::copy_nonoverlapping(value.data.as_ptr(), to, shape.data_len());
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

impl Drop for Arena {
    fn drop(&mut self) {
        for (chunk, layout) in self.chunks.drain(..) {
            // SAFETY: allocated with this layout, freed once; the list, whose nodes lie here, is gone.
            unsafe { dealloc(chunk.as_ptr(), layout) };
        }
    }
}
