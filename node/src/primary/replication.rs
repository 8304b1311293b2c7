//! The ordered stream to one cache replica (C1, C3).
//!
//! Only synced records are sent (V4), in the order of the chain. The engine's in-memory tail is the queue: each
//! subscriber has a cursor into it, and one that is so slow that the tail has moved on is disconnected and flushes.
//! A ping is echoed once everything that was visible when it arrived has been synced and sent, and only under evidence
//! of ownership (D1): so a replica knows that it has seen every write acknowledged before it sent the ping. (To echo at
//! once was rejected: with sync `interval` or `none` writes are acknowledged before they are synced.)
//!
//! In a cluster of mode `archived` or `replica` records are sent once they are as safe as that (C6): a cache shows nothing
//! that the next primary may not have. What was acknowledged before a ping is safe by then, so freshness means the same.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aidb_client::error::refuse;
use aidb_client::key::key_hash;
use aidb_client::pb::replication_server::Replication;
use aidb_client::pb::subscribe_request::{Hello, Kind as Ask};
use aidb_client::pb::subscribe_response::Kind as Tell;
use aidb_client::pb::{self, ErrorCode};
use aidb_client::slots::SLOT_COUNT;
use aidb_lsm::{LogOp, LogOpKind, LogRecord};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Primary;
use super::durable::Mode;
use super::engine::status_of;
use super::holding;
use super::storage::ResponseStream;
use super::streams;
use crate::serve::{Node, Origin, Phase, Place, busy};

/// Messages on their way to a replica, and bytes of log records in one of them.
const MESSAGES_AHEAD: usize = 4;
const MESSAGE_BYTES: usize = 256 << 10;
const MOST_PINGS: usize = 64;
/// Larger values are invalidated, whatever a subscriber asks for: they are copied for each.
const MOST_UPDATE_BYTES: u32 = 1 << 20;

pub struct ReplicationService {
    pub node: Arc<Node>,
    pub primary: Arc<Primary>,
}

#[tonic::async_trait]
impl Replication for ReplicationService {
    type SubscribeStream = ResponseStream<pb::SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<Streaming<pb::SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let place = self.place(Origin::of(&request))?;
        let mut asks = request.into_inner();
        let hello = streams::opening(&self.node, &mut asks, "Hello", |first| match first.kind {
            Some(Ask::Hello(hello)) => Some(hello),
            _ => None,
        });
        let hello = hello.await?;
        let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
        let subscriber = Subscriber {
            node: Arc::clone(&self.node),
            epoch: self.node.lease.epoch(),
            cursor: 0,
            update_bytes: hello.update_bytes.min(MOST_UPDATE_BYTES),
            sender: sender.clone(),
            counted: Counted::new(Arc::clone(&self.primary), place),
            pings: VecDeque::new(),
        };
        streams::spawn(Arc::clone(&self.node), sender, subscriber.run(hello, asks));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type HoldStream = ResponseStream<pb::HoldResponse>;

    async fn hold(
        &self,
        request: Request<Streaming<pb::HoldRequest>>,
    ) -> Result<Response<Self::HoldStream>, Status> {
        let place = self.place(Origin::of(&request))?;
        holding::hold(&self.node, &self.primary, place, request.into_inner()).await
    }
}

impl ReplicationService {
    /// For a stream, if this node is in a state to begin one.
    fn place(&self, from: Origin) -> Result<Place, Status> {
        match self.node.phase() {
            Phase::Serving => {}
            Phase::Starting => {
                return Err(refuse(
                    ErrorCode::Starting,
                    "this primary is starting; retry in a moment",
                ));
            }
            Phase::Stopping => {
                return Err(refuse(
                    ErrorCode::ShuttingDown,
                    "this primary is shutting down; retry later",
                ));
            }
        }
        self.node.evidence()?;
        let place = self.node.places.subscribers.take(from.peer);
        place.ok_or_else(|| busy("all subscriptions are taken"))
    }
}

