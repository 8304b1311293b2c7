//! The items of a batch, each judged and sent by itself. No I/O.

use aidb_client::error::{error, reported};
use aidb_client::pb::{self, Consistency, ErrorCode};
use aidb_client::policy::Kind;
use aidb_client::{View, slot_of};
use tonic::Status;

use super::batch::Item;
use super::members::Members;
use super::route::{primary, readers};
use crate::primary::limits::{check_key, check_value};
use crate::serve::Limits;

/// A key of a batch: from the first of its readers as `members` arranges them, or else from its primary.
pub fn read_item(
    limits: &Limits,
    view: &View,
    members: &Members,
    consistency: Consistency,
    index: usize,
    key: &[u8],
) -> Result<Item, pb::Error> {
    check_key(limits, key)?;
    let targets = readers(view, key, consistency).map_err(|nobody| said(&nobody))?;
    let mut targets = members.arrange(targets, key);
    let first = targets.pop_front();
    let primary = targets.iter().position(|target| !target.replica);
    let other = match primary {
        Some(at) => targets.remove(at),
        None => targets.pop_front(),
    };
    let (target, other) = match first {
        Some(first) => (first, other),
        None => return Err(error(ErrorCode::ShardUnavailable, "nobody can be asked")),
    };
    Ok(Item {
        index,
        kind: Kind::Read,
        target,
        other,
    })
}

pub fn write_item(
    limits: &Limits,
    view: &View,
    index: usize,
    op: &pb::WriteOp,
) -> Result<Item, pb::Error> {
    check_key(limits, &op.key)?;
    check_value(limits, &op.value)?;
    Ok(Item {
        index,
        kind: kind_of(op.condition.as_ref()),
        target: primary(view, slot_of(&op.key)).map_err(|nobody| said(&nobody))?,
        other: None,
    })
}

pub fn kind_of(condition: Option<&pb::Condition>) -> Kind {
    match condition {
        Some(_) => Kind::ConditionalWrite,
        None => Kind::Write,
    }
}

/// Ops as one shard gets them: each with the number that it had in the caller's batch, so that it is remembered by it.
pub fn numbered(
    ops: &[pb::WriteOp],
    indices: &[usize],
    id: Option<&pb::RequestId>,
) -> Vec<pb::WriteOp> {
    let numbered = |&index: &usize| {
        let mut op = ops[index].clone();
        if let Some(id) = id
            && op.request_seq == 0
        {
            op.request_seq = id.seq.wrapping_add(index as u64);
        }
        op
    };
    indices.iter().map(numbered).collect()
}

/// A refusal of this router's, as the error of one item.
fn said(refused: &Status) -> pb::Error {
    reported(refused).unwrap_or_else(|| error(ErrorCode::ShardUnavailable, refused.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_keep_the_numbers_of_the_callers_batch() {
        let op = |request_seq| pb::WriteOp {
            request_seq,
            ..Default::default()
        };
        let ops = [op(0), op(90), op(0)];
        let id = pb::RequestId { client: 1, seq: 40 };
        let seqs = |id| -> Vec<u64> {
            let numbered = numbered(&ops, &[1, 2], id);
            numbered.iter().map(|op| op.request_seq).collect()
        };
        assert_eq!(seqs(Some(&id)), [90, 42]);
        assert_eq!(seqs(None), [90, 0]);
    }
}
