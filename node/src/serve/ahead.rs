//! How far a serving thread reads ahead of what it has begun.
//!
//! To read requests is cheaper than to answer them: a thread that reads whenever there is something to read is kept by a
//! flood from ending what it has begun (receive livelock, Mogul and Ramakrishnan 1997). So while more than `AHEAD`
//! requests of a thread have been read and not begun, none of its connections is read. A connection that is not read
//! goes to the end of the runtime's queue, which is first in, first out: behind all that it waits for, so that nobody has
//! to wake it. What is not read waits in the kernel, and then with the client, without costing the server anything: less
//! than a refusal does. (Refusing instead was measured: with three times what a server can do, refusals of small requests
//! alone take all of it.)
//!
//! Requests count until their handlers are polled first, whatever they wait for later: a slow disk or a primary that does
//! not answer stop nobody here.

use std::cell::Cell;

const AHEAD: usize = 128;

thread_local! {
    static UNBEGUN: Cell<usize> = const { Cell::new(0) };
}

/// A request that has been read, until its handler begins.
pub struct Unbegun(());

impl Unbegun {
    pub fn new() -> Self {
        UNBEGUN.set(UNBEGUN.get() + 1);
        Self(())
    }
}

impl Drop for Unbegun {
    /// On the thread that made it: its runtime has no other.
    fn drop(&mut self) {
        UNBEGUN.set(UNBEGUN.get().saturating_sub(1));
    }
}

/// Whether this thread has enough to begin.
pub fn enough() -> bool {
    UNBEGUN.get() > AHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_until_they_begin() {
        let mut read: Vec<Unbegun> = (0..AHEAD).map(|_| Unbegun::new()).collect();
        assert!(!enough());
        read.push(Unbegun::new());
        assert!(enough());
        read.pop();
        assert!(!enough());
    }
}
