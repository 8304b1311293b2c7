//! Admission: who may still come in, and until when.
//!
//! A request is counted before the phase is read, and a drain changes the phase before it reads the count: so once the
//! count is zero in phase `Stopping`, no request is inside.
//!
//! A request counts until its answer has gone to the kernel (see `answers`), and with the answer's bytes once they are
//! known: so what clients ask for and do not read is bounded by the same two limits as what is worked on. Bytes of
//! requests that are still arriving count as well (see `uploads`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use aidb_client::error::{refuse, status};
use aidb_client::pb::{self, ErrorCode};
use tokio::sync::Notify;
use tonic::Status;

use super::answers;
use super::clock::wall_ms;
use super::origin::Origin;
use super::shares::Shares;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting,
    Serving,
    Stopping,
}

/// What a client refused with BUSY is asked to wait.
const RETRY_AFTER_MS: u32 = 50;

pub struct Admission {
    phase: AtomicU8,
    in_flight: AtomicUsize,
    bytes: AtomicUsize,
    left: Notify,
    max_in_flight: usize,
    max_bytes: usize,
    shares: Shares,
}

impl Admission {
    pub fn new(max_in_flight: usize, max_bytes: usize) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            in_flight: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            left: Notify::new(),
            max_in_flight,
            max_bytes,
            shares: Shares::new(max_in_flight, max_bytes),
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Stopping,
        }
    }

    /// Phases only go forward: a grant that arrives during the drain opens nothing.
    pub fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
    }

    /// Requests inside, and the bytes that they and their answers hold.
    pub fn inside(&self) -> (usize, usize) {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        (in_flight, self.bytes.load(Ordering::Relaxed))
    }

    /// Lets a request of about `bytes` in, or says why not. It counts until its answer has left.
    pub fn admit(
        self: &Arc<Self>,
        from: Origin,
        header: Option<&pb::RequestHeader>,
        bytes: usize,
    ) -> Result<Admitted, Status> {
        self.admit_at(wall_ms(), from, header, bytes)
    }

    /// [`Admission::admit`] where the wall clock has been read: for many that came together.
    pub fn admit_at(
        self: &Arc<Self>,
        now_ms: u64,
        from: Origin,
        header: Option<&pb::RequestHeader>,
        bytes: usize,
    ) -> Result<Admitted, Status> {
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        let mut inside = Inside::new(self, from.peer, 1);
        match self.phase() {
            Phase::Starting => {
                return Err(refuse(
                    ErrorCode::Starting,
                    "this node is starting; retry in a moment",
                ));
            }
            Phase::Stopping => {
                return Err(refuse(
                    ErrorCode::ShuttingDown,
                    "this node leaves the cluster; retry elsewhere or later",
                ));
            }
            Phase::Serving => {}
        }
        if in_flight > self.max_in_flight {
            return Err(busy(format!("{in_flight} requests are in flight here")));
        }
        let deadline = Deadline {
            at_ms: deadline(header, from.timeout_ms, now_ms),
        };
        deadline.not_passed_at(now_ms)?;
        inside.enter(in_flight, bytes)?;
        Ok(Admitted {
            inside: Some(inside),
            deadline,
            at_ms: now_ms,
        })
    }

    /// Whether a request of `peer` would be refused whatever it asks for. Asked before its body is read: what a server
    /// spends on requests that it refuses, it lacks for those that it has let in.
    pub fn full_for(&self, peer: Option<SocketAddr>) -> bool {
        let in_flight = self.in_flight.load(Ordering::Relaxed) + 1;
        let bytes = self.bytes.load(Ordering::Relaxed);
        in_flight > self.max_in_flight
            || (self.shares.crowded(in_flight, bytes) && self.shares.full(peer))
    }

    /// Bytes that are held for `peer` beside its requests: none as yet.
    pub fn held(self: &Arc<Self>, peer: Option<SocketAddr>) -> Inside {
        Inside::new(self, peer, 0)
    }

    /// Waits until no request is inside; false when `grace` passed first.
    pub async fn drained(&self, grace: Duration) -> bool {
        let drained = async {
            loop {
                let left = self.left.notified();
                if self.in_flight.load(Ordering::SeqCst) == 0 {
                    return;
                }
                left.await;
            }
        };
        tokio::time::timeout(grace, drained).await.is_ok()
    }
}

/// A BUSY answer that says when to come back: soon.
pub fn busy(why: impl AsRef<str>) -> Status {
    busy_for(why, RETRY_AFTER_MS)
}

pub fn busy_for(why: impl AsRef<str>, retry_after_ms: u32) -> Status {
    status(pb::Error {
        code: ErrorCode::Busy.into(),
        message: format!("{}; retry after {retry_after_ms} ms", why.as_ref()),
        retryable: true,
        retry_after_ms,
        ..Default::default()
    })
}

