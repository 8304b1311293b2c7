//! This node's copy of the cluster's view: one cell that heartbeats fill and every request reads.
//!
//! Invariant: what is in the cell only gets newer, by (topology version, health version); a view of another cluster is
//! never taken. Readers get an `Arc`: a request judges by one view from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use aidb_client::pb;
use tokio::sync::watch;

pub const SLOT_COUNT: usize = 16384;
const NOBODY: u16 = 0xffff;

/// A view with the slot table unpacked.
#[derive(Debug, Default)]
pub struct View {
    pub cluster: pb::ClusterView,
    owners: Vec<u16>,
}

impl View {
    pub fn new(cluster: pb::ClusterView) -> Self {
        let packed = cluster.topology.as_ref().map_or(&[][..], |topology| &topology.slot_owners);
        let owners = packed.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        Self { cluster, owners }
    }

    pub fn version(&self) -> u64 {
        self.cluster.topology.as_ref().map_or(0, |topology| topology.version)
    }

    pub fn health_version(&self) -> u64 {
        self.cluster.health.as_ref().map_or(0, |health| health.version)
    }

    pub fn cluster_uid(&self) -> &str {
        self.cluster.topology.as_ref().map_or("", |topology| &topology.cluster_uid)
    }

    /// The shard that owns `slot`; None: nobody, or no view yet.
    pub fn owner(&self, slot: u16) -> Option<u32> {
        match self.owners.get(usize::from(slot)) {
            None | Some(&NOBODY) => None,
            Some(&shard) => Some(u32::from(shard)),
        }
    }

    pub fn shard(&self, id: u32) -> Option<&pb::Shard> {
        self.cluster.topology.as_ref()?.shards.iter().find(|shard| shard.id == id)
    }

    /// Where the primary of `shard` listens.
    pub fn primary_address(&self, shard: u32) -> Option<&str> {
        let primary = self.shard(shard)?.primary.as_ref()?;
        (!primary.address.is_empty()).then_some(primary.address.as_str())
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

    fn newer_than(&self, other: &View) -> bool {
        (self.version(), self.health_version()) > (other.version(), other.health_version())
    }
}

pub struct TopologyCell {
    sender: watch::Sender<Arc<View>>,
}

impl Default for TopologyCell {
    fn default() -> Self {
        Self { sender: watch::Sender::new(Arc::default()) }
    }
}

impl TopologyCell {
    pub fn view(&self) -> Arc<View> {
        self.sender.borrow().clone()
    }

    /// Takes a view when it is newer and of the same cluster; true when it was taken.
    pub fn offer(&self, cluster: pb::ClusterView) -> bool {
        let offered = View::new(cluster);
        self.sender.send_if_modified(|held| {
            let same = held.cluster_uid().is_empty() || held.cluster_uid() == offered.cluster_uid();
            let take = same && offered.newer_than(held);
            if take {
                *held = Arc::new(offered);
            }
            take
        })
    }

    /// Sees every change, the present view first; a slow reader skips to the newest.
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        let mut receiver = self.sender.subscribe();
        receiver.mark_changed();
        receiver
    }

    /// Waits until the copy is at least `version`; false when it did not happen in time (M10).
    pub async fn at_least(&self, version: u64, wait: Duration) -> bool {
        let mut receiver = self.sender.subscribe();
        let seen = receiver.wait_for(|view| view.version() >= version);
        matches!(tokio::time::timeout(wait, seen).await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(version: u64, health: u64, uid: &str) -> pb::ClusterView {
        let mut slot_owners = vec![0xff; SLOT_COUNT * 2];
        for slot in [0usize, 1, 2, 9] {
            slot_owners[slot * 2..slot * 2 + 2].copy_from_slice(&[0, 4]);
        }
        pb::ClusterView {
            topology: Some(pb::Topology {
                version,
                cluster_uid: uid.into(),
                slot_owners: slot_owners.into(),
                ..Default::default()
            }),
            health: Some(pb::MemberHealthSet { version: health, ..Default::default() }),
        }
    }

    #[test]
    fn slots_of_a_shard_are_ranges() {
        let view = View::new(view(1, 0, "u"));
        assert_eq!(view.slots_of(4), [(0, 2), (9, 9)]);
        assert_eq!(view.owner(2), Some(4));
        assert_eq!(view.owner(3), None);
        assert_eq!(View::default().owner(0), None);
    }

    #[test]
    fn only_newer_views_of_the_same_cluster_are_taken() {
        let cell = TopologyCell::default();
        assert!(cell.offer(view(2, 5, "u")));
        assert!(!cell.offer(view(2, 5, "u")));
        assert!(!cell.offer(view(1, 9, "u")));
        assert!(cell.offer(view(2, 6, "u")));
        assert!(!cell.offer(view(3, 0, "other")));
        assert!(cell.offer(view(3, 0, "u")));
        assert_eq!(cell.view().version(), 3);
    }
}
