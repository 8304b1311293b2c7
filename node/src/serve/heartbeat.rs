//! The heartbeat: renews the lease, reports health, brings the newest view.
//!
//! One call is under way at a time. A failed one is repeated soon, with growing and jittered pauses that never exceed a
//! tenth of the lease, so that a coordinator that is back is found long before the evidence ends.

use std::sync::Arc;
use std::time::Duration;

use aidb_client::pb;

use super::clock::{boottime_ns, wall_ms};
use super::coordinator::Coordinator;
use super::event::Event;
use super::health::Health;
use super::lease::Renewal;
use super::node::{Node, call_timeout};
use super::role::Grant;

/// Failures in a row before they are told.
const NOTICED: u32 = 3;

/// Beats until the node stops, or until the coordinator asks for a new registration.
pub async fn run(node: Arc<Node>, coordinator: Coordinator, grant: Grant, health: Health) {
    let timeout = call_timeout(grant.lease);
    let mut failures = 0;
    loop {
        let sent_ns = boottime_ns();
        let sent_ms = wall_ms();
        let answer = tokio::select! {
            answer = coordinator.heartbeat(beat(&node, &grant, sent_ms), timeout) => answer,
            () = node.stopping() => return,
        };
        match answer {
            Ok(answer) => {
                if failures >= NOTICED {
                    node.tell(Event::Notice {
                        message: format!("the coordinator answers again after {failures} failures"),
                    });
                }
                failures = 0;
                node.compare_clocks(sent_ms, answer.wall_clock_ms);
                if !take(&node, &grant, answer, sent_ns) {
                    return;
                }
            }
            Err(failed) => {
                failures += 1;
                if failures == NOTICED {
                    let message = format!(
                        "the coordinator does not answer heartbeats: {}",
                        failed.message()
                    );
                    node.tell(Event::Notice { message });
                }
            }
        }
        health.set(node.serving().0).await;
        tokio::select! {
            () = tokio::time::sleep(pause(grant.heartbeat, grant.lease, failures)) => {}
            () = node.beat.notified() => {}
            () = node.stopping() => return,
        }
    }
}

/// Takes an answer; false when this process has to register anew.
fn take(node: &Node, grant: &Grant, answer: pb::HeartbeatResponse, sent_ns: u64) -> bool {
    if !node.lease.saw_term(answer.term) {
        return true; // an older coordinator (D2): nothing of it counts
    }
    if answer.register_again {
        node.lease.lose();
        node.tell(Event::RegisterAgain);
        return false;
    }
    if let Some(view) = answer.view {
        node.topology.offer(view);
        if let Some(epoch) = handed_over(node, grant.epoch) {
            node.tell(Event::HandOver { epoch });
        }
    }
    if answer.renewed {
        node.lease.renew(Renewal {
            epoch: grant.epoch,
            term: answer.term,
            sent_ns,
            lease_ms: answer.lease_ms.into(),
        });
    }
    true
}

/// D6: the epoch that a successor has taken by the document, and which waits for this primary's seal.
fn handed_over(node: &Node, epoch: u64) -> Option<u64> {
    let view = node.topology.view();
    let shard = match node.identity.role {
        pb::Role::Primary => view.shard(node.identity.shard),
        _ => None,
    };
    let successor = shard.and_then(|shard| shard.successor.as_ref())?;
    (successor.planned && successor.epoch > epoch).then_some(successor.epoch)
}

fn beat(node: &Node, grant: &Grant, sent_ms: u64) -> pb::HeartbeatRequest {
    let view = node.topology.view();
    let report = node.report();
    let (_, reason) = node.serving();
    let state = match (report.healthy, node.identity.role) {
        (true, _) => pb::MemberState::MemberHealthy,
        // Without its stream a replica still forwards: the coordinator admits it later, and drops none for that.
        (false, pb::Role::Replica) => pb::MemberState::MemberStarting,
        (false, _) => pb::MemberState::MemberFailed,
    };
    pb::HeartbeatRequest {
        name: node.identity.name.clone(),
        process_id: node.identity.process_id.clone(),
        role: node.identity.role.into(),
        shard: node.identity.shard,
        epoch: grant.epoch,
        term: node.lease.term(),
        topology_version: view.version(),
        health_version: view.health_version(),
        wall_clock_ms: sent_ms,
        state: state.into(),
        reason,
        keys: report.keys,
        bytes: report.bytes,
        applied_lsn: report.applied_lsn,
        staleness_ms: report.staleness_ms,
        cluster_uid: grant.cluster_uid.clone(),
        pid: std::process::id().into(),
    }
}

fn pause(heartbeat: Duration, lease: Duration, failures: u32) -> Duration {
    if failures == 0 {
        return heartbeat;
    }
    let most = (lease / 10).max(Duration::from_millis(20));
    let grown = Duration::from_millis(20) * 2u32.pow(failures.min(8));
    grown.min(most).mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_well_within_the_lease() {
        let lease = Duration::from_secs(1);
        for failures in 1..100 {
            assert!(pause(Duration::from_millis(500), lease, failures) <= lease / 10);
        }
        assert_eq!(
            pause(Duration::from_millis(500), lease, 0),
            Duration::from_millis(500)
        );
    }
}
