//! One fill per key at a time: reads of a key that is being fetched wait for that answer instead of asking again.
//!
//! The first is the leader, the others follow. When a leader ends without an answer (its caller went away, or its call
//! failed) the followers learn it at once and go on by themselves: a failure is never shared, because the followers'
//! deadlines and tokens are their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::coherence::Answer;

type Landing = watch::Receiver<Option<Arc<Answer>>>;

#[derive(Default)]
pub struct Flights {
    /// By physical key.
    under_way: Mutex<HashMap<Box<[u8]>, Flight>>,
}

struct Flight {
    started_ns: u64,
    landing: Landing,
}

pub enum Boarding<'a> {
    Lead(Leader<'a>),
    Follow(Follower),
}

pub struct Leader<'a> {
    flights: &'a Flights,
    key: Box<[u8]>,
    sender: watch::Sender<Option<Arc<Answer>>>,
}

pub struct Follower {
    /// The answer shows a state no older than this.
    pub started_ns: u64,
    landing: Landing,
}

impl Flights {
    pub fn board(&self, key: &[u8], now_ns: u64) -> Boarding<'_> {
        let mut under_way = self.lock();
        if let Some(flight) = under_way.get(key) {
            return Boarding::Follow(Follower {
                started_ns: flight.started_ns,
                landing: flight.landing.clone(),
            });
        }
        let (sender, landing) = watch::channel(None);
        under_way.insert(
            key.into(),
            Flight {
                started_ns: now_ns,
                landing,
            },
        );
        Boarding::Lead(Leader {
            flights: self,
            key: key.into(),
            sender,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Flight>> {
        self.under_way
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Leader<'_> {
    pub fn land(self, answer: Arc<Answer>) {
        self.sender.send_replace(Some(answer));
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

impl Follower {
    /// The leader's answer; None when it has none.
    pub async fn landed(mut self) -> Option<Arc<Answer>> {
        let landed = self.landing.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }
}

#[cfg(test)]
mod tests {
    use aidb_client::Position;

    use super::*;

    fn lead<'a>(flights: &'a Flights, key: &[u8]) -> Leader<'a> {
        match flights.board(key, 5) {
            Boarding::Lead(leader) => leader,
            Boarding::Follow(_) => panic!("there should be no flight under way"),
        }
    }

    fn follow(flights: &Flights, key: &[u8]) -> Follower {
        match flights.board(key, 9) {
            Boarding::Lead(_) => panic!("there should be a flight under way"),
            Boarding::Follow(follower) => follower,
        }
    }

    #[tokio::test]
    async fn followers_share_the_leaders_answer() {
        let flights = Flights::default();
        let leader = lead(&flights, b"k");
        let follower = follow(&flights, b"k");
        assert_eq!(follower.started_ns, 5);
        drop(lead(&flights, b"other"));
        let position = Position { epoch: 1, lsn: 7 };
        leader.land(Arc::new(Answer {
            value: None,
            version: 0,
            expires_at_ms: 0,
            position,
        }));
        assert_eq!(
            follower.landed().await.map(|answer| answer.position),
            Some(position)
        );
        drop(lead(&flights, b"k"));
    }

    #[tokio::test]
    async fn without_an_answer_they_go_on_by_themselves() {
        let flights = Flights::default();
        let leader = lead(&flights, b"k");
        let follower = follow(&flights, b"k");
        drop(leader);
        assert!(follower.landed().await.is_none());
    }
}
