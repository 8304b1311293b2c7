//! The ranges of physical keys that a scan reads, in scan order. No I/O.
//!
//! A scan without bounds on keys reads each run of slots as one range. With bounds each slot is a range of its own: the
//! bounds hold within every slot, so that one seek a slot is what it takes.

use std::ops::Bound;

use aidb_client::key::{physical_key_in, successor};
use aidb_client::pb;
use aidb_lsm::Range;

use super::slots::Span;

pub struct Bounds<'a> {
    pub keyspace: u32,
    pub start: &'a [u8],
    pub end: &'a [u8],
    pub prefix: &'a [u8],
    pub resume_after: Option<&'a pb::ScanCursor>,
    pub reverse: bool,
}

impl<'a> Bounds<'a> {
    pub fn of(request: &'a pb::ScanRequest) -> Self {
        Self {
            keyspace: request.header.as_ref().map_or(0, |header| header.keyspace),
            start: &request.start,
            end: &request.end,
            prefix: &request.prefix,
            resume_after: request.resume_after.as_ref(),
            reverse: request.reverse,
        }
    }

    /// `slots` ascending. One after the other: each holds the keys it begins and ends with, and of a scan with bounds
    /// there may be one for every slot.
    pub fn ranges<'s>(&'s self, slots: &'s [Span]) -> Box<dyn Iterator<Item = Range> + 's> {
        let open = self.open();
        let pieces = slots.iter().flat_map(move |&(first, last)| {
            let step = if open {
                usize::from(last - first) + 1
            } else {
                1
            };
            (first..=last)
                .step_by(step)
                .map(move |from| (from, if open { last } else { from }))
        });
        let range = |(first, last)| self.range(first, last);
        if self.reverse {
            Box::new(pieces.rev().filter_map(range))
        } else {
            Box::new(pieces.filter_map(range))
        }
    }

    fn open(&self) -> bool {
        self.start.is_empty() && self.end.is_empty() && self.prefix.is_empty()
    }

    /// The range of the slots from `first` to `last`; None when nothing can be in it.
    fn range(&self, first: u16, last: u16) -> Option<Range> {
        let physical = |slot: u16, key: &[u8]| physical_key_in(slot, self.keyspace, key);
        let mut start = Bound::Included(physical(first, self.start.max(self.prefix)));
        let mut end = Bound::Excluded(successor(physical(last, self.prefix))?);
        if !self.end.is_empty() {
            let given = physical(last, self.end);
            if given < *key_of(&end) {
                end = Bound::Excluded(given);
            }
        }
        if let Some(cursor) = self.resume_after
            && (u32::from(first)..=u32::from(last)).contains(&cursor.slot)
        {
            let seen = physical(cursor.slot as u16, &cursor.key);
            if self.reverse && seen < *key_of(&end) {
                end = Bound::Excluded(seen);
            } else if !self.reverse && seen >= *key_of(&start) {
                start = Bound::Excluded(seen);
            }
        }
        (key_of(&start) < key_of(&end)).then_some(Range { start, end })
    }
}

fn key_of(bound: &Bound<Vec<u8>>) -> &Vec<u8> {
    const NONE: &Vec<u8> = &Vec::new();
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => key,
        Bound::Unbounded => NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds<'a>(start: &'a [u8], end: &'a [u8], prefix: &'a [u8]) -> Bounds<'a> {
        Bounds {
            keyspace: 0,
            start,
            end,
            prefix,
            resume_after: None,
            reverse: false,
        }
    }

    fn holds(ranges: &[Range], slot: u16, key: &[u8]) -> bool {
        let physical = physical_key_in(slot, 0, key);
        ranges.iter().any(|range| {
            let after = match &range.start {
                Bound::Included(start) => physical >= *start,
                Bound::Excluded(start) => physical > *start,
                Bound::Unbounded => true,
            };
            after && physical < *key_of(&range.end)
        })
    }

    #[test]
    fn without_bounds_a_run_of_slots_is_one_range() {
        let ranges = bounds(b"", b"", b"")
            .ranges(&[(0, 9), (300, 300)])
            .collect::<Vec<_>>();
        assert_eq!(ranges.len(), 2);
        assert!(
            holds(&ranges, 0, b"") && holds(&ranges, 9, &[0xff; 50]) && holds(&ranges, 300, b"x")
        );
        assert!(!holds(&ranges, 10, b"a") && !holds(&ranges, 299, b"a"));
    }

    #[test]
    fn bounds_hold_within_every_slot() {
        let ranges = bounds(b"b", b"d", b"")
            .ranges(&[(4, 5)])
            .collect::<Vec<_>>();
        assert_eq!(ranges.len(), 2);
        for slot in [4, 5] {
            assert!(holds(&ranges, slot, b"b") && holds(&ranges, slot, b"czzz"));
            assert!(!holds(&ranges, slot, b"azzz") && !holds(&ranges, slot, b"d"));
        }
        let ranges = bounds(b"b", b"", b"bx")
            .ranges(&[(4, 4)])
            .collect::<Vec<_>>();
        assert!(
            holds(&ranges, 4, b"bx")
                && holds(&ranges, 4, b"bx\xff\xff")
                && !holds(&ranges, 4, b"by")
        );
        assert!(bounds(b"c", b"", b"b").ranges(&[(4, 4)]).next().is_none());
        assert!(bounds(b"c", b"b", b"").ranges(&[(4, 4)]).next().is_none());
    }

    #[test]
    fn a_cursor_is_passed_in_both_directions() {
        let cursor = pb::ScanCursor {
            slot: 7,
            key: "m".into(),
        };
        let forward = Bounds {
            resume_after: Some(&cursor),
            ..bounds(b"", b"", b"")
        }
        .ranges(&[(7, 9)])
        .collect::<Vec<_>>();
        assert!(
            !holds(&forward, 7, b"m") && holds(&forward, 7, b"m\0") && holds(&forward, 8, b"a")
        );
        let reverse = Bounds {
            resume_after: Some(&cursor),
            reverse: true,
            ..bounds(b"", b"", b"")
        }
        .ranges(&[(5, 7)])
        .collect::<Vec<_>>();
        assert!(
            !holds(&reverse, 7, b"m") && holds(&reverse, 7, b"lzz") && holds(&reverse, 5, b"z")
        );
    }
}
