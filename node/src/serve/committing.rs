//! Batches that a serving thread has handed to the committer, by connection: while there are many, who sent them is not read.
//!
//! A batch that waits for the committer is memory, and memory that grows costs more than the batch itself: with eight
//! thousand of them waiting instead of some hundred, a server did a third as much. To refuse them was rejected: a refusal
//! costs little beside a batch, but its client comes again. So the sum of what waits is bounded: while the bound is reached
//! nobody is read, and before that not who has as much of it as is left free (the rule of `shares`). HTTP/2's flow control
//! holds clients back meanwhile.
//!
//! Whoever is held back waits for a turn: when half of the bound is free again, the first is woken, and it wakes the next
//! when it has read what there was, or as much as a connection reads at a time. What a connection has read is begun before
//! the next one looks at the bound, as the runtime's queue is first in, first out: so all of them together overrun the bound by one
//! turn. (Reading from everybody who had no batch here was rejected: of 64 connections each read 20 batches beyond the bound.
//! So was waking all at once: all read before anything of it was begun.) Nobody waits forever: a connection that is read passes
//! the turn on whenever it finds nothing to read, and if nobody is read, nothing ends, and `PATIENCE` passes.
//!
//! Only the committer's work is waited for, never an archive or another node; and for `PATIENCE` at most while it answers
//! nothing to anybody: a disk that stands still stops no reads that come by the same connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::connection::Connection;

/// Of one serving thread: two groups of the committer, one that it works on and one that waits.
const MOST_BYTES: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_millis(300);

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
    /// Batches that are not with the committer any more.
    static ENDED: Cell<u64> = const { Cell::new(0) };
    /// Those that are held back. One that was read meanwhile keeps its place: a turn that it has no use for is passed on.
    static WAITING: RefCell<VecDeque<(Arc<Connection>, Waker)>> = const { RefCell::new(VecDeque::new()) };
}

/// The next one that is held back may look whether it is read.
pub fn pass_on() {
    if BYTES.get() >= MOST_BYTES {
        return;
    }
    // Woken outside of the borrow: a waker may be the last to hold its task.
    let next = WAITING.with_borrow_mut(VecDeque::pop_front);
    if let Some((connection, waker)) = next {
        connection.committing.waits.store(false, Ordering::Relaxed);
        waker.wake();
    }
}

/// What one connection has with the committer.
#[derive(Default)]
pub struct Own {
    bytes: AtomicUsize,
    /// In the queue of those that are held back.
    waits: AtomicBool,
}

impl Own {
    /// Its connection ends.
    pub fn ends(&self) {
        if self.waits.load(Ordering::Relaxed) {
            let others =
                |(waiting, _): &(Arc<Connection>, Waker)| !std::ptr::eq(&waiting.committing, self);
            WAITING.with_borrow_mut(|all| all.retain(others));
        }
        pass_on();
    }

    fn has_its_share(&self) -> bool {
        let own = self.bytes.load(Ordering::Relaxed);
        own >= MOST_BYTES.saturating_sub(BYTES.get())
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
        let before = BYTES.get();
        let after = before.saturating_sub(self.bytes);
        BYTES.set(after);
        ENDED.set(ENDED.get().wrapping_add(1));
        let own = &self.connection.committing;
        own.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        if before > MOST_BYTES / 2 && after <= MOST_BYTES / 2 {
            pass_on();
        }
    }
}

/// Of a connection that is not read: how many batches had ended, and until when it is not read if no more do.
#[derive(Default)]
pub struct HeldBack(Option<(u64, Pin<Box<Sleep>>)>);

impl HeldBack {
    /// Whether the connection is to be read. If not, it is polled again when it has its turn, and when one of its batches has
    /// been answered, as its answer has to be written.
    pub fn may_read(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> bool {
        let own = &connection.committing;
        if !own.has_its_share() {
            self.0 = None;
            return true;
        }
        let ended = ENDED.get();
        if self.0.as_ref().is_none_or(|(since, _)| *since != ended) {
            self.0 = Some((ended, Box::pin(sleep(PATIENCE))));
        }
        let patient = match &mut self.0 {
            Some((_, patience)) => patience.as_mut().poll(cx).is_pending(),
            None => false,
        };
        if patient && !own.waits.swap(true, Ordering::Relaxed) {
            let waiting = (Arc::clone(connection), cx.waker().clone());
            WAITING.with_borrow_mut(|all| all.push_back(waiting));
        }
        !patient
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::super::connection::Connections;
    use super::*;

    fn connections() -> [Arc<Connection>; 2] {
        let all = Arc::new(Connections::new(2, Duration::from_secs(600)));
        [1, 2].map(|port| all.enter(([127, 0, 0, 1], port).into()).unwrap())
    }

    fn reads(held_back: &mut HeldBack, connection: &Arc<Connection>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        held_back.may_read(connection, &mut cx)
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
        let others = [batch(&other), batch(&other)];
        assert!(!reads(&mut of_greedy, &greedy), "there is less left");
        drop(second);
        assert!(reads(&mut of_greedy, &greedy), "it has nothing");
        let _third = batch(&other);
        let _fourth = batch(&other);
        assert!(!reads(&mut of_greedy, &greedy), "nothing is left");
        drop(others);
    }

    #[derive(Default)]
    struct Turn(AtomicBool);

    impl Wake for Turn {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    impl Turn {
        fn came(&self) -> bool {
            self.0.swap(false, Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn turns_come_one_after_another_when_half_is_free() {
        let all = Arc::new(Connections::new(4, Duration::from_secs(600)));
        let enter = |port| all.enter(([127, 0, 0, 1], port).into()).unwrap();
        let busy = enter(1);
        let batch = |bytes| Committing::new(Arc::clone(&busy), bytes);
        let (half, rest) = (batch(MOST_BYTES / 2), batch(MOST_BYTES / 2));
        let waiting = [2, 3, 4].map(enter);
        let mut held_back = [const { HeldBack(None) }; 3];
        let turns: [Arc<Turn>; 3] = Default::default();
        for _ in 0..2 {
            for ((connection, held), turn) in waiting.iter().zip(&mut held_back).zip(&turns) {
                let waker = Waker::from(Arc::clone(turn));
                assert!(!held.may_read(connection, &mut Context::from_waker(&waker)));
            }
        }
        let came = || turns.each_ref().map(|turn| turn.came());
        pass_on();
        assert_eq!(came(), [false; 3]);
        drop(rest);
        assert_eq!(came(), [true, false, false]);
        waiting[1].committing.ends();
        assert_eq!(came(), [false, false, true], "the second is gone");
        pass_on();
        assert_eq!(came(), [false; 3], "each waits once");
        drop(half);
    }

    #[tokio::test]
    async fn nobody_is_held_back_for_long_while_nothing_is_answered() {
        let [greedy, _] = connections();
        let _batch = Committing::new(Arc::clone(&greedy), MOST_BYTES);
        let mut held_back = HeldBack::default();
        assert!(!reads(&mut held_back, &greedy));
        let read = std::future::poll_fn(|cx| match held_back.may_read(&greedy, cx) {
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
