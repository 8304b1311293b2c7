//! Which of many operations are looked at closely: one in [`ONE_IN`], at random, so that a client with a rhythm of its own
//! is not always, or never, among them.

use std::sync::atomic::{AtomicU32, Ordering};

/// What looking costs (some hundred nanoseconds) is thus a few for each.
pub const ONE_IN: u32 = 32;

/// Written by one thread: loads and stores, no read-modify-write.
pub struct Spread(AtomicU32);

impl Spread {
    pub fn new(seed: u32) -> Self {
        Self(AtomicU32::new(seed | 1))
    }

    /// How many operations further on the next one is: 1 to 2 * `ONE_IN` - 1 (xorshift).
    pub fn distance(&self) -> u32 {
        let mut random = self.0.load(Ordering::Relaxed);
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        self.0.store(random, Ordering::Relaxed);
        1 + random % (2 * ONE_IN - 1)
    }
}