/// A request inside, with its deadline. When its handler is done with it, it goes on counting with the answer.
pub struct Admitted {
    inside: Option<Inside>,
    pub deadline: Deadline,
    /// When, by the wall clock.
    pub at_ms: u64,
}

impl Admitted {
    /// By whose connection it came.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.inside.as_ref().and_then(|inside| inside.peer)
    }

    /// Counts the answer's bytes, for reads: BUSY when there is no room for them.
    pub fn answers(&mut self, bytes: usize) -> Result<(), Status> {
        self.inside
            .as_mut()
            .map_or(Ok(()), |inside| inside.grow(bytes))
    }

    /// For an answer that is there and waits to be sent.
    pub fn into_inside(mut self) -> Option<Inside> {
        self.inside.take()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(inside) = self.inside.take() {
            answers::hold(inside);
        }
    }
}

/// What one request or answer holds of the limits, until it is dropped.
pub struct Inside {
    admission: Arc<Admission>,
    /// 1, or 0 for bytes alone.
    requests: usize,
    bytes: usize,
    peer: Option<SocketAddr>,
    /// On the share of `peer`.
    booked: bool,
}

impl Inside {
    fn new(admission: &Arc<Admission>, peer: Option<SocketAddr>, requests: usize) -> Self {
        Self {
            admission: Arc::clone(admission),
            requests,
            bytes: 0,
            peer,
            booked: false,
        }
    }

    /// Makes it hold `bytes`, if that is more than it does; BUSY when they do not fit. One alone may be larger than all.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let in_flight = self.admission.in_flight.load(Ordering::Relaxed);
        self.enter(in_flight, bytes)
    }

    fn enter(&mut self, in_flight: usize, bytes: usize) -> Result<(), Status> {
        let admission = &self.admission;
        let more = bytes - self.bytes;
        let held = admission.bytes.fetch_add(more, Ordering::Relaxed) + more;
        let refused = if held > admission.max_bytes && held > bytes {
            Some(busy(format!("{held} bytes are in flight here")))
        } else if !self.booked && !admission.shares.crowded(in_flight, held) {
            None
        } else {
            let fits = if self.booked {
                admission.shares.grow(self.peer, more)
            } else {
                self.booked = admission.shares.enter(self.peer, bytes);
                self.booked
            };
            (!fits).then(|| {
                busy("this server is crowded, and this connection has its share of what is in flight")
            })
        };
        match refused {
            None => {
                self.bytes = bytes;
                Ok(())
            }
            Some(refused) => {
                admission.bytes.fetch_sub(more, Ordering::Relaxed);
                Err(refused)
            }
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let admission = &self.admission;
        if self.booked {
            admission.shares.leave(self.peer, self.bytes);
        }
        admission.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.requests > 0 && admission.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            admission.left.notify_waiters();
        }
    }
}

/// Deadlines beyond it are as good as this: not every timer and header can express them.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// By the wall clock; 0 = none.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub at_ms: u64,
}

impl Deadline {
    /// Refuses when it has passed.
    pub fn in_time(self) -> Result<(), Status> {
        match self.at_ms {
            0 => Ok(()),
            _ => self.not_passed_at(wall_ms()),
        }
    }

    fn not_passed_at(self, now_ms: u64) -> Result<(), Status> {
        if self.at_ms != 0 && now_ms >= self.at_ms {
            return Err(refuse(
                ErrorCode::DeadlineExceeded,
                "the deadline has passed; nothing was done",
            ));
        }
        Ok(())
    }

    /// What is left, None = no deadline.
    pub fn remaining(self) -> Option<Duration> {
        let left = || Duration::from_millis(self.at_ms.saturating_sub(wall_ms()));
        (self.at_ms != 0).then(|| left().min(LONGEST))
    }
}

