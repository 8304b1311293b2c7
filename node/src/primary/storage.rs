//! Storage, as the owner of the data answers it.

use std::pin::Pin;
use std::sync::Arc;

use aidb_client::error::{error, refuse, status};
use aidb_client::key::physical_key_in;
use aidb_client::pb::storage_server::Storage;
use aidb_client::pb::{self, ErrorCode};
use aidb_client::slots::slot_of;
use aidb_lsm::{Entry, Op, Outcome, Read};
use bytes::Bytes;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::Primary;
use super::commit::not_safe_in_time;
use super::durable::{Late, Mode};
use super::engine::status_of;
use super::gate::owns;
use super::gets;
use super::groups::Groups;
use super::limits::{check_batch, check_key};
use super::moving::TooMuch;
use super::run::{self, Put};
use super::together::Together;
use super::token::header;
use super::write::{Plan, Write, answer, moved};
use crate::serve::{
    Admitted, Answer, Begun, Gets, Meter, Node, Origin, Puts, Requests, Sampled, View, busy_for,
    pipeline,
};

/// A write that is refused because its slots move may come again after this at the latest, in ms.
const LONGEST_RETRY_MS: u64 = 1000;

pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
pub struct StorageService {
    pub node: Arc<Node>,
    pub primary: Arc<Primary>,
    /// Of this serving thread.
    pub together: Arc<Together>,
    pub meter: Arc<Meter>,
}

/// What was read, and how safe it has to be before it is shown.
struct ReadOne {
    mode: Mode,
    read: Read,
    admitted: Admitted,
    sampled: Option<Sampled>,
}

impl ReadOne {
    fn is_safe(&self, service: &StorageService) -> bool {
        self.mode == Mode::Async
            || !service.primary.archives
            || service.primary.durable.mark(self.mode)
                >= newest_shown(&self.read.entry, self.read.lsn)
    }
}

