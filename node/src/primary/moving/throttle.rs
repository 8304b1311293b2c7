//! Backpressure on the slots that move (M4): when the target's lag does not shrink, their writers get half of the bytes a
//! second that the target has shown it takes, so that every move ends whoever writes how much. Pure.
//!
//! The limit is in bytes a second of all writers together. Rejected: a delay of each write, which does not bound many
//! writers of large batches, and says nothing until it has been doubled ten times; and lifting it as soon as the target
//! has caught up: while the move is compared and archived the writers are back, and it has to begin anew.

/// Writers are never held to less, bytes a second: a target that takes nothing is no reason to stop them.
const LEAST: u64 = 16 << 10;
/// A limit of more than this is none.
const MOST: u64 = 64 << 20;
/// A lag below this limits nobody who is not limited yet.
const HARMLESS_MS: u64 = 500;
/// A target that is no further behind has caught up. Below what it calls ready, so that it gets there.
const CAUGHT_UP_MS: u64 = 20;
/// How long a lag is watched before it is judged.
const LOOK_MS: u64 = 1000;

/// How much may be written to the slots of one move.
#[derive(Debug, Default)]
pub struct Throttle {
    /// Bytes a second.
    limit: Option<u64>,
    looked_at_ms: u64,
    behind_ms: u64,
    taken: u64,
}

impl Throttle {
    /// The target is `behind_ms` at `now_ms`, and has been given `taken` bytes so far; the limit from now on.
    pub fn observe(&mut self, behind_ms: u64, taken: u64, now_ms: u64) -> Option<u64> {
        let passed = match self.looked_at_ms {
            0 => LOOK_MS,
            looked_at => now_ms.saturating_sub(looked_at),
        };
        if passed < LOOK_MS {
            return self.limit;
        }
        if self.looked_at_ms > 0 {
            let rate = taken.saturating_sub(self.taken).saturating_mul(1000) / passed;
            // Shrinking is to lose at least a tenth of the time that passes.
            let shrinks = behind_ms + passed / 10 <= self.behind_ms;
            self.limit = match self.limit {
                Some(limit) if behind_ms <= CAUGHT_UP_MS => Some(limit + limit / 8),
                limit if shrinks => limit,
                None if behind_ms < HARMLESS_MS => None,
                None => Some((rate / 2).max(LEAST)),
                // What was written before the limit is on its way for a while: its age says little about the limit.
                Some(limit) => Some((limit / 2).max(rate / 4).clamp(LEAST, limit)),
            };
            self.limit = self.limit.filter(|limit| *limit <= MOST);
        }
        (self.looked_at_ms, self.behind_ms, self.taken) = (now_ms, behind_ms, taken);
        self.limit
    }
}

/// Who has written how much beyond a limit. Bytes are owed, and paid as time passes; whoever comes waits until nothing is.
#[derive(Debug, Default)]
pub struct Debt {
    bytes: u64,
    since_ms: u64,
}

impl Debt {
    /// How long a write has to wait at that limit, in ms, at most `patience_ms`; from then on it counts. None: it would be
    /// longer, and the write does not count.
    pub fn add(&mut self, bytes: u64, limit: u64, now_ms: u64, patience_ms: u64) -> Option<u64> {
        let wait_ms = self.wait_ms(limit, now_ms);
        if wait_ms > patience_ms {
            return None;
        }
        self.bytes += bytes;
        Some(wait_ms)
    }

