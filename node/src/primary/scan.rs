//! Scans: one snapshot from start to end, sent in chunks.
//!
//! The reading runs on a blocking thread and waits for the receiver: at most `CHUNKS_AHEAD` chunks are in memory for a
//! slow client. Evidence of ownership is checked before each chunk (D1). A scan may be resumed anywhere, so the end of the
//! node does not wait for it: it ends with SHUTTING_DOWN instead.

use std::net::SocketAddr;
use std::sync::Arc;

use aidb_client::error::{refuse, status};
use aidb_client::key::parts;
use aidb_client::pb::{self, ErrorCode};
use aidb_lsm::{Direction, Entry, Snapshot};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::Status;

use super::bounds::Bounds;
use super::engine::status_of;
use super::gate::owns;
use super::slots::{Coverage, Span, from_slot, owned_of, with_prefix};
use super::storage::{ResponseStream, StorageService};
use super::token::header;
use super::write::moved;
use crate::serve::{Admitted, Deadline, Inside, Node, Phase, Place, View, busy, carried};

const CHUNKS_AHEAD: usize = 2;
const CHUNK_BYTES: usize = 256 << 10;
const LEAST_CHUNK: usize = 1 << 10;
const MOST_CHUNK: usize = 4 << 20;
/// Of an entry beyond its key and value, roughly.
const ENTRY_OVERHEAD: usize = 24;

impl StorageService {
    pub async fn start_scan(
        &self,
        request: pb::ScanRequest,
        admitted: &Admitted,
        view: &View,
    ) -> Result<ResponseStream<pb::ScanResponse>, Status> {
        let shard = self.node.identity.shard;
        let owned = view.slots_of(shard);
        if let Some(&(first, _)) = owned.first()
            && let Err(code) = owns(view, shard, self.node.lease.epoch(), first)
        {
            return Err(refuse(
                code,
                "this primary has been replaced; ask for the topology",
            ));
        }
        let mut asked = owned_of(&request.slots, &owned);
        if asked.is_empty()
            && let Some(range) = request.slots.first()
        {
            return Err(status(moved(range.first as u16, view)));
        }
        if let Some(cursor) = &request.resume_after {
            asked = from_slot(
                &asked,
                cursor.slot.min(u32::from(u16::MAX)) as u16,
                request.reverse,
            );
        }
        let place = self.node.places.scans.take(admitted.peer());
        let place = place.ok_or_else(|| busy("all scans are taken"))?;
        let snapshot = self.primary.store.snapshot();
        // Of the whole state: a scan shows what is not there as well (C6).
        let mode = self.mode(view, request.header.as_ref());
        self.await_shown(mode, snapshot.lsn(), admitted).await?;
        self.node.evidence()?;
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let scan = Scan {
            slots: with_prefix(&asked, &request.prefix),
            coverage: Coverage::new(&asked, request.reverse),
            header: header(&self.node, view, snapshot.lsn()),
            chunk_bytes: match request.chunk_bytes as usize {
                0 => CHUNK_BYTES,
                given => given.clamp(LEAST_CHUNK, MOST_CHUNK),
            },
            node: Arc::clone(&self.node),
            request,
            snapshot,
            deadline: admitted.deadline,
            peer: admitted.peer(),
            runtime: Handle::current(),
            sender,
            _place: place,
        };
        tokio::task::spawn_blocking(move || scan.run());
        Ok(Box::pin(carried(receiver)))
    }
}

struct Scan {
    node: Arc<Node>,
    request: pb::ScanRequest,
    slots: Vec<Span>,
    coverage: Coverage,
    snapshot: Snapshot,
    header: pb::ResponseHeader,
    chunk_bytes: usize,
    deadline: Deadline,
    peer: Option<SocketAddr>,
    runtime: Handle,
    sender: mpsc::Sender<Result<(pb::ScanResponse, Inside), Status>>,
    _place: Place,
}

/// Why a scan ends early.
enum End {
    /// The client is told.
    Failed(Status),
    /// The client is gone.
    Abandoned,
}

impl Scan {
    fn run(mut self) {
        if let Err(End::Failed(failed)) = self.read() {
            // A client that does not read sees the stream end before `done`.
            let _ = self.sender.try_send(Err(failed));
        }
    }

    fn read(&mut self) -> Result<(), End> {
        let direction = if self.request.reverse {
            Direction::Reverse
        } else {
            Direction::Forward
        };
        let keyspace = self
            .request
            .header
            .as_ref()
            .map_or(0, |header| header.keyspace);
        let mut chunk = Vec::new();
        let mut bytes = 0;
        let mut count = 0;
        let (request, slots) = (self.request.clone(), std::mem::take(&mut self.slots));
        for range in Bounds::of(&request).ranges(&slots) {
            let entries = self.snapshot.scan(range, direction).map_err(failed)?;
            for item in entries {
                let (physical, entry) = item.map_err(failed)?;
                let Some((slot, found, key)) = parts(&physical) else {
                    let message = "a stored key has no slot; run verify on this shard";
                    return Err(End::Failed(refuse(ErrorCode::Corruption, message)));
                };
                if found != keyspace {
                    continue;
                }
                let entry = self.entry(key, entry);
                bytes += entry.key.len() + entry.value.len() + ENTRY_OVERHEAD;
                chunk.push(entry);
                count += 1;
                let last = count == self.request.limit;
                if bytes >= self.chunk_bytes || last {
                    let covered = self.coverage.reached(slot);
                    self.send(std::mem::take(&mut chunk), bytes, covered, false)?;
                    bytes = 0;
                }
                if last {
                    return Ok(());
                }
            }
        }
        let covered = self.coverage.rest();
        self.send(chunk, bytes, covered, true)
    }

    fn entry(&self, key: &[u8], entry: Entry) -> pb::Entry {
        pb::Entry {
            key: Bytes::copy_from_slice(key),
            value: if self.request.keys_only {
                Bytes::new()
            } else {
                entry.value
            },
            version: entry.version,
            expires_at_unix_ms: entry.expires_at_ms,
        }
    }

    fn send(
        &self,
        entries: Vec<pb::Entry>,
        bytes: usize,
        covered: Vec<pb::SlotRange>,
        done: bool,
    ) -> Result<(), End> {
        let leaving = || {
            let message = "this node leaves the cluster; go on after the last entry elsewhere";
            End::Failed(refuse(ErrorCode::ShuttingDown, message))
        };
        if self.node.phase() == Phase::Stopping {
            return Err(leaving());
        }
        self.deadline
            .in_time()
            .and_then(|()| self.node.evidence())
            .map_err(End::Failed)?;
        let inside = self.node.carry(self.peer, bytes).map_err(End::Failed)?;
        let message = pb::ScanResponse {
            header: Some(self.header.clone()),
            entries,
            covered,
            done,
        };
        self.runtime.block_on(async {
            tokio::select! {
                sent = self.sender.send(Ok((message, inside))) => sent.map_err(|_| End::Abandoned),
                () = self.node.stopping() => Err(leaving()),
            }
        })
    }
}

fn failed(error: aidb_lsm::Error) -> End {
    End::Failed(status_of(error))
}
