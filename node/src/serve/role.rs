//! What a role adds to the shared machinery.

use std::sync::Arc;
use std::time::Duration;

use aidb_client::error::refuse;
use aidb_client::pb::{self, ErrorCode};
use tonic::Status;
use tonic::service::RoutesBuilder;

use super::node::Node;
use super::unary::Unary;

/// What the coordinator granted at registration.
#[derive(Clone, Debug)]
pub struct Grant {
    pub cluster_uid: String,
    pub term: u64,
    /// Of the shard; 0 for routers.
    pub epoch: u64,
    pub lease: Duration,
    pub heartbeat: Duration,
    /// The largest difference between two clocks of the cluster (C7).
    pub clock_bound: Duration,
    pub view: pb::ClusterView,
    /// When the request was first sent, by `boottime_ns` (D1).
    pub sent_ns: u64,
    /// The same by this machine's wall clock, and what the coordinator's showed when it answered (C7).
    pub sent_ms: u64,
    pub coordinator_ms: u64,
}

/// What a heartbeat tells about a member.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Why this member does not serve, or is degraded; empty = all well.
    pub reason: String,
    pub healthy: bool,
    pub keys: u64,
    pub bytes: u64,
    pub applied_lsn: u64,
    pub staleness_ms: u64,
}

fn no_data() -> Status {
    let message = "this role holds no data: ask the shard's primary";
    refuse(ErrorCode::Unsupported, message)
}

/// A primary, replica or router. `Host` calls: `routes` once per serving thread, `begin` at each grant, `run` once on the
/// control thread, `stop` once, after the last request was answered.
#[tonic::async_trait]
pub trait Role: Send + Sync + 'static {
    /// Adds the role's services (Storage, and what else it serves); Discovery, Node, health and reflection are there.
    /// What begins Storage's gets and puts.
    fn routes(self: Arc<Self>, node: &Arc<Node>, routes: &mut RoutesBuilder) -> Arc<dyn Unary>;

    /// A grant arrived. Blocking work is fine; an error keeps the node from serving.
    fn begin(&self, node: &Arc<Node>, grant: &Grant) -> Result<(), Status>;

    /// Background work, until `node.stopping()`.
    async fn run(self: Arc<Self>, node: Arc<Node>);

    fn report(&self) -> Report;

    /// What `GetStats` answers; the shared fields are filled in by `Node::stats`.
    fn stats(&self) -> pb::GetStatsResponse;

    /// Write everything out and sync; the synced LSN.
    async fn flush(&self) -> Result<u64, Status> {
        Err(no_data())
    }

    /// A checkpoint called `name` below the data directory; its path and LSN.
    async fn checkpoint(&self, _name: &str) -> Result<(String, u64), Status> {
        Err(no_data())
    }

    /// How many snapshots have ended, where the role keeps a second copy of its data.
    fn snapshots_ended(&self) -> Result<u64, Status> {
        Err(no_data())
    }

    /// The physical keys that this member's clients read most, hottest first, `count` at most; none where that is not
    /// known.
    fn hot_keys(&self, _count: usize) -> Vec<Box<[u8]>> {
        Vec::new()
    }

    /// About how many bytes each slot of these spans takes; none where a role has no data of its own.
    async fn slot_sizes(&self, _spans: Vec<(u16, u16)>) -> Result<Vec<pb::SlotSizes>, Status> {
        Ok(Vec::new())
    }

    /// Requests have ended: flush and release.
    fn stop(&self);
}
