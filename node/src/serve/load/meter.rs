//! Counts what one serving thread does, and picks what is looked at closely: its slot, its key, how long it takes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::serve::spread::{ONE_IN, Spread};

/// Written by one thread, read by any: loads and stores, no read-modify-write. (Two writers would lose counts, nothing else.)
pub struct Meter {
    count: AtomicU64,
    left: AtomicU32,
    spread: Spread,
}

impl Meter {
    pub fn new(seed: u32) -> Self {
        Self {
            count: AtomicU64::new(0),
            left: AtomicU32::new(ONE_IN),
            spread: Spread::new(seed),
        }
    }

    /// One more operation; whether it is one to look at.
    #[inline]
    pub fn tick(&self) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        let left = self.left.load(Ordering::Relaxed);
        if left > 1 {
            self.left.store(left - 1, Ordering::Relaxed);
            return false;
        }
        self.left.store(self.spread.distance(), Ordering::Relaxed);
        true
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_is_looked_at_whatever_the_rhythm() {
        let meter = Meter::new(7);
        let mut looked_at = [0u32; 8];
        for turn in 0..320_000 {
            if meter.tick() {
                looked_at[turn % 8] += 1;
            }
        }
        assert_eq!(meter.count(), 320_000);
        for of_turn in looked_at {
            assert!((1_000..1_500).contains(&of_turn), "{looked_at:?}");
        }
    }
}
