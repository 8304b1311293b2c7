use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Tells the background threads, and who waits for them, that something changed. Whoever waits
/// looks at the state itself and then waits for a change since it looked: no wake-up is lost.
#[derive(Default)]
pub(crate) struct Events {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Events {
    /// For what has no event: a disk with space again.
    pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);

    pub(crate) fn seen(&self) -> u64 {
        *self.count.lock()
    }

    pub(crate) fn notify(&self) {
        *self.count.lock() += 1;
        self.changed.notify_all();
    }

    /// Returns after a change since `seen`, or after `limit`.
    pub(crate) fn wait(&self, seen: u64, limit: Duration) {
        let mut count = self.count.lock();
        if *count == seen {
            self.changed.wait_for(&mut count, limit);
        }
    }
}
