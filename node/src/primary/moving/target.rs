//! What a target does with what it was answered; Python says when.

use std::sync::Arc;

use aidb_lsm::{Direction, LogOp, LogRecord, Result, Snapshot, Store};
use bytes::Bytes;

use super::{checksum, digest, range_of};
use crate::primary::slots::Span;

/// The operations of a record that came with `sum`.
///
/// Errors: `Invalid`.
pub fn decoded(record: Bytes, sum: u32) -> Result<Vec<LogOp>> {
    if checksum(&record) != sum {
        let what = "a record of a slot move does not have the checksum that it came with";
        return Err(aidb_lsm::Error::Invalid(what.into()));
    }
    LogRecord::decode(record).map(|record| record.ops)
}

/// The spans that hold anything.
pub fn occupied(store: &Store, spans: &[Span]) -> Result<Vec<Span>> {
    let snapshot = store.snapshot();
    let mut found = Vec::new();
    for &span in spans {
        let mut scan = snapshot.scan(range_of(span), Direction::Forward)?;
        if scan.step()?.is_some() {
            found.push(span);
        }
    }
    Ok(found)
}

/// The target's side of the comparison (M5): a snapshot of the import at one position of the tail.
pub struct PinnedSlots {
    pub snapshot: Arc<Snapshot>,
    pub spans: Vec<Span>,
}

impl PinnedSlots {
    pub fn digest(&self, live_after_ms: u64) -> Result<(u64, u64)> {
        digest(&self.snapshot, &self.spans, live_after_ms)
    }
}
