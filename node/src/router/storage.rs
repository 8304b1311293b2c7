//! Storage, as a router answers it.

use std::sync::Arc;

use aidb_client::error::{refuse, status};
use aidb_client::pb::storage_server::Storage;
use aidb_client::pb::{self, ErrorCode};
use aidb_client::policy::Kind;
use aidb_client::{View, slot_of};
use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::batch::{Part, answered, scatter};
use super::items::{kind_of, numbered, read_item, write_item};
use super::members::Members;
use super::route::{Caller, merged, primary, readers};
use super::scan;
use super::upstream::{Client, Upstream, patience};
use crate::primary::ResponseStream;
use crate::primary::limits::{check_batch, check_key, check_value};
use crate::serve::{Admitted, Node, Requests, busy, pipeline, whole};

#[derive(Clone)]
pub struct StorageService {
    node: Arc<Node>,
    upstream: Arc<Upstream>,
}

/// What every handler begins with.
struct Begun {
    view: Arc<View>,
    caller: Caller,
}

impl StorageService {
    /// To be made on the runtime that will use it.
    pub fn new(node: &Arc<Node>, members: Members) -> Self {
        Self {
            node: Arc::clone(node),
            upstream: Arc::new(Upstream::new(node, members)),
        }
    }

    /// M10: routed by a view at least as new as the client's.
    async fn begin(
        &self,
        header: Option<pb::RequestHeader>,
        admitted: &Admitted,
    ) -> Result<Begun, Status> {
        let view = self.node.view_for(header.as_ref(), admitted).await?;
        let caller = Caller::of(header, &view)?;
        Ok(Begun { view, caller })
    }

    /// One atomic batch: one slot, so one primary (V5).
    async fn put_atomically(
        &self,
        request: pb::BatchPutRequest,
        begun: &Begun,
        admitted: &Admitted,
    ) -> Result<pb::BatchPutResponse, Status> {
        let mut slots = request.ops.iter().map(|op| slot_of(&op.key));
        let Some(slot) = slots.next() else {
            return Ok(pb::BatchPutResponse {
                header: Some(merged(&self.node, &begun.view, [])),
                results: Vec::new(),
            });
        };
        if slots.any(|other| other != slot) {
            return Err(refuse(
                ErrorCode::CrossSlot,
                "an atomic batch needs one slot: give its keys one {hash tag}",
            ));
        }
        let kind = kind_of(request.ops.iter().find_map(|op| op.condition.as_ref()));
        let targets = [primary(&begun.view, slot)?].into();
        let make = |header| pb::BatchPutRequest {
            header: Some(header),
            ..request.clone()
        };
        let send = |mut client: Client, request| async move { client.batch_put(request).await };
        self.upstream
            .ask(targets, kind, &begun.caller, admitted.deadline, make, send)
            .await
    }
}

impl Requests for StorageService {
    /// What waits for a member goes on whether or not a client reads.
    const SHARED: bool = true;
    type Run = ();
}

