//! Sets of keys as disjoint intervals: what range deletes and excisions hide. Pure.
//!
//! ```text
//! spans := count:varint  (begin  bounded:u8 [end])*        begin, end: length:varint, bytes
//! ```

use std::ops::Bound;

use crate::range::{Direction, Range};
use crate::varint;

/// Keys from `begin` (inclusive) to `end` (exclusive; `None` = without end). Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub begin: Vec<u8>,
    pub end: Option<Vec<u8>>,
}

/// Sorted; neither overlapping nor adjacent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Spans(Vec<Span>);

impl Span {
    /// `None` when no key lies between. An empty `end` means that there is none.
    pub(crate) fn new(begin: &[u8], end: &[u8]) -> Option<Span> {
        let end = (!end.is_empty()).then(|| end.to_vec());
        let begin = begin.to_vec();
        let empty = end.as_ref().is_some_and(|end| *end <= begin);
        (!empty).then_some(Span { begin, end })
    }

    /// Of a range of keys; `None` when no key can lie in it.
    pub(crate) fn of(range: &Range) -> Option<Span> {
        // The smallest key after `key` is `key` and a zero byte.
        let after = |key: &[u8]| [key, &[0]].concat();
        let begin = match &range.start {
            Bound::Included(key) => key.clone(),
            Bound::Excluded(key) => after(key),
            Bound::Unbounded => Vec::new(),
        };
        let end = match &range.end {
            Bound::Included(key) => after(key),
            Bound::Excluded(key) => key.clone(),
            Bound::Unbounded => return Span::new(&begin, &[]),
        };
        // An excluded empty end is before every key, not without end.
        (!end.is_empty()).then(|| Span::new(&begin, &end)).flatten()
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.begin.as_slice() <= key && !self.ends_by(key)
    }

    /// Whether it ends at or before `key`.
    fn ends_by(&self, key: &[u8]) -> bool {
        self.end.as_ref().is_some_and(|end| end.as_slice() <= key)
    }

    /// Whether it has keys between `smallest` and `largest`, both inclusive.
    pub(crate) fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        self.begin.as_slice() <= largest && !self.ends_by(smallest)
    }

    /// Where a scan in this direction goes on beyond it; `None`: nowhere.
    pub(crate) fn far_end(&self, direction: Direction) -> Option<Bound<&[u8]>> {
        match direction {
            Direction::Forward => self.end.as_deref().map(Bound::Included),
            Direction::Reverse if self.begin.is_empty() => None,
            Direction::Reverse => Some(Bound::Excluded(&self.begin)),
        }
    }

    pub(crate) fn range(&self) -> Range {
        Range {
            start: Bound::Included(self.begin.clone()),
            end: match &self.end {
                Some(end) => Bound::Excluded(end.clone()),
                None => Bound::Unbounded,
            },
        }
    }
}

impl Spans {
    pub(crate) fn everything() -> Spans {
        Spans(vec![Span {
            begin: Vec::new(),
            end: None,
        }])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Span> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn insert(&mut self, mut span: Span) {
        // Those that end before it begins stay in front; those it touches are merged into it.
        let first = self
            .0
            .partition_point(|old| old.end.as_ref().is_some_and(|end| *end < span.begin));
        let mut last = first;
        while let Some(old) = self.0.get(last) {
            if span.end.as_ref().is_some_and(|end| *end < old.begin) {
                break;
            }
            span.begin = span.begin.min(old.begin.clone());
            span.end = match (span.end, &old.end) {
                (Some(a), Some(b)) => Some(a.max(b.clone())),
                _ => None,
            };
            last += 1;
        }
        self.0.splice(first..last, [span]);
    }

    pub(crate) fn extend(&mut self, others: &Spans) {
        for span in &others.0 {
            self.insert(span.clone());
        }
    }

    /// The span that holds `key`.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Span> {
        let index = self.0.partition_point(|span| span.ends_by(key));
        self.0.get(index).filter(|span| span.contains(key))
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        !self.0.is_empty() && self.find(key).is_some()
    }

    /// Whether all keys between `smallest` and `largest`, both inclusive, are in it.
    pub(crate) fn covers(&self, smallest: &[u8], largest: &[u8]) -> bool {
        self.find(smallest)
            .is_some_and(|span| span.contains(largest))
    }

    /// Those with keys between `smallest` and `largest`, whole.
    pub(crate) fn overlapping(&self, smallest: &[u8], largest: &[u8]) -> Spans {
        let overlapping = self.0.iter().filter(|s| s.overlaps(smallest, largest));
        Spans(overlapping.cloned().collect())
    }

    /// What of it lies at or after `smallest` and at or before `largest`.
    pub(crate) fn clipped(&self, smallest: &[u8], largest: &[u8]) -> Spans {
        let mut clipped = self.overlapping(smallest, largest);
        let end = [largest, &[0]].concat();
        for span in &mut clipped.0 {
            if span.begin.as_slice() < smallest {
                span.begin = smallest.to_vec();
            }
            if !span.ends_by(&end) {
                span.end = Some(end.clone());
            }
        }
        clipped
    }

