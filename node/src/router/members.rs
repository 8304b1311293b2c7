//! What one serving thread knows of the members it asks: which to leave alone, and after how long a read may be hedged.
//!
//! Per thread, as its connections are: a lock that nobody else wants, and what one thread learns the others learn as
//! soon. The rules are aidb-client's (`ejection`, `hedge`); here are the clock, chance and the counting.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aidb_client::View;
use aidb_client::ejection::{Ejections, is_outlier};
use aidb_client::hedge::{Budget, Quantile};
use aidb_client::hot::HotKeys;
use aidb_client::latency::Latencies;
use aidb_client::pb;
use aidb_client::policy::{Cause, ejects};
use bytes::Bytes;

use super::route::Target;

/// Hedges saved up at most.
const BURST: f64 = 10.0;
/// Members known at most: beyond it those that are gone are forgotten.
const MOST_MEMBERS: usize = 1024;

/// Of all serving threads together.
#[derive(Default)]
pub struct Counters {
    hedges: AtomicU64,
    hedges_won: AtomicU64,
    hedges_denied: AtomicU64,
    ejections: AtomicU64,
}

impl Counters {
    pub fn stats(&self) -> pb::RouterStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        pb::RouterStats {
            hedges: read(&self.hedges),
            hedges_won: read(&self.hedges_won),
            hedges_denied: read(&self.hedges_denied),
            ejections: read(&self.ejections),
        }
    }
}

pub struct Members {
    start: Instant,
    /// Hedges for each read; 0 = none at all.
    extra: f64,
    state: Mutex<State>,
    counters: Arc<Counters>,
}

struct State {
    ejections: Ejections,
    latencies: Latencies,
    replica: Quantile,
    primary: Quantile,
    budget: Budget,
    hot: HotKeys,
}

impl State {
    fn quantile(&mut self, target: &Target) -> &mut Quantile {
        if target.replica {
            &mut self.replica
        } else {
            &mut self.primary
        }
    }
}

impl Members {
    pub fn new(extra: f64, counters: &Arc<Counters>) -> Self {
        Self {
            start: Instant::now(),
            extra,
            state: Mutex::new(State {
                ejections: Ejections::default(),
                latencies: Latencies::default(),
                replica: Quantile::default(),
                primary: Quantile::default(),
                budget: Budget::new(extra, BURST),
                hot: HotKeys::default(),
            }),
            counters: Arc::clone(counters),
        }
    }