#[tonic::async_trait]
impl Storage for StorageService {
    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let header = request.get_ref().header.as_ref();
        let mut admitted = self.node.admit(&request, header, 0)?;
        let pb::GetRequest { header, key } = request.into_inner();
        check_key(&self.node.limits, &key).map_err(status)?;
        let begun = self.begin(header, &admitted).await?;
        let targets = readers(&begun.view, &key, begun.caller.consistency())?;
        let targets = self.upstream.members.arrange(targets, &key);
        let make = |header| pb::GetRequest {
            header: Some(header),
            key: key.clone(),
        };
        let send = |mut client: Client, request| async move { client.get(request).await };
        let expected = &self.node.expected.get;
        admitted.answers(expected.bytes())?;
        let answer: pb::GetResponse = self
            .upstream
            .ask(
                targets,
                Kind::Read,
                &begun.caller,
                admitted.deadline,
                make,
                send,
            )
            .await?;
        if answer.header.as_ref().is_some_and(|header| header.hot) {
            self.upstream.members.told_hot(&key);
        }
        expected.learn(answer.value.len(), true);
        admitted.answers(answer.value.len())?;
        Ok(Response::new(answer))
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let message = request.get_ref();
        let bytes = message.key.len() + message.value.len();
        let admitted = self.node.admit(&request, message.header.as_ref(), bytes)?;
        let mut request = request.into_inner();
        check_key(&self.node.limits, &request.key)
            .and_then(|()| check_value(&self.node.limits, &request.value))
            .map_err(status)?;
        let begun = self.begin(request.header.take(), &admitted).await?;
        let targets = [primary(&begun.view, slot_of(&request.key))?].into();
        let kind = kind_of(request.condition.as_ref());
        let make = |header| pb::PutRequest {
            header: Some(header),
            ..request.clone()
        };
        let send = |mut client: Client, request| async move { client.put(request).await };
        self.upstream
            .ask(targets, kind, &begun.caller, admitted.deadline, make, send)
            .await
            .map(Response::new)
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let header = request.get_ref().header.as_ref();
        let admitted = self.node.admit(&request, header, 0)?;
        let mut request = request.into_inner();
        check_key(&self.node.limits, &request.key).map_err(status)?;
        let begun = self.begin(request.header.take(), &admitted).await?;
        let targets = [primary(&begun.view, slot_of(&request.key))?].into();
        let kind = kind_of(request.condition.as_ref());
        let make = |header| pb::DeleteRequest {
            header: Some(header),
            ..request.clone()
        };
        let send = |mut client: Client, request| async move { client.delete(request).await };
        self.upstream
            .ask(targets, kind, &begun.caller, admitted.deadline, make, send)
            .await
            .map(Response::new)
    }

    async fn batch_get(
        &self,
        request: Request<pb::BatchGetRequest>,
    ) -> Result<Response<pb::BatchGetResponse>, Status> {
        let message = request.get_ref();
        let bytes = message.keys.iter().map(Bytes::len).sum();
        let mut admitted = self.node.admit(&request, message.header.as_ref(), bytes)?;
        let pb::BatchGetRequest { header, keys } = request.into_inner();
        check_batch(&self.node.limits, keys.len(), bytes).map_err(status)?;
        let begun = self.begin(header, &admitted).await?;
        let consistency = begun.caller.consistency();
        let mut results = vec![pb::GetResult::default(); keys.len()];
        let mut items = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            let members = &self.upstream.members;
            match read_item(
                &self.node.limits,
                &begun.view,
                members,
                consistency,
                index,
                key,
            ) {
                Ok(item) => items.push(item),
                Err(refused) => results[index].error = Some(refused.into()),
            }
        }
        let expected = &self.node.expected.batch;
        admitted.answers(expected.bytes())?;
        let headers = scatter(items, &mut results, |part: &Part| {
            let message = pb::BatchGetRequest {
                header: Some(begun.caller.header_for(part.target.shard)),
                keys: part.indices.iter().map(|&at| keys[at].clone()).collect(),
            };
            let client = self.upstream.client(&part.target.address);
            let timeout = patience(admitted.deadline, part.others);
            let (upstream, target) = (Arc::clone(&self.upstream), part.target.clone());
            async move {
                let mut request = Request::new(message);
                request.set_timeout(timeout);
                let answer = client?.batch_get(request).await;
                upstream.judge(&target, answer.as_ref().err());
                answered(answer, |answer| (answer.header, answer.results))
            }
        })
        .await;
        let bytes = results.iter().map(|result| result.value.len()).sum();
        expected.learn(bytes, whole(&results));
        admitted.answers(bytes)?;
        Ok(Response::new(pb::BatchGetResponse {
            header: Some(merged(&self.node, &begun.view, headers)),
            results,
        }))
    }

    async fn batch_put(
        &self,
        request: Request<pb::BatchPutRequest>,
    ) -> Result<Response<pb::BatchPutResponse>, Status> {
        let message = request.get_ref();
        let sizes = message.ops.iter().map(|op| op.key.len() + op.value.len());
        let bytes = sizes.sum();
        let admitted = self.node.admit(&request, message.header.as_ref(), bytes)?;
        let mut request = request.into_inner();
        check_batch(&self.node.limits, request.ops.len(), bytes).map_err(status)?;
        let begun = self.begin(request.header.take(), &admitted).await?;
        if request.atomic {
            let answer = self.put_atomically(request, &begun, &admitted).await?;
            return Ok(Response::new(answer));
        }
        let ops = request.ops;
        let mut results = vec![pb::WriteResult::default(); ops.len()];
        let mut items = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            match write_item(&self.node.limits, &begun.view, index, op) {
                Ok(item) => items.push(item),
                Err(refused) => results[index].error = Some(refused.into()),
            }
        }
        let headers = scatter(items, &mut results, |part: &Part| {
            let message = pb::BatchPutRequest {
                header: Some(begun.caller.header_for(part.target.shard)),
                ops: numbered(&ops, &part.indices, begun.caller.request_id()),
                atomic: false,
            };
            let client = self.upstream.client(&part.target.address);
            let timeout = patience(admitted.deadline, false);
            async move {
                let mut request = Request::new(message);
                request.set_timeout(timeout);
                answered(client?.batch_put(request).await, |answer| {
                    (answer.header, answer.results)
                })
            }
        })
        .await;
        Ok(Response::new(pb::BatchPutResponse {
            header: Some(merged(&self.node, &begun.view, headers)),
            results,
        }))
    }

    type ScanStream = ResponseStream<pb::ScanResponse>;

    async fn scan(
        &self,
        request: Request<pb::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let header = request.get_ref().header.as_ref();
        let admitted = self.node.admit(&request, header, 0)?;
        let mut request = request.into_inner();
        let begun = self.begin(request.header.take(), &admitted).await?;
        let place = self.node.places.scans.take(admitted.peer());
        let place = place.ok_or_else(|| busy("all scans are taken"))?;
        let scan = scan::Scan {
            node: Arc::clone(&self.node),
            upstream: Arc::clone(&self.upstream),
            caller: begun.caller,
            request,
            deadline: admitted.deadline,
            peer: admitted.peer(),
        };
        Ok(Response::new(scan.start(place)))
    }

    async fn health_check(
        &self,
        _: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        let view = self.node.topology.view();
        Ok(Response::new(pb::HealthCheckResponse {
            header: Some(merged(&self.node, &view, [])),
            ..self.node.health()
        }))
    }

    async fn get_stats(
        &self,
        _: Request<pb::GetStatsRequest>,
    ) -> Result<Response<pb::GetStatsResponse>, Status> {
        let view = self.node.topology.view();
        Ok(Response::new(pb::GetStatsResponse {
            header: Some(merged(&self.node, &view, [])),
            ..self.node.stats()
        }))
    }

    type PipelineStream = ResponseStream<pb::PipelineResponse>;

    async fn pipeline(
        &self,
        request: Request<tonic::Streaming<pb::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        pipeline(self.clone(), &self.node, request).map(Response::new)
    }

    type WatchStream = ResponseStream<pb::WatchResponse>;

    async fn watch(
        &self,
        _: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(refuse(ErrorCode::Unsupported, "Watch is reserved"))
    }
}
