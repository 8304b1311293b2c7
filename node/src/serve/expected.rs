//! How large the answer to a forwarded read will be, judged by the last ones.
//!
//! A forwarder knows it only when the answer is there, and has been put together in memory. If it reserved nothing until
//! then, a burst of small questions would let in more large answers than there is room for, all of them fetched in vain.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One part in so many is new.
const WEIGHT: usize = 8;

/// A moving average of bytes. Threads that learn at once may lose one's lesson: it is an estimate.
#[derive(Default)]
pub struct Expected(AtomicUsize);

impl Expected {
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub fn learn(&self, bytes: usize) {
        let before = self.bytes();
        let now = before - before / WEIGHT + bytes / WEIGHT;
        if now != before {
            self.0.store(now, Ordering::Relaxed);
        }
    }
}

/// By kind of read.
#[derive(Default)]
pub struct ExpectedAnswers {
    pub get: Expected,
    pub batch: Expected,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_comes_and_is_not_moved_by_one() {
        let expected = Expected::default();
        (0..50).for_each(|_| expected.learn(1000));
        assert!((900..=1000).contains(&expected.bytes()));
        expected.learn(8000);
        assert!(expected.bytes() < 2000);
        (0..50).for_each(|_| expected.learn(0));
        assert!(expected.bytes() < 10);
    }
}
