//! A cluster view with the slot table unpacked: what requests are routed and judged by. Immutable.

use crate::pb::{self, MemberState};
use crate::slots::SLOT_COUNT;
use crate::token::Position;

const NOBODY: u16 = 0xffff;

#[derive(Debug, Default)]
pub struct View {
    pub cluster: pb::ClusterView,
    owners: Vec<u16>,
    /// Slots of moves that are fenced.
    fenced: Spans<()>,
    /// Slots of moves that are under way, and their sources.
    moving: Spans<u32>,
    /// Slots that were acquired, and their owner's LSN from which its answers count.
    since: Spans<u64>,
}

/// What ranges of slots (inclusive, disjoint) have; ascending.
#[derive(Debug, Default)]
struct Spans<T>(Vec<(u16, u16, T)>);

impl<T> Spans<T> {
    fn new(mut spans: Vec<(u16, u16, T)>) -> Self {
        spans.sort_unstable_by_key(|&(first, ..)| first);
        Self(spans)
    }

    fn at(&self, slot: u16) -> Option<&T> {
        let after = self.0.partition_point(|&(first, ..)| first <= slot);
        let (_, last, value) = self.0.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(value)
    }
}

/// What `pb::Move.step` says of a move (rules M).
pub const PREPARED: &str = "prepared";
pub const FENCED: &str = "fenced";

impl View {
    pub fn new(cluster: pb::ClusterView) -> Self {
        let packed = cluster
            .topology
            .as_ref()
            .map_or(&[][..], |topology| &topology.slot_owners);
        let owners = packed
            .chunks_exact(2)
            .take(SLOT_COUNT.into())
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        let (mut fenced, mut moving) = (Vec::new(), Vec::new());
        let moves = cluster.topology.iter().flat_map(|topology| &topology.moves);
        for one in moves.filter(|one| matches!(one.step.as_str(), PREPARED | FENCED)) {
            for span in &one.slots {
                let (first, last) = (span.first as u16, span.last as u16);
                moving.push((first, last, one.source));
                if one.step == FENCED {
                    fenced.push((first, last, ()));
                }
            }
        }
        let epochs = cluster.topology.iter().flat_map(|it| &it.slot_epochs);
        let since = epochs
            .map(|one| (one.first as u16, one.last as u16, one.since_lsn))
            .collect();
        Self {
            cluster,
            owners,
            fenced: Spans::new(fenced),
            moving: Spans::new(moving),
            since: Spans::new(since),
        }
    }

    pub fn version(&self) -> u64 {
        self.cluster
            .topology
            .as_ref()
            .map_or(0, |topology| topology.version)
    }

    pub fn health_version(&self) -> u64 {
        self.cluster
            .health
            .as_ref()
            .map_or(0, |health| health.version)
    }

    /// The cluster's mode (D4).
    pub fn durability(&self) -> pb::Durability {
        self.cluster
            .topology
            .as_ref()
            .map_or(pb::Durability::Default, pb::Topology::durability)
    }

    pub fn cluster_uid(&self) -> &str {
        self.cluster
            .topology
            .as_ref()
            .map_or("", |topology| &topology.cluster_uid)
    }

    /// The shard that owns `slot`; None: nobody, or no view yet.
    pub fn owner(&self, slot: u16) -> Option<u32> {
        match self.owners.get(usize::from(slot)) {
            None | Some(&NOBODY) => None,
            Some(&shard) => Some(u32::from(shard)),
        }
    }

    /// M6: nobody answers for the slot.
    pub fn is_fenced(&self, slot: u16) -> bool {
        self.fenced.at(slot).is_some()
    }

    pub fn has_fences(&self) -> bool {
        !self.fenced.0.is_empty()
    }

    /// The fenced slots, as inclusive ranges; most often there are none.
    pub fn fenced(&self) -> impl Iterator<Item = (u16, u16)> {
        self.fenced.0.iter().map(|&(first, last, ())| (first, last))
    }

    /// C5: the owner's LSN from which on its answers show all of the slot; 0 = it always had it.
    pub fn since_lsn(&self, slot: u16) -> u64 {
        self.since.at(slot).copied().unwrap_or(0)
    }