/// The newest LSN that an answer read at `lsn` shows anything of: that there is no such key may be as new as the reading.
fn newest_shown(entry: &Option<Entry>, lsn: u64) -> u64 {
    entry.as_ref().map_or(lsn, |entry| entry.version.min(lsn))
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

/// A put that may travel with others, and whose answer needs to be no safer than the log's sync.
struct Plain {
    op: Op,
    key: Bytes,
    admitted: Admitted,
}

impl Requests for StorageService {
    const SHARED: bool = false;

    fn begin_get(&self, from: Origin, asked: pb::GetRequest) -> Answer<pb::GetResponse> {
        let header = asked.header.as_ref();
        let admitted = match self.node.admission.admit(from, header, 0) {
            Ok(admitted) => admitted,
            Err(refused) => return Answer::Now(Err(refused)),
        };
        match self.node.view_at_once(header) {
            Ok(Ok(view)) if !is_fenced(&view, &asked.key) => {
                match self.read_by(&view, admitted, &asked) {
                    Err(refused) => Answer::Now(Err(refused)),
                    Ok(read) if read.is_safe(self) => Answer::Now(self.get_by(&view, read)),
                    Ok(read) => {
                        let me = self.clone();
                        Answer::Later(Box::pin(async move { me.get_safe(&view, read).await }))
                    }
                }
            }
            Ok(_) => {
                let me = self.clone();
                Answer::Later(Box::pin(async move {
                    let header = asked.header.as_ref();
                    let view = me.node.view_for(header, &admitted).await?;
                    let fenced = |view: &View| is_fenced(view, &asked.key);
                    let view = me.passed(view, &admitted, fenced).await?;
                    let read = me.read_by(&view, admitted, &asked)?;
                    me.get_safe(&view, read).await
                }))
            }
            Err(refused) => Answer::Now(Err(refused)),
        }
    }

    fn begin_gets(&self, from: Origin, gets: Gets, tell: &mut impl FnMut(Begun)) {
        gets::begin(self, from, gets, tell);
    }

    type Run = Groups<Put>;

    fn begin_put(&self, from: Origin, asked: pb::PutRequest) -> Answer<pb::PutResponse> {
        match self.plain(from, asked) {
            Ok(Plain { op, key, admitted }) => {
                if let Err(poisoned) = self.check_poison() {
                    return Answer::Now(Err(poisoned));
                }
                let committed = self.together.write(&self.primary.store, op);
                let me = self.clone();
                Answer::Later(Box::pin(async move {
                    let (lsn, outcome) = me.gathered(committed.await)?;
                    drop(admitted);
                    me.put_response(lsn, outcome, &key)
                }))
            }
            Err(answer) => answer,
        }
    }

    fn gather(
        &self,
        from: Origin,
        id: u64,
        asked: pb::PutRequest,
        run: &mut Self::Run,
    ) -> Option<Answer<pb::PutResponse>> {
        match self.plain(from, asked) {
            Ok(Plain { op, key, admitted }) => {
                let admitted = Some(admitted);
                run.add(op, Put { id, key, admitted });
                None
            }
            Err(answer) => Some(answer),
        }
    }

    fn begin_run(&self, run: Self::Run) -> Puts {
        run::begin(self.clone(), run)
    }
}

impl StorageService {
    fn read_by(
        &self,
        view: &View,
        mut admitted: Admitted,
        asked: &pb::GetRequest,
    ) -> Result<ReadOne, Status> {
        let slot = self.readable(view, &asked.key).map_err(status)?;
        let keyspace = asked.header.as_ref().map_or(0, |header| header.keyspace);
        admitted.answers(self.node.expected.get.bytes())?;
        let physical = physical_key_in(slot, keyspace, &asked.key);
        let load = &self.node.load;
        let sampled = self.meter.tick().then(|| load.read(slot, &physical));
        let read = self.primary.store.get(&physical).map_err(status_of)?;
        Ok(ReadOne {
            mode: self.mode(view, asked.header.as_ref()),
            read,
            admitted,
            sampled,
        })
    }

    async fn get_safe(&self, view: &View, read: ReadOne) -> Result<pb::GetResponse, Status> {
        let shown = newest_shown(&read.read.entry, read.read.lsn);
        self.await_shown(read.mode, shown, &read.admitted).await?;
        self.get_by(view, read)
    }

    /// C6: before an answer that shows nothing newer than `shown`. A primary without an archive has no more than its disk.
    pub(super) async fn await_shown(
        &self,
        mode: Mode,
        shown: u64,
        admitted: &Admitted,
    ) -> Result<(), Status> {
        let durable = &self.primary.durable;
        if !self.primary.archives || durable.mark(mode) >= shown {
            return Ok(());
        }
        let place = durable.enter()?;
        let time = self.patience(admitted);
        let waited = durable.wait(&place, mode, shown, time).await;
        waited.map_err(|Late| not_safe_in_time())
    }

    /// The LSN to name in an answer that shows the state at `read`, of which nothing is newer than `shown`.
    pub(super) fn shown_at(&self, mode: Mode, read: u64, shown: u64) -> u64 {
        match mode {
            _ if !self.primary.archives => read,
            Mode::Async => read,
            _ => self.primary.durable.position(mode, read, shown),
        }
    }

    fn get_by(&self, view: &View, read: ReadOne) -> Result<pb::GetResponse, Status> {
        let ReadOne {
            mode,
            read,
            mut admitted,
            sampled,
        } = read;
        self.node.evidence()?;
        let lsn = self.shown_at(mode, read.lsn, newest_shown(&read.entry, read.lsn));
        let header = header(&self.node, view, lsn);
        self.found(header, read.entry, &mut admitted, sampled)
    }

    /// The answer to a get, counted with its bytes.
    pub(super) fn found(
        &self,
        header: pb::ResponseHeader,
        entry: Option<Entry>,
        admitted: &mut Admitted,
        sampled: Option<Sampled>,
    ) -> Result<pb::GetResponse, Status> {
        let found = result_of(entry);
        self.node.expected.get.learn(found.value.len(), true);
        admitted.answers(found.value.len())?;
        if let Some(sampled) = sampled {
            self.node.load.answered(&sampled);
        }
        Ok(pb::GetResponse {
            header: Some(header),
            found: found.found,
            value: found.value,
            version: found.version,
            expires_at_unix_ms: found.expires_at_unix_ms,
        })
    }

    /// Lets a put in, and begins it by itself unless it is plain.
    fn plain(&self, from: Origin, asked: pb::PutRequest) -> Result<Plain, Answer<pb::PutResponse>> {
        let header = asked.header.as_ref();
        let bytes = asked.key.len() + asked.value.len();
        let refused = |refused| Answer::Now(Err(refused));
        let admitted = self.node.admission.admit(from, header, bytes);
        let admitted = admitted.map_err(refused)?;
        let view = self.node.view_at_once(header).map_err(refused)?;
        let is_plain = |view: &View| {
            asked.condition.is_none()
                && self.mode(view, header) == Mode::Async
                && !is_fenced(view, &asked.key)
                && self.primary.moving.limit().is_none()
        };
        if !view.is_ok_and(|view| is_plain(&view)) {
            let me = self.clone();
            let answer = async move { me.put_admitted(admitted, asked).await };
            return Err(Answer::Later(Box::pin(answer)));
        }
        let default = pb::RequestHeader::default();
        let context = self.context(header.unwrap_or(&default), &admitted);
        let op = context.op(0, &Write::put(&asked));
        let op = op.map_err(|bad| refused(status(bad)))?;
        Ok(Plain {
            op,
            key: asked.key,
            admitted,
        })
    }

    fn put_response(
        &self,
        lsn: u64,
        outcome: Outcome,
        key: &Bytes,
    ) -> Result<pb::PutResponse, Status> {
        self.check_evidence(std::slice::from_ref(&outcome))?;
        let view = self.node.topology.view();
        let (header, version) = self.told(&view, lsn, outcome, key)?;
        Ok(pb::PutResponse {
            header: Some(header),
            version,
        })
    }

    async fn put_admitted(
        &self,
        admitted: Admitted,
        asked: pb::PutRequest,
    ) -> Result<pb::PutResponse, Status> {
        let write = Write::put(&asked);
        let (header, version) = self
            .write_one(asked.header.as_ref(), admitted, write)
            .await?;
        Ok(pb::PutResponse {
            header: Some(header),
            version,
        })
    }

    /// M6: waits while what is asked for is fenced. Refuses with BUSY.
    pub(super) async fn passed(
        &self,
        view: Arc<View>,
        admitted: &Admitted,
        is_fenced: impl Fn(&View) -> bool,
    ) -> Result<Arc<View>, Status> {
        let parking = &self.primary.parking;
        parking.pass(&self.node, view, admitted, is_fenced).await
    }

    /// M4: holds back a write of slots whose move does not catch up. Refuses with BUSY what would have to wait for longer
    /// than its client has.
    pub(super) async fn slowed<'k>(
        &self,
        view: &View,
        admitted: &Admitted,
        writes: impl Iterator<Item = (&'k Bytes, usize)>,
    ) -> Result<(), Status> {
        let Some(limit) = self.primary.moving.limit() else {
            return Ok(());
        };
        let shard = Some(self.node.identity.shard);
        let moving = writes.filter(|(key, _)| view.moving_from(slot_of(key)) == shard);
        let (entries, bytes) = moving.fold((0, 0), |(entries, bytes), (key, value)| {
            (entries + 1, bytes + key.len() + value)
        });
        if entries == 0 {
            return Ok(());
        }
        let patience = self.patience(admitted);
        match self.primary.moving.write(limit, entries, bytes, patience) {
            Ok(wait) => tokio::time::sleep(wait).await,
            Err(TooMuch(wait_ms)) => {
                let why = format!(
                    "these slots move to another shard, which takes less than is written to them ({limit} bytes a second \
                     may be written): this would wait for {wait_ms} ms"
                );
                return Err(busy_for(why, wait_ms.min(LONGEST_RETRY_MS) as u32));
            }
        }
        Ok(())
    }

    /// Checks a key that is to be read, its limits and its owner; its slot.
    pub(super) fn readable(&self, view: &View, key: &Bytes) -> Result<u16, pb::Error> {
        check_key(&self.node.limits, key)?;
        let slot = slot_of(key);
        match owns(
            view,
            self.node.identity.shard,
            self.node.lease.epoch(),
            slot,
        ) {
            Ok(()) => Ok(slot),
            Err(ErrorCode::Moved) => Err(moved(slot, view)),
            Err(code) => Err(error(
                code,
                "this primary has been replaced; ask for the topology",
            )),
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
        let answer = self.begin_put(Origin::of(&request), request.into_inner());
        answer.wait().await.map(Response::new)
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
        let held = bytes + request.get_ref().keys.len() * READ_COST;
        let mut admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), held)?;
        let request = request.into_inner();
        check_batch(&self.node.limits, request.keys.len(), bytes).map_err(status)?;
        let view = self
            .node
            .view_for(request.header.as_ref(), &admitted)
            .await?;
        let fenced = |view: &View| request.keys.iter().any(|key| is_fenced(view, key));
        let view = self.passed(view, &admitted, fenced).await?;
        let keyspace = request.header.as_ref().map_or(0, |header| header.keyspace);
        let mut results = vec![pb::GetResult::default(); request.keys.len()];
        let mut asked = Vec::with_capacity(request.keys.len());
        let mut positions = Vec::with_capacity(request.keys.len());
        for (index, key) in request.keys.iter().enumerate() {
            match self.readable(&view, key) {
                Ok(slot) => {
                    let physical = physical_key_in(slot, keyspace, key);
                    if self.meter.tick() {
                        self.node.load.read(slot, &physical);
                    }
                    asked.push(physical);
                    positions.push(index);
                }
                Err(refused) => results[index].error = Some(refused.into()),
            }
        }
        // Before the values are read: those that there is no room for are not read in vain.
        let expected = &self.node.expected.batch;
        admitted.answers(expected.bytes())?;
        let (lsn, entries) = self.primary.store.get_many(&asked).map_err(status_of)?;
        let mode = self.mode(&view, request.header.as_ref());
        let mut lsn = lsn;
        if mode != Mode::Async {
            let shown = entries.iter().map(|entry| newest_shown(entry, lsn));
            let shown = shown.max().unwrap_or_default();
            self.await_shown(mode, shown, &admitted).await?;
            lsn = self.shown_at(mode, lsn, shown);
        }
        self.node.evidence()?;
        // An answer that would not fit a message is cut: the client asks again for the rest.
        let most = self.node.limits.message_bytes();
        let mut room = most;
        for (index, entry) in positions.into_iter().zip(entries) {
            let size = entry.as_ref().map_or(0, |entry| entry.value.len()) + ITEM_OVERHEAD;
            if size > room {
                let full = "the answer is full; ask for this key again";
                results[index].error = Some(error(ErrorCode::Busy, full).into());
                continue;
            }
            room -= size;
            results[index] = result_of(entry);
        }
        expected.learn(most - room, true);
        admitted.answers(most - room)?;
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
        let held = bytes + request.get_ref().ops.len() * WRITE_COST;
        let admitted = self
            .node
            .admit(&request, request.get_ref().header.as_ref(), held)?;
        let request = request.into_inner();
        let asked = request.header.clone().unwrap_or_default();
        check_batch(&self.node.limits, request.ops.len(), bytes).map_err(status)?;
        let view = self.node.view_for(Some(&asked), &admitted).await?;
        let fenced = |view: &View| request.ops.iter().any(|op| is_fenced(view, &op.key));
        let view = self.passed(view, &admitted, fenced).await?;
        let writes = request.ops.iter().map(|op| (&op.key, op.value.len()));
        self.slowed(&view, &admitted, writes).await?;
        let mode = self.mode(&view, Some(&asked));
        let context = self.context(&asked, &admitted);
        let writes = request.ops.iter().map(Write::of);
        let plan = match request.atomic {
            true => Plan::atomic(&context, writes).map_err(status)?,
            false => Plan::independent(&context, writes),
        };
        let mut results = vec![pb::WriteResult::default(); request.ops.len()];
        for (index, refused) in plan.refused {
            results[index].error = Some(refused.into());
        }
        let mut lsn = self.shown_at(mode, self.primary.store.visible_lsn(), 0);
        if !plan.batch.ops.is_empty() {
            let committed = self.commit(plan.batch, mode, &admitted).await?;
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
                        error: Some(refused.into()),
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
        let shard = self.node.identity.shard;
        let fenced = |view: &View| {
            let mut fenced = view.fenced();
            fenced.any(|span| view.owner(span.0) == Some(shard) && is_asked(&request.slots, span))
        };
        let view = self.passed(view, &admitted, fenced).await?;
        self.start_scan(request, &admitted, &view)
            .await
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

pub(super) fn is_fenced(view: &View, key: &Bytes) -> bool {
    view.has_fences() && view.is_fenced(slot_of(key))
}

/// Whether a scan of `slots` (none = all) reads any of the span.
fn is_asked(slots: &[pb::SlotRange], (first, last): (u16, u16)) -> bool {
    let reads =
        |range: &pb::SlotRange| range.first <= last.into() && u32::from(first) <= range.last;
    slots.is_empty() || slots.iter().any(reads)
}

/// Framing, version and expiry of one item of an answer, at most.
const ITEM_OVERHEAD: usize = 64;

/// What an item of a batch takes in memory beside its bytes: the request's, the physical key, the engine's, the answer's.
/// Of small items it is the larger part by far.
const READ_COST: usize = size_of::<Bytes>() + 2 * size_of::<Vec<u8>>() + size_of::<pb::GetResult>();
const WRITE_COST: usize = size_of::<pb::WriteOp>()
    + size_of::<Op>()
    + size_of::<Vec<u8>>()
    + size_of::<Outcome>()
    + size_of::<pb::WriteResult>();
