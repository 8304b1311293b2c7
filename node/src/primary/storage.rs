//! Storage, as the owner of the data answers it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aidb_client::error::{error, refuse, status};
use aidb_client::key::physical_key;
use aidb_client::pb::storage_server::Storage;
use aidb_client::pb::{self, ErrorCode};
use aidb_client::slots::slot_of;
use aidb_lsm::{Batch, Committed, Entry, Outcome};
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::Primary;
use super::engine::{status_of, status_of_commit};
use super::gate::owns;
use super::limits::{check_batch, check_key};
use super::token::header;
use super::write::{Context, Plan, Write, answer, moved};
use crate::serve::{Admitted, Node, View};

pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub struct StorageService {
    pub node: Arc<Node>,
    pub primary: Arc<Primary>,
    pub scans: Arc<Semaphore>,
}

/// What only an archive or a tail set could promise is refused rather than promised.
fn check_durability(header: &pb::RequestHeader) -> Result<(), Status> {
    match header.durability() {
        pb::Durability::Default | pb::Durability::Async => Ok(()),
        pb::Durability::Replica | pb::Durability::Archived => Err(refuse(
            ErrorCode::Unsupported,
            "this cluster has neither a tail set nor an archive: durability is async",
        )),
    }
}

fn result_of(entry: Option<Entry>) -> pb::GetResult {
    entry.map_or_else(pb::GetResult::default, |entry| pb::GetResult {
        found: true,
        value: entry.value,
        version: entry.version,
        expires_at_unix_ms: entry.expires_at_ms,
        error: None,
    })
}

impl StorageService {
    /// Checks a key that is to be read: its limits and its owner.
    fn readable(&self, view: &View, key: &Bytes) -> Result<(), pb::Error> {
        check_key(&self.node.limits, key)?;
        let slot = slot_of(key);
        match owns(
            view,
            self.node.identity.shard,
            self.node.lease.epoch(),
            slot,
        ) {
            Ok(()) => Ok(()),
            Err(ErrorCode::Moved) => Err(moved(slot, view)),
            Err(code) => Err(error(
                code,
                "this primary has been replaced; ask for the topology",
            )),
        }
    }

    fn context<'a>(&'a self, header: &'a pb::RequestHeader, admitted: &Admitted) -> Context<'a> {
        Context {
            limits: &self.node.limits,
            header,
            deadline_ms: admitted.deadline.at_ms,
            clock_ms: self.primary.store.clock_ms(),
        }
    }

    /// Commits `batch` and waits for its answer, which may be shown only under evidence (D1). What was sequenced is
    /// answered ok or unknown, never as if it had not been (q6).
    async fn commit(&self, batch: Batch, admitted: &Admitted) -> Result<Committed, Status> {
        if self.primary.poisoned.load(Ordering::Acquire) {
            let message = "the store refuses writes after a failed write or sync; its log says why; restart this primary";
            return Err(refuse(ErrorCode::Poisoned, message));
        }
        let (sender, receiver) = oneshot::channel();
        self.primary.store.submit(
            batch,
            Box::new(move |committed| {
                let _ = sender.send(committed);
            }),
        );
        let committed = match admitted.deadline.remaining() {
            None => receiver.await,
            Some(left) => match tokio::time::timeout(left, receiver).await {
                Ok(answered) => answered,
                Err(_) => {
                    return Err(unknown(
                        "the deadline passed while the write was being synced",
                    ));
                }
            },
        };
        let committed = match committed {
            Ok(Ok(committed)) => committed,
            Ok(Err(failed)) => {
                let poisoned = self.primary.store.stats().poisoned.is_some();
                self.primary.poisoned.fetch_or(poisoned, Ordering::AcqRel);
                return Err(status_of_commit(failed));
            }
            Err(_) => {
                return Err(unknown(
                    "the store was closed while the write was being synced",
                ));
            }
        };
        let sequenced = |outcome: &Outcome| {
            matches!(outcome, Outcome::Applied { .. } | Outcome::Duplicate { .. })
        };
        let shows = |outcome: &Outcome| {
            sequenced(outcome) || matches!(outcome, Outcome::ConditionFailed { .. })
        };
        if committed.outcomes.iter().any(shows)
            && let Err(lapsed) = self.node.evidence()
        {
            if committed.outcomes.iter().any(sequenced) {
                return Err(unknown(
                    "the evidence of ownership ended while the write was being synced",
                ));
            }
            return Err(lapsed);
        }
        Ok(committed)
    }