/// A subscriber as the statistics see it.
struct Counted(Arc<Primary>, #[allow(dead_code)] Place);

impl Counted {
    fn new(primary: Arc<Primary>, place: Place) -> Self {
        primary.subscribers.fetch_add(1, Ordering::Relaxed);
        Self(primary, place)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Subscriber {
    node: Arc<Node>,
    /// The stream ends with the epoch it began in.
    epoch: u64,
    /// The LSN of the last record sent.
    cursor: u64,
    /// Values up to this size travel with their records; 0 = none do.
    update_bytes: u32,
    sender: mpsc::Sender<Result<pb::SubscribeResponse, Status>>,
    counted: Counted,
    /// Not echoed yet, oldest first.
    pings: VecDeque<PendingPing>,
}

struct PendingPing {
    nonce: u64,
    /// What was visible when it arrived.
    after_lsn: u64,
}

impl Subscriber {
    async fn run(
        mut self,
        hello: Hello,
        mut asks: Streaming<pb::SubscribeRequest>,
    ) -> Result<(), Status> {
        let mut changed = self.counted.0.changed.subscribe();
        self.welcome(&hello).await?;
        loop {
            tokio::select! {
                changed = changed.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.send_records().await?;
                    self.echo().await?;
                }
                ask = asks.message() => match ask?.and_then(|ask| ask.kind) {
                    Some(Ask::Ping(ping)) => {
                        self.take_ping(ping);
                        self.send_records().await?;
                        self.echo().await?;
                    }
                    Some(Ask::Hello(_)) => return Err(refuse(ErrorCode::InvalidArgument, "Hello comes once")),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Through which LSN records may be sent, and are acknowledged at most.
    fn limit(&self) -> u64 {
        let primary = &self.counted.0;
        let synced = primary.store.synced_lsn();
        match Mode::from(self.node.topology.view().durability()) {
            mode if primary.archives => synced.min(primary.durable.mark(mode)),
            _ => synced,
        }
    }

    /// Resumes where the replica stopped if the tail still holds what follows, else tells it to flush (C4).
    async fn welcome(&mut self, hello: &Hello) -> Result<(), Status> {
        let store = &self.counted.0.store;
        let limit = self.limit();
        let resumed = hello.epoch == self.epoch
            && hello.applied_lsn <= limit
            && store.records_after(hello.applied_lsn, 1).is_ok();
        self.cursor = if resumed { hello.applied_lsn } else { limit };
        if limit < store.synced_lsn() && store.records_after(limit, 1).is_err() {
            let message = "what is in the archive is not known yet, or too far behind; subscribe again in a moment";
            return Err(refuse(ErrorCode::Starting, message));
        }
        let welcome = pb::Welcome {
            epoch: self.epoch,
            term: self.node.lease.term(),
            lsn: self.cursor,
            resumed,
            primary: self.node.identity.name.clone(),
            clock_ms: store.clock_ms(),
        };
        self.send(Tell::Welcome(welcome)).await
    }

    fn take_ping(&mut self, ping: pb::Ping) {
        // Beyond the bound the newest is not echoed: it would be the last to be answered.
        if self.pings.len() < MOST_PINGS {
            let primary = &self.counted.0;
            let after_lsn = match Mode::from(self.node.topology.view().durability()) {
                Mode::Async => primary.store.visible_lsn(),
                _ => self.limit(),
            };
            self.pings.push_back(PendingPing {
                nonce: ping.nonce,
                after_lsn,
            });
        }
    }

    /// Sends what is synced now.
    async fn send_records(&mut self) -> Result<(), Status> {
        if self.node.lease.epoch() != self.epoch {
            return Err(refuse(
                ErrorCode::StaleEpoch,
                "a new epoch has begun; subscribe again",
            ));
        }
        let limit = self.limit();
        while self.cursor < limit {
            let records = match self
                .counted
                .0
                .store
                .records_after(self.cursor, MESSAGE_BYTES)
            {
                Ok(records) => records,
                // Synced, and not in the tail yet: the wake is on its way.
                Err(aidb_lsm::Error::Gap { asked, oldest }) if oldest <= asked => break,
                Err(aidb_lsm::Error::Gap { asked, oldest }) => {
                    let message = format!(
                        "too slow: the records after {asked} are gone, the oldest left continue at {oldest}"
                    );
                    return Err(refuse(ErrorCode::Busy, message));
                }
                Err(other) => return Err(status_of(other)),
            };
            let safe = records.partition_point(|record| record.lsn <= limit);
            let records = &records[..safe];
            let Some(last) = records.last() else {
                break;
            };
            self.cursor = last.lsn;
            let records = records
                .iter()
                .map(|record| derived(record, self.update_bytes))
                .collect();
            self.send(Tell::Records(pb::CacheRecords { records }))
                .await?;
        }
        Ok(())
    }

    /// Echoes the newest ping that may be; the older ones are answered with it.
    async fn echo(&mut self) -> Result<(), Status> {
        let mut answered = None;
        while self
            .pings
            .front()
            .is_some_and(|ping| ping.after_lsn <= self.cursor)
        {
            answered = self.pings.pop_front().map(|ping| ping.nonce);
        }
        let Some(nonce) = answered else {
            return Ok(());
        };
        if self.node.evidence().is_err() {
            return Ok(()); // the replica's copy grows stale, as it must
        }
        let clock_ms = self.counted.0.store.clock_ms();
        self.send(Tell::Echo(pb::Echo {
            nonce,
            committed_lsn: self.cursor,
            clock_ms,
        }))
        .await
    }

    async fn send(&self, kind: Tell) -> Result<(), Status> {
        let message = pb::SubscribeResponse { kind: Some(kind) };
        self.sender
            .send(Ok(message))
            .await
            .map_err(|_| Status::cancelled("the replica is gone"))
    }
}

/// What caches need of a log record. A record without keys (a new epoch) is sent too: the chain has to hold.
///
/// Of each key only its last operation counts: a cache shows the state after the whole record, or the one before it.
fn derived(record: &LogRecord, update_bytes: u32) -> pb::CacheRecord {
    let mut derived = pb::CacheRecord {
        lsn: record.lsn,
        previous_lsn: record.previous_lsn,
        clock_ms: record.clock_ms,
        dropped_slots: record.ops.iter().filter_map(slots_of_range).collect(),
        ..Default::default()
    };
    let mut seen = HashSet::new();
    for op in record.ops.iter().rev() {
        let deleted = match op.kind {
            LogOpKind::Put => false,
            LogOpKind::Delete => true,
            _ => continue,
        };
        if record.ops.len() > 1 && !seen.insert(&op.key[..]) {
            continue;
        }
        if update_bytes == 0 || op.value.len() > update_bytes as usize {
            derived.key_hashes.push(key_hash(&op.key));
            continue;
        }
        derived.updates.push(pb::CacheUpdate {
            key: op.key.clone(),
            value: op.value.clone(),
            expires_at_unix_ms: op.expires_at_ms,
            deleted,
            version: match op.version {
                0 => record.lsn,
                imported => imported,
            },
        });
    }
    derived.key_hashes.reverse();
    derived
}

/// C4: the slots that a range delete or an ingest touches, by its physical keys.
fn slots_of_range(op: &LogOp) -> Option<pb::SlotSpan> {
    let end = op.end_key()?;
    let slot = |key: &[u8]| {
        let high = u32::from(key.first().copied().unwrap_or_default());
        high << 8 | u32::from(key.get(1).copied().unwrap_or_default())
    };
    // An end within a slot (longer than the slot's own two bytes) leaves the slot touched.
    let last = match end.len() {
        0 => u32::from(u16::MAX),
        1 | 2 => slot(end).saturating_sub(1),
        _ => slot(end),
    };
    Some(pb::SlotSpan {
        first: slot(&op.key),
        last: last.min(u32::from(SLOT_COUNT) - 1),
    })
}
