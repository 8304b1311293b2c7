//! Where a request goes. No I/O.

use std::collections::VecDeque;

use aidb_client::balance::rendezvous_order;
use aidb_client::call::no_primary;
use aidb_client::error::refuse;
use aidb_client::pb::{self, Consistency, ErrorCode};
use aidb_client::{Position, Token, View, slot_of};
use tonic::Status;

use crate::serve::Node;

/// A member to ask, and the shard that it is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub shard: u32,
    pub address: String,
    /// A cache, which others can stand in for.
    pub replica: bool,
}

/// Where `slot` is written, and read by whoever asks for the newest.
pub fn primary(view: &View, slot: u16) -> Result<Target, Status> {
    let shard = view.owner(slot).ok_or_else(|| {
        let message = format!("slot {slot} is served by no shard yet; retry in a moment");
        refuse(ErrorCode::ShardUnavailable, message)
    })?;
    match view.primary_address(shard) {
        Some(address) => Ok(Target {
            shard,
            address: address.into(),
            replica: false,
        }),
        None => Err(no_primary(shard)),
    }
}

/// Whom to ask for `key`, in this order: its replicas, then the primary; only the primary for strong reads.
pub fn readers(
    view: &View,
    key: &[u8],
    consistency: Consistency,
) -> Result<VecDeque<Target>, Status> {
    let slot = slot_of(key);
    let primary = primary(view, slot);
    if consistency == Consistency::Strong {
        return Ok([primary?].into());
    }
    let Some(shard) = view.owner(slot) else {
        return Ok([primary?].into());
    };
    let mut targets: VecDeque<Target> = rendezvous_order(view.readable_replicas(shard), key)
        .into_iter()
        .map(|replica| Target {
            shard,
            address: replica.address.clone(),
            replica: true,
        })
        .collect();
    match primary {
        Ok(primary) => targets.push_back(primary),
        Err(nobody) if targets.is_empty() => return Err(nobody),
        Err(_) => {}
    }
    Ok(targets)
}

/// Where a `Moved` answer points; None when it names no address.
pub fn moved_to(error: &pb::Error) -> Option<Target> {
    let route = error.moved.as_ref()?;
    (!route.address.is_empty()).then(|| Target {
        shard: route.shard,
        address: route.address.clone(),
        replica: false,
    })
}

/// The caller's header, as each shard is to see it.
pub struct Caller {
    header: pb::RequestHeader,
    token: Token,
    /// Entries of shards of which the session saw what a takeover has lost: slots of theirs may be anywhere by now, so
    /// whoever is asked has to be told (C5, s4).
    lost: Vec<(u32, Position)>,
}

impl Caller {
    pub fn of(header: Option<pb::RequestHeader>, view: &View) -> Result<Self, Status> {
        let mut header = header.unwrap_or_default();
        header.topology_version = header.topology_version.max(view.version());
        let token = Token::decode(&header.token)
            .map_err(|error| refuse(ErrorCode::TokenInvalid, error.to_string()))?;
        let lost = token
            .positions()
            .filter(|(shard, seen)| view.cut_below(*shard, *seen).is_some())
            .collect();
        Ok(Self {
            header,
            token,
            lost,
        })
    }

    pub fn consistency(&self) -> Consistency {
        self.header.consistency()
    }

    pub fn request_id(&self) -> Option<&pb::RequestId> {
        self.header.request_id.as_ref()
    }

    /// With the token's entry of that shard, and those of which something was lost.
    pub fn header_for(&self, shard: u32) -> pb::RequestHeader {
        let mut header = self.header.clone();
        if !header.token.is_empty() {
            let mut token = self.token.only(shard);
            for (shard, seen) in &self.lost {
                token.raise(*shard, *seen);
            }
            header.token = token.encode();
        }
        header
    }
}

