use std::ops::Bound;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub start: Bound<Vec<u8>>,
    pub end: Bound<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    Forward,
    /// From the end of the range to its start.
    Reverse,
}

impl Range {
    pub fn all() -> Range {
        Range {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Range {
        let mut end = prefix.to_vec();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => {
                return Range {
                    start: Bound::Included(prefix.to_vec()),
                    end: Bound::Unbounded,
                };
            }
        }
        Range {
            start: Bound::Included(prefix.to_vec()),
            end: Bound::Excluded(end),
        }
    }

    /// `start` inclusive, `end` exclusive.
    pub fn between(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Range {
        Range {
            start: Bound::Included(start.into()),
            end: Bound::Excluded(end.into()),
        }
    }

    pub(crate) fn start_ref(&self) -> Bound<&[u8]> {
        self.start.as_ref().map(Vec::as_slice)
    }

    pub(crate) fn end_ref(&self) -> Bound<&[u8]> {
        self.end.as_ref().map(Vec::as_slice)
    }

    /// Whether `key` lies beyond the far end of a scan in this direction.
    pub(crate) fn is_past(&self, direction: Direction, key: &[u8]) -> bool {
        match direction {
            Direction::Forward => is_after(&self.end, key),
            Direction::Reverse => is_before(&self.start, key),
        }
    }
}

fn is_after(end: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    match end {
        Bound::Included(end) => key > end.as_slice(),
        Bound::Excluded(end) => key >= end.as_slice(),
        Bound::Unbounded => false,
    }
}

fn is_before(start: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    match start {
        Bound::Included(start) => key < start.as_slice(),
        Bound::Excluded(start) => key <= start.as_slice(),
        Bound::Unbounded => false,
    }
}
