//! The source of a move answers its target (M2-M6). It does so by the topology alone: the move has to be there, at that
//! attempt, with this shard as its source.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use aidb_client::error::refuse;
use aidb_client::pb::moving_server::Moving;
use aidb_client::pb::{self, ErrorCode};
use aidb_lsm::{Direction, Import, LogOp, LogOpKind, LogRecord, Range, RequestId, Snapshot};
use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::sessions::{Session, locked};
use super::{checksum, digest, ends, naming, slots_touched};
use crate::primary::engine::status_of;
use crate::primary::slots::Span;
use crate::primary::{Primary, blocking};
use crate::serve::{Node, Phase, View, wall_ms};

/// Bytes of a chunk, whatever is asked for.
const MOST_CHUNK: usize = 8 << 20;
const CHUNK: usize = 1 << 20;
/// Of the log that is read at once.
const LOG_CHUNK: usize = 1 << 20;
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// Of an entry beyond its key and value, roughly.
const ENTRY_OVERHEAD: usize = 40;

pub struct MovingService {
    pub node: Arc<Node>,
    pub primary: Arc<Primary>,
}

/// A question that may be answered.
struct Asked {
    view: Arc<View>,
    fenced: bool,
    session: Arc<Session>,
}

impl MovingService {
    async fn asked(&self, named: Option<pb::MoveRef>) -> Result<Asked, Status> {
        if self.node.phase() != Phase::Serving {
            let message = "this primary does not serve; retry in a moment";
            return Err(refuse(ErrorCode::Starting, message));
        }
        self.node.evidence()?;
        let named = named.unwrap_or_default();
        let refreshed = self
            .node
            .refreshed(named.topology_version, self.node.limits.refresh);
        let view = refreshed.await.ok_or_else(|| {
            let version = named.topology_version;
            let message =
                format!("this node could not learn topology version {version} in time; retry");
            refuse(ErrorCode::TopologyStale, message)
        })?;
        let gone = || {
            let message = format!(
                "shard {} is not the source of move {} at attempt {} by topology version {}",
                self.node.identity.shard,
                named.id,
                named.attempt,
                view.version()
            );
            refuse(ErrorCode::Conflict, message)
        };
        let found = view.move_at(&named.id, named.attempt).ok_or_else(gone)?;
        let (shard, epoch) = (self.node.identity.shard, self.node.lease.epoch());
        if (found.source, found.source_epoch) != (shard, epoch) {
            return Err(gone());
        }
        Ok(Asked {
            fenced: found.step == aidb_client::view::FENCED,
            session: self.primary.moving.of(found, &self.primary.store),
            view,
        })
    }

    /// M6: the source's own record of the fence. All that was sequenced of the slots lies before it, because the gate
    /// refuses them by a view that it has looked at since. Caches drop the slots by it (C4).
    async fn fence(&self, session: &Arc<Session>) -> Result<u64, Status> {
        let fencing = || async {
            let (store, spans) = (self.primary.store.clone(), session.spans.clone());
            let import = Import {
                ops: naming(LogOpKind::Lost, &spans),
                ..Import::default()
            };
            blocking(move || store.import(import)).await
        };
        session.final_lsn.get_or_try_init(fencing).await.copied()
    }

    async fn log_after(&self, lsn: u64, bytes: usize) -> Result<Vec<Arc<LogRecord>>, Status> {
        let store = &self.primary.store;
        if lsn >= store.synced_lsn() {
            return Ok(Vec::new());
        }
        match store.records_after(lsn, bytes) {
            Ok(records) => Ok(records),
            Err(aidb_lsm::Error::Gap { .. }) => {
                let store = store.clone();
                blocking(move || store.log_after(lsn, bytes)).await
            }
            Err(other) => Err(status_of(other)),
        }
    }

