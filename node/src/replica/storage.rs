//! Storage, as a cache answers it: hits from memory, the rest from the primary.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aidb_client::error::{refuse, status};
use aidb_client::key::physical_key_in;
use aidb_client::pb::storage_server::Storage;
use aidb_client::pb::{self, ErrorCode, ServedBy};
use aidb_client::policy::Kind;
use aidb_client::{Position, Token, key_hash, slot_of};
use bytes::Bytes;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status};

use super::Replica;
use super::coherence::{Answer, Demand, Hit, Now};
use super::demand::demand;
use super::flights::Boarding;
use super::forward::Forwarder;
use super::gather::{Ask, Outcome};
use crate::primary::limits::{check_batch, check_key};
use crate::primary::{ResponseStream, moved};
use crate::serve::{
    Admitted, Answer as Answering, Begun, Gets, Meter, Node, Origin, Requests, Sampled, Trace,
    View, boottime_ns, busy, hold, pipeline, wall_ms, whole,
};

#[derive(Clone)]
pub struct StorageService {
    pub node: Arc<Node>,
    pub forwarder: Arc<Forwarder>,
    pub replica: Arc<Replica>,
    /// Of this serving thread.
    pub meter: Arc<Meter>,
}

/// A key with what the cache knows it by.
struct Key {
    slot: u16,
    hash: u64,
    physical: Vec<u8>,
}

impl Key {
    /// `slot`: the key's.
    fn new(slot: u16, keyspace: u32, key: &[u8]) -> Self {
        let physical = physical_key_in(slot, keyspace, key);
        Self {
            slot,
            hash: key_hash(&physical),
            physical,
        }
    }
}

/// What those that come together look at once.
struct Sight {
    view: Arc<View>,
    now: Now,
    /// The header of the last answer, and the position that it shows.
    shown: Option<(Position, pb::ResponseHeader)>,
}

impl StorageService {
    fn shard(&self) -> u32 {
        self.node.identity.shard
    }

    /// Limits and owner of a key; its slot.
    fn readable(&self, view: &View, key: &[u8]) -> Result<u16, pb::Error> {
        check_key(&self.node.limits, key)?;
        let slot = slot_of(key);
        match view.owner(slot) {
            Some(owner) if owner == self.shard() => Ok(slot),
            _ => Err(moved(slot, view)),
        }
    }

    /// As `readable`; but who routed by a newer topology than is known here is not told by an old one where the slot is:
    /// the primary judges, by one that is at least as new (M10). Clients would ask here again until they give up.
    /// (`demand` has such a request forwarded.)
    fn slot_to_ask(
        &self,
        view: &View,
        header: Option<&pb::RequestHeader>,
        key: &[u8],
    ) -> Result<u16, pb::Error> {
        let newer = header.is_some_and(|header| header.topology_version > view.version());
        match self.readable(view, key) {
            Err(refused) if newer && refused.code() == ErrorCode::Moved => Ok(slot_of(key)),
            judged => judged,
        }
    }

    fn sight(&self) -> Sight {
        Sight {
            view: self.node.topology.view(),
            now: Now {
                ns: boottime_ns(),
                wall_ms: wall_ms(),
                skew_ms: 2 * self.node.clock_bound_ms(),
            },
            shown: None,
        }
    }

    fn header(&self, view: &View, position: Position) -> pb::ResponseHeader {
        pb::ResponseHeader {
            token: Token::of(self.shard(), position, view.version()).encode(),
            ..self
                .node
                .response_header(view, position.lsn, ServedBy::Cache)
        }
    }

    fn lookup(&self, key: &Key, demand: &Demand, sight: &Sight) -> Option<Hit> {
        let coherence = &self.replica.coherence;
        let demand = Demand {
            since_lsn: sight.view.since_lsn(key.slot),
            ..*demand
        };
        coherence.lookup(key.slot, key.hash, &key.physical, &demand, &sight.now)
    }