    /// A request of one write.
    async fn write_one(
        &self,
        asked: Option<&pb::RequestHeader>,
        admitted: Admitted,
        write: Write<'_>,
    ) -> Result<(pb::ResponseHeader, u64), Status> {
        let default = pb::RequestHeader::default();
        let asked = asked.unwrap_or(&default);
        check_durability(asked)?;
        let view = self.node.view_for(Some(asked), &admitted).await?;
        let op = self
            .context(asked, &admitted)
            .op(0, &write)
            .map_err(status)?;
        let batch = Batch {
            ops: vec![op],
            atomic: false,
            sync: None,
        };
        let committed = self.commit(batch, &admitted).await?;
        let lsn = committed.lsn;
        let view = self.newest(view);
        let outcome = committed
            .outcomes
            .into_iter()
            .next()
            .unwrap_or(Outcome::NotApplied);
        let version = answer(outcome, write.key, &view).map_err(status)?;
        Ok((header(&self.node, &view, lsn.max(version)), version))
    }

    /// The gate judged by a view at least as new as `view`; routes in the answer come from the newest.
    fn newest(&self, view: Arc<View>) -> Arc<View> {
        let newest = self.node.topology.view();
        if newest.version() > view.version() {
            newest
        } else {
            view
        }
    }
}

fn unknown(why: &str) -> Status {
    refuse(
        ErrorCode::UnknownOutcome,
        format!("{why}: it may or may not have been applied; read the key to find out"),
    )
}