    /// Waits for more log, at most for `wait`.
    async fn more(&self, after_lsn: u64, wait: Duration) {
        let mut changed = self.primary.changed.subscribe();
        let grown = async {
            while self.primary.store.synced_lsn() <= after_lsn {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whether in time or not, the log is looked at again.
        let _ = tokio::time::timeout(wait, grown).await;
    }
}

#[tonic::async_trait]
impl Moving for MovingService {
    async fn pin_slots(
        &self,
        request: Request<pb::PinSlotsRequest>,
    ) -> Result<Response<pb::PinSlotsResponse>, Status> {
        let request = request.into_inner();
        let asked = self.asked(request.r#move).await?;
        let snapshot = Arc::new(self.primary.store.snapshot());
        let lsn = snapshot.lsn();
        let pinned = match request.verify {
            true => &asked.session.compared,
            false => &asked.session.copied,
        };
        *locked(pinned) = Some(snapshot);
        let shard = self.node.identity.shard;
        let slots = |spans: &[Span]| -> u64 {
            let counts = spans
                .iter()
                .map(|(first, last)| u64::from(last - first) + 1);
            counts.sum()
        };
        let owned = slots(&asked.view.slots_of(shard)).max(1);
        let held = u128::from(self.primary.store.stats().disk_bytes);
        let part = held * u128::from(slots(&asked.session.spans)) / u128::from(owned);
        Ok(Response::new(pb::PinSlotsResponse {
            lsn,
            clock_ms: self.primary.store.clock_ms(),
            bytes: part as u64,
        }))
    }

    async fn copy_slots(
        &self,
        request: Request<pb::CopySlotsRequest>,
    ) -> Result<Response<pb::CopySlotsResponse>, Status> {
        let request = request.into_inner();
        let asked = self.asked(request.r#move).await?;
        let snapshot = locked(&asked.session.copied).clone();
        let snapshot = snapshot.ok_or_else(unpinned)?;
        let bytes = match request.max_bytes as usize {
            0 => CHUNK,
            given => given.min(MOST_CHUNK),
        };
        let session = Arc::clone(&asked.session);
        let epoch = self.node.lease.epoch();
        let copied =
            blocking(move || chunk(&snapshot, &session.spans, &request.after_key, bytes, epoch));
        let (record, last_key) = copied.await?;
        Ok(Response::new(pb::CopySlotsResponse {
            checksum: checksum(&record),
            record,
            last_key,
        }))
    }

    async fn tail_slots(
        &self,
        request: Request<pb::TailSlotsRequest>,
    ) -> Result<Response<pb::TailSlotsResponse>, Status> {
        let request = request.into_inner();
        let asked = self.asked(request.r#move).await?;
        let final_lsn = match asked.fenced {
            true => self.fence(&asked.session).await?,
            false => 0,
        };
        let bytes = match request.max_bytes as usize {
            0 => LOG_CHUNK,
            given => given.min(MOST_CHUNK),
        };
        let mut records = self.log_after(request.after_lsn, bytes).await?;
        if records.is_empty() && final_lsn == 0 {
            let wait = Duration::from_millis(request.wait_ms.into());
            self.more(request.after_lsn, wait.min(LONGEST_WAIT)).await;
            records = self.log_after(request.after_lsn, bytes).await?;
        }
        let through = match request.through_lsn {
            0 => u64::MAX,
            given => given,
        };
        records.truncate(records.partition_point(|record| record.lsn <= through));
        let clock_ms = self.primary.store.clock_ms();
        let behind_ms = records
            .first()
            .map_or(0, |oldest| clock_ms.saturating_sub(oldest.clock_ms));
        self.primary
            .moving
            .observe(&asked.session, behind_ms, wall_ms());
        let last_lsn = records.last().map_or(request.after_lsn, |last| last.lsn);
        let record = tail_of(&asked.session, &records)?;
        asked.session.gave(record.len());
        Ok(Response::new(pb::TailSlotsResponse {
            checksum: checksum(&record),
            record,
            last_lsn,
            synced_lsn: self.primary.store.synced_lsn(),
            clock_ms,
            behind_ms,
            final_lsn,
        }))
    }

    async fn digest_slots(
        &self,
        request: Request<pb::DigestSlotsRequest>,
    ) -> Result<Response<pb::DigestSlotsResponse>, Status> {
        let request = request.into_inner();
        let asked = self.asked(request.r#move).await?;
        let snapshot = locked(&asked.session.compared).clone();
        let snapshot = snapshot.filter(|pinned| pinned.lsn() == request.lsn);
        let snapshot = snapshot.ok_or_else(unpinned)?;
        let session = Arc::clone(&asked.session);
        let live_after_ms = request.live_after_ms;
        let summed = blocking(move || digest(&snapshot, &session.spans, live_after_ms));
        let (entries, sum) = summed.await?;
        Ok(Response::new(pb::DigestSlotsResponse { entries, sum }))
    }
}

fn unpinned() -> Status {
    let message = "this attempt of the move has no such snapshot: pin one first";
    refuse(ErrorCode::Conflict, message)
}

/// The live entries of the slots after `after_key`, about `bytes` of them, as an encoded record; and the last key, empty
/// when there are no more.
fn chunk(
    snapshot: &Snapshot,
    spans: &[Span],
    after_key: &[u8],
    bytes: usize,
    epoch: u64,
) -> aidb_lsm::Result<(Bytes, Bytes)> {
    let (mut ops, mut size) = (Vec::new(), 0);
    let mut last_key = Bytes::new();
    'spans: for &span in spans {
        let [begin, end] = ends(span);
        if after_key >= end.as_slice() {
            continue;
        }
        let mut range = Range::between(begin.as_slice(), end);
        if after_key >= begin.as_slice() {
            range.start = Bound::Excluded(after_key.to_vec());
        }
        let mut scan = snapshot.scan(range, Direction::Forward)?;
        while let Some(entry) = scan.step()? {
            let key = Bytes::copy_from_slice(entry.key);
            size += key.len() + entry.value.len() + ENTRY_OVERHEAD;
            last_key = key.clone();
            ops.push(LogOp {
                kind: LogOpKind::Put,
                key,
                value: Bytes::copy_from_slice(entry.value),
                expires_at_ms: entry.expires_at_ms,
                version: entry.version,
                request: RequestId::default(),
                tag: 0,
            });
            if size >= bytes {
                break 'spans;
            }
        }
    }
    if size < bytes {
        last_key = Bytes::new();
    }
    if ops.is_empty() {
        return Ok((Bytes::new(), last_key));
    }
    // Versions are named even where they equal the record's LSN, which is none.
    let record = LogRecord::new(epoch, 0, 0, 0, ops);
    Ok((record.encoded().clone(), last_key))
}

/// The operations on the session's slots, as one encoded record; empty when there are none.
fn tail_of(session: &Session, records: &[Arc<LogRecord>]) -> Result<Bytes, Status> {
    let mut ops = Vec::new();
    for record in records {
        for op in &record.ops {
            let Some((first, last)) = slots_touched(op) else {
                continue;
            };
            match op.kind {
                LogOpKind::Put | LogOpKind::Delete if session.has(first) => ops.push(op.clone()),
                LogOpKind::RangeDelete | LogOpKind::Ingest
                    if (first..=last).any(|slot| session.has(slot)) =>
                {
                    let message = format!(
                        "the source's log has a range at lsn {} among the slots that move",
                        record.lsn
                    );
                    return Err(refuse(ErrorCode::Internal, message));
                }
                _ => {}
            }
        }
    }
    match ops.is_empty() {
        true => Ok(Bytes::new()),
        false => Ok(LogRecord::new(0, 0, 0, 0, ops).encoded().clone()),
    }
}
