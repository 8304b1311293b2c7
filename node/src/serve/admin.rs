//! The Node service: what the coordinator and administrators ask of one node.

use std::sync::Arc;
use std::time::Duration;

use aidb_client::error::refuse;
use aidb_client::pb::node_server::Node as NodeApi;
use aidb_client::pb::{self, ErrorCode};
use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::clock::boottime_ns;
use super::event::Event;
use super::node::{FEATURE_LEVELS, Node};
use super::origin::Origin;
use super::role::Role;
use super::security::Who;

/// Of one answer to `HotKeys`: keys, and their bytes, which have to fit any client's limit of a message.
const HOT_KEYS: usize = 100_000;
const HOT_KEY_BYTES: usize = 2 << 20;
const BACKUP_NAME_BYTES: usize = 200;
/// Of one answer to `GetLoad`.
const LOAD_KEYS: u32 = 64;

pub struct NodeService {
    pub node: Arc<Node>,
    pub role: Arc<dyn Role>,
}

impl NodeService {
    /// For the audit log: all that is for administrators, done or not.
    fn act<T>(
        &self,
        method: &'static str,
        caller: &Caller,
        asked: impl Into<String>,
        outcome: Result<T, Status>,
    ) -> Result<T, Status> {
        let told = match &outcome {
            Ok(_) => String::new(),
            Err(refused) => refused.message().into(),
        };
        self.node.tell(Event::Act {
            who: caller.0.clone(),
            method,
            asked: asked.into(),
            outcome: told,
        });
        outcome
    }
}

/// Who asks: by token or certificate, or where there are none, from where.
struct Caller(String);

impl Caller {
    fn of<T>(request: &Request<T>) -> Self {
        let peer = || Origin::of(request).peer.map(|peer| peer.to_string());
        Self(match request.extensions().get::<Who>() {
            Some(Who(name)) => name.to_string(),
            None => peer().unwrap_or_default(),
        })
    }
}

#[tonic::async_trait]
impl NodeApi for NodeService {
    async fn get_node_info(
        &self,
        _: Request<pb::GetNodeInfoRequest>,
    ) -> Result<Response<pb::NodeInfo>, Status> {
        let node = &self.node;
        let view = node.topology.view();
        Ok(Response::new(pb::NodeInfo {
            name: node.identity.name.clone(),
            role: node.role_name().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            build_profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .into(),
            cluster_uid: view.cluster_uid().into(),
            shard: node.identity.shard,
            epoch: node.lease.epoch(),
            term: node.lease.term(),
            topology_version: view.version(),
            feature_min: *FEATURE_LEVELS.start(),
            feature_max: *FEATURE_LEVELS.end(),
            pid: std::process::id().into(),
            lease_age_ms: node.lease.age_ms(boottime_ns()),
            disk_id: node.identity.disk_id.clone(),
        }))
    }

    async fn drain(
        &self,
        request: Request<pb::DrainRequest>,
    ) -> Result<Response<pb::DrainResponse>, Status> {
        let caller = Caller::of(&request);
        let grace = Duration::from_millis(request.get_ref().grace_ms.into());
        // First: nothing is listened to after a drain.
        self.act("Drain", &caller, format!("grace {grace:?}"), Ok(()))?;
        self.node.tell(Event::Drain { grace });
        Ok(Response::new(pb::DrainResponse {}))
    }

    async fn flush(
        &self,
        request: Request<pb::FlushRequest>,
    ) -> Result<Response<pb::FlushResponse>, Status> {
        let flushed = self.role.flush().await;
        let synced_lsn = self.act("Flush", &Caller::of(&request), "", flushed)?;
        Ok(Response::new(pb::FlushResponse { synced_lsn }))
    }

    async fn checkpoint(
        &self,
        request: Request<pb::CheckpointRequest>,
    ) -> Result<Response<pb::CheckpointResponse>, Status> {
        let caller = Caller::of(&request);
        let name = &request.get_ref().name;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(plain)
        {
            let message = format!(
                "{name:?} names no checkpoint: letters, digits, '-', '_' and '.', not first a '.'"
            );
            return Err(refuse(ErrorCode::InvalidArgument, message));
        }
        let made = self.role.checkpoint(name).await;
        let (path, lsn) = self.act("Checkpoint", &caller, format!("name {name}"), made)?;
        Ok(Response::new(pb::CheckpointResponse { path, lsn }))
    }

    async fn backup(
        &self,
        request: Request<pb::BackupRequest>,
    ) -> Result<Response<pb::BackupResponse>, Status> {
        let caller = Caller::of(&request);
        let name = request.into_inner().name;
        if name.len() > BACKUP_NAME_BYTES || name.chars().any(char::is_control) {
            let message = "a snapshot's name has at most 200 bytes and no control characters";
            return Err(refuse(ErrorCode::InvalidArgument, message));
        }
        let ended = self.role.snapshots_ended();
        let snapshots_ended = self.act("Backup", &caller, format!("name {name}"), ended)?;
        self.node.tell(Event::Backup { name });
        Ok(Response::new(pb::BackupResponse { snapshots_ended }))
    }

    async fn hot_keys(
        &self,
        request: Request<pb::HotKeysRequest>,
    ) -> Result<Response<pb::HotKeysResponse>, Status> {
        let count = (request.get_ref().count as usize).min(HOT_KEYS);
        let mut room = HOT_KEY_BYTES;
        let keys = self.role.hot_keys(count).into_iter().take_while(|key| {
            let fits = key.len() <= room;
            room = room.saturating_sub(key.len());
            fits
        });
        let keys = keys.map(Bytes::from).collect();
        Ok(Response::new(pb::HotKeysResponse { keys }))
    }

    async fn get_load(
        &self,
        request: Request<pb::GetLoadRequest>,
    ) -> Result<Response<pb::GetLoadResponse>, Status> {
        let asked = request.into_inner();
        let node = &self.node;
        let most = asked.hot_keys.min(LOAD_KEYS) as usize;
        let load = node.load.by_slot(most);
        let sizes = match asked.sizes {
            true => {
                let owned = node.topology.view().slots_of(node.identity.shard);
                self.role.slot_sizes(owned).await?
            }
            false => Vec::new(),
        };
        Ok(Response::new(pb::GetLoadResponse {
            name: node.identity.name.clone(),
            uptime_ms: node.uptime_ms(),
            sizes,
            ..load
        }))
    }
}