#[tonic::async_trait]
impl Storage for StorageService {
    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), 0)?;
        let request = request.into_inner();
        let view = self
            .node
            .view_for(request.header.as_ref(), &admitted)
            .await?;
        self.readable(&view, &request.key).map_err(status)?;
        let keyspace = request.header.map_or(0, |header| header.keyspace);
        let read = self
            .primary
            .store
            .get(&physical_key(keyspace, &request.key))
            .map_err(status_of)?;
        self.node.evidence()?;
        let found = result_of(read.entry);
        Ok(Response::new(pb::GetResponse {
            header: Some(header(&self.node, &view, read.lsn)),
            found: found.found,
            value: found.value,
            version: found.version,
            expires_at_unix_ms: found.expires_at_unix_ms,
        }))
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let bytes = request.get_ref().key.len() + request.get_ref().value.len();
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), bytes)?;
        let request = request.into_inner();
        let write = Write {
            key: &request.key,
            value: Some(&request.value),
            ttl_ms: request.ttl_ms,
            condition: request.condition.as_ref(),
            request_seq: 0,
        };
        let (header, version) = self
            .write_one(request.header.as_ref(), admitted, write)
            .await?;
        Ok(Response::new(pb::PutResponse {
            header: Some(header),
            version,
        }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), 0)?;
        let request = request.into_inner();
        let write = Write {
            key: &request.key,
            value: None,
            ttl_ms: 0,
            condition: request.condition.as_ref(),
            request_seq: 0,
        };
        let (header, version) = self
            .write_one(request.header.as_ref(), admitted, write)
            .await?;
        Ok(Response::new(pb::DeleteResponse {
            header: Some(header),
            version,
        }))
    }

    async fn batch_get(
        &self,
        request: Request<pb::BatchGetRequest>,
    ) -> Result<Response<pb::BatchGetResponse>, Status> {
        let bytes = request.get_ref().keys.iter().map(Bytes::len).sum();
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), bytes)?;
        let request = request.into_inner();
        check_batch(&self.node.limits, request.keys.len(), bytes).map_err(status)?;
        let view = self
            .node
            .view_for(request.header.as_ref(), &admitted)
            .await?;
        let keyspace = request.header.map_or(0, |header| header.keyspace);
        let mut results = vec![pb::GetResult::default(); request.keys.len()];
        let mut asked = Vec::with_capacity(request.keys.len());
        let mut positions = Vec::with_capacity(request.keys.len());
        for (index, key) in request.keys.iter().enumerate() {
            match self.readable(&view, key) {
                Ok(()) => {
                    asked.push(physical_key(keyspace, key));
                    positions.push(index);
                }
                Err(refused) => results[index].error = Some(refused),
            }
        }
        let (lsn, entries) = self.primary.store.get_many(&asked).map_err(status_of)?;
        self.node.evidence()?;
        // An answer that would not fit a message is cut: the client asks again for the rest.
        let mut room = self.node.limits.message_bytes();
        for (index, entry) in positions.into_iter().zip(entries) {
            let size = entry.as_ref().map_or(0, |entry| entry.value.len()) + ITEM_OVERHEAD;
            if size > room {
                results[index].error = Some(error(
                    ErrorCode::Busy,
                    "the answer is full; ask for this key again",
                ));
                continue;
            }
            room -= size;
            results[index] = result_of(entry);
        }
        Ok(Response::new(pb::BatchGetResponse {
            header: Some(header(&self.node, &view, lsn)),
            results,
        }))
    }

    async fn batch_put(
        &self,
        request: Request<pb::BatchPutRequest>,
    ) -> Result<Response<pb::BatchPutResponse>, Status> {
        let bytes = request
            .get_ref()
            .ops
            .iter()
            .map(|op| op.key.len() + op.value.len())
            .sum();
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), bytes)?;
        let request = request.into_inner();
        let asked = request.header.clone().unwrap_or_default();
        check_batch(&self.node.limits, request.ops.len(), bytes).map_err(status)?;
        check_durability(&asked)?;
        let view = self.node.view_for(Some(&asked), &admitted).await?;
        let context = self.context(&asked, &admitted);
        let writes = request.ops.iter().map(Write::of);
        let plan = match request.atomic {
            true => Plan::atomic(&context, writes).map_err(status)?,
            false => Plan::independent(&context, writes),
        };
        let mut results = vec![pb::WriteResult::default(); request.ops.len()];
        for (index, refused) in plan.refused {
            results[index].error = Some(refused);
        }
        let mut lsn = self.primary.store.visible_lsn();
        if !plan.batch.ops.is_empty() {
            let committed = self.commit(plan.batch, &admitted).await?;
            let view = self.newest(Arc::clone(&view));
            lsn = committed.lsn;
            if request.atomic {
                let failed = committed.outcomes.iter().position(|outcome| {
                    !matches!(
                        outcome,
                        Outcome::Applied { .. } | Outcome::Duplicate { .. } | Outcome::NotApplied
                    )
                });
                if let Some(index) = failed {
                    let outcome = committed.outcomes[index].clone();
                    let refused = answer(outcome, &request.ops[plan.positions[index]].key, &view);
                    return Err(status(refused.err().unwrap_or_default()));
                }
            }
            for (index, outcome) in plan.positions.into_iter().zip(committed.outcomes) {
                results[index] = match answer(outcome, &request.ops[index].key, &view) {
                    Ok(version) => pb::WriteResult {
                        version,
                        error: None,
                    },
                    Err(refused) => pb::WriteResult {
                        version: 0,
                        error: Some(refused),
                    },
                };
                lsn = lsn.max(results[index].version);
            }
        }
        Ok(Response::new(pb::BatchPutResponse {
            header: Some(header(&self.node, &view, lsn)),
            results,
        }))
    }

    type ScanStream = ResponseStream<pb::ScanResponse>;

    async fn scan(
        &self,
        request: Request<pb::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), 0)?;
        let request = request.into_inner();
        let view = self
            .node
            .view_for(request.header.as_ref(), &admitted)
            .await?;
        self.start_scan(request, admitted.deadline, &view)
            .map(Response::new)
    }

    async fn health_check(
        &self,
        _: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        let view = self.node.topology.view();
        let header = header(&self.node, &view, self.primary.store.visible_lsn());
        Ok(Response::new(pb::HealthCheckResponse {
            header: Some(header),
            ..self.node.health()
        }))
    }

    async fn get_stats(
        &self,
        _: Request<pb::GetStatsRequest>,
    ) -> Result<Response<pb::GetStatsResponse>, Status> {
        let view = self.node.topology.view();
        let header = header(&self.node, &view, self.primary.store.visible_lsn());
        Ok(Response::new(pb::GetStatsResponse {
            header: Some(header),
            ..self.node.stats()
        }))
    }

    type PipelineStream = ResponseStream<pb::PipelineResponse>;

    async fn pipeline(
        &self,
        _: Request<tonic::Streaming<pb::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        Err(refuse(
            ErrorCode::Unsupported,
            "Pipeline is reserved: use BatchGet and BatchPut",
        ))
    }

    type WatchStream = ResponseStream<pb::WatchResponse>;

    async fn watch(
        &self,
        _: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(refuse(ErrorCode::Unsupported, "Watch is reserved"))
    }
}

/// Framing, version and expiry of one item of an answer, at most.
const ITEM_OVERHEAD: usize = 64;
