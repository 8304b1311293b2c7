//! Writes: requests into the engine's batches, outcomes into answers. No I/O.

use aidb_client::error::error;
use aidb_client::key::physical_key_in;
use aidb_client::pb::{self, ErrorCode};
use aidb_client::slots::slot_of;
use aidb_lsm::{Batch, Condition, Entry, Op, OpKind, Outcome, RequestId};
use bytes::Bytes;

use super::gate::{slot_of_tag, tag};
use super::limits::{check_key, check_value};
use crate::serve::{Limits, View};

/// When to ask again for a slot that is fenced.
const MOVING_AGAIN_MS: u32 = 20;

/// What the parts of one request have in common.
pub struct Context<'a> {
    pub limits: &'a Limits,
    pub header: &'a pb::RequestHeader,
    /// Wall clock; 0 = none.
    pub deadline_ms: u64,
    /// The shard clock, which times to live are counted from (V3).
    pub clock_ms: u64,
}

/// One write of a request; Put, Delete and the items of BatchPut are all this.
pub struct Write<'a> {
    pub key: &'a Bytes,
    /// None deletes.
    pub value: Option<&'a Bytes>,
    pub ttl_ms: u64,
    pub condition: Option<&'a pb::Condition>,
    /// 0 = by position in the batch.
    pub request_seq: u64,
}

impl<'a> Write<'a> {
    pub fn put(asked: &'a pb::PutRequest) -> Self {
        Self {
            key: &asked.key,
            value: Some(&asked.value),
            ttl_ms: asked.ttl_ms,
            condition: asked.condition.as_ref(),
            request_seq: 0,
        }
    }

    pub fn of(op: &'a pb::WriteOp) -> Self {
        Self {
            key: &op.key,
            value: (!op.delete).then_some(&op.value),
            ttl_ms: op.ttl_ms,
            condition: op.condition.as_ref(),
            request_seq: op.request_seq,
        }
    }
}

impl Context<'_> {
    /// The engine's operation for the `index`-th write of the request.
    pub fn op(&self, index: usize, write: &Write<'_>) -> Result<Op, pb::Error> {
        check_key(self.limits, write.key)?;
        let kind = match write.value {
            Some(value) => {
                check_value(self.limits, value)?;
                OpKind::Put {
                    value: value.clone(),
                    expires_at_ms: self.expires_at(write.ttl_ms)?,
                }
            }
            None => OpKind::Delete,
        };
        let slot = slot_of(write.key);
        let id = self.header.request_id.unwrap_or_default();
        let seq = match write.request_seq {
            0 => id.seq.wrapping_add(index as u64),
            seq => seq,
        };
        Ok(Op {
            key: physical_key_in(slot, self.header.keyspace, write.key),
            kind,
            condition: condition(write.condition),
            request: RequestId {
                client: id.client,
                seq,
            },
            first_sent_ms: self.header.first_sent_unix_ms,
            deadline_ms: self.deadline_ms,
            tag: tag(slot, self.header.attempt > 0),
        })
    }

    fn expires_at(&self, ttl_ms: u64) -> Result<u64, pb::Error> {
        if ttl_ms == 0 {
            return Ok(0);
        }
        self.clock_ms
            .checked_add(ttl_ms)
            .filter(|at| *at < 1 << 62)
            .ok_or_else(|| {
                error(
                    ErrorCode::InvalidArgument,
                    format!("a time to live of {ttl_ms} ms is beyond all calendars"),
                )
            })
    }
}

fn condition(condition: Option<&pb::Condition>) -> Condition {
    use pb::condition::Kind;
    match condition.and_then(|condition| condition.kind.as_ref()) {
        Some(Kind::IfAbsent(true)) => Condition::IfAbsent,
        Some(Kind::IfExists(true)) => Condition::IfExists,
        Some(Kind::IfVersion(version)) => Condition::IfVersion(*version),
        Some(Kind::IfAbsent(false) | Kind::IfExists(false)) | None => Condition::None,
    }
}

/// A batch and which of the request's writes its operations are; the others were refused before.
pub struct Plan {
    pub batch: Batch,
    pub positions: Vec<usize>,
    pub refused: Vec<(usize, pb::Error)>,
}

