//! How requests end and how long they take, by method: counted by each serving thread for itself, added up when somebody
//! asks. Every request is counted, also those that are refused or given up; `pick` says which are timed.
//!
//! Bounded: a table of methods and codes for each serving thread.

mod layer;
mod method;
mod pick;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aidb_client::pb;

use super::load::Latency;
pub use layer::CountLayer;
pub use method::{Code, Method};
pub use pick::Timed;

use pick::Picker;

/// Of all serving threads.
#[derive(Default)]
pub struct Tallies(Mutex<Vec<Arc<Tally>>>);

/// Of one serving thread, the only one that writes.
pub struct Tally([OfMethod; Method::ALL.len()]);

struct OfMethod {
    ended: [AtomicU64; Code::COUNT],
    picker: Picker,
    took: Latency,
}

impl Tally {
    fn new(seed: u32) -> Self {
        let of_method = |method: Method| OfMethod {
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
            picker: Picker::new(seed.wrapping_mul(0x9e37_79b9) ^ method as u32),
            took: Latency::default(),
        };
        Self(Method::ALL.map(of_method))
    }

    /// A request begins; whether it is timed.
    #[inline]
    pub fn begin(&self, method: Method) -> Option<Timed> {
        match method.is_request() {
            true => self.0[method as usize].picker.begin(),
            false => None,
        }
    }

    pub fn end(&self, method: Method, code: Code, timed: Option<Timed>) {
        let of_method = &self.0[method as usize];
        let ended = &of_method.ended[code.index()];
        ended.store(ended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if let Some(timed) = timed {
            let stands_for = u64::from(timed.stands_for);
            of_method.took.add_many(timed.began.elapsed(), stands_for);
        }
    }
}

impl Tallies {
    /// For one serving thread.
    pub fn tally(&self) -> Arc<Tally> {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = Arc::new(Tally::new(1 + tallies.len() as u32));
        tallies.push(Arc::clone(&tally));
        tally
    }

    pub fn stats(&self) -> Vec<pb::MethodStats> {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = |method: Method| {
            let of_method = || tallies.iter().map(|tally| &tally.0[method as usize]);
            let codes = Code::all().filter_map(|code| {
                let ended = of_method().map(|one| one.ended[code.index()].load(Ordering::Relaxed));
                let requests = ended.sum();
                let code = code.name().filter(|_| requests > 0)?.into();
                Some(pb::CodeCount { code, requests })
            });
            let mut us_buckets = Vec::new();
            if method.is_request() {
                us_buckets = Latency::default().buckets();
                for one in of_method() {
                    for (sum, count) in us_buckets.iter_mut().zip(one.took.buckets()) {
                        *sum += count;
                    }
                }
            }
            pb::MethodStats {
                method: method.name().into(),
                codes: codes.collect(),
                us: of_method().map(|one| one.took.sum_us()).sum(),
                us_buckets,
            }
        };
        Method::ALL.into_iter().map(of_all).collect()
    }
}

/// Requests of data in `methods`.
pub fn requests(methods: &[pb::MethodStats]) -> u64 {
    let timed = methods.iter().filter(|one| !one.us_buckets.is_empty());
    let codes = timed.flat_map(|one| &one.codes);
    codes.map(|code| code.requests).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_added_up() {
        let tallies = Tallies::default();
        for tally in [tallies.tally(), tallies.tally()] {
            let timed = tally.begin(Method::Put);
            assert!(timed.is_some());
            tally.end(Method::Put, Code::OK, timed);
            tally.end(Method::Put, Code::CANCELLED, None);
            tally.end(Method::Other, Code::OK, None);
        }
        let stats = tallies.stats();
        assert_eq!(requests(&stats), 4);
        let puts = &stats[Method::Put as usize];
        let codes: Vec<_> = puts.codes.iter().map(|one| one.code.as_str()).collect();
        assert_eq!(codes, ["OK", "CANCELLED"]);
        assert_eq!(puts.us_buckets.iter().sum::<u64>(), 2);
        assert!(stats[Method::Other as usize].us_buckets.is_empty());
    }

    /// cargo test -p aidb-node --lib what_a_tally_costs -- --ignored --nocapture
    #[test]
    #[ignore = "a measurement"]
    fn what_a_tally_costs() {
        const TURNS: u32 = 20_000_000;
        let tally = Tallies::default().tally();
        let began = std::time::Instant::now();
        for _ in 0..TURNS {
            let timed = tally.begin(Method::Get);
            tally.end(Method::Get, Code::OK, timed);
        }
        let each = began.elapsed().as_nanos() as f64 / f64::from(TURNS);
        println!("a request {each:.1} ns");
    }
}
