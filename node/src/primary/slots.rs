//! Which slots a scan reads, and which it may say are covered (M11). No I/O.

use std::collections::VecDeque;

use aidb_client::pb;
use aidb_client::slots::{SLOT_COUNT, slot_of_prefix};

/// Inclusive on both ends, as everywhere in this file.
pub type Span = (u16, u16);

/// The part of `asked` (empty = all) that is in `owned`, ascending and disjoint.
pub fn owned_of(asked: &[pb::SlotRange], owned: &[Span]) -> Vec<Span> {
    if asked.is_empty() {
        return owned.to_vec();
    }
    let last_slot = u32::from(SLOT_COUNT - 1);
    let mut wanted: Vec<Span> = asked
        .iter()
        .filter(|range| range.first <= range.last && range.first <= last_slot)
        .map(|range| (range.first as u16, range.last.min(last_slot) as u16))
        .collect();
    wanted.sort_unstable();
    let mut result: Vec<Span> = Vec::new();
    for (first, last) in wanted {
        // What an earlier range of `asked` took already is not taken again.
        let first = result
            .last()
            .map_or(first, |taken| first.max(taken.1.saturating_add(1)));
        result.extend(
            owned
                .iter()
                .filter_map(|span| intersect(*span, (first, last))),
        );
    }
    result
}

/// The part of `slots` where keys with `prefix` can be: a hash tag in it pins one slot.
pub fn with_prefix(slots: &[Span], prefix: &[u8]) -> Vec<Span> {
    match slot_of_prefix(prefix) {
        None => slots.to_vec(),
        Some(slot) => slots
            .iter()
            .filter_map(|span| intersect(*span, (slot, slot)))
            .collect(),
    }
}

/// The part of `slots` at or after `slot` in scan order.
pub fn from_slot(slots: &[Span], slot: u16, reverse: bool) -> Vec<Span> {
    let rest = if reverse { (0, slot) } else { (slot, u16::MAX) };
    slots
        .iter()
        .filter_map(|span| intersect(*span, rest))
        .collect()
}

fn intersect(a: Span, b: Span) -> Option<Span> {
    let (first, last) = (a.0.max(b.0), a.1.min(b.1));
    (first <= last).then_some((first, last))
}

/// Slots that a scan has still to finish, in scan order. Each is reported once, and only when nothing of it is left.
pub struct Coverage {
    pending: VecDeque<Span>,
    reverse: bool,
}

impl Coverage {
    pub fn new(slots: &[Span], reverse: bool) -> Self {
        let pending = if reverse {
            slots.iter().rev().copied().collect()
        } else {
            slots.iter().copied().collect()
        };
        Self { pending, reverse }
    }

    /// The scan has come to `slot`: all pending ones before it are finished.
    pub fn reached(&mut self, slot: u16) -> Vec<pb::SlotRange> {
        let mut finished = Vec::new();
        while let Some((first, last)) = self.pending.pop_front() {
            let whole = if self.reverse {
                first > slot
            } else {
                last < slot
            };
            let none = if self.reverse {
                last <= slot
            } else {
                first >= slot
            };
            if whole {
                finished.push(range(first, last));
            } else if none {
                self.pending.push_front((first, last));
                break;
            } else if self.reverse {
                finished.push(range(slot + 1, last));
                self.pending.push_front((first, slot));
                break;
            } else {
                finished.push(range(first, slot - 1));
                self.pending.push_front((slot, last));
                break;
            }
        }
        finished
    }

    /// The scan is at its end.
    pub fn rest(&mut self) -> Vec<pb::SlotRange> {
        self.pending
            .drain(..)
            .map(|(first, last)| range(first, last))
            .collect()
    }
}

fn range(first: u16, last: u16) -> pb::SlotRange {
    pb::SlotRange {
        first: first.into(),
        last: last.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_owned_slots_are_read_each_once() {
        let owned = [(0, 9), (20, 29)];
        assert_eq!(owned_of(&[], &owned), owned);
        let asked = [range(25, 40), range(5, 22), range(8, 21), range(9, 3)];
        assert_eq!(owned_of(&asked, &owned), [(5, 9), (20, 22), (25, 29)]);
        assert_eq!(owned_of(&[range(10, 19)], &owned), []);
        assert_eq!(
            owned_of(
                &[pb::SlotRange {
                    first: 28,
                    last: u32::MAX
                }],
                &owned
            ),
            [(28, 29)]
        );
    }

    #[test]
    fn a_tag_in_the_prefix_pins_the_slot() {
        let slot = aidb_client::slots::slot_of(b"{user7}");
        let all = [(0, SLOT_COUNT - 1)];
        assert_eq!(with_prefix(&all, b"{user7}:"), [(slot, slot)]);
        assert_eq!(with_prefix(&all, b"user7"), all);
    }

    #[test]
    fn a_resumed_scan_begins_at_its_slot() {
        let slots = [(0, 9), (20, 29)];
        assert_eq!(from_slot(&slots, 5, false), [(5, 9), (20, 29)]);
        assert_eq!(from_slot(&slots, 15, true), [(0, 9)]);
        assert_eq!(from_slot(&slots, 20, true), [(0, 9), (20, 20)]);
    }

    #[test]
    fn each_slot_is_covered_once_and_in_order() {
        let mut forward = Coverage::new(&[(0, 9), (20, 29)], false);
        assert_eq!(forward.reached(0), []);
        assert_eq!(forward.reached(4), [range(0, 3)]);
        assert_eq!(forward.reached(4), []);
        assert_eq!(forward.reached(22), [range(4, 9), range(20, 21)]);
        assert_eq!(forward.rest(), [range(22, 29)]);
        assert_eq!(forward.rest(), []);

        let mut reverse = Coverage::new(&[(0, 9), (20, 29)], true);
        assert_eq!(reverse.reached(29), []);
        assert_eq!(reverse.reached(27), [range(28, 29)]);
        assert_eq!(reverse.reached(3), [range(20, 27), range(4, 9)]);
        assert_eq!(reverse.rest(), [range(0, 3)]);
    }
}