    /// The source of the move that the slot is part of.
    pub fn moving_from(&self, slot: u16) -> Option<u32> {
        self.moving.at(slot).copied()
    }

    /// The move called `id`, when the topology has it at this attempt and it is under way.
    pub fn move_at(&self, id: &str, attempt: u32) -> Option<&pb::Move> {
        let mut moves = self.cluster.topology.iter().flat_map(|it| &it.moves);
        moves.find(|one| {
            one.id == id && one.attempt == attempt && matches!(one.step.as_str(), PREPARED | FENCED)
        })
    }

    pub fn shards(&self) -> &[pb::Shard] {
        self.cluster
            .topology
            .as_ref()
            .map_or(&[], |topology| &topology.shards)
    }

    pub fn shard(&self, id: u32) -> Option<&pb::Shard> {
        self.shards().iter().find(|shard| shard.id == id)
    }

    /// C5: the lowest cut of `shard` that lies before what was `seen` of it in an epoch that has ended; None: it all is
    /// still there, as far as the cuts go back.
    pub fn cut_below(&self, shard: u32, seen: Position) -> Option<u64> {
        let shard = self.shard(shard)?;
        if seen.epoch == 0 || seen.epoch >= shard.epoch {
            return None;
        }
        let cuts = shard.cuts.iter().filter(|cut| cut.epoch >= seen.epoch);
        cuts.map(|cut| cut.lsn).min().filter(|cut| *cut < seen.lsn)
    }

    /// The primary of `shard`, when it has an address.
    pub fn primary(&self, shard: u32) -> Option<&pb::Member> {
        self.shard(shard)?
            .primary
            .as_ref()
            .filter(|primary| !primary.address.is_empty())
    }

    /// Where the primary of `shard` listens.
    pub fn primary_address(&self, shard: u32) -> Option<&str> {
        self.primary(shard).map(|primary| primary.address.as_str())
    }

    /// The replicas of `shard` that may be read. One that was not heard of since the coordinator started may.
    pub fn readable_replicas(&self, shard: u32) -> impl Iterator<Item = &pb::Member> {
        let replicas = self.shard(shard).map_or(&[][..], |shard| &shard.replicas);
        replicas.iter().filter(|replica| {
            !replica.address.is_empty()
                && !matches!(
                    self.state(&replica.name),
                    MemberState::MemberStarting
                        | MemberState::MemberFailed
                        | MemberState::MemberLeft
                )
        })
    }

    fn state(&self, name: &str) -> MemberState {
        let members = self
            .cluster
            .health
            .as_ref()
            .map_or(&[][..], |health| &health.members);
        let member = members.iter().find(|member| member.name == name);
        member.map_or(MemberState::MemberUnknown, |member| member.state())
    }

    /// The slots of `shard`, ascending, as inclusive ranges.
    pub fn slots_of(&self, shard: u32) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in 0..self.owners.len() as u16 {
            if self.owner(slot) != Some(shard) {
                continue;
            }
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }

