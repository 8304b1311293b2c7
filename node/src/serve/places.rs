//! Places for what costs memory as long as its client likes: open calls of any kind, and of those that stay for long
//! (scans, pipelines, watches, subscriptions) fewer. Their number is bounded; and one connection gets at most as many as
//! it leaves free (see `shares`), so that others find room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::shares::Shares;

pub struct Places {
    most: usize,
    /// So many are given unseen, without asking whose they are.
    unseen: usize,
    taken: AtomicUsize,
    shares: Shares,
}

impl Places {
    /// Fair from the first one on: for few places that are held for long.
    pub fn new(most: usize) -> Self {
        Self::with(most, 0)
    }

    /// Fair from the middle on: for many places that are taken often.
    pub fn many(most: usize) -> Self {
        Self::with(most, most / 2)
    }

    fn with(most: usize, unseen: usize) -> Self {
        Self {
            most,
            unseen,
            taken: AtomicUsize::new(0),
            // It divides the upper half of what it is told.
            shares: Shares::new(2 * (most - unseen), 0),
        }
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A place until it is dropped; None when all are taken, or `peer` has its share.
    pub fn take(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<Place> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        // What is counted is counted off by the drop.
        let mut place = Place {
            places: Arc::clone(self),
            peer,
            booked: false,
        };
        if taken < self.unseen {
            return Some(place);
        }
        place.booked = taken < self.most && self.shares.enter(peer, 0);
        place.booked.then_some(place)
    }
}

pub struct Place {
    places: Arc<Places>,
    peer: Option<SocketAddr>,
    /// On the share of `peer`.
    booked: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if self.booked {
            self.places.shares.leave(self.peer, 0);
        }
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
        assert_eq!(take(&places, 1).len(), 16, "half of what the others leave");
    }

    #[test]
    fn where_there_are_many_only_the_upper_half_is_divided() {
        let places = Arc::new(Places::many(64));
        let first = take(&places, 1);
        assert_eq!(first.len(), 48);
        assert_eq!(take(&places, 2).len(), 8);
        drop(first);
        assert_eq!(take(&places, 3).len(), 48);
    }
}