    /// How long a write would have to wait, in ms.
    pub fn wait_ms(&mut self, limit: u64, now_ms: u64) -> u64 {
        let paid = u128::from(now_ms.saturating_sub(self.since_ms)) * u128::from(limit) / 1000;
        self.bytes = self
            .bytes
            .saturating_sub(u64::try_from(paid).unwrap_or(u64::MAX));
        self.since_ms = now_ms;
        self.bytes.saturating_mul(1000) / limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const TICK_MS: u64 = 100;

    /// Writers that would write `written` bytes a second to a move whose target takes `takes`.
    #[derive(Default)]
    struct Race {
        throttle: Throttle,
        limit: Option<u64>,
        /// Written and not taken: when, and how much.
        waiting: VecDeque<(u64, u64)>,
        taken: u64,
        now_ms: u64,
    }

    impl Race {
        /// The lag after one more tick.
        fn tick(&mut self, written: u64, takes: u64) -> u64 {
            self.now_ms += TICK_MS;
            let rate = self.limit.map_or(written, |limit| limit.min(written));
            self.waiting.push_back((self.now_ms, rate / 10));
            let mut room = takes / 10;
            while let Some((_, bytes)) = self.waiting.front_mut() {
                let part = room.min(*bytes);
                *bytes -= part;
                room -= part;
                self.taken += part;
                if *bytes > 0 {
                    break;
                }
                self.waiting.pop_front();
            }
            let oldest = self.waiting.front();
            let behind_ms = oldest.map_or(0, |(at, _)| self.now_ms + TICK_MS - at);
            self.limit = self.throttle.observe(behind_ms, self.taken, self.now_ms);
            behind_ms
        }

        /// The seconds until the target has been at most `behind_ms` behind for `seconds`.
        fn is_level_after(
            &mut self,
            behind_ms: u64,
            seconds: u64,
            written: u64,
            takes: u64,
        ) -> Option<u64> {
            let (begin, mut since) = (self.now_ms, self.now_ms);
            while self.now_ms < begin + 600_000 {
                if self.tick(written, takes) > behind_ms {
                    since = self.now_ms;
                }
                if self.now_ms >= since + seconds * 1000 {
                    return Some((since - begin) / 1000);
                }
            }
            None
        }
    }

    #[test]
    fn a_lag_that_shrinks_by_itself_limits_nobody() {
        let mut throttle = Throttle::default();
        for tick in 0..40 {
            assert_eq!(
                throttle.observe(20_000 - tick * 100, tick << 20, 1 + tick * 250),
                None
            );
        }
    }

    #[test]
    fn nobody_is_limited_whom_the_target_keeps_up_with() {
        let mut race = Race::default();
        for _ in 0..1000 {
            race.tick(1 << 20, 2 << 20);
            assert_eq!(race.limit, None);
        }
    }

    /// Long enough to be compared, archived and fenced.
    #[test]
    fn whoever_writes_more_than_the_target_takes_is_limited_until_it_has_stayed_level() {
        for takes in [64 << 10, 400 << 10, 16 << 20] {
            for times in [2, 10, 100] {
                let after = Race::default().is_level_after(500, 20, takes * times, takes);
                let most = 10 + 8 * times;
                assert!(
                    after.is_some_and(|seconds| seconds <= most),
                    "{takes} bytes a second, {times} times as much written: {after:?} s"
                );
            }
        }
    }

    #[test]
    fn writers_get_a_good_part_of_what_the_target_takes() {
        let (mut race, takes) = (Race::default(), 400 << 10);
        race.is_level_after(500, 20, 4 << 20, takes);
        let before = race.taken;
        for _ in 0..600 {
            race.tick(4 << 20, takes);
        }
        let share = (race.taken - before) as f64 / (60 * takes) as f64;
        assert!(share > 0.4, "{share}");
    }

    #[test]
    fn the_limit_goes_again_when_nobody_writes_much() {
        let mut race = Race::default();
        race.is_level_after(500, 5, 4 << 20, 400 << 10);
        assert!(race.limit.is_some());
        for _ in 0..1000 {
            race.tick(1000, 400 << 10);
        }
        assert_eq!(race.limit, None);
    }

    #[test]
    fn debts_are_paid_by_time() {
        let mut debt = Debt::default();
        assert_eq!(
            debt.add(5000, 1000, 1, 0),
            Some(0),
            "the first does not wait"
        );
        assert_eq!(debt.add(1000, 1000, 1, 4999), None, "it would be 5 s");
        assert_eq!(debt.add(1000, 1000, 1001, 4000), Some(4000));
        assert_eq!(
            debt.wait_ms(1000, 1001),
            5000,
            "the one that was refused owes nothing"
        );
        assert_eq!(debt.wait_ms(2000, 1001), 2500, "at another limit");
        assert_eq!(debt.wait_ms(1000, 60_000), 0);
        assert_eq!(debt.add(1, 1000, 60_000, 0), Some(0));
    }
}
