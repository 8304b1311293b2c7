//! Fairness between connections: what one connection may have in flight while a server is crowded.
//!
//! Up to half of the limits everybody is let in, unseen: the usual case costs one comparison. Beyond it a request is
//! booked on its connection, which may hold as much of that half as is left free ("dynamic threshold": Choudhury, Hahne
//! 1998). So the first takes a half of it at most, n that want all end with one part in n + 1 each, and one that comes
//! late finds room; whoever holds more than the others, because they have come since, gets nothing until it has drained.
//! (Queues by connection, served in turn, were rejected: they cost every request, crowded or not, and HTTP/2 already
//! holds back each connection at its limit of streams.)

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    requests: usize,
    bytes: usize,
}

/// What connections hold of the upper half. Without an address all count as one.
pub struct Shares {
    held: Mutex<ByPeer>,
    most: Held,
}

#[derive(Default)]
struct ByPeer {
    peers: HashMap<Option<SocketAddr>, Held>,
    all: Held,
}

impl Held {
    /// Whether a connection that holds `own` may have a request of `bytes` more when so much is free.
    fn fit(self, own: &Self, bytes: usize) -> bool {
        own.requests < self.requests && own.bytes + bytes <= self.bytes
    }
}

impl ByPeer {
    fn free(&self, most: Held) -> Held {
        Held {
            requests: most.requests.saturating_sub(self.all.requests),
            bytes: most.bytes.saturating_sub(self.all.bytes),
        }
    }
}

impl Shares {
    /// Of a server that admits so many requests and bytes in all.
    pub fn new(max_in_flight: usize, max_bytes: usize) -> Self {
        Self {
            held: Mutex::default(),
            most: Held {
                requests: max_in_flight.div_ceil(2),
                bytes: max_bytes.div_ceil(2),
            },
        }
    }

    /// Whether the server is so full, the new request included, that connections are told apart.
    pub fn crowded(&self, in_flight: usize, bytes: usize) -> bool {
        in_flight > self.most.requests || bytes > self.most.bytes
    }

    /// Whether `peer` holds all that it may, so that not even an empty request would be booked.
    pub fn full(&self, peer: Option<SocketAddr>) -> bool {
        let held = self.lock();
        let Some(own) = held.peers.get(&peer) else {
            return false;
        };
        own.requests > 0 && !held.free(self.most).fit(own, 0)
    }

    /// Books a request; false when its connection holds its share already. One alone is always within it.
    pub fn enter(&self, peer: Option<SocketAddr>, bytes: usize) -> bool {
        let mut held = self.lock();
        let free = held.free(self.most);
        let own = held.peers.entry(peer).or_default();
        if own.requests > 0 && !free.fit(own, bytes) {
            return false;
        }
        own.requests += 1;
        own.bytes += bytes;
        held.all.requests += 1;
        held.all.bytes += bytes;
        true
    }

    /// Books more bytes of a request that is booked; false when its connection holds its share already.
    pub fn grow(&self, peer: Option<SocketAddr>, more: usize) -> bool {
        let mut held = self.lock();
        let free = self.most.bytes.saturating_sub(held.all.bytes);
        let own = held.peers.entry(peer).or_default();
        if own.requests > 1 && own.bytes + more > free {
            return false;
        }
        own.bytes += more;
        held.all.bytes += more;
        true
    }

    /// The end of a request that was booked.
    pub fn leave(&self, peer: Option<SocketAddr>, bytes: usize) {
        let mut held = self.lock();
        held.all.requests -= 1;
        held.all.bytes -= bytes;
        if let Some(own) = held.peers.get_mut(&peer) {
            own.requests -= 1;
            own.bytes -= bytes;
            if own.requests == 0 {
                held.peers.remove(&peer);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByPeer> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Option<SocketAddr> {
        Some(([127, 0, 0, 1], port).into())
    }

    fn take(shares: &Shares, port: u16, bytes: usize) -> usize {
        (0..1000)
            .take_while(|_| shares.enter(peer(port), bytes))
            .count()
    }

    #[test]
    fn whoever_comes_finds_room_and_who_holds_more_gives_way() {
        let shares = Shares::new(240, 1 << 20);
        assert!(!shares.crowded(120, 0) && shares.crowded(121, 0) && shares.crowded(1, 1 << 20));
        assert_eq!(take(&shares, 1, 0), 60);
        assert_eq!(take(&shares, 2, 0), 30);
        let held = |port| shares.lock().peers[&peer(port)].requests;
        while !shares.enter(peer(1), 0) {
            shares.leave(peer(1), 0);
            take(&shares, 2, 0);
        }
        assert!(
            held(1).abs_diff(held(2)) <= 1,
            "{} and {}",
            held(1),
            held(2)
        );
    }

    #[test]
    fn bytes_are_divided_too() {
        let shares = Shares::new(1000, 800);
        assert_eq!(take(&shares, 1, 50), 4);
        assert!(
            shares.enter(peer(2), 10_000),
            "one request may be larger than a share"
        );
        assert!(!shares.enter(peer(2), 0));
    }

    #[test]
    fn who_holds_nothing_is_forgotten() {
        let shares = Shares::new(10, 10);
        for port in 1..100 {
            assert!(shares.enter(peer(port), 0));
            shares.leave(peer(port), 0);
        }
        assert!(shares.lock().peers.is_empty());
        assert_eq!(take(&shares, 1, 0), 3);
    }
}
