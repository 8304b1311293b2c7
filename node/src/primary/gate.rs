//! What is judged under the sequencer, in commit order (V6): deadline, evidence, ownership, request ids.
//!
//! Judged here and not in the handler, because between the two another commit, a lost lease or a new topology may lie.
//! The batch is what is sequenced in one step, so clock, lease and view are looked at once for each.
//! Codes of refusals are those of the registry: all of them mean that nothing was done.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use aidb_client::pb::ErrorCode;
use aidb_client::slots::SLOT_COUNT;
use aidb_lsm::{Gate, LogOp, LogOpKind, LogRecord, Op, Verdict};

use super::moving::slots_touched;
use super::requests::{KEEP_MS, Recall, RequestMemory};
use super::slots::Span;
use crate::serve::{Node, View, boottime_ns, wall_ms};

/// Marks a repeated request in an operation's tag; the slot is below it.
const RETRY: u32 = 1 << 31;

/// An operation's tag: its slot, and whether it was sent before.
pub fn tag(slot: u16, retry: bool) -> u32 {
    u32::from(slot) | if retry { RETRY } else { 0 }
}

pub fn slot_of_tag(tag: u32) -> u16 {
    (tag & !RETRY) as u16
}

/// The node is known only after the store was opened: until then everything is refused.
pub type NodeCell = Arc<OnceLock<Arc<Node>>>;

pub struct OwnerGate {
    node: NodeCell,
    memory: RequestMemory,
    /// As of the beginning of the batch; None until the node is known.
    now: Option<Now>,
    /// Slots of imports, and since when (by the shard clock) this shard's memory of their requests goes back.
    imported: VecDeque<(Span, u64)>,
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
            imported: VecDeque::new(),
        }
    }
}

/// Whether `shard` in `epoch` may serve `slot` by `view`.
pub fn owns(view: &View, shard: u32, epoch: u64, slot: u16) -> Result<(), ErrorCode> {
    if view.shard(shard).is_none_or(|known| known.epoch != epoch) {
        return Err(ErrorCode::NotPrimary);
    }
    if view.owner(slot) != Some(shard) {
        Err(ErrorCode::Moved)
    } else if view.is_fenced(slot) {
        // Certainly not done; who may wait does so before (M6).
        Err(ErrorCode::Busy)
    } else {
        Ok(())
    }
}

impl OwnerGate {
    /// V6: whether a retry for `slot`, first sent at `sent_ms`, may have been applied by a shard that had the slot before.
    fn before_import(&self, slot: u16, sent_ms: u64) -> bool {
        let mut imported = self.imported.iter();
        imported
            .any(|&((first, last), since_ms)| (first..=last).contains(&slot) && sent_ms < since_ms)
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
            // An import begins by a wipe; what was done to the slots since is in its tail, with the requests' ids.
            if op.kind == LogOpKind::RangeDelete
                && let Some(span) = slots_touched(op)
            {
                self.imported.push_back((span, record.clock_ms));
            }
        }
        let old = record.clock_ms.saturating_sub(2 * KEEP_MS);
        while self.imported.front().is_some_and(|(_, since)| *since < old) {
            self.imported.pop_front();
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
        let slot = slot_of_tag(op.tag);
        if let Err(code) = owns(&now.view, now.shard, now.epoch, slot) {
            return refuse(code);
        }
        let retry_of = (op.tag & RETRY != 0).then_some(op.first_sent_ms);
        match self
            .memory
            .recall(op.request, retry_of, clock_ms, now.clock_bound_ms)
        {
            Recall::New
                if retry_of.is_some_and(|sent| {
                    self.before_import(slot, sent.saturating_sub(now.clock_bound_ms))
                }) =>
            {
                refuse(ErrorCode::UnknownOutcome)
            }
            Recall::New => Verdict::Apply,
            Recall::Done { version } => Verdict::Duplicate { version },
            Recall::Unknown => refuse(ErrorCode::UnknownOutcome),
        }
    }

    fn sequenced(&mut self, op: &Op, lsn: u64, clock_ms: u64) {
        self.memory.remember(op.request, lsn, lsn, clock_ms);
        if let Some(node) = self.node.get() {
            node.load.written(slot_of_tag(op.tag), &op.key);
        }
    }

    /// An import touches only what nobody is shown: by the topology, under the sequencer (M3).
    fn refuses(&mut self, ops: &[LogOp]) -> Option<String> {
        let Some(node) = self.node.get() else {
            return Some("this primary has not begun".into());
        };
        let (view, shard) = (node.topology.view(), node.identity.shard);
        let shown = |op: &LogOp, slot: u16| {
            let fenced = op.kind == LogOpKind::Lost && view.is_fenced(slot);
            view.owner(slot) == Some(shard) && !fenced
        };
        ops.iter().find_map(|op| {
            let Some((first, last)) = slots_touched(op) else {
                return Some("an operation without a slot".into());
            };
            let slot = (first..=last.min(SLOT_COUNT - 1)).find(|slot| shown(op, *slot))?;
            let version = view.version();
            Some(format!(
                "slot {slot} is served by this shard (topology version {version}): nothing is imported into it"
            ))
        })
    }

    fn abandoned(&mut self, lsn: u64) {
        self.memory.forget_from(lsn);
    }
}
