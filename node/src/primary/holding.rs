//! The log itself, streamed to a replica that keeps its un-archived end in memory (D5).
//!
//! Only synced records are sent (V4), from where the replica stopped if its end is in this log's chain, else from the
//! archive's end on: LSNs never repeat (V1), so an LSN that both know is the same record, and what lies before it the same
//! history. Of what the archive lacks no more is on its way or held than the replica has room for; it is told what it need
//! not keep any longer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use aidb_client::error::refuse;
use aidb_client::pb::hold_request::Kind as Ask;
use aidb_client::pb::hold_response::Kind as Tell;
use aidb_client::pb::{self, ErrorCode};
use aidb_lsm::LogRecord;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::Primary;
use super::durable::Mode;
use super::engine::status_of;
use super::storage::ResponseStream;
use super::streams;
use crate::serve::{Node, Place};

const MESSAGES_AHEAD: usize = 4;
const MESSAGE_BYTES: usize = 256 << 10;
/// What a record costs its holder beyond its bytes, generously.
const RECORD_OVERHEAD: usize = 64;

/// Answers a subscription to the log.
pub async fn hold(
    node: &Arc<Node>,
    primary: &Arc<Primary>,
    place: Place,
    mut asks: Streaming<pb::HoldRequest>,
) -> Result<Response<ResponseStream<pb::HoldResponse>>, Status> {
    let hello = streams::opening(node, &mut asks, "HoldHello", |first| match first.kind {
        Some(Ask::Hello(hello)) => Some(hello),
        _ => None,
    });
    let hello = hello.await?;
    let epoch = node.lease.epoch();
    if hello.epoch > epoch {
        let message = format!(
            "epoch {epoch} is over: {} knows of {}",
            hello.name, hello.epoch
        );
        return Err(refuse(ErrorCode::StaleEpoch, message));
    }
    let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
    let holder = Holder {
        node: Arc::clone(node),
        primary: Arc::clone(primary),
        epoch,
        name: hello.name.clone(),
        capacity: hello.capacity_bytes as usize,
        cursor: 0,
        told_archived: 0,
        outside: VecDeque::new(),
        outside_bytes: 0,
        sender: sender.clone(),
        _place: place,
    };
    streams::spawn(Arc::clone(node), sender, holder.run(hello.last_lsn, asks));
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

struct Holder {
    node: Arc<Node>,
    primary: Arc<Primary>,
    /// The stream ends with the epoch it began in.
    epoch: u64,
    name: String,
    capacity: usize,
    /// The LSN of the last record sent.
    cursor: u64,
    told_archived: u64,
    /// Sent and not archived: LSN and bytes.
    outside: VecDeque<(u64, usize)>,
    outside_bytes: usize,
    sender: mpsc::Sender<Result<pb::HoldResponse, Status>>,
    _place: Place,
}

/// A stream as the tail set sees it.
struct Connected {
    primary: Arc<Primary>,
    name: String,
    stream: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let tail_set = &self.primary.tail_set;
        tail_set.disconnected(&self.name, self.stream, Instant::now());
    }
}

