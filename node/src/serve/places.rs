//! Places for streams that stay: scans, pipelines, watches, subscriptions. Each costs memory for as long as its client
//! likes, so their number is bounded; and one connection gets at most as many as it leaves free (see `shares`), so that
//! others find room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::shares::Shares;

pub struct Places {
    most: usize,
    taken: AtomicUsize,
    shares: Shares,
}

impl Places {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
            // It divides the upper half of what it is told.
            shares: Shares::new(2 * most, 0),
        }
    }

    /// A place until it is dropped; None when all are taken, or `peer` has its share.
    pub fn take(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<Place> {
        let booked = self.shares.enter(peer, 0);
        let free = booked && self.taken.fetch_add(1, Ordering::Relaxed) < self.most;
        // What was counted is counted off by the drop.
        let place = booked.then(|| Place {
            places: Arc::clone(self),
            peer,
        });
        place.filter(|_| free)
    }
}

pub struct Place {
    places: Arc<Places>,
    peer: Option<SocketAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        self.places.shares.leave(self.peer, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(places: &Arc<Places>, port: u16) -> Vec<Place> {
        let peer = Some(([127, 0, 0, 1], port).into());
        std::iter::from_fn(|| places.take(peer)).collect()
    }

    #[test]
    fn one_connection_leaves_room_and_all_together_stay_within_the_limit() {
        let places = Arc::new(Places::new(64));
        let first = take(&places, 1);
        assert_eq!(first.len(), 32);
        assert_eq!(take(&places, 2).len(), 16);
        let others: Vec<Place> = (2..200).flat_map(|port| take(&places, port)).collect();
        assert_eq!(others.len(), 32);
        drop(first);
        assert_eq!(take(&places, 1).len(), 32);
    }
}
