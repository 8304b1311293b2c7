//! A cache replica: memory only, disposable, coherent with its primary.
//!
//! `subscription` follows the primary's stream into `coherence`, which owns the cache and the rules (C1-C4, C7); `demand`
//! says what a request asks of a copy (C5); `tail` keeps the end of the primary's log where the mode asks for it (D5); `gather` lets forwarded reads travel together; `warm` fills the cache ahead; `storage` serves hits and forwards everything else. It knows only its
//! primary: a key of another shard is answered `Moved`, never followed.

mod cache;
mod coherence;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod decoders;
mod demand;
mod faults;
mod flights;
mod forward;
mod gather;
mod held;
#[cfg(test)]
mod model;
mod storage;
mod stream;
mod subscription;
mod tail;
mod warm;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aidb_client::pb;
use aidb_client::pb::tail_server::TailServer;
use tonic::Status;
use tonic::service::RoutesBuilder;

use crate::serve::{Grant, Node, Report, Role, Unary, boottime_ns, storage_service};
use coherence::Coherence;
use faults::Faults;
use flights::Flights;
use forward::{Forwarder, Forwards};
use storage::StorageService;
use tail::{TailKeeper, TailService};
pub use warm::Warm;

pub struct Replica {
    coherence: Coherence,
    flights: Flights,
    forwards: Arc<Forwards>,
    tail: Arc<TailKeeper>,
    /// T, the staleness that reads bear which name no bound (C3); ms.
    lease_ms: AtomicU64,
    node: OnceLock<Arc<Node>>,
    options: ReplicaOptions,
}

#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    pub cache_bytes: u64,
    /// Entries are renewed in place by values up to this size, when they are read between writes; larger ones, and all
    /// with 0, are invalidated.
    pub update_bytes: u32,
    pub warm: Warm,
    /// Of the primary's log, in clusters of mode `replica` (D5).
    pub tail_bytes: usize,
}

impl Replica {
    pub fn new(options: ReplicaOptions) -> Self {
        Self {
            coherence: Coherence::new(options.cache_bytes, Faults::from_env()),
            flights: Flights::default(),
            forwards: Arc::default(),
            tail: Arc::new(TailKeeper::new(options.tail_bytes)),
            lease_ms: AtomicU64::new(0),
            node: OnceLock::new(),
            options,
        }
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.load(Ordering::Relaxed))
    }

    fn staleness_ms(&self) -> u64 {
        let staleness = self.coherence.stream().staleness_ns(boottime_ns());
        staleness.map_or(u64::MAX, |ns| ns / 1_000_000)
    }
}

#[tonic::async_trait]
impl Role for Replica {
    fn routes(self: Arc<Self>, node: &Arc<Node>, routes: &mut RoutesBuilder) -> Arc<dyn Unary> {
        let node = self.node.get_or_init(|| Arc::clone(node));
        let message = node.limits.message_bytes();
        let storage = StorageService {
            node: Arc::clone(node),
            forwarder: Arc::new(Forwarder::new(Arc::clone(node), &self.forwards)),
            replica: Arc::clone(&self),
            meter: node.load.reader(),
        };
        routes.add_service(storage_service(storage.clone(), message));
        // A message of a tail has at most one record beyond the size that it is meant to have.
        let tail = TailService {
            node: Arc::clone(node),
            keeper: Arc::clone(&self.tail),
        };
        routes.add_service(TailServer::new(tail).max_encoding_message_size(2 * message));
        Arc::new(storage)
    }

    fn begin(&self, _node: &Arc<Node>, grant: &Grant) -> Result<(), Status> {
        let lease_ms = grant.lease.as_millis() as u64;
        self.lease_ms.store(lease_ms, Ordering::Relaxed);
        Ok(())
    }

    async fn run(self: Arc<Self>, node: Arc<Node>) {
        let forwarder = Forwarder::new(Arc::clone(&node), &self.forwards);
        let warming = async {
            if self.options.warm != Warm::None {
                warm::keep_warm(&self, &node, &forwarder, self.options.warm).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = warming => {}
            () = subscription::follow(&self.coherence, &node, self.options.update_bytes) => {}
            () = self.tail.follow(&node) => {}
            () = node.stopping() => {}
        }
    }

    /// Healthy from the first stream on: without one it still answers what its staleness allows and forwards the rest.
    fn report(&self) -> Report {
        let stream = self.coherence.stream();
        let (_, bytes) = self.coherence.cache().size();
        Report {
            healthy: stream.generation > 0,
            reason: if stream.live {
                ""
            } else {
                "no stream from the primary"
            }
            .into(),
            keys: 0,
            bytes,
            applied_lsn: stream.applied,
            staleness_ms: self.staleness_ms(),
        }
    }

    fn stats(&self) -> pb::GetStatsResponse {
        let stream = self.coherence.stream();
        let counters = &self.coherence.counters;
        let cache = self.coherence.cache();
        let (entries, bytes) = cache.size();
        let (tail_bytes, tail_lsn) = self.tail.position();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        pb::GetStatsResponse {
            cache: Some(pb::CacheStats {
                entries,
                bytes,
                capacity_bytes: cache.capacity(),
                hits: read(&counters.hits),
                misses: read(&counters.misses),
                fills: read(&counters.fills),
                refused_fills: read(&counters.refused_fills),
                evictions: cache.evictions(),
                invalidations: read(&counters.invalidations),
                flushes: read(&counters.flushes),
                forwards: read(&self.forwards.requests),
                negative_hits: read(&counters.negative_hits),
                coalesced: read(&self.forwards.coalesced),
                gathered: read(&self.forwards.gathered),
                updates: read(&counters.updates),
                warmed: read(&counters.warmed),
            }),
            replication: Some(pb::ReplicationStats {
                epoch: stream.epoch,
                applied_lsn: stream.applied,
                staleness_ms: self.staleness_ms(),
                connected: stream.live,
                subscribers: 0,
                tail_bytes: tail_bytes as u64,
                tail_lsn,
            }),
            ..Default::default()
        }
    }

    fn hot_keys(&self, count: usize) -> Vec<Box<[u8]>> {
        self.coherence.cache().hottest(count)
    }

    fn stop(&self) {}
}