/// The earlier of the header's absolute deadline and the transport's timeout; 0 = none.
fn deadline(header: Option<&pb::RequestHeader>, timeout: Option<u64>, now_ms: u64) -> u64 {
    let absolute = header.map_or(0, |header| header.deadline_unix_ms);
    match (absolute, timeout) {
        (absolute, None) => absolute,
        (0, Some(timeout)) => now_ms.saturating_add(timeout),
        (absolute, Some(timeout)) => absolute.min(now_ms.saturating_add(timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(max: usize) -> Arc<Admission> {
        let admission = Arc::new(Admission::new(max, 1000));
        admission.enter(Phase::Serving);
        admission
    }

    fn by(port: u16) -> Origin {
        Origin {
            peer: Some(([127, 0, 0, 1], port).into()),
            timeout_ms: None,
        }
    }

    fn code(refused: Result<Admitted, Status>) -> Option<ErrorCode> {
        refused
            .err()
            .map(|status| aidb_client::error::code_of(&status))
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let header = pb::RequestHeader {
            deadline_unix_ms: 1500,
            ..Default::default()
        };
        assert_eq!(deadline(Some(&header), None, 1000), 1500);
        assert_eq!(deadline(Some(&header), Some(200), 1000), 1200);
        assert_eq!(deadline(None, Some(200), 1000), 1200);
        assert_eq!(deadline(None, None, 1000), 0);
    }

    #[test]
    fn phases_decide_and_never_go_back() {
        let admission = Arc::new(Admission::new(10, 1000));
        assert_eq!(
            code(admission.admit(Origin::default(), None, 0)),
            Some(ErrorCode::Starting)
        );
        admission.enter(Phase::Serving);
        assert_eq!(code(admission.admit(Origin::default(), None, 0)), None);
        admission.enter(Phase::Stopping);
        admission.enter(Phase::Serving);
        assert_eq!(
            code(admission.admit(Origin::default(), None, 0)),
            Some(ErrorCode::ShuttingDown)
        );
    }

    #[test]
    fn load_beyond_the_limits_is_shed() {
        let admission = open(2);
        let first = admission.admit(Origin::default(), None, 5000).ok();
        assert!(
            first.is_some(),
            "one request alone may be larger than the limit"
        );
        assert_eq!(
            code(admission.admit(Origin::default(), None, 10)),
            Some(ErrorCode::Busy)
        );
        drop(first);
        let _held = (
            admission.admit(Origin::default(), None, 0).ok(),
            admission.admit(Origin::default(), None, 0).ok(),
        );
        assert_eq!(
            code(admission.admit(Origin::default(), None, 0)),
            Some(ErrorCode::Busy)
        );
    }

    #[test]
    fn a_passed_deadline_is_refused() {
        let header = pb::RequestHeader {
            deadline_unix_ms: 1,
            ..Default::default()
        };
        let refused = open(1).admit(Origin::default(), Some(&header), 0);
        assert_eq!(code(refused), Some(ErrorCode::DeadlineExceeded));
    }

    #[tokio::test]
    async fn a_drain_waits_for_the_last_request() {
        let admission = open(4);
        let held = admission.admit(Origin::default(), None, 0).ok();
        admission.enter(Phase::Stopping);
        assert!(!admission.drained(Duration::ZERO).await);
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.drained(Duration::from_secs(60)).await }
        });
        drop(held);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn a_polite_connection_is_served_beside_greedy_ones() {
        let admission = Arc::new(Admission::new(8192, 1 << 20));
        admission.enter(Phase::Serving);
        let admit = |port: u16| admission.admit(by(port), None, 0);
        let mut held: Vec<Admitted> = Vec::new();
        for greedy in 1..=8 {
            held.extend((0..4096).map_while(|_| admit(greedy).ok()));
        }
        let full = held.len();
        let mut served = 0;
        for turn in 0..4000 {
            served += usize::from(admit(99).is_ok());
            // Of the greedy ones' an answer leaves, and all of them have more to ask at once.
            held.swap_remove(turn * 31 % held.len());
            for greedy in 1..=8 {
                held.extend(admit(greedy).ok());
            }
        }
        assert_eq!(served, 4000);
        assert!(full > 8000 && held.len() > 6000, "{full}, {}", held.len());
        drop(held);
        let alone = admit(1).unwrap();
        assert!(alone.inside.as_ref().is_some_and(|inside| !inside.booked));
    }

    #[test]
    fn answers_count_and_a_connection_leaves_room_for_those_of_others() {
        let admission = open(1000);
        let answer = |port: u16, bytes: usize| {
            let mut admitted = admission.admit(by(port), None, 0)?;
            admitted.answers(bytes).map(|()| admitted)
        };
        let held: Vec<Admitted> = (0..100).map_while(|_| answer(1, 50).ok()).collect();
        assert_eq!(held.len(), 15, "half unseen, then half of the rest");
        let other: Vec<Admitted> = (0..100).map_while(|_| answer(2, 50).ok()).collect();
        assert!(other.len() > 1 && admission.bytes.load(Ordering::Relaxed) <= 1000);
        assert_eq!(code(answer(3, 5000)), Some(ErrorCode::Busy));
        drop((held, other));
        assert_eq!(admission.bytes.load(Ordering::Relaxed), 0);
        assert!(
            answer(3, 5000).is_ok(),
            "one alone may be larger than the limit"
        );
    }

    #[test]
    fn absurd_deadlines_are_long_ones() {
        let deadline = Deadline { at_ms: u64::MAX };
        assert_eq!(deadline.remaining(), Some(LONGEST));
        assert!(deadline.in_time().is_ok());
    }
}