impl Holder {
    async fn run(
        mut self,
        last_lsn: u64,
        mut asks: Streaming<pb::HoldRequest>,
    ) -> Result<(), Status> {
        let mut changed = self.primary.changed.subscribe();
        let connected = self.begin(last_lsn).await?;
        loop {
            self.send_records().await?;
            tokio::select! {
                changed = changed.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                ask = asks.message() => match ask?.and_then(|ask| ask.kind) {
                    Some(Ask::Ack(ack)) => {
                        let (view, shard) = (self.node.topology.view(), self.node.identity.shard);
                        let lsn = ack.lsn.min(self.cursor);
                        self.primary.tail_set.confirmed(&self.name, connected.stream, lsn, &view, shard);
                    }
                    Some(Ask::Hello(_)) => return Err(refuse(ErrorCode::InvalidArgument, "HoldHello comes once")),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn begin(&mut self, last_lsn: u64) -> Result<Connected, Status> {
        let durable = &self.primary.durable;
        if !durable.knows_archive() {
            let message = "what is in the archive is not known yet; subscribe again in a moment";
            return Err(refuse(ErrorCode::Starting, message));
        }
        let archived = durable.mark(Mode::Archived);
        let resumed = last_lsn >= archived && self.records_after(last_lsn, 1).await.is_ok();
        let mut complete_lsn = durable.mark(Mode::Replica);
        if !resumed {
            complete_lsn = complete_lsn.max(self.primary.tail_set.epoch_lsn());
        }
        self.cursor = if resumed { last_lsn } else { archived };
        let begin = pb::HoldBegin {
            epoch: self.epoch,
            after_lsn: self.cursor,
            archived_lsn: archived,
            complete_lsn,
        };
        self.send(Tell::Begin(begin)).await?;
        let (view, shard) = (self.node.topology.view(), self.node.identity.shard);
        let stream = self
            .primary
            .tail_set
            .connected(&self.name, self.cursor, &view, shard);
        Ok(Connected {
            primary: Arc::clone(&self.primary),
            name: self.name.clone(),
            stream,
        })
    }

    /// Sends what is synced now and fits, and how far the archive has come.
    async fn send_records(&mut self) -> Result<(), Status> {
        loop {
            if self.node.lease.epoch() != self.epoch {
                let message = "a new epoch has begun; subscribe again";
                return Err(refuse(ErrorCode::StaleEpoch, message));
            }
            let archived = self.primary.durable.mark(Mode::Archived);
            while let Some(&(lsn, bytes)) = self.outside.front()
                && lsn <= archived
            {
                self.outside.pop_front();
                self.outside_bytes -= bytes;
            }
            let room = self.capacity.saturating_sub(self.outside_bytes);
            let mut records = Vec::new();
            if self.cursor < self.primary.store.synced_lsn() && room > 0 {
                records = self
                    .records_after(self.cursor, MESSAGE_BYTES.min(room))
                    .await?;
            }
            // One record alone is sent whatever its size, when nothing else is outside.
            let mut fits = 0;
            for record in &records {
                let bytes = record.encoded().len() + RECORD_OVERHEAD;
                if self.outside_bytes + bytes > self.capacity && self.outside_bytes > 0 {
                    break;
                }
                self.outside.push_back((record.lsn, bytes));
                self.outside_bytes += bytes;
                fits += 1;
            }
            records.truncate(fits);
            if records.is_empty() && archived == self.told_archived {
                return Ok(());
            }
            self.cursor = records.last().map_or(self.cursor, |last| last.lsn);
            self.told_archived = archived;
            let records = records
                .iter()
                .map(|record| record.encoded().clone())
                .collect();
            self.send(Tell::Records(pb::HoldRecords {
                records,
                archived_lsn: archived,
            }))
            .await?;
        }
    }

    /// Out of memory, or else from the disk.
    async fn records_after(
        &self,
        lsn: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogRecord>>, Status> {
        match self.primary.store.records_after(lsn, max_bytes) {
            Ok(records) => Ok(records),
            // Synced, and not in the tail yet: the wake is on its way.
            Err(aidb_lsm::Error::Gap { .. }) => {
                let store = self.primary.store.clone();
                let read = move || store.log_after(lsn, max_bytes);
                tokio::task::spawn_blocking(read)
                    .await
                    .map_err(|failed| refuse(ErrorCode::Internal, failed.to_string()))?
                    .map_err(status_of)
            }
            Err(other) => Err(status_of(other)),
        }
    }

    async fn send(&self, kind: Tell) -> Result<(), Status> {
        let message = pb::HoldResponse { kind: Some(kind) };
        self.sender
            .send(Ok(message))
            .await
            .map_err(|_| Status::cancelled("the replica is gone"))
    }
}
