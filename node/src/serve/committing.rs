//! Batches that a serving thread has handed to the committer, by connection: while there are many, who sent them is not read.
//!
//! A batch that waits for the committer is memory, and memory that grows costs more than the batch itself: with eight
//! thousand of them waiting instead of some hundred, a server did a third as much. To refuse them was rejected: a refusal
//! costs little beside a batch, but its client comes again. So the sum of what waits is bounded, and a connection that has
//! as much of the bound as is left free (the rule of `shares`) is not read until some of its own has been answered, which
//! is when it is looked at again. HTTP/2's flow control holds its client back meanwhile.
//!
//! Only the committer's work is waited for, never an archive or another node; and for `PATIENCE` at most while it answers
//! nothing to anybody: a disk that stands still stops no reads that come by the same connection.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::connection::Connection;

/// Of one serving thread.
const MOST_BYTES: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_millis(100);

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
    /// Batches that are not with the committer any more.
    static ENDED: Cell<u64> = const { Cell::new(0) };
}

/// What one connection has with the committer.
#[derive(Default)]
pub struct Own {
    bytes: AtomicUsize,
}

impl Own {
    fn has_its_share(&self) -> bool {
        let own = self.bytes.load(Ordering::Relaxed);
        own > 0 && own >= MOST_BYTES.saturating_sub(BYTES.get())
    }
}

/// A batch, until it is committed or its request is given up.
pub struct Committing {
    connection: Arc<Connection>,
    bytes: usize,
}

impl Committing {
    pub fn new(connection: Arc<Connection>, bytes: usize) -> Self {
        BYTES.set(BYTES.get() + bytes);
        connection
            .committing
            .bytes
            .fetch_add(bytes, Ordering::Relaxed);
        Self { connection, bytes }
    }
}

impl Drop for Committing {
    /// On the thread that made it: its runtime has no other.
    fn drop(&mut self) {
        BYTES.set(BYTES.get().saturating_sub(self.bytes));
        ENDED.set(ENDED.get().wrapping_add(1));
        let own = &self.connection.committing;
        own.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Of a connection that is not read: how many batches had ended, and until when it is not read if no more do.
#[derive(Default)]
pub struct HeldBack(Option<(u64, Pin<Box<Sleep>>)>);

impl HeldBack {
    /// Whether the connection is to be read. If not, it is polled again when one of its batches has been answered, as its
    /// answer has to be written; or when `cx` is woken.
    pub fn may_read(&mut self, own: &Own, cx: &mut Context<'_>) -> bool {
        if !own.has_its_share() {
            self.0 = None;
            return true;
        }
        let ended = ENDED.get();
        if self.0.as_ref().is_none_or(|(since, _)| *since != ended) {
            self.0 = Some((ended, Box::pin(sleep(PATIENCE))));
        }
        match &mut self.0 {
            Some((_, patience)) => patience.as_mut().poll(cx).is_ready(),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::super::connection::Connections;
    use super::*;

    fn connections() -> [Arc<Connection>; 2] {
        let all = Arc::new(Connections::new(2, Duration::from_secs(600)));
        [1, 2].map(|port| all.enter(([127, 0, 0, 1], port).into()).unwrap())
    }

    fn reads(held_back: &mut HeldBack, connection: &Connection) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        held_back.may_read(&connection.committing, &mut cx)
    }

    #[tokio::test]
    async fn who_has_as_much_as_is_left_free_is_read_when_some_is_answered() {
        let [greedy, other] = connections();
        let [mut of_greedy, mut of_other] = [HeldBack::default(), HeldBack::default()];
        let batch = |of: &Arc<Connection>| Committing::new(Arc::clone(of), MOST_BYTES / 4);
        let first = batch(&greedy);
        assert!(reads(&mut of_greedy, &greedy));
        let second = batch(&greedy);
        assert!(!reads(&mut of_greedy, &greedy));
        assert!(reads(&mut of_other, &other), "it has nothing");
        drop(first);
        assert!(reads(&mut of_greedy, &greedy));
        let _others = [batch(&other), batch(&other)];
        assert!(!reads(&mut of_greedy, &greedy), "there is less left");
        drop(second);
        assert!(reads(&mut of_greedy, &greedy), "it has nothing");
    }

    #[tokio::test]
    async fn nobody_is_held_back_for_long_while_nothing_is_answered() {
        let [greedy, _] = connections();
        let _batch = Committing::new(Arc::clone(&greedy), MOST_BYTES);
        let mut held_back = HeldBack::default();
        assert!(!reads(&mut held_back, &greedy));
        let read = std::future::poll_fn(|cx| match held_back.may_read(&greedy.committing, cx) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        });
        read.await;
        assert!(
            reads(&mut held_back, &greedy),
            "until the committer goes on"
        );
        drop(Committing::new(Arc::clone(&greedy), 1));
        assert!(!reads(&mut held_back, &greedy));
    }
}