/// The answers' headers as one: tokens merged; LSN and shard only while one shard answered.
pub fn merged(
    node: &Node,
    view: &View,
    parts: impl IntoIterator<Item = pb::ResponseHeader>,
) -> pb::ResponseHeader {
    let mut parts = parts.into_iter();
    let Some(mut merged) = parts.next() else {
        return node.response_header(view, 0, pb::ServedBy::Unknown);
    };
    let mut token = Token::decode(&merged.token).unwrap_or_default();
    for part in parts {
        token.merge(&Token::decode(&part.token).unwrap_or_default());
        if part.shard != merged.shard || part.lsn != merged.lsn {
            (merged.shard, merged.lsn) = (0, 0);
        }
        if part.served_by != merged.served_by {
            merged.set_served_by(pb::ServedBy::Forward);
        }
        merged.topology_version = merged.topology_version.max(part.topology_version);
    }
    merged.token = token.encode();
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> pb::Member {
        pb::Member {
            name: name.into(),
            address: format!("{name}:1"),
            ..Default::default()
        }
    }

    /// Shard 0 has every slot.
    fn view(primary: Option<pb::Member>, replicas: &[&str]) -> View {
        View::new(pb::ClusterView {
            topology: Some(pb::Topology {
                slot_owners: vec![0; 2 * 16384].into(),
                shards: vec![pb::Shard {
                    primary,
                    replicas: replicas.iter().map(|name| member(name)).collect(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    fn addresses(view: &View, consistency: Consistency) -> Vec<String> {
        let targets = readers(view, b"k", consistency).unwrap();
        targets.into_iter().map(|target| target.address).collect()
    }

    #[test]
    fn replicas_are_read_first_and_the_newest_from_the_primary() {
        let view = view(Some(member("p")), &["a", "b"]);
        let mut order = addresses(&view, Consistency::Session);
        assert_eq!(order.pop().unwrap(), "p:1");
        order.sort();
        assert_eq!(order, ["a:1", "b:1"]);
        assert_eq!(addresses(&view, Consistency::Strong), ["p:1"]);
    }

    #[test]
    fn without_a_primary_caches_still_answer() {
        assert_eq!(
            addresses(&view(None, &["a"]), Consistency::Eventual),
            ["a:1"]
        );
        assert!(readers(&view(None, &["a"]), b"k", Consistency::Strong).is_err());
        assert!(readers(&view(None, &[]), b"k", Consistency::Session).is_err());
        assert!(readers(&View::default(), b"k", Consistency::Session).is_err());
    }

    #[test]
    fn a_shard_sees_its_own_entry_of_the_token() {
        let at = |lsn| aidb_client::Position { epoch: 1, lsn };
        let mut token = Token::of(1, at(5), 2);
        token.merge(&Token::of(2, at(9), 2));
        let header = pb::RequestHeader {
            token: token.encode(),
            topology_version: 7,
            ..Default::default()
        };
        let caller = Caller::of(Some(header), &View::default()).unwrap();
        let sent = caller.header_for(2);
        assert_eq!(Token::decode(&sent.token), Ok(Token::of(2, at(9), 2)));
        assert_eq!(sent.topology_version, 7);
        let none = Caller::of(None, &View::default()).unwrap().header_for(2);
        assert!(none.token.is_empty());
        let damaged = pb::RequestHeader {
            token: vec![0xff; 3].into(),
            ..Default::default()
        };
        assert!(Caller::of(Some(damaged), &View::default()).is_err());
    }

    #[test]
    fn every_shard_is_told_of_what_a_takeover_took_from_the_session() {
        let at = |lsn| Position { epoch: 1, lsn };
        let shard = |id, cuts| pb::Shard {
            id,
            epoch: 2,
            cuts,
            ..Default::default()
        };
        let view = View::new(pb::ClusterView {
            topology: Some(pb::Topology {
                shards: vec![
                    shard(0, vec![pb::Cut { epoch: 1, lsn: 5 }]),
                    shard(1, vec![]),
                ],
                ..Default::default()
            }),
            ..Default::default()
        });
        let sent = |lost| {
            let mut token = Token::of(0, at(lost), 2);
            token.merge(&Token::of(1, at(9), 2));
            let header = pb::RequestHeader {
                token: token.encode(),
                ..Default::default()
            };
            let caller = Caller::of(Some(header), &view).unwrap();
            Token::decode(&caller.header_for(1).token).unwrap()
        };
        let mut both = Token::of(1, at(9), 2);
        assert_eq!(sent(5), both);
        both.raise(0, at(6));
        assert_eq!(sent(6), both);
    }
}
