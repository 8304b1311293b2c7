//! The header of a primary's answer, with the session token of that answer alone (C5).

use aidb_client::pb;
use aidb_client::token::{Position, Token};

use crate::serve::{Node, View};

/// Of an answer that shows the state through `lsn`.
pub fn header(node: &Node, view: &View, lsn: u64) -> pb::ResponseHeader {
    let position = Position {
        epoch: node.lease.epoch(),
        lsn,
    };
    pb::ResponseHeader {
        token: Token::of(node.identity.shard, position, view.version()).encode(),
        ..node.response_header(view, lsn, pb::ServedBy::Primary)
    }
}
