//! Slot moves (rules M), the part that carries bytes: `source` answers a target's questions, `target` takes what it was
//! answered. When a move does what, Python and the coordinator decide; both sides obey the topology.
//!
//! What moves travels as log records (V2): the copy as puts with their versions, the tail as the operations that were
//! logged. So an import goes through the target's log like any write, and its archive, its tail set and its caches need to
//! know nothing of moves. Rejected for now: tables built from the snapshot and ingested, which would write each byte once
//! less to the target's disk, and would have to be archived by a way of their own (decision 0012).

mod digest;
#[cfg_attr(not(feature = "python"), allow(dead_code))]
mod hidden;
mod parking;
mod sessions;
mod source;
#[cfg(feature = "python")]
mod target;
mod throttle;

use aidb_lsm::{LogOp, LogOpKind, Range, RequestId};
use bytes::Bytes;

use super::slots::Span;

pub use digest::digest;
pub use hidden::Hidden;
pub use parking::Parking;
pub use sessions::{Sessions, TooMuch};
pub use source::MovingService;
#[cfg(feature = "python")]
pub use target::{PinnedSlots, decoded, occupied};

/// Of the bytes that travel (M3, M4).
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c(record)
}

/// The physical keys of slots from `first` to `last`.
fn range_of((first, last): Span) -> Range {
    let [begin, end] = ends((first, last));
    Range::between(begin, end)
}

/// The first physical key of the slots, and the first after them.
fn ends((first, last): Span) -> [Vec<u8>; 2] {
    let key = |slot: u32| (slot as u16).to_be_bytes().to_vec();
    [key(first.into()), key(u32::from(last) + 1)]
}

/// Operations that name each of the `spans`, as `kind`: `RangeDelete`, `Gained` or `Lost`.
pub fn naming(kind: LogOpKind, spans: &[Span]) -> Vec<LogOp> {
    let named = spans.iter().map(|&span| {
        let [key, end] = ends(span).map(Bytes::from);
        LogOp {
            kind,
            key,
            value: end,
            expires_at_ms: 0,
            version: 0,
            request: RequestId::default(),
            tag: 0,
        }
    });
    named.collect()
}

/// The slots that an operation touches, inclusive; None: it names no key of a slot.
pub fn slots_touched(op: &LogOp) -> Option<Span> {
    let slot = |key: &[u8]| aidb_client::key::slot_of_physical(key);
    let first = slot(&op.key)?;
    let Some(end) = op.end_key() else {
        return Some((first, first));
    };
    let last = match slot(end) {
        None => u16::MAX,
        Some(end_slot) if end.len() == 2 => end_slot.saturating_sub(1),
        Some(end_slot) => end_slot,
    };
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_named_by_their_first_keys_and_read_back() {
        let spans = [(0, 0), (5, 16383)];
        let ops = naming(LogOpKind::RangeDelete, &spans);
        let back: Vec<_> = ops.iter().filter_map(slots_touched).collect();
        assert_eq!(back, spans);
        assert_eq!(ops[1].end_key(), Some(&[0x40, 0][..]));
    }
}
