//! A program's copy of the cluster's view: one cell that heartbeats or a watch fill and every request reads.
//!
//! Invariant: what is in the cell only gets newer, by (topology version, health version); a view of another cluster is
//! never taken. Readers get an `Arc`: a request judges by one view from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_stream::StreamExt;
use tonic::Status;
use tonic::transport::Channel;

use crate::pb;
use crate::pb::discovery_client::DiscoveryClient;
use crate::retry::Backoff;
use crate::view::View;

pub struct TopologyCell {
    sender: watch::Sender<Arc<View>>,
}

impl Default for TopologyCell {
    fn default() -> Self {
        Self {
            sender: watch::Sender::new(Arc::default()),
        }
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

    /// Follows a coordinator's views until the future is dropped; a broken stream is opened again with backoff.
    pub async fn follow(&self, coordinator: Channel) {
        let mut client = DiscoveryClient::new(coordinator);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            // Whatever ended the stream, the cell keeps what it has and the next one begins with the newest view.
            let _ = self.take_all(&mut client, &mut backoff).await;
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    async fn take_all(
        &self,
        client: &mut DiscoveryClient<Channel>,
        backoff: &mut Backoff,
    ) -> Result<(), Status> {
        let request = pb::GetTopologyRequest {
            newer_than: self.view().version(),
            ..Default::default()
        };
        let mut views = client.watch_topology(request).await?.into_inner();
        while let Some(view) = views.next().await {
            self.offer(view?);
            backoff.reset();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(version: u64, health: u64, uid: &str) -> pb::ClusterView {
        pb::ClusterView {
            topology: Some(pb::Topology {
                version,
                cluster_uid: uid.into(),
                ..Default::default()
            }),
            health: Some(pb::MemberHealthSet {
                version: health,
                ..Default::default()
            }),
        }
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
