//! Which requests of one method are timed on one serving thread.
//!
//! All of them while they are seldom, so that figures of an idle cluster are exact; one in 32 (at random, so that no
//! client's rhythm decides) while there are many. Each that is timed stands for those since the one before: so the
//! histogram has about as many as there were requests, and histograms of methods and members may be added up.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::serve::spread::Spread;

/// Further apart than this, they are seldom.
const SELDOM: Duration = Duration::from_millis(1);

/// Written by one thread: loads and stores, no read-modify-write.
pub struct Picker {
    base: Instant,
    left: AtomicU32,
    stands_for: AtomicU32,
    spread: Spread,
    last_ns: AtomicU64,
}

/// A request that is timed.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub began: Instant,
    pub stands_for: u32,
}

impl Picker {
    pub fn new(seed: u32) -> Self {
        Self {
            base: Instant::now(),
            left: AtomicU32::new(1),
            stands_for: AtomicU32::new(1),
            spread: Spread::new(seed),
            last_ns: AtomicU64::new(0),
        }
    }

    #[inline]
    pub fn begin(&self) -> Option<Timed> {
        let left = self.left.load(Ordering::Relaxed);
        if left > 1 {
            self.left.store(left - 1, Ordering::Relaxed);
            return None;
        }
        Some(self.pick(Instant::now()))
    }

    fn pick(&self, now: Instant) -> Timed {
        let at_ns = now.saturating_duration_since(self.base).as_nanos() as u64;
        let apart = at_ns.saturating_sub(self.last_ns.load(Ordering::Relaxed));
        let next = match apart >= SELDOM.as_nanos() as u64 {
            true => 1,
            false => self.spread.distance(),
        };
        self.last_ns.store(at_ns, Ordering::Relaxed);
        self.left.store(next, Ordering::Relaxed);
        let stands_for = self.stands_for.load(Ordering::Relaxed);
        self.stands_for.store(next, Ordering::Relaxed);
        Timed {
            began: now,
            stands_for,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seldom_ones_are_all_timed() {
        let picker = Picker::new(1);
        for turn in 1..100u32 {
            let picked = picker.pick(picker.base + SELDOM * turn);
            assert_eq!(picked.stands_for, 1);
            assert_eq!(picker.left.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn of_many_one_in_32_is_timed_and_stands_for_the_others() {
        let picker = Picker::new(7);
        let (mut timed, mut stands_for) = (0, 0);
        let mut now = picker.base;
        for _ in 0..320_000 {
            now += Duration::from_micros(1);
            let left = picker.left.load(Ordering::Relaxed);
            if left > 1 {
                picker.left.store(left - 1, Ordering::Relaxed);
                continue;
            }
            timed += 1;
            stands_for += picker.pick(now).stands_for;
        }
        assert!((8_000..12_000).contains(&timed), "{timed}");
        assert!((319_900..=320_000).contains(&stands_for), "{stands_for}");
    }
}
