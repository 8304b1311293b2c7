use bytes::Bytes;

use crate::log::{LogOp, LogRecord};
use crate::options::SyncMode;
use crate::range::Range;
use crate::spans::Span;

/// One commit: one log record, one LSN. The last operation on a key wins; conditions see the
/// operations before them.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub ops: Vec<Op>,
    /// A refused operation or failed condition refuses all of them.
    pub atomic: bool,
    /// Raises the store's sync mode for this batch; a weaker one than the store's is ignored.
    pub sync: Option<SyncMode>,
}

#[derive(Debug, Clone)]
pub struct Op {
    pub key: Vec<u8>,
    pub kind: OpKind,
    pub condition: Condition,
    pub request: RequestId,
    /// Wall time (ms) at which the client first sent the request; for the gate.
    pub first_sent_ms: u64,
    /// Wall time (ms) after which the request must not be sequenced, 0 = none; for the gate.
    pub deadline_ms: u64,
    /// Opaque to the engine; for the gate.
    pub tag: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpKind {
    /// `expires_at_ms` 0 = never.
    Put {
        value: Bytes,
        expires_at_ms: u64,
    },
    Delete,
    /// Every key from the operation's key (empty = the first) to `end` (exclusive; empty = without
    /// end). No operation of its batch may have a condition.
    DeleteRange {
        end: Bytes,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    #[default]
    None,
    IfAbsent,
    IfExists,
    IfVersion(u64),
}

/// `client` 0 = the request has no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RequestId {
    pub client: u64,
    pub seq: u64,
}

/// A live value as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// May be a slice of a cached block or of a log buffer: copy it to keep it long.
    pub value: Bytes,
    pub version: u64,
    /// Milliseconds since the Unix epoch; 0 = never.
    pub expires_at_ms: u64,
}

#[derive(Debug, Clone)]
pub struct Committed {
    /// The record's LSN; when nothing was applied, the LSN whose state the answer shows.
    pub lsn: u64,
    pub clock_ms: u64,
    /// `outcomes[i]` answers `ops[i]`.
    pub outcomes: Vec<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Applied {
        version: u64,
    },
    ConditionFailed {
        current: Option<Entry>,
    },
    /// The gate's code.
    Refused(u32),
    /// The gate knows the request id: it was applied before, as `version`.
    Duplicate {
        version: u64,
    },
    /// A sibling in the atomic batch was refused.
    NotApplied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Apply,
    Refuse(u32),
    Duplicate { version: u64 },
}

/// Judges operations in commit order (V6). Called on the committer thread, which all writers wait
/// for: it must not block.
pub trait Gate: Send {
    /// At open: every record still in the log, oldest first.
    fn replayed(&mut self, record: &LogRecord);
    /// A batch's operations are judged now: clocks and views read here are as good for all of them.
    fn begin(&mut self) {}
    fn judge(&mut self, op: &Op, clock_ms: u64) -> Verdict;
    /// `op` is part of the record `lsn`, which is about to be written.
    fn sequenced(&mut self, op: &Op, lsn: u64, clock_ms: u64);
    /// Why operations that another store had logged may not be taken now; `None`: they may.
    fn refuses(&mut self, ops: &[LogOp]) -> Option<String> {
        let _ = ops;
        None
    }
    /// The disk was full: records from `lsn` on were not written and the numbers will be used
    /// again. What `sequenced` said of them is void.
    fn abandoned(&mut self, lsn: u64) {
        let _ = lsn;
    }
}

impl Op {
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Bytes>) -> Op {
        let value = value.into();
        Op::new(
            key.into(),
            OpKind::Put {
                value,
                expires_at_ms: 0,
            },
        )
    }

    pub fn delete(key: impl Into<Vec<u8>>) -> Op {
        Op::new(key.into(), OpKind::Delete)
    }

    /// Deletes every key in `range`; `None` when no key can lie in it.
    pub fn delete_range(range: &Range) -> Option<Op> {
        let span = Span::of(range)?;
        let end = span.end.unwrap_or_default().into();
        Some(Op::new(span.begin, OpKind::DeleteRange { end }))
    }

    fn new(key: Vec<u8>, kind: OpKind) -> Op {
        Op {
            key,
            kind,
            condition: Condition::None,
            request: RequestId::default(),
            first_sent_ms: 0,
            deadline_ms: 0,
            tag: 0,
        }
    }

    pub fn with_condition(mut self, condition: Condition) -> Op {
        self.condition = condition;
        self
    }

    /// Has no effect on a delete.
    pub fn with_expiry(mut self, at_ms: u64) -> Op {
        if let OpKind::Put { expires_at_ms, .. } = &mut self.kind {
            *expires_at_ms = at_ms;
        }
        self
    }

    pub(crate) fn value_len(&self) -> usize {
        match &self.kind {
            OpKind::Put { value, .. } => value.len(),
            OpKind::Delete => 0,
            OpKind::DeleteRange { end } => end.len(),
        }
    }
}

impl From<Vec<Op>> for Batch {
    /// Operations that stand or fall by themselves.
    fn from(ops: Vec<Op>) -> Batch {
        Batch {
            ops,
            atomic: false,
            sync: None,
        }
    }
}

impl Batch {
    pub(crate) fn deletes_ranges(&self) -> bool {
        let mut ops = self.ops.iter();
        ops.any(|op| matches!(op.kind, OpKind::DeleteRange { .. }))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ops
            .iter()
            .map(|op| op.key.len() + op.value_len())
            .sum()
    }
}