    /// A miss: one reader of a key asks the primary, the others wait for what it gets, if that is new enough for them.
    async fn fill(
        &self,
        request: pb::GetRequest,
        key: &Key,
        demand: &Demand,
        admitted: &Admitted,
    ) -> Result<pb::GetResponse, Status> {
        let leader = match self.replica.flights.board(&key.physical, boottime_ns()) {
            Boarding::Lead(leader) => leader,
            Boarding::Follow(follower) => {
                let started_ns = follower.started_ns;
                let landed = match admitted.deadline.remaining() {
                    Some(left) => tokio::time::timeout(left, follower.landed()).await,
                    None => Ok(follower.landed().await),
                };
                admitted.deadline.in_time()?;
                if let Ok(Some(answer)) = landed
                    && self.suits(&answer, started_ns, demand)
                {
                    let coalesced = &self.replica.forwards.coalesced;
                    coalesced.fetch_add(1, Ordering::Relaxed);
                    return Ok(self.answered(&answer));
                }
                return self.ask(request, demand, admitted).await;
            }
        };
        let coherence = &self.replica.coherence;
        let fill = coherence.begin_fill();
        let response = self.ask(request, demand, admitted).await?;
        if let Some(position) = shown(response.header.as_ref(), self.shard()) {
            let answer = Answer {
                value: response.found.then(|| response.value.clone()),
                version: response.version,
                expires_at_ms: response.expires_at_unix_ms,
                position,
            };
            coherence.finish_fill(
                fill,
                key.slot,
                key.hash,
                &key.physical,
                &answer,
                boottime_ns(),
            );
            leader.land(Arc::new(answer));
        }
        Ok(response)
    }

    /// Whether another reader's answer is as new as `demand` asks (C3, C5).
    fn suits(&self, answer: &Answer, started_ns: u64, demand: &Demand) -> bool {
        let fresh = boottime_ns().saturating_sub(started_ns) <= demand.bound_ns;
        fresh && demand.shown_by(answer.position)
    }

    fn answered(&self, answer: &Answer) -> pb::GetResponse {
        let view = self.node.topology.view();
        pb::GetResponse {
            header: Some(pb::ResponseHeader {
                served_by: ServedBy::Forward.into(),
                ..self.header(&view, answer.position)
            }),
            found: answer.value.is_some(),
            value: answer.value.clone().unwrap_or_default(),
            version: answer.version,
            expires_at_unix_ms: answer.expires_at_ms,
        }
    }

    /// From the primary, with others' reads where they do not differ in what they ask of it.
    ///
    /// A trace that is sampled is to show its own call; and where the answer does not show what the session has seen, its token has to go
    /// to the primary itself (C5).
    async fn ask(
        &self,
        request: pb::GetRequest,
        demand: &Demand,
        admitted: &Admitted,
    ) -> Result<pb::GetResponse, Status> {
        let header = request.header.as_ref();
        let trace = header.and_then(|header| Trace::parse(&header.traceparent));
        if trace.is_some_and(Trace::is_sampled) {
            return self.ask_alone(request, admitted).await;
        }
        self.count_forward();
        let ask = Ask {
            keyspace: header.map_or(0, |header| header.keyspace),
            key: request.key.clone(),
            deadline: admitted.deadline,
        };
        let mut response = match self.forwarder.read(ask).await {
            Outcome::Answered(response) => response,
            // It did not fit the batch's answer.
            Outcome::Refused(refused) if refused.code() == ErrorCode::Busy => {
                return self.ask_alone(request, admitted).await;
            }
            Outcome::Refused(refused) => return Err(status(refused)),
            Outcome::Failed(failed) => return Err(failed),
        };
        let read = shown(response.header.as_ref(), self.shard());
        if !demand.shown_by(read.unwrap_or_default()) {
            return self.ask_alone(request, admitted).await;
        }
        mark(&mut response.header);
        Ok(response)
    }

    async fn ask_alone(
        &self,
        request: pb::GetRequest,
        admitted: &Admitted,
    ) -> Result<pb::GetResponse, Status> {
        self.count_forward();
        let mut response = self
            .forwarder
            .get(request, Kind::Read, admitted.deadline.remaining())
            .await?;
        mark(&mut response.header);
        Ok(response)
    }

    fn count_forward(&self) {
        let forwards = &self.replica.forwards.requests;
        forwards.fetch_add(1, Ordering::Relaxed);
    }
}

