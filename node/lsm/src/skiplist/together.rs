//! Searches for many keys at once. Each step of a search waits for a place in memory that the step before has named, so
//! that one search after the other spends its time waiting; steps of many searches in turn wait together.
//!
//! What is found are nodes *before* each key. As nothing is ever taken out of a list, they stay before it whatever is
//! inserted afterwards, and an insertion goes on from there (see `SkipList::insert`).

use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::node::{MAX_HEIGHT, Node};
use super::{Position, SkipList};
use crate::prefetch::prefetch;

/// Searches that go on at a time: about as many places as a processor asks its memory for at once.
pub(crate) const TOGETHER: usize = 16;

/// On each level a node before the key, or the head.
#[derive(Clone, Copy)]
pub(crate) struct Before(pub(super) [Node; MAX_HEIGHT]);

/// One of those that go on.
struct Search<'a> {
    /// Which of the keys.
    index: usize,
    at: Position<'a>,
    level: usize,
    node: Node,
    next: Option<Node>,
    /// Met on a higher level, and not before the key.
    beyond: Option<Node>,
}

impl SkipList {
    /// Brings to the processor what [`SkipList::get`] will look at for keys with these hashes.
    pub(crate) fn look_ahead(&self, hashes: &[u64]) {
        let nodes: Vec<Node> = hashes
            .iter()
            .filter_map(|hash| NonNull::new(self.newest.first(*hash)?).map(Node))
            .collect();
        let lengths = nodes.iter().map(|node| node.key_len());
        black_box(lengths.sum::<usize>());
        let values = nodes.iter().map(|node| self.entry(*node).value);
        black_box(
            values
                .filter_map(|value| value.data.first())
                .fold(0, |sum, byte| sum ^ byte),
        );
    }

    /// Where insertions of these keys (`TOGETHER` at most, with their hashes) at `lsn` or later can begin to search; None
    /// for those that probably need no search. By the one writer.
    pub(crate) fn near(&self, keys: &[(&[u8], u64)], lsn: u64) -> [Option<Before>; TOGETHER] {
        let mut near = [None; TOGETHER];
        for (_, hash) in keys {
            self.newest.prefetch(*hash);
        }
        for (_, hash) in keys {
            if let Some(node) = self.newest.first(*hash) {
                prefetch_node(node);
            }
        }
        let mut searches = Vec::with_capacity(keys.len());
        for (index, (key, hash)) in keys.iter().enumerate() {
            let at = (*key, lsn);
            if let Some(older) = self.newest_of(key, *hash) {
                prefetch(older.back().load(Ordering::Relaxed));
            } else if !self.is_behind_last(at) {
                near[index] = Some(Before([self.head; MAX_HEIGHT]));
                searches.push(self.search(index, at));
            }
        }
        while !searches.is_empty() {
            searches.retain_mut(|search| match &mut near[search.index] {
                Some(before) => search.step(before),
                None => false,
            });
        }
        near
    }

    fn search<'a>(&self, index: usize, at: Position<'a>) -> Search<'a> {
        let level = self.height.load(Ordering::Relaxed) - 1;
        let next = self.head.next(level);
        Search {
            index,
            at,
            level,
            node: self.head,
            next,
            beyond: None,
        }
    }
}

impl Search<'_> {
    /// Looks at the next node, and asks for the one that comes after it; false at the end.
    fn step(&mut self, before: &mut Before) -> bool {
        match self.next {
            Some(next) if next.is_before(self.at) => self.node = next,
            next => self.beyond = next,
        }
        loop {
            self.next = self.node.next(self.level);
            if self.next.is_some() && self.next != self.beyond {
                break;
            }
            before.0[self.level] = self.node;
            if self.level == 0 {
                return false;
            }
            self.level -= 1;
        }
        if let Some(next) = self.next {
            prefetch_node(next.0.as_ptr());
        }
        true
    }
}

/// Its header, and where small keys end.
fn prefetch_node(node: *const u8) {
    prefetch(node);
    prefetch(node.wrapping_add(56));
}
