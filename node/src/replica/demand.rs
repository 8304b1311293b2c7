//! What a request's header asks of a cached answer. Pure.

use std::time::Duration;

use aidb_client::Token;
use aidb_client::error::refuse;
use aidb_client::pb::{Consistency, ErrorCode, RequestHeader};
use tonic::Status;

use super::coherence::Demand;
use crate::primary::durable::Mode;
use crate::serve::View;

/// None: only the primary may answer. `lease` is the bound of reads that name none (C3).
///
/// A replica that routes by an older topology than the request or its session forwards (C5, M10). A bounded read keeps
/// its session's promises as well: the bound is asked for besides. `eventual` asks for neither.
pub fn demand(
    header: Option<&RequestHeader>,
    view: &View,
    shard: u32,
    lease: Duration,
) -> Result<Option<Demand>, Status> {
    let Some(header) = header else {
        return Ok(Some(Demand {
            bound_ns: nanos(lease),
            seen: None,
            since_lsn: 0,
        }));
    };
    let token = Token::decode(&header.token)
        .map_err(|why| refuse(ErrorCode::TokenInvalid, why.to_string()))?;
    if header.topology_version.max(token.topology_version) > view.version() {
        return Ok(None);
    }
    // C6: what caches hold is as safe as the cluster's mode says, and no safer.
    if Mode::from(header.durability()) > Mode::from(view.durability()) {
        return Ok(None);
    }
    Ok(match header.consistency() {
        Consistency::Strong => None,
        Consistency::Session => Some(Demand {
            bound_ns: nanos(lease),
            seen: Some(token.position(shard)),
            since_lsn: 0,
        }),
        Consistency::Bounded => {
            let bound = Duration::from_millis(header.staleness_bound_ms.into());
            Some(Demand {
                bound_ns: nanos(bound),
                seen: Some(token.position(shard)),
                since_lsn: 0,
            })
        }
        Consistency::Eventual => Some(Demand {
            bound_ns: nanos(lease),
            seen: None,
            since_lsn: 0,
        }),
    })
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use aidb_client::{Position, pb};

    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn view(version: u64) -> View {
        View::new(pb::ClusterView {
            topology: Some(pb::Topology {
                version,
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    fn asked(consistency: Consistency, bound_ms: u32, token: &Token) -> Option<Demand> {
        let header = RequestHeader {
            consistency: consistency.into(),
            staleness_bound_ms: bound_ms,
            token: token.encode(),
            ..Default::default()
        };
        demand(Some(&header), &view(3), 1, LEASE).unwrap()
    }

    #[test]
    fn each_consistency_asks_its_own() {
        let seen = Position { epoch: 2, lsn: 9 };
        let token = Token::of(1, seen, 3);
        assert_eq!(asked(Consistency::Strong, 0, &token), None);
        assert_eq!(
            asked(Consistency::Session, 0, &token),
            Some(Demand {
                bound_ns: 10_000_000_000,
                seen: Some(seen),
                since_lsn: 0,
            })
        );
        assert_eq!(
            asked(Consistency::Bounded, 20, &token),
            Some(Demand {
                bound_ns: 20_000_000,
                seen: Some(seen),
                since_lsn: 0,
            })
        );
        assert_eq!(
            asked(Consistency::Eventual, 0, &token),
            Some(Demand {
                bound_ns: 10_000_000_000,
                seen: None,
                since_lsn: 0,
            })
        );
        let elsewhere = Token::of(7, seen, 3);
        assert_eq!(
            asked(Consistency::Session, 0, &elsewhere).unwrap().seen,
            Some(Position::default())
        );
    }

    #[test]
    fn an_older_topology_forwards() {
        let token = Token::of(1, Position::default(), 4);
        assert_eq!(asked(Consistency::Eventual, 0, &token), None);
        let header = RequestHeader {
            topology_version: 4,
            ..Default::default()
        };
        assert_eq!(demand(Some(&header), &view(3), 1, LEASE).unwrap(), None);
        assert!(demand(Some(&header), &view(4), 1, LEASE).unwrap().is_some());
    }

    #[test]
    fn a_read_that_asks_for_more_than_the_cluster_promises_forwards() {
        let asked = |durability: pb::Durability| {
            let header = RequestHeader {
                durability: durability.into(),
                ..Default::default()
            };
            demand(Some(&header), &view(3), 1, LEASE).unwrap().is_some()
        };
        assert!(asked(pb::Durability::Async));
        assert!(!asked(pb::Durability::Archived));
    }

    #[test]
    fn a_damaged_token_is_refused() {
        let header = RequestHeader {
            token: vec![0xff; 3].into(),
            ..Default::default()
        };
        let refused = demand(Some(&header), &view(3), 1, LEASE).unwrap_err();
        assert_eq!(
            aidb_client::error::code_of(&refused),
            ErrorCode::TokenInvalid
        );
    }
}
