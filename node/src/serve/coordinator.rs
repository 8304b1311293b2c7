//! The calls a node makes to its coordinator.

use std::time::Duration;

use aidb_client::error::refuse;
use aidb_client::pb::coordination_client::CoordinationClient;
use aidb_client::pb::{self, ErrorCode};
use aidb_client::tls::{Dialer, Program};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::clock::{boottime_ns, wall_ms};
use super::node::Node;
use super::role::Grant;

/// What a start says beyond the node's identity. Zero where the role has no disk.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    pub cluster_uid: String,
    pub disk_epoch: u64,
    pub pending_epoch: u64,
    pub last_lsn: u64,
}

#[derive(Clone)]
pub struct Coordinator {
    channel: Channel,
}

impl Coordinator {
    /// Connects at the first call, and again whenever the connection is lost. Call it on a runtime.
    pub fn connect(address: &str, dialer: &Dialer) -> Result<Self, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| {
                refuse(
                    ErrorCode::InvalidArgument,
                    format!("coordinator {address} is no address: {error}"),
                )
            })?
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .tcp_nodelay(true);
        Ok(Self {
            channel: dialer.lazy(endpoint, Program::Coordinator),
        })
    }

    fn client(&self) -> CoordinationClient<Channel> {
        CoordinationClient::new(self.channel.clone()).max_decoding_message_size(16 << 20)
    }

    pub async fn register(
        &self,
        node: &Node,
        start: &Registration,
        timeout: Duration,
    ) -> Result<Grant, Status> {
        let sent_ns = boottime_ns();
        let sent_ms = wall_ms();
        let mut request = tonic::Request::new(pb::RegisterRequest {
            cluster_uid: start.cluster_uid.clone(),
            member: Some(node.member()),
            shard: node.identity.shard,
            disk_id: node.identity.disk_id.clone(),
            disk_epoch: start.disk_epoch,
            pending_epoch: start.pending_epoch,
            last_lsn: start.last_lsn,
            process_id: node.identity.process_id.clone(),
            pid: std::process::id().into(),
            wall_clock_ms: sent_ms,
        });
        request.set_timeout(timeout);
        let granted = self.client().register(request).await?.into_inner();
        Ok(Grant {
            cluster_uid: granted.cluster_uid,
            term: granted.term,
            epoch: granted.epoch,
            lease: Duration::from_millis(granted.lease_ms.into()),
            heartbeat: Duration::from_millis(granted.heartbeat_ms.max(10).into()),
            clock_bound: Duration::from_millis(granted.clock_bound_ms.into()),
            view: granted.view.unwrap_or_default(),
            sent_ns,
            sent_ms,
            coordinator_ms: granted.wall_clock_ms,
        })
    }

    pub async fn heartbeat(
        &self,
        beat: pb::HeartbeatRequest,
        timeout: Duration,
    ) -> Result<pb::HeartbeatResponse, Status> {
        let mut request = tonic::Request::new(beat);
        request.set_timeout(timeout);
        Ok(self.client().heartbeat(request).await?.into_inner())
    }

    /// D5: asks for `members` as the tail set, at exactly this version of the topology.
    pub async fn set_tail_set(
        &self,
        node: &Node,
        members: Vec<String>,
        topology_version: u64,
        timeout: Duration,
    ) -> Result<pb::ClusterView, Status> {
        let mut request = tonic::Request::new(pb::SetTailSetRequest {
            name: node.identity.name.clone(),
            process_id: node.identity.process_id.clone(),
            epoch: node.lease.epoch(),
            topology_version,
            members,
        });
        request.set_timeout(timeout);
        let answer = self.client().set_tail_set(request).await?.into_inner();
        Ok(answer.view.unwrap_or_default())
    }

    pub async fn leave(&self, node: &Node, timeout: Duration) -> Result<(), Status> {
        let mut request = tonic::Request::new(pb::LeaveRequest {
            name: node.identity.name.clone(),
            process_id: node.identity.process_id.clone(),
            forget: false,
        });
        request.set_timeout(timeout);
        self.client().leave(request).await.map(|_| ())
    }
}