/// The position that a primary's answer shows.
fn shown(header: Option<&pb::ResponseHeader>, shard: u32) -> Option<Position> {
    let token = Token::decode(&header?.token).ok()?;
    Some(token.position(shard)).filter(|position| *position != Position::default())
}

fn mark(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        header.set_served_by(ServedBy::Forward);
    }
}

fn kind_of(condition: Option<&pb::Condition>) -> Kind {
    match condition {
        Some(_) => Kind::ConditionalWrite,
        None => Kind::Write,
    }
}

fn result_of(hit: Hit) -> pb::GetResult {
    pb::GetResult {
        found: hit.value.is_some(),
        value: hit.value.unwrap_or_default(),
        version: hit.version,
        expires_at_unix_ms: hit.expires_at_ms,
        error: None,
    }
}

fn bytes_of(results: &[pb::GetResult]) -> usize {
    results.iter().map(|result| result.value.len()).sum()
}

impl Requests for StorageService {
    /// Readers of one key share a fill.
    const SHARED: bool = true;
    type Run = ();

    fn begin_get(&self, from: Origin, asked: pb::GetRequest) -> Answering<pb::GetResponse> {
        match self.look(&mut self.sight(), from, &asked) {
            Ok(Looked::Hit(answer, _)) => Answering::Now(Ok(answer)),
            Ok(Looked::Missed(missed)) => self.fetch(*missed, asked),
            Err(refused) => Answering::Now(Err(refused)),
        }
    }

    fn begin_gets(&self, from: Origin, gets: Gets, tell: &mut impl FnMut(Begun)) {
        let mut sight = self.sight();
        for (id, asked) in gets {
            let (answer, inside) = match self.look(&mut sight, from, &asked) {
                Ok(Looked::Hit(answer, admitted)) => {
                    (Answering::Now(Ok(answer)), admitted.into_inside())
                }
                Ok(Looked::Missed(missed)) => (self.fetch(*missed, asked), None),
                Err(refused) => (Answering::Now(Err(refused)), None),
            };
            tell(Begun { id, answer, inside });
        }
    }
}

enum Looked {
    Hit(pb::GetResponse, Admitted),
    Missed(Box<Missed>),
}

struct Missed {
    admitted: Admitted,
    /// None: only the primary may answer.
    fill: Option<(Key, Demand)>,
    sampled: Option<Sampled>,
}

impl StorageService {
    fn look(
        &self,
        sight: &mut Sight,
        from: Origin,
        asked: &pb::GetRequest,
    ) -> Result<Looked, Status> {
        let header = asked.header.as_ref();
        let admission = &self.node.admission;
        let mut admitted = admission.admit_at(sight.now.wall_ms, from, header, 0)?;
        let view = &sight.view;
        let slot = self.slot_to_ask(view, header, &asked.key).map_err(status)?;
        let mut fill = None;
        let mut hit = None;
        let mut sampled = None;
        // Who asks for the newest is the primary's reader, and counts there.
        if let Some(demand) = demand(header, view, self.shard(), self.replica.lease())? {
            let keyspace = header.map_or(0, |header| header.keyspace);
            let key = Key::new(slot, keyspace, &asked.key);
            let load = &self.node.load;
            sampled = self.meter.tick().then(|| load.read(slot, &key.physical));
            hit = self.lookup(&key, &demand, sight);
            fill = Some((key, demand));
        }
        let Some(hit) = hit else {
            return Ok(Looked::Missed(Box::new(Missed {
                admitted,
                fill,
                sampled,
            })));
        };
        let position = hit.position;
        let result = result_of(hit);
        admitted.answers(result.value.len())?;
        let mut header = Some(self.header_by(sight, position));
        self.tell(sampled, &mut header);
        let answer = pb::GetResponse {
            header,
            found: result.found,
            value: result.value,
            version: result.version,
            expires_at_unix_ms: result.expires_at_unix_ms,
        };
        Ok(Looked::Hit(answer, admitted))
    }

    fn header_by(&self, sight: &mut Sight, position: Position) -> pb::ResponseHeader {
        match &sight.shown {
            Some((shown, header)) if *shown == position => header.clone(),
            _ => {
                let header = self.header(&sight.view, position);
                sight.shown = Some((position, header.clone()));
                header
            }
        }
    }

