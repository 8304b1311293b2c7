//! Connections that were refused, told now and then: anybody can cause as many as he likes.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EACH: Duration = Duration::from_secs(10);

pub struct Refusals {
    tell: Box<dyn Fn(String) + Send + Sync>,
    since: Mutex<Since>,
}

/// What was not told yet.
#[derive(Default)]
struct Since {
    told: Option<Instant>,
    count: u64,
}

impl Refusals {
    pub fn new(tell: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            since: Mutex::default(),
        }
    }

    pub fn note(&self, peer: SocketAddr, why: &str) {
        if let Some(count) = self.due(Instant::now()) {
            let others = match count {
                1 => String::new(),
                _ => format!(", and {} more since the last such line", count - 1),
            };
            (self.tell)(format!(
                "a connection from {peer} was refused: {why}{others}"
            ));
        }
    }

    /// How many refusals a line that is due tells of.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.count += 1;
        if since.told.is_some_and(|told| now < told + EACH) {
            return None;
        }
        since.told = Some(now);
        Some(std::mem::take(&mut since.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_makes_one_line_in_a_while() {
        let refusals = Refusals::new(|_| ());
        let now = Instant::now();
        assert_eq!(refusals.due(now), Some(1));
        assert!((0..1000).all(|_| refusals.due(now).is_none()));
        assert_eq!(refusals.due(now + EACH), Some(1001));
    }
}
