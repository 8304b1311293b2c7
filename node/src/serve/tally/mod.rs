//! How requests end and how long they take, by method: counted by each serving thread for itself, added up when somebody
//! asks. Every request is counted, also those that are refused or given up; `pick` says which are timed. `Watch` is told
//! of each, too.
//!
//! Bounded: a table of methods and codes for each serving thread.

mod layer;
mod method;
mod pick;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aidb_client::pb;

use super::load::Latency;
use super::observed::{Seen, Watch};
pub use layer::CountLayer;
pub use method::{Code, Method};

use pick::{Picker, Timed};

/// Of all serving threads.
pub struct Tallies {
    each: Mutex<Vec<Arc<Tally>>>,
    watch: Arc<Watch>,
}

/// Of one serving thread, the only one that writes.
pub struct Tally {
    methods: [OfMethod; Method::ALL.len()],
    watch: Arc<Watch>,
}

struct OfMethod {
    ended: [AtomicU64; Code::COUNT],
    picker: Picker,
    took: Latency,
}

/// A request under way.
pub struct Course {
    timed: Option<Timed>,
    /// By the clock of `Watch`.
    at: u64,
    pub seen: Seen,
}

impl Tally {
    fn new(seed: u32, watch: Arc<Watch>) -> Self {
        let of_method = |method: Method| OfMethod {
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
            picker: Picker::new(seed.wrapping_mul(0x9e37_79b9) ^ method as u32),
            took: Latency::default(),
        };
        Self {
            methods: Method::ALL.map(of_method),
            watch,
        }
    }

    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    #[inline]
    pub fn begin(&self, method: Method) -> Course {
        let (timed, at) = match method.is_request() {
            true => (
                self.methods[method as usize].picker.begin(),
                self.watch.begins(),
            ),
            false => (None, 0),
        };
        Course {
            timed,
            at,
            seen: Seen::default(),
        }
    }

    pub fn end(&self, method: Method, code: Code, begun: &Course) {
        let of_method = &self.methods[method as usize];
        let ended = &of_method.ended[code.index()];
        ended.store(ended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if let Some(timed) = begun.timed {
            let stands_for = u64::from(timed.stands_for);
            of_method.took.add_many(timed.began.elapsed(), stands_for);
        }
        if method.is_request() {
            self.watch.ended(begun.at, &begun.seen, method, code);
        }
    }
}

impl Tallies {
    pub fn new(watch: Watch) -> Self {
        Self {
            each: Mutex::default(),
            watch: Arc::new(watch),
        }
    }

    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// For one serving thread.
    pub fn tally(&self) -> Arc<Tally> {
        let mut tallies = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = 1 + tallies.len() as u32;
        let tally = Arc::new(Tally::new(seed, Arc::clone(&self.watch)));
        tallies.push(Arc::clone(&tally));
        tally
    }

    pub fn stats(&self) -> Vec<pb::MethodStats> {
        let tallies = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = |method: Method| {
            let of_method = || tallies.iter().map(|tally| &tally.methods[method as usize]);
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
    use std::time::Duration;

    use super::super::observed::Watched;
    use super::*;

    /// Of this thread: others may use the machine as well.
    fn cpu_ns() -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    #[test]
    fn threads_are_added_up() {
        let tallies = Tallies::new(Watch::new(Watched::default()));
        for tally in [tallies.tally(), tallies.tally()] {
            let begun = tally.begin(Method::Put);
            assert!(begun.timed.is_some());
            tally.end(Method::Put, Code::OK, &begun);
            let untimed = Course {
                timed: None,
                ..tally.begin(Method::Put)
            };
            tally.end(Method::Put, Code::CANCELLED, &untimed);
            tally.end(Method::Other, Code::OK, &tally.begin(Method::Other));
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
        for slow in [None, Some(100), Some(10)] {
            let watched = Watched {
                slow: slow.map(Duration::from_millis),
                traces: true,
            };
            let tally = Tallies::new(Watch::new(watched)).tally();
            let began = cpu_ns();
            for _ in 0..TURNS {
                let begun = tally.begin(Method::Get);
                tally.end(Method::Get, Code::OK, &begun);
            }
            let each = (cpu_ns() - began) as f64 / f64::from(TURNS);
            println!("slow from {slow:?} ms: a request {each:.1} ns");
        }
    }
}