    fn fetch(&self, missed: Missed, asked: pb::GetRequest) -> Answering<pb::GetResponse> {
        let me = self.clone();
        Answering::Later(Box::pin(async move { me.miss(missed, asked).await }))
    }

    async fn miss(&self, missed: Missed, asked: pb::GetRequest) -> Result<pb::GetResponse, Status> {
        let Missed {
            mut admitted,
            fill,
            sampled,
        } = missed;
        let expected = &self.node.expected.get;
        admitted.answers(expected.bytes())?;
        let mut answer = match &fill {
            Some((key, demand)) => self.fill(asked, key, demand, &admitted).await?,
            None => self.ask_alone(asked, &admitted).await?,
        };
        expected.learn(answer.value.len(), true);
        admitted.answers(answer.value.len())?;
        self.tell(sampled, &mut answer.header);
        Ok(answer)
    }

    /// A read that was looked at has been answered: how long it took, and to its reader whether the key is hot.
    fn tell(&self, sampled: Option<Sampled>, header: &mut Option<pb::ResponseHeader>) {
        if let (Some(sampled), Some(header)) = (sampled, header) {
            self.node.load.answered(&sampled);
            header.hot = sampled.hot;
        }
    }
}

#[tonic::async_trait]
impl Storage for StorageService {
    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let answer = self.begin_get(Origin::of(&request), request.into_inner());
        answer.wait().await.map(Response::new)
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let message = request.get_ref();
        let bytes = message.key.len() + message.value.len();
        let admitted = self.node.admit(&request, message.header.as_ref(), bytes)?;
        let request = request.into_inner();
        let view = self.node.topology.view();
        self.slot_to_ask(&view, request.header.as_ref(), &request.key)
            .map_err(status)?;
        self.count_forward();
        let kind = kind_of(request.condition.as_ref());
        let remaining = admitted.deadline.remaining();
        let mut response = self.forwarder.put(request, kind, remaining).await?;
        mark(&mut response.header);
        Ok(Response::new(response))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), 0)?;
        let request = request.into_inner();
        let view = self.node.topology.view();
        self.slot_to_ask(&view, request.header.as_ref(), &request.key)
            .map_err(status)?;
        self.count_forward();
        let kind = kind_of(request.condition.as_ref());
        let remaining = admitted.deadline.remaining();
        let mut response = self.forwarder.delete(request, kind, remaining).await?;
        mark(&mut response.header);
        Ok(Response::new(response))
    }

    /// Hits from memory; all misses in one call to the primary.
    async fn batch_get(
        &self,
        request: Request<pb::BatchGetRequest>,
    ) -> Result<Response<pb::BatchGetResponse>, Status> {
        let message = request.get_ref();
        let bytes = message.keys.iter().map(Bytes::len).sum();
        let mut admitted = self.node.admit(&request, message.header.as_ref(), bytes)?;
        let request = request.into_inner();
        check_batch(&self.node.limits, request.keys.len(), bytes).map_err(status)?;
        let sight = self.sight();
        let view = &sight.view;
        let demand = demand(
            request.header.as_ref(),
            view,
            self.shard(),
            self.replica.lease(),
        )?;
        let keyspace = request.header.as_ref().map_or(0, |header| header.keyspace);
        let mut results = vec![pb::GetResult::default(); request.keys.len()];
        let mut position = Position::default();
        let mut missed = Vec::new();
        for (index, asked) in request.keys.iter().enumerate() {
            let slot = match self.slot_to_ask(view, request.header.as_ref(), asked) {
                Ok(slot) => slot,
                Err(refused) => {
                    results[index].error = Some(refused.into());
                    continue;
                }
            };
            let key = Key::new(slot, keyspace, asked);
            if demand.is_some() && self.meter.tick() {
                self.node.load.read(slot, &key.physical);
            }
            match demand
                .as_ref()
                .and_then(|demand| self.lookup(&key, demand, &sight))
            {
                Some(hit) => {
                    position = position.max(hit.position);
                    results[index] = result_of(hit);
                }
                None => missed.push((index, key)),
            }
        }
        if missed.is_empty() {
            admitted.answers(bytes_of(&results))?;
            return Ok(Response::new(pb::BatchGetResponse {
                header: Some(self.header(view, position)),
                results,
            }));
        }
        self.count_forward();
        let expected = &self.node.expected.batch;
        admitted.answers(bytes_of(&results) + expected.bytes())?;
        let fill = self.replica.coherence.begin_fill();
        let forward = pb::BatchGetRequest {
            keys: missed
                .iter()
                .map(|(index, _)| request.keys[*index].clone())
                .collect(),
            header: request.header,
        };
        let remaining = admitted.deadline.remaining();
        let response = self
            .forwarder
            .batch_get(forward, Kind::Read, remaining)
            .await?;
        expected.learn(bytes_of(&response.results), whole(&response.results));
        let read = shown(response.header.as_ref(), self.shard());
        for ((index, key), result) in missed.into_iter().zip(response.results) {
            if let (Some(position), Some(_), None) = (read, &demand, &result.error) {
                let answer = Answer {
                    value: result.found.then(|| result.value.clone()),
                    version: result.version,
                    expires_at_ms: result.expires_at_unix_ms,
                    position,
                };
                self.replica.coherence.finish_fill(
                    fill,
                    key.slot,
                    key.hash,
                    &key.physical,
                    &answer,
                    boottime_ns(),
                );
            }
            results[index] = result;
        }
        position = position.max(read.unwrap_or_default());
        admitted.answers(bytes_of(&results))?;
        let header = pb::ResponseHeader {
            served_by: ServedBy::Forward.into(),
            ..self.header(view, position)
        };
        Ok(Response::new(pb::BatchGetResponse {
            header: Some(header),
            results,
        }))
    }

    async fn batch_put(
        &self,
        request: Request<pb::BatchPutRequest>,
    ) -> Result<Response<pb::BatchPutResponse>, Status> {
        let message = request.get_ref();
        let bytes = message
            .ops
            .iter()
            .map(|op| op.key.len() + op.value.len())
            .sum();
        let admitted = self.node.admit(&request, message.header.as_ref(), bytes)?;
        let request = request.into_inner();
        self.count_forward();
        let conditional = request.ops.iter().find_map(|op| op.condition.as_ref());
        let kind = kind_of(conditional);
        let remaining = admitted.deadline.remaining();
        let mut response = self.forwarder.batch_put(request, kind, remaining).await?;
        mark(&mut response.header);
        Ok(Response::new(response))
    }

    type ScanStream = ResponseStream<pb::ScanResponse>;

    async fn scan(
        &self,
        request: Request<pb::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), 0)?;
        self.count_forward();
        let place = self.node.places.scans.take(admitted.peer());
        let place = place.ok_or_else(|| busy("all scans are taken"))?;
        let remaining = admitted.deadline.remaining();
        let chunks = self.forwarder.scan(request.into_inner(), remaining).await?;
        let (node, peer) = (Arc::clone(&self.node), admitted.peer());
        let marked = chunks.map(move |chunk| {
            let _until_the_end = &place;
            let mut chunk = chunk?;
            let bytes = chunk
                .entries
                .iter()
                .map(|entry| entry.key.len() + entry.value.len());
            hold(node.carry(peer, bytes.sum())?);
            mark(&mut chunk.header);
            Ok(chunk)
        });
        Ok(Response::new(Box::pin(marked)))
    }

    async fn health_check(
        &self,
        _: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        Ok(Response::new(pb::HealthCheckResponse {
            header: Some(self.header(&self.node.topology.view(), self.position())),
            ..self.node.health()
        }))
    }

    async fn get_stats(
        &self,
        _: Request<pb::GetStatsRequest>,
    ) -> Result<Response<pb::GetStatsResponse>, Status> {
        Ok(Response::new(pb::GetStatsResponse {
            header: Some(self.header(&self.node.topology.view(), self.position())),
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

impl StorageService {
    fn position(&self) -> Position {
        let stream = self.replica.coherence.stream();
        Position {
            epoch: stream.epoch,
            lsn: stream.applied,
        }
    }
}
