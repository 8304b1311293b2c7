//! Members left alone for a while: calls to them fail, or take far longer than their siblings'. No I/O; times are
//! seconds of any monotonic clock, chance is an argument.
//!
//! Local and short: the coordinator's health decides for everybody, later. The Python client decides by the same rules
//! (`aidb/ejection.py` states them); `tests/routing_cases.json` holds both to them.

use std::collections::HashMap;

const EJECT_FOR: f64 = 0.25;
const EJECT_AT_MOST: f64 = 10.0;
/// A member is an outlier when its latency is so many times the median of its siblings', and not just small.
const OUTLIER_FACTOR: f64 = 5.0;
const OUTLIER_LEAST: f64 = 0.02;

#[derive(Default)]
pub struct Ejections {
    out: HashMap<String, Out>,
}

#[derive(Clone, Copy)]
struct Out {
    until: f64,
    lasts: f64,
    failures: i32,
}

impl Ejections {
    /// A call to `name` failed, or it is an outlier. `chance` in 0..1 spreads the time between half and all of it.
    pub fn failed(&mut self, name: &str, now: f64, chance: f64) {
        let failures = self.out.get(name).map_or(0, |known| known.failures);
        let longest = EJECT_AT_MOST.min(EJECT_FOR * 2f64.powi(failures.min(16)));
        let lasts = longest * (0.5 + chance / 2.0);
        let out = Out {
            until: now + lasts,
            lasts,
            failures: failures + 1,
        };
        self.out.insert(name.to_owned(), out);
    }

    /// A call to `name` was answered. While it is out this says nothing: the call may be an old one.
    pub fn succeeded(&mut self, name: &str, now: f64) {
        let Some(known) = self.out.get_mut(name) else {
            return;
        };
        if now >= known.until + known.lasts {
            self.out.remove(name);
        } else if now >= known.until {
            known.failures = 0;
        }
    }

    /// Forgets members for which `stays` is false.
    pub fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.out.retain(|name, _| stays(name));
    }

    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Replicas of one shard to ask, and those left alone for now; both in the order given. `draw` gives chances in 0..1.
    pub fn split<T>(
        &self,
        replicas: Vec<T>,
        name: impl Fn(&T) -> &str,
        now: f64,
        mut draw: impl FnMut() -> f64,
    ) -> (Vec<T>, Vec<T>) {
        let most = (replicas.len() + 2) / 2;
        let mut out: Vec<(f64, String)> = Vec::new();
        for replica in &replicas {
            let name = name(replica);
            if let Some(known) = self.out.get(name)
                && known.is_out(now, &mut draw)
            {
                out.push((known.until, name.to_owned()));
            }
        }
        if out.len() > most {
            // Those due first are let in.
            out.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
            out.truncate(most);
        }
        replicas
            .into_iter()
            .partition(|replica| out.iter().all(|(_, left)| left != name(replica)))
    }
}

impl Out {
    fn is_out(&self, now: f64, draw: &mut impl FnMut() -> f64) -> bool {
        now < self.until
            || now < self.until + self.lasts && draw() >= (now - self.until) / self.lasts
    }
}

/// Whether a member that answers in `latency` seconds is too slow beside its siblings' latencies.
pub fn is_outlier(latency: f64, siblings: impl Iterator<Item = f64>) -> bool {
    if latency <= OUTLIER_LEAST {
        return false;
    }
    let mut siblings: Vec<f64> = siblings.collect();
    siblings.sort_by(f64::total_cmp);
    let Some(last) = siblings.len().checked_sub(1) else {
        return false;
    };
    let median = f64::midpoint(siblings[last / 2], siblings[siblings.len() / 2]);
    latency > OUTLIER_FACTOR * median
}
