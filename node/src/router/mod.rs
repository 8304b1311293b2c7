//! A router: the whole cluster behind one address, for clients without an SDK.
//!
//! `route` says where a request goes, by one view from its start to its end; `upstream` carries it there and acts on
//! failures by the clients' table of decisions; `items` and `batch` split, `scan` and `merge` merge; `storage` is the service. It holds no data
//! and no session: the caller's token goes to the shards and the shards' tokens come back merged.
//!
//! Reads try another member, and replicas that fail or are far slower than their siblings are asked last (`members`); a
//! read that takes long goes to a second member, within a budget; `Moved` is followed; nothing else is tried again here. A router that repeated what clients
//! repeat themselves would multiply load just when there is too much of it, and a write whose outcome is unknown is
//! never sent twice (V6).

mod batch;
mod items;
mod members;
mod merge;
mod route;
mod scan;
mod storage;
mod upstream;

use std::sync::Arc;

use aidb_client::pb;
use tonic::Status;
use tonic::service::RoutesBuilder;

use crate::serve::{Grant, Node, Report, Role, Unary, storage_service};
use members::{Counters, Members};
use storage::StorageService;

pub struct Router {
    counters: Arc<Counters>,
    /// Second reads for each read at most; 0 = reads are not hedged.
    hedge_extra: f64,
}

impl Router {
    pub fn new(hedge_extra: f64) -> Self {
        Self {
            counters: Arc::default(),
            hedge_extra,
        }
    }
}

#[tonic::async_trait]
impl Role for Router {
    fn routes(self: Arc<Self>, node: &Arc<Node>, routes: &mut RoutesBuilder) -> Arc<dyn Unary> {
        let members = Members::new(self.hedge_extra, &self.counters);
        let message = node.limits.message_bytes();
        let storage = StorageService::new(node, members);
        routes.add_service(storage_service(storage.clone(), message));
        Arc::new(storage)
    }

    fn begin(&self, _node: &Arc<Node>, _grant: &Grant) -> Result<(), Status> {
        Ok(())
    }

    async fn run(self: Arc<Self>, node: Arc<Node>) {
        node.stopping().await;
    }

    fn report(&self) -> Report {
        Report {
            healthy: true,
            ..Report::default()
        }
    }

    fn stats(&self) -> pb::GetStatsResponse {
        pb::GetStatsResponse {
            router: Some(self.counters.stats()),
            ..Default::default()
        }
    }

    fn stop(&self) {}
}
