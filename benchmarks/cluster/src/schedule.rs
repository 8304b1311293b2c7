//! A fixed schedule of arrivals. An operation's latency counts from when it was due, whether or not the generator or the
//! server was ready for it then: a stall is felt by everything that was due in it (no coordinated omission).

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Instant,
    every_ns: f64,
}

impl Schedule {
    /// `per_second` arrivals, evenly, the first at `start`.
    pub fn new(start: Instant, per_second: f64) -> Self {
        Self {
            start,
            every_ns: 1e9 / per_second,
        }
    }

    /// When arrival `number` is due.
    pub fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_nanos((number as f64 * self.every_ns) as u64)
    }

    /// How many arrivals are due at `now`.
    pub fn arrived(&self, now: Instant) -> u64 {
        match now.checked_duration_since(self.start) {
            Some(since) => (since.as_nanos() as f64 / self.every_ns) as u64 + 1,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_even_and_none_is_left_out_after_a_stall() {
        let start = Instant::now() + Duration::from_secs(1);
        let schedule = Schedule::new(start, 1000.0);
        assert_eq!(schedule.arrived(start - Duration::from_nanos(1)), 0);
        assert_eq!(schedule.arrived(start), 1);
        assert_eq!(schedule.due(5), start + Duration::from_millis(5));
        assert_eq!(schedule.arrived(start + Duration::from_secs(2)), 2001);
    }
}