impl Plan {
    /// Items stand or fall by themselves: a bad one is refused alone.
    pub fn independent<'a>(
        context: &Context<'_>,
        writes: impl ExactSizeIterator<Item = Write<'a>>,
    ) -> Self {
        let mut plan = Self {
            batch: Batch {
                ops: Vec::with_capacity(writes.len()),
                atomic: false,
                sync: None,
            },
            positions: Vec::with_capacity(writes.len()),
            refused: Vec::new(),
        };
        for (index, write) in writes.enumerate() {
            match context.op(index, &write) {
                Ok(op) => {
                    plan.batch.ops.push(op);
                    plan.positions.push(index);
                }
                Err(refused) => plan.refused.push((index, refused)),
            }
        }
        plan
    }

    /// All or nothing, in one slot (V5).
    pub fn atomic<'a>(
        context: &Context<'_>,
        writes: impl ExactSizeIterator<Item = Write<'a>>,
    ) -> Result<Self, pb::Error> {
        let mut plan = Self::independent(context, writes);
        if let Some((index, mut refused)) = plan.refused.into_iter().next() {
            refused.message = format!("write {index} of the batch: {}", refused.message);
            return Err(refused);
        }
        if let Some(pair) = plan
            .batch
            .ops
            .windows(2)
            .find(|pair| pair[0].tag != pair[1].tag)
        {
            let message = format!(
                "an atomic batch has to stay in one slot, but its keys are in slots {} and {} and maybe more: \
                 give them one hash tag, as in {{user7}}:name",
                slot_of_tag(pair[0].tag),
                slot_of_tag(pair[1].tag)
            );
            return Err(error(ErrorCode::CrossSlot, message));
        }
        plan.batch.atomic = true;
        plan.refused = Vec::new();
        Ok(plan)
    }
}

/// What one write's client is told.
pub fn answer(outcome: Outcome, key: &Bytes, view: &View) -> Result<u64, pb::Error> {
    match outcome {
        Outcome::Applied { version } | Outcome::Duplicate { version } => Ok(version),
        Outcome::ConditionFailed { current } => Err(condition_failed(key, current)),
        Outcome::Refused(code) => Err(refused(code, key, view)),
        Outcome::NotApplied => Err(error(
            ErrorCode::ConditionFailed,
            "another write of the batch was refused",
        )),
    }
}

fn condition_failed(key: &Bytes, current: Option<Entry>) -> pb::Error {
    let message = match &current {
        Some(entry) => format!(
            "the condition does not hold: the key has version {}",
            entry.version
        ),
        None => "the condition does not hold: there is no such key".into(),
    };
    pb::Error {
        current: current.map(|entry| pb::Entry {
            key: key.clone(),
            value: entry.value,
            version: entry.version,
            expires_at_unix_ms: entry.expires_at_ms,
        }),
        ..error(ErrorCode::ConditionFailed, message)
    }
}

/// The gate's refusals: nothing was done, except that UNKNOWN_OUTCOME says nothing of earlier attempts.
fn refused(code: u32, key: &Bytes, view: &View) -> pb::Error {
    let code = ErrorCode::try_from(code as i32).unwrap_or(ErrorCode::Internal);
    match code {
        ErrorCode::Moved => moved(slot_of(key), view),
        ErrorCode::Busy => pb::Error {
            retry_after_ms: MOVING_AGAIN_MS,
            ..error(
                code,
                "the slot moves to another shard just now; nothing was done",
            )
        },
        ErrorCode::UnknownOutcome => {
            let message = "this shard does not remember requests from as long ago as the first attempt: \
                           it may or may not have been applied; read the key to find out";
            error(code, message)
        }
        ErrorCode::DeadlineExceeded => {
            error(code, "the deadline passed before the write was begun")
        }
        ErrorCode::NoLease => error(
            code,
            "the evidence of ownership is too old; retry in a moment",
        ),
        ErrorCode::NotPrimary => {
            error(code, "this primary has been replaced; ask for the topology")
        }
        _ => error(code, "the write was refused"),
    }
}

/// Where `slot` is (M8, M10).
pub fn moved(slot: u16, view: &View) -> pb::Error {
    let shard = view.owner(slot);
    let route = shard.map(|shard| pb::Route {
        slot: slot.into(),
        shard,
        address: view.primary_address(shard).unwrap_or_default().into(),
        topology_version: view.version(),
        since_lsn: view.since_lsn(slot),
    });
    let place = shard.map_or("at no shard".into(), |shard| format!("at shard {shard}"));
    pb::Error {
        moved: route,
        ..error(ErrorCode::Moved, format!("slot {slot} is {place}"))
    }
}
