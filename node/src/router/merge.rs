//! Progress of a scan over shards (M11), by slot. No I/O.
//!
//! A slot is wanted until the server that was asked for it says that it is covered, and has been walked past; one that
//! moved away meanwhile stays wanted and is asked for anew. Slots are disjoint, so merging shards compares no keys.

use aidb_client::pb;
use aidb_client::slots::{SLOT_COUNT, slot_of_prefix};

/// What is known of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not asked for, or walked past.
    Done,
    Wanted,
    /// Asked of a leg.
    Asked(usize),
    /// Wholly sent by that leg; its entries may still wait.
    Covered(usize),
}

/// The slots of one scan, walked in scan order.
pub struct Walk {
    states: Vec<State>,
    at: Option<u16>,
    reverse: bool,
}

/// What the current slot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the owner for it.
    Plan(u16),
    /// Read on from that leg.
    Read {
        slot: u16,
        leg: usize,
    },
    /// The leg has sent all of it.
    Finish {
        slot: u16,
        leg: usize,
    },
    End,
}

impl Walk {
    /// Over the slots of `request` that come after its cursor and that its prefix can be in.
    pub fn new(request: &pb::ScanRequest) -> Self {
        let count = usize::from(SLOT_COUNT);
        let mut states = vec![State::Wanted; count];
        if !request.slots.is_empty() {
            states.fill(State::Done);
            for range in &request.slots {
                let (first, last) = (range.first as usize, (range.last as usize).min(count - 1));
                if first <= last {
                    states[first..=last].fill(State::Wanted);
                }
            }
        }
        if let Some(only) = slot_of_prefix(&request.prefix) {
            let only = usize::from(only);
            states[..only].fill(State::Done);
            states[only + 1..].fill(State::Done);
        }
        if let Some(cursor) = &request.resume_after {
            let slot = (cursor.slot as usize).min(count - 1);
            if request.reverse {
                states[slot + 1..].fill(State::Done);
            } else {
                states[..slot].fill(State::Done);
            }
        }
        let mut walk = Self {
            states,
            at: Some(if request.reverse { SLOT_COUNT - 1 } else { 0 }),
            reverse: request.reverse,
        };
        walk.skip_done();
        walk
    }

    pub fn step(&self) -> Step {
        let Some(slot) = self.at else {
            return Step::End;
        };
        match self.states[usize::from(slot)] {
            State::Asked(leg) => Step::Read { slot, leg },
            State::Covered(leg) => Step::Finish { slot, leg },
            State::Wanted | State::Done => Step::Plan(slot),
        }
    }

    /// Asks `leg` for every wanted slot that `owned` accepts; they are returned ascending, as inclusive ranges.
    pub fn ask(&mut self, leg: usize, owned: impl Fn(u16) -> bool) -> Vec<pb::SlotRange> {
        let mut ranges: Vec<pb::SlotRange> = Vec::new();
        for slot in 0..SLOT_COUNT {
            let state = &mut self.states[usize::from(slot)];
            if *state != State::Wanted || !owned(slot) {
                continue;
            }
            *state = State::Asked(leg);
            extend(&mut ranges, slot);
        }
        ranges
    }

    /// `leg` says that it sent all of `ranges`.
    pub fn covered(&mut self, leg: usize, ranges: &[pb::SlotRange]) {
        for range in ranges {
            let last = range.last.min(u32::from(SLOT_COUNT - 1));
            for slot in range.first..=last {
                let state = &mut self.states[slot as usize];
                if *state == State::Asked(leg) {
                    *state = State::Covered(leg);
                }
            }
        }
    }

    /// `leg` ended: what it did not cover is wanted again.
    pub fn ended(&mut self, leg: usize) {
        for state in &mut self.states {
            if *state == State::Asked(leg) {
                *state = State::Wanted;
            }
        }
    }

    /// Its leg does not have `slot`: it is wanted again.
    pub fn lost(&mut self, slot: u16) {
        self.states[usize::from(slot)] = State::Wanted;
    }

    /// The current slot is finished.
    pub fn advance(&mut self) {
        if let Some(slot) = self.at {
            self.states[usize::from(slot)] = State::Done;
            self.skip_done();
        }
    }

