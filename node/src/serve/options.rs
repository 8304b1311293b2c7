//! What a program is told when it starts.

use std::sync::Arc;
use std::time::Duration;

use aidb_client::pb;

use super::observed::Watched;
use super::security::Security;

/// Who this process is in the cluster.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Stable name, e.g. `shard-0-primary`.
    pub name: String,
    pub role: pb::Role,
    pub shard: u32,
    pub zone: String,
    /// The machine.
    pub node: String,
    /// Of the data directory; empty for roles without one.
    pub disk_id: String,
    /// Random per process: the coordinator tells a restart from a reconnect by it.
    pub process_id: String,
}

#[derive(Clone)]
pub struct ServeOptions {
    pub identity: Identity,
    /// `host:port`; port 0 picks a free one.
    pub listen: String,
    /// `host:port` at which others reach it, where that is not what it listens on; empty = what it listens on.
    pub advertise: String,
    /// `host:port` of this program's `/metrics`; empty = it serves none.
    pub metrics: String,
    /// `host:port` of the coordinator.
    pub coordinator: String,
    /// `host:port` of a plain port that answers health checks and nothing else; empty = there is none.
    pub health: String,
    /// None: anybody who can connect may do anything.
    pub security: Option<Arc<Security>>,
    /// Serving threads, each with its own runtime and listener.
    pub threads: usize,
    pub limits: Limits,
    pub watched: Watched,
}

/// Two threads serve a laptop's cluster of ten processes as well as more would; a node with a machine of its own
/// is told the number of its cores.
pub const DEFAULT_THREADS: usize = 2;

#[derive(Clone, Debug)]
pub struct Limits {
    pub key_bytes: usize,
    pub value_bytes: usize,
    pub batch_bytes: usize,
    /// Items of one batch: tiny ones cost far more memory than their bytes.
    pub batch_items: usize,
    /// Requests in flight before BUSY.
    pub in_flight: usize,
    /// Bytes of requests in flight before BUSY.
    pub in_flight_bytes: usize,
    /// Calls of any service that are open, whether let in or still arriving, before BUSY.
    pub calls: usize,
    /// Connections; beyond them the oldest without a call gives way.
    pub connections: usize,
    /// How long a client may owe what it has to do next (see `connection`).
    pub patience: Duration,
    pub scans: usize,
    /// Open `Pipeline` streams.
    pub pipelines: usize,
    /// Open `WatchTopology` streams.
    pub watchers: usize,
    /// Open `Subscribe` streams of a primary.
    pub subscribers: usize,
    /// How long an answer waits for a topology as new as the client's (M10).
    pub refresh: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 8 << 10,
            value_bytes: 16 << 20,
            batch_bytes: 32 << 20,
            batch_items: 100_000,
            in_flight: 8192,
            in_flight_bytes: 256 << 20,
            calls: 16_384,
            connections: 4096,
            patience: Duration::from_secs(30),
            scans: 64,
            pipelines: 1024,
            watchers: 1024,
            subscribers: 256,
            refresh: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The largest gRPC message taken: a full batch, its keys and framing.
    pub fn message_bytes(&self) -> usize {
        self.batch_bytes + self.batch_bytes / 4 + (1 << 20)
    }
}
