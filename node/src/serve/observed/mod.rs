//! Requests that are looked at one by one: slow ones, and those of a trace that is sampled. They wait in a ring until
//! Python takes them: for the log of slow requests, and for spans.
//!
//! Bounded: `MOST` wait, newer ones are dropped and counted. Neither keys nor values are kept.

mod seen;
mod trace;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use seen::{Headed, Seen, expect, found, note};
pub use trace::Trace;

use super::clock::{coarse_ns, precise_ns};
use super::tally::{Code, Method};
use seen::unix_ns;

const MOST: usize = 1024;
/// What is asked about shorter times is timed by the precise clock. The other costs a quarter, and ticks every 1 to 10 ms.
const COARSE_FROM: Duration = Duration::from_millis(50);
const NEVER: u64 = u64::MAX;

/// Which requests are looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    /// Those that take as long; None: no request is slow.
    pub slow: Option<Duration>,
    /// Those of sampled traces.
    pub traces: bool,
}

pub struct Observed {
    pub method: Method,
    pub code: Code,
    pub began_unix_ns: u64,
    pub duration_ns: u64,
    pub seen: Seen,
    pub slow: bool,
}

pub struct Watch {
    traces: bool,
    slow_ns: u64,
    precise: bool,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    waiting: VecDeque<Observed>,
    dropped: u64,
    /// Of the dropped, those that a taker knows of.
    told: u64,
}

impl Watch {
    pub fn new(watched: Watched) -> Self {
        let slow_ns = watched.slow.map(|slow| slow.as_nanos() as u64);
        Self {
            traces: watched.traces,
            slow_ns: slow_ns.unwrap_or(NEVER),
            precise: watched.slow.is_some_and(|slow| slow < COARSE_FROM),
            ring: Mutex::default(),
        }
    }

    /// Whether headers have to be looked into.
    pub fn is_on(&self) -> bool {
        self.traces || self.slow_ns != NEVER
    }

    pub fn traces(&self) -> bool {
        self.traces
    }

    /// When a request begins, for `ended`.
    #[inline]
    pub fn begins(&self) -> u64 {
        match (self.slow_ns, self.precise) {
            (NEVER, _) => 0,
            (_, true) => precise_ns(),
            (_, false) => coarse_ns(),
        }
    }

    #[inline]
    pub fn ended(&self, began: u64, seen: &Seen, method: Method, code: Code) {
        let took = self.begins().saturating_sub(began);
        let slow = took >= self.slow_ns;
        if slow || seen.span.is_some() {
            self.keep(took, slow, seen, method, code);
        }
    }

    #[cold]
    fn keep(&self, took: u64, slow: bool, seen: &Seen, method: Method, code: Code) {
        let (began_unix_ns, duration_ns) = match seen.span {
            Some(span) => (span.began_unix_ns, span.began.elapsed().as_nanos() as u64),
            None => (unix_ns().saturating_sub(took), took),
        };
        let mut ring = self.lock();
        if ring.waiting.len() == MOST {
            ring.dropped += 1;
            return;
        }
        ring.waiting.push_back(Observed {
            method,
            code,
            began_unix_ns,
            duration_ns,
            seen: *seen,
            slow,
        });
    }

    /// The oldest, `most` of them, and how many were dropped since the last call.
    pub fn take(&self, most: usize) -> (Vec<Observed>, u64) {
        let mut ring = self.lock();
        let count = most.min(ring.waiting.len());
        let dropped = ring.dropped - ring.told;
        ring.told = ring.dropped;
        (ring.waiting.drain(..count).collect(), dropped)
    }

    /// Since the start.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use aidb_client::pb;

    use super::*;

    fn slow(ms: u64) -> Watch {
        Watch::new(Watched {
            slow: Some(Duration::from_millis(ms)),
            traces: false,
        })
    }

    #[test]
    fn only_slow_ones_are_kept() {
        let watch = slow(20);
        assert!(watch.is_on());
        watch.ended(watch.begins(), &Seen::default(), Method::Get, Code::OK);
        assert!(watch.take(10).0.is_empty());
        let began = watch.begins() - 30_000_000;
        watch.ended(began, &Seen::default(), Method::Get, Code::CANCELLED);
        let (kept, dropped) = watch.take(10);
        assert_eq!((kept.len(), dropped), (1, 0));
        assert!(kept[0].slow && kept[0].duration_ns >= 30_000_000);
        assert_eq!(
            (kept[0].method, kept[0].code),
            (Method::Get, Code::CANCELLED)
        );
    }

    #[test]
    fn the_coarse_clock_is_good_for_longer_times() {
        let watch = slow(100);
        let began = watch.begins();
        std::thread::sleep(Duration::from_millis(115));
        watch.ended(began, &Seen::default(), Method::Put, Code::OK);
        assert_eq!(watch.take(10).0.len(), 1);
    }

    #[test]
    fn sampled_ones_are_kept_however_quick() {
        let watch = Watch::new(Watched {
            slow: None,
            traces: true,
        });
        let mut header = pb::RequestHeader {
            traceparent: format!("00-{:032x}-{:016x}-01", 5, 6),
            ..Default::default()
        };
        let seen = Seen::of(Some(&mut header), watch.traces());
        watch.ended(watch.begins(), &seen, Method::Get, Code::OK);
        watch.ended(watch.begins(), &Seen::default(), Method::Get, Code::OK);
        let (kept, _) = watch.take(10);
        assert_eq!(kept.len(), 1);
        assert!(!kept[0].slow && kept[0].seen.span.is_some());
    }

    #[test]
    fn nothing_is_watched_unless_asked_for() {
        let watch = Watch::new(Watched::default());
        assert!(!watch.is_on());
        watch.ended(watch.begins(), &Seen::default(), Method::Get, Code::OK);
        assert!(watch.take(10).0.is_empty());
    }

    #[test]
    fn a_full_ring_drops_what_is_new_and_tells_it_once() {
        let watch = slow(0);
        for seq in 0..MOST as u64 + 5 {
            let seen = Seen {
                seq,
                ..Seen::default()
            };
            watch.ended(watch.begins(), &seen, Method::Get, Code::OK);
        }
        let (kept, dropped) = watch.take(3);
        let seqs: Vec<_> = kept.iter().map(|one| one.seen.seq).collect();
        assert_eq!((seqs, dropped), (vec![0, 1, 2], 5));
        assert_eq!(watch.take(usize::MAX).1, 0);
        assert_eq!(watch.dropped(), 5);
        assert!(watch.take(usize::MAX).0.is_empty());
    }
}