    /// The keys that are not in `others`.
    pub(crate) fn minus(&self, others: &Spans) -> Spans {
        let mut left = Vec::new();
        for span in &self.0 {
            let mut begin = Some(span.begin.clone());
            for other in &others.0 {
                let Some(from) = begin.take() else { break };
                if other.ends_by(&from) {
                    begin = Some(from);
                    continue;
                }
                if span.ends_by(&other.begin) {
                    begin = Some(from);
                    break;
                }
                left.extend(Span::new(&from, &other.begin).filter(|_| other.begin > from));
                begin = other.end.clone().filter(|end| !span.ends_by(end));
            }
            left.extend(begin.map(|begin| Span {
                begin,
                end: span.end.clone(),
            }));
        }
        Spans(left)
    }

    pub(crate) fn put(&self, buffer: &mut Vec<u8>) {
        varint::put(buffer, self.0.len() as u64);
        for span in &self.0 {
            varint::put_bytes(buffer, &span.begin);
            buffer.push(u8::from(span.end.is_some()));
            if let Some(end) = &span.end {
                varint::put_bytes(buffer, end);
            }
        }
    }

    /// `None` when damaged.
    pub(crate) fn take(input: &mut &[u8]) -> Option<Spans> {
        let count = varint::take(input)?;
        let mut spans = Spans::default();
        for _ in 0..count {
            let begin = varint::take_bytes(input)?.to_vec();
            let (&bounded, rest) = input.split_first()?;
            *input = rest;
            let end = match bounded {
                0 => None,
                1 => Some(varint::take_bytes(input)?.to_vec()),
                _ => return None,
            };
            if end.as_ref().is_some_and(|end| *end <= begin) {
                return None;
            }
            spans.insert(Span { begin, end });
        }
        Some(spans)
    }
}

impl FromIterator<Span> for Spans {
    fn from_iter<T: IntoIterator<Item = Span>>(spans: T) -> Spans {
        let mut set = Spans::default();
        spans.into_iter().for_each(|span| set.insert(span));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn random_span(random: &mut StdRng) -> Span {
        let begin: u8 = random.random_range(0..30);
        let end = match random.random_range(0..8) {
            0 => None,
            _ => Some(vec![begin + random.random_range(1..6)]),
        };
        let begin = if random.random_range(0..12) == 0 {
            vec![]
        } else {
            vec![begin]
        };
        Span { begin, end }
    }

    fn keys(spans: &Spans) -> Vec<u8> {
        (0..60).filter(|key| spans.contains(&[*key])).collect()
    }

    #[test]
    fn behaves_as_a_set_of_keys() {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..2000 {
            let mut sets = [Vec::new(), Vec::new()];
            let [a, b] = [0, 1].map(|which: usize| {
                let spans: Spans = (0..random.random_range(0..6))
                    .map(|_| {
                        let span = random_span(&mut random);
                        sets[which].push(span.clone());
                        span
                    })
                    .collect();
                let expected: Vec<u8> = (0..60)
                    .filter(|key| sets[which].iter().any(|span| span.contains(&[*key])))
                    .collect();
                assert_eq!(keys(&spans), expected, "{:?}", sets[which]);
                spans
            });
            assert!(
                a.0.windows(2)
                    .all(|pair| pair[0].end.as_ref().unwrap() < &pair[1].begin)
            );
            let left = a.minus(&b);
            let expected: Vec<u8> = keys(&a)
                .into_iter()
                .filter(|key| !b.contains(&[*key]))
                .collect();
            assert_eq!(keys(&left), expected, "{a:?} minus {b:?}");
            let clipped = keys(&a.clipped(&[9], &[21]));
            let expected: Vec<u8> = keys(&a)
                .into_iter()
                .filter(|key| (9..=21).contains(key))
                .collect();
            assert_eq!(clipped, expected);
            assert_eq!(
                a.covers(&[9], &[12]),
                (9..=12).all(|key| a.contains(&[key]))
            );
            let mut encoded = Vec::new();
            a.put(&mut encoded);
            assert_eq!(Spans::take(&mut encoded.as_slice()).unwrap(), a);
            for cut in 0..encoded.len() {
                assert!(Spans::take(&mut &encoded[..cut]).is_none());
            }
        }
    }

    #[test]
    fn ranges_of_every_kind_become_spans() {
        let key = |key: &[u8]| key.to_vec();
        let span = |start, end| Span::of(&Range { start, end });
        assert_eq!(
            span(Bound::Excluded(key(b"a")), Bound::Included(key(b"a"))),
            None
        );
        assert_eq!(span(Bound::Unbounded, Bound::Excluded(key(b""))), None);
        let one = span(Bound::Included(key(b"a")), Bound::Included(key(b"a"))).unwrap();
        assert!(one.contains(b"a") && !one.contains(b"a\0"));
        assert_eq!(span(Bound::Unbounded, Bound::Unbounded).unwrap().end, None);
    }
}
