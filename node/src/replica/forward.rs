//! What a replica cannot answer goes to its primary once, with the caller's header and what is left of its time.
//! A forwarder repeats no write (V6): a lost answer is reported as unknown. Single reads travel gathered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aidb_client::call::{forwarded_status, no_primary, outgoing};
use aidb_client::pb;
use aidb_client::pb::storage_client::StorageClient;
use aidb_client::policy::Kind;
use aidb_client::pool::Pool;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::gather::{Ask, Gather, Outcome};
use crate::serve::{Deadline, Node};

const CONNECTIONS: usize = 2;

/// What was forwarded, by all serving threads.
#[derive(Default)]
pub struct Forwards {
    pub requests: AtomicU64,
    /// Reads that took the answer of another read of the same key.
    pub coalesced: AtomicU64,
    /// Reads that travelled in a call with others.
    pub gathered: AtomicU64,
}

pub struct Forwarder {
    node: Arc<Node>,
    counters: Arc<Forwards>,
    pool: Pool,
    gather: Arc<Gather>,
}

/// A call under way: where to, and by when.
struct Call {
    address: String,
    client: StorageClient<Channel>,
}

/// One unary call of Storage: its name and its messages.
macro_rules! forward {
    ($name:ident, $request:ident, $response:ident) => {
        pub async fn $name(
            &self,
            request: pb::$request,
            kind: Kind,
            remaining: Option<Duration>,
        ) -> Result<pb::$response, Status> {
            let mut call = self.call()?;
            let answered = call.client.$name(outgoing(request, remaining)).await;
            answered
                .map(Response::into_inner)
                .map_err(|failed| forwarded_status(&failed, kind, &call.address))
        }
    };
}

impl Forwarder {
    /// To be made on the runtime that will use it.
    pub fn new(node: Arc<Node>, counters: &Arc<Forwards>) -> Self {
        Self {
            pool: Pool::new(CONNECTIONS, node.dialer.clone()),
            node,
            counters: Arc::clone(counters),
            gather: Arc::default(),
        }
    }

    forward!(get, GetRequest, GetResponse);
    forward!(put, PutRequest, PutResponse);
    forward!(delete, DeleteRequest, DeleteResponse);
    forward!(batch_get, BatchGetRequest, BatchGetResponse);
    forward!(batch_put, BatchPutRequest, BatchPutResponse);

    /// A read of the newest state, together with what others ask meanwhile.
    pub async fn read(self: &Arc<Self>, ask: Ask) -> Outcome {
        let forwarder = Arc::clone(self);
        let call = move |request, deadline| Arc::clone(&forwarder).read_all(request, deadline);
        self.gather.ask(ask, call).await
    }

    /// Asks the primary, and asks again when the shard's primary becomes another while this one is silent.
    async fn read_all(
        self: Arc<Self>,
        request: pb::BatchGetRequest,
        deadline: Deadline,
    ) -> Result<pb::BatchGetResponse, Status> {
        if request.keys.len() > 1 {
            let together = request.keys.len() as u64;
            self.counters
                .gathered
                .fetch_add(together, Ordering::Relaxed);
        }
        let shard = self.node.identity.shard;
        let mut views = self.node.topology.watch();
        loop {
            let mut call = self.call()?;
            let request = outgoing(request.clone(), deadline.remaining());
            tokio::select! {
                answered = call.client.batch_get(request) => {
                    return answered
                        .map(Response::into_inner)
                        .map_err(|failed| forwarded_status(&failed, Kind::Read, &call.address));
                }
                _ = views.wait_for(|view| view.primary_address(shard) != Some(&call.address)) => {}
            }
            deadline.in_time()?;
        }
    }

    pub async fn scan(
        &self,
        request: pb::ScanRequest,
        remaining: Option<Duration>,
    ) -> Result<tonic::Streaming<pb::ScanResponse>, Status> {
        let mut call = self.call()?;
        let answered = call.client.scan(outgoing(request, remaining)).await;
        answered
            .map(Response::into_inner)
            .map_err(|failed| forwarded_status(&failed, Kind::Read, &call.address))
    }

    fn call(&self) -> Result<Call, Status> {
        let shard = self.node.identity.shard;
        let view = self.node.topology.view();
        let address = view
            .primary_address(shard)
            .ok_or_else(|| no_primary(shard))?;
        let message = self.node.limits.message_bytes();
        let client = StorageClient::new(self.pool.channel(address)?)
            .max_decoding_message_size(message)
            .max_encoding_message_size(message);
        Ok(Call {
            address: address.into(),
            client,
        })
    }
}