    fn skip_done(&mut self) {
        while let Some(slot) = self.at {
            if self.states[usize::from(slot)] != State::Done {
                return;
            }
            self.at = if self.reverse {
                slot.checked_sub(1)
            } else {
                Some(slot + 1).filter(|&next| next < SLOT_COUNT)
            };
        }
    }
}

/// Adds `slot` to ranges that grow at one end, up or down.
pub fn extend(ranges: &mut Vec<pb::SlotRange>, slot: u16) {
    let slot = u32::from(slot);
    match ranges.last_mut() {
        Some(range) if range.last + 1 == slot => range.last = slot,
        Some(range) if slot + 1 == range.first => range.first = slot,
        _ => ranges.push(pb::SlotRange {
            first: slot,
            last: slot,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, last: u32) -> pb::SlotRange {
        pb::SlotRange { first, last }
    }

    fn request(slots: &[(u32, u32)], reverse: bool, after: Option<u32>) -> pb::ScanRequest {
        pb::ScanRequest {
            slots: slots
                .iter()
                .map(|&(first, last)| range(first, last))
                .collect(),
            reverse,
            resume_after: after.map(|slot| pb::ScanCursor {
                slot,
                key: Default::default(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn slots_are_walked_in_order_each_from_the_leg_that_covers_it() {
        let mut walk = Walk::new(&request(&[(3, 5), (9, 9)], false, None));
        assert_eq!(walk.step(), Step::Plan(3));
        assert_eq!(
            walk.ask(0, |slot| slot != 4),
            [range(3, 3), range(5, 5), range(9, 9)]
        );
        assert_eq!(walk.step(), Step::Read { slot: 3, leg: 0 });
        walk.covered(0, &[range(0, 4)]);
        assert_eq!(walk.step(), Step::Finish { slot: 3, leg: 0 });
        walk.advance();
        assert_eq!(
            walk.step(),
            Step::Plan(4),
            "not asked of leg 0, so not covered by it"
        );
        assert_eq!(walk.ask(1, |_| true), [range(4, 4)]);
        walk.covered(1, &[range(4, 4)]);
        walk.advance();
        walk.ended(0);
        assert_eq!(
            walk.step(),
            Step::Plan(5),
            "the leg ended before it covered this slot"
        );
        assert_eq!(walk.ask(2, |_| true), [range(5, 5), range(9, 9)]);
        walk.covered(2, &[range(5, 9)]);
        walk.advance();
        assert_eq!(walk.step(), Step::Finish { slot: 9, leg: 2 });
        walk.advance();
        assert_eq!(walk.step(), Step::End);
    }

    #[test]
    fn reverse_mirrors_and_a_cursor_skips_what_was_seen() {
        let mut walk = Walk::new(&request(&[(2, 4)], true, Some(3)));
        assert_eq!(walk.step(), Step::Plan(3));
        walk.ask(0, |_| true);
        walk.covered(0, &[range(2, 3)]);
        walk.advance();
        assert_eq!(walk.step(), Step::Finish { slot: 2, leg: 0 });
        walk.advance();
        assert_eq!(walk.step(), Step::End);
        assert_eq!(
            Walk::new(&request(&[(2, 4)], false, Some(4))).step(),
            Step::Plan(4)
        );
        assert_eq!(
            Walk::new(&request(&[(2, 4)], false, Some(9))).step(),
            Step::End
        );
    }

    #[test]
    fn a_hash_tag_in_the_prefix_leaves_one_slot() {
        let mut asked = request(&[], false, None);
        asked.prefix = b"{user7}:".as_slice().into();
        let mut walk = Walk::new(&asked);
        let slot = aidb_client::slot_of(b"{user7}:");
        assert_eq!(walk.step(), Step::Plan(slot));
        walk.advance();
        assert_eq!(walk.step(), Step::End);
        asked.slots = vec![range(30_000, 70_000), range(5, 3)];
        assert_eq!(Walk::new(&asked).step(), Step::End);
    }

    #[test]
    fn ranges_grow_in_either_direction() {
        let mut ranges = Vec::new();
        for slot in [5, 6, 9, 8, 7] {
            extend(&mut ranges, slot);
        }
        assert_eq!(ranges, [range(5, 6), range(7, 9)]);
    }
}
