//! What is judged under the sequencer, in commit order (V6): deadline, evidence, ownership, request ids.
//!
//! Judged here and not in the handler, because between the two another commit, a lost lease or a new topology may lie.
//! The batch is what is sequenced in one step, so clock, lease and view are looked at once for each.
//! Codes of refusals are those of the registry: all of them mean that nothing was done.

use std::sync::{Arc, OnceLock};

use aidb_client::pb::ErrorCode;
use aidb_lsm::{Gate, LogRecord, Op, Verdict};

use super::requests::{Recall, RequestMemory};
use crate::serve::{Node, View, boottime_ns, wall_ms};

/// Marks a repeated request in an operation's tag; the slot is below it.
const RETRY: u32 = 1 << 31;

/// An operation's tag: its slot, and whether it was sent before.
pub fn tag(slot: u16, retry: bool) -> u32 {
    u32::from(slot) | if retry { RETRY } else { 0 }
}

/// The node is known only after the store was opened: until then everything is refused.
pub type NodeCell = Arc<OnceLock<Arc<Node>>>;

pub struct OwnerGate {
    node: NodeCell,
    memory: RequestMemory,
    /// As of the beginning of the batch; None until the node is known.
    now: Option<Now>,
}

struct Now {
    wall_ms: u64,
    view: Arc<View>,
    shard: u32,
    epoch: u64,
    /// There is evidence of ownership (D1).
    lease: bool,
    clock_bound_ms: u64,
}

impl OwnerGate {
    pub fn new(node: NodeCell, most_requests: usize) -> Self {
        Self {
            node,
            memory: RequestMemory::new(most_requests),
            now: None,
        }
    }
}

/// Whether `shard` in `epoch` may serve `slot` by `view`.
pub fn owns(view: &View, shard: u32, epoch: u64, slot: u16) -> Result<(), ErrorCode> {
    if view.shard(shard).is_none_or(|known| known.epoch != epoch) {
        return Err(ErrorCode::NotPrimary);
    }
    if view.owner(slot) == Some(shard) {
        Ok(())
    } else {
        Err(ErrorCode::Moved)
    }
}

impl Gate for OwnerGate {
    fn replayed(&mut self, record: &LogRecord) {
        for op in &record.ops {
            let version = if op.version == 0 {
                record.lsn
            } else {
                op.version
            };
            self.memory
                .remember(op.request, record.lsn, version, record.clock_ms);
        }
    }

    fn begin(&mut self) {
        self.now = self.node.get().map(|node| Now {
            wall_ms: wall_ms(),
            view: node.topology.view(),
            shard: node.identity.shard,
            epoch: node.lease.epoch(),
            lease: node.lease.holds(boottime_ns()),
            clock_bound_ms: node.clock_bound_ms(),
        });
    }

    fn judge(&mut self, op: &Op, clock_ms: u64) -> Verdict {
        let refuse = |code: ErrorCode| Verdict::Refuse(code as u32);
        let Some(now) = &self.now else {
            return refuse(ErrorCode::Starting);
        };
        if op.deadline_ms != 0 && now.wall_ms >= op.deadline_ms {
            return refuse(ErrorCode::DeadlineExceeded);
        }
        if !now.lease {
            return refuse(ErrorCode::NoLease);
        }
        let slot = (op.tag & !RETRY) as u16;
        if let Err(code) = owns(&now.view, now.shard, now.epoch, slot) {
            return refuse(code);
        }
        let retry_of = (op.tag & RETRY != 0).then_some(op.first_sent_ms);
        match self
            .memory
            .recall(op.request, retry_of, clock_ms, now.clock_bound_ms)
        {
            Recall::New => Verdict::Apply,
            Recall::Done { version } => Verdict::Duplicate { version },
            Recall::Unknown => refuse(ErrorCode::UnknownOutcome),
        }
    }

    fn sequenced(&mut self, op: &Op, lsn: u64, clock_ms: u64) {
        self.memory.remember(op.request, lsn, lsn, clock_ms);
    }

    fn abandoned(&mut self, lsn: u64) {
        self.memory.forget_from(lsn);
    }
}