    pub fn newer_than(&self, other: &View) -> bool {
        (self.version(), self.health_version()) > (other.version(), other.health_version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_later_cut_took_away_is_gone() {
        let cut = |epoch, lsn| pb::Cut { epoch, lsn };
        let view = View::new(pb::ClusterView {
            topology: Some(pb::Topology {
                shards: vec![pb::Shard {
                    epoch: 5,
                    cuts: vec![cut(1, 10), cut(3, 100), cut(4, 90)],
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        });
        let below = |epoch, lsn| view.cut_below(0, Position { epoch, lsn });
        assert_eq!(below(1, 10), None);
        assert_eq!(below(1, 11), Some(10));
        assert_eq!(below(2, 11), None);
        assert_eq!(below(2, 95), Some(90), "the second takeover took it");
        assert_eq!(below(4, 91), Some(90));
        assert_eq!(below(5, 1000), None);
        assert_eq!(below(6, 1000), None);
        assert_eq!(below(0, 1000), None);
        assert_eq!(view.cut_below(1, Position { epoch: 1, lsn: 11 }), None);
    }

    fn member(name: &str, address: &str) -> pb::Member {
        pb::Member {
            name: name.into(),
            address: address.into(),
            ..Default::default()
        }
    }

    fn health(name: &str, state: MemberState) -> pb::MemberHealth {
        pb::MemberHealth {
            name: name.into(),
            state: state.into(),
            ..Default::default()
        }
    }

    fn view() -> View {
        let mut slot_owners = vec![0xff; usize::from(SLOT_COUNT) * 2];
        for slot in [0usize, 1, 2, 9] {
            slot_owners[slot * 2..slot * 2 + 2].copy_from_slice(&[0, 4]);
        }
        let names = ["up", "unheard", "failed", "left", "starting"];
        View::new(pb::ClusterView {
            topology: Some(pb::Topology {
                slot_owners: slot_owners.into(),
                shards: vec![pb::Shard {
                    id: 4,
                    primary: Some(member("p", "")),
                    replicas: names
                        .iter()
                        .map(|name| member(name, "h:1"))
                        .chain([member("nowhere", "")])
                        .collect(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            health: Some(pb::MemberHealthSet {
                members: vec![
                    health("up", MemberState::MemberHealthy),
                    health("failed", MemberState::MemberFailed),
                    health("left", MemberState::MemberLeft),
                    health("starting", MemberState::MemberStarting),
                ],
                ..Default::default()
            }),
        })
    }

    #[test]
    fn slots_that_move_are_known_by_their_step() {
        let span = |first, last| pb::SlotSpanRef { first, last };
        let step = |id: &str, step: &str, slots: Vec<pb::SlotSpanRef>| pb::Move {
            id: id.into(),
            attempt: 2,
            source: 4,
            step: step.into(),
            slots,
            ..Default::default()
        };
        let epoch = |first, last, since_lsn| pb::SlotEpoch {
            first,
            last,
            since_lsn,
            ..Default::default()
        };
        let view = View::new(pb::ClusterView {
            topology: Some(pb::Topology {
                moves: vec![
                    step("waits", "waiting", vec![span(1, 1)]),
                    step("begun", PREPARED, vec![span(9, 9), span(2, 3)]),
                    step("ends", FENCED, vec![span(20, 29), span(5, 5)]),
                    step("over", "committed", vec![span(40, 40)]),
                ],
                slot_epochs: vec![epoch(0, 3, 7), epoch(9, 9, 8)],
                ..Default::default()
            }),
            ..Default::default()
        });
        let having =
            |has: &dyn Fn(u16) -> bool| (0..60).filter(|slot| has(*slot)).collect::<Vec<_>>();
        let fenced: Vec<u16> = [5].into_iter().chain(20..=29).collect();
        assert_eq!(having(&|slot| view.is_fenced(slot)), fenced);
        assert_eq!(view.fenced().collect::<Vec<_>>(), [(5, 5), (20, 29)]);
        let moving: Vec<u16> = [2, 3, 5, 9].into_iter().chain(20..=29).collect();
        assert_eq!(having(&|slot| view.moving_from(slot) == Some(4)), moving);
        assert_eq!(
            [0, 3, 4, 9, 10].map(|slot| view.since_lsn(slot)),
            [7, 7, 0, 8, 0]
        );
        assert!(view.move_at("begun", 2).is_some() && view.move_at("ends", 2).is_some());
        assert!(view.move_at("begun", 1).is_none() && view.move_at("waits", 2).is_none());
        assert!(view.move_at("over", 2).is_none());
    }

    #[test]
    fn slots_of_a_shard_are_ranges() {
        let view = view();
        assert_eq!(view.slots_of(4), [(0, 2), (9, 9)]);
        assert_eq!(
            (view.owner(2), view.owner(3), View::default().owner(0)),
            (Some(4), None, None)
        );
    }

    #[test]
    fn members_that_failed_left_or_start_are_not_read() {
        let view = view();
        let names: Vec<_> = view
            .readable_replicas(4)
            .map(|member| member.name.as_str())
            .collect();
        assert_eq!(names, ["up", "unheard"]);
        assert!(
            view.primary(4).is_none(),
            "a primary without an address cannot be asked"
        );
    }
}