    /// Readers of one shard in the order to ask them for `key`: a hot key's caches take turns, and those left alone for now
    /// go last.
    pub fn arrange(&self, targets: VecDeque<Target>, key: &[u8]) -> VecDeque<Target> {
        let mut state = self.lock();
        if targets.len() < 2 {
            return targets;
        }
        let hot = state.hot.contains(key, self.now());
        if state.ejections.is_empty() && !hot {
            return targets;
        }
        let (mut replicas, others): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| target.replica);
        if hot && !replicas.is_empty() {
            let turn = fastrand::usize(..replicas.len());
            replicas.rotate_left(turn);
        }
        let (asked, out) = state.ejections.split(
            replicas,
            |target: &Target| target.address.as_str(),
            self.now(),
            fastrand::f64,
        );
        asked.into_iter().chain(others).chain(out).collect()
    }

    /// A cache says that `key` is hot.
    pub fn told_hot(&self, key: &Bytes) {
        self.lock().hot.told(key, self.now());
    }

    /// A read goes to `target`; after how long it may go to another as well, None = not at all.
    pub fn hedge_after(&self, target: &Target) -> Option<Duration> {
        if self.extra <= 0.0 {
            return None;
        }
        let mut state = self.lock();
        state.budget.called();
        state.quantile(target).delay().map(Duration::from_secs_f64)
    }

    /// Whether a second read may be sent now.
    pub fn spend(&self) -> bool {
        let allowed = self.lock().budget.spend();
        count(match allowed {
            true => &self.counters.hedges,
            false => &self.counters.hedges_denied,
        });
        allowed
    }

    pub fn second_won(&self) {
        count(&self.counters.hedges_won);
    }

    /// A single read took `took`, or had taken that long when another was quicker.
    pub fn took(&self, target: &Target, took: Duration) {
        let (now, took) = (self.now(), took.as_secs_f64());
        let mut state = self.lock();
        state.quantile(target).add(took);
        if !target.replica {
            return;
        }
        let (shard, address) = (target.shard, target.address.as_str());
        let average = state.latencies.answered(shard, address, took, now);
        if is_outlier(average, state.latencies.siblings(shard, address)) {
            state.latencies.forget(address);
            state.ejections.failed(address, now, fastrand::f64());
            count(&self.counters.ejections);
        }
    }

    pub fn answered(&self, target: &Target) {
        let mut state = self.lock();
        if !state.ejections.is_empty() {
            state.ejections.succeeded(&target.address, self.now());
        }
    }

    /// A call failed; the member is left alone if the cause speaks of it.
    pub fn failed(&self, target: &Target, cause: Cause, view: &View) {
        if !target.replica || !ejects(cause) {
            return;
        }
        let mut state = self.lock();
        if state.ejections.len() >= MOST_MEMBERS {
            let addresses: Vec<&str> = view
                .shards()
                .iter()
                .flat_map(|shard| &shard.replicas)
                .map(|replica| replica.address.as_str())
                .collect();
            state.ejections.retain(|name| addresses.contains(&name));
            state.latencies.retain(|name| addresses.contains(&name));
        }
        state
            .ejections
            .failed(&target.address, self.now(), fastrand::f64());
        count(&self.counters.ejections);
    }

    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> VecDeque<Target> {
        [("a", true), ("b", true), ("p", false)]
            .map(|(address, replica)| Target {
                shard: 0,
                address: address.into(),
                replica,
            })
            .into()
    }

    fn order(members: &Members) -> Vec<String> {
        let arranged = members.arrange(targets(), b"k");
        arranged.into_iter().map(|target| target.address).collect()
    }

    #[test]
    fn who_fails_or_is_far_slower_is_asked_last() {
        let counters = Arc::default();
        let members = Members::new(0.05, &counters);
        let targets = targets();
        assert_eq!(order(&members), ["a", "b", "p"]);
        members.failed(&targets[0], Cause::Lost, &View::default());
        assert_eq!(order(&members), ["b", "p", "a"]);
        let members = Members::new(0.05, &counters);
        members.took(&targets[0], Duration::from_millis(1));
        members.took(&targets[1], Duration::from_millis(500));
        assert_eq!(order(&members), ["a", "p", "b"]);
        assert_eq!(counters.stats().ejections, 2);
    }

    #[test]
    fn the_caches_of_a_hot_key_take_turns_and_the_primary_stays_last() {
        let members = Members::new(0.05, &Arc::default());
        members.told_hot(&Bytes::from_static(b"k"));
        let mut first = std::collections::HashMap::new();
        for _ in 0..400 {
            let order = order(&members);
            assert_eq!(order[2], "p");
            *first.entry(order[0].clone()).or_insert(0) += 1;
        }
        assert!(first["a"] > 120 && first["b"] > 120, "{first:?}");
        let other = members.arrange(targets(), b"other");
        assert_eq!(other[0].address, "a");
    }

    #[test]
    fn a_busy_replica_and_a_failing_primary_are_not_left_alone() {
        let members = Members::new(0.05, &Arc::default());
        let targets = targets();
        let busy = Cause::Code(pb::ErrorCode::Busy);
        members.failed(&targets[0], busy, &View::default());
        members.failed(&targets[2], Cause::Lost, &View::default());
        assert_eq!(order(&members), ["a", "b", "p"]);
    }

    #[test]
    fn hedges_need_experience_and_can_be_turned_off() {
        let members = Members::new(0.5, &Arc::default());
        let off = Members::new(0.0, &Arc::default());
        let targets = targets();
        assert_eq!(members.hedge_after(&targets[0]), None);
        for _ in 0..20 {
            members.took(&targets[0], Duration::from_millis(8));
            off.took(&targets[0], Duration::from_millis(8));
        }
        assert!(members.hedge_after(&targets[0]).is_some());
        assert_eq!(off.hedge_after(&targets[0]), None);
        assert_eq!(
            members.hedge_after(&targets[2]),
            None,
            "of primaries nothing is known"
        );
        assert!(members.spend() && !members.spend());
    }
}
