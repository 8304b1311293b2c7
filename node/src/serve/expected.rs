//! How large the answer to a read will be, judged by the last ones.
//!
//! It is known only when the values have been read, or the member that was asked has answered. If nothing were reserved
//! until then, a burst of small questions would let in more large answers than there is room for, all of them read in
//! vain, while others wait for the thread.

use std::sync::atomic::{AtomicUsize, Ordering};

use aidb_client::pb;

/// One part in so many is new.
const WEIGHT: usize = 8;

/// A moving average of bytes. Threads that learn at once may lose one's lesson: it is an estimate.
#[derive(Default)]
pub struct Expected(AtomicUsize);

impl Expected {
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// From an answer of `bytes`. One that is not `whole`, because some of what was asked for was refused, says only that
    /// whole ones are no smaller: else a server that is too busy to answer would teach that its answers are nothing.
    pub fn learn(&self, bytes: usize, whole: bool) {
        let before = self.bytes();
        if !whole && bytes < before {
            return;
        }
        let now = before - before / WEIGHT + bytes / WEIGHT;
        if now != before {
            self.0.store(now, Ordering::Relaxed);
        }
    }
}

/// Nothing of what was asked for was refused.
pub fn whole(results: &[pb::GetResult]) -> bool {
    results.iter().all(|result| result.error.is_none())
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
        (0..50).for_each(|_| expected.learn(1000, true));
        assert!((900..=1000).contains(&expected.bytes()));
        expected.learn(8000, true);
        assert!(expected.bytes() < 2000);
        (0..100).for_each(|_| expected.learn(0, false));
        assert!(expected.bytes() > 900, "refusals say nothing");
        (0..100).for_each(|_| expected.learn(0, true));
        assert!(expected.bytes() < 10);
    }
}
