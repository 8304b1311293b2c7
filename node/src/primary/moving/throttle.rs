//! Backpressure on the slots that move (M4): when the target's lag does not shrink, their writers are slowed until it
//! does, so that every move ends. Pure.

const LEAST_MS: u64 = 1;
const MOST_MS: u64 = 500;
/// A lag below this slows nobody who is not slowed yet.
const HARMLESS_MS: u64 = 500;
/// A target that is no further behind has caught up. Below what it calls ready, so that it gets there.
const CAUGHT_UP_MS: u64 = 20;
/// How long a lag is watched before it is judged.
const LOOK_MS: u64 = 1000;

/// How long each write of the moving slots is held back, in ms.
#[derive(Debug, Default)]
pub struct Throttle {
    delay_ms: u64,
    looked_at_ms: u64,
    behind_ms: u64,
}

impl Throttle {
    /// The target is `behind_ms` at `now_ms`; the delay from now on.
    pub fn observe(&mut self, behind_ms: u64, now_ms: u64) -> u64 {
        if self.looked_at_ms == 0 {
            (self.looked_at_ms, self.behind_ms) = (now_ms, behind_ms);
        }
        let passed = now_ms.saturating_sub(self.looked_at_ms);
        if self.delay_ms == 0 && behind_ms < HARMLESS_MS {
            // Nobody is slowed who need not be.
        } else if passed >= LOOK_MS {
            // Shrinking is to lose at least a tenth of the time that passes.
            let shrinks = behind_ms + passed / 10 <= self.behind_ms;
            self.delay_ms = match (behind_ms <= CAUGHT_UP_MS, shrinks) {
                // A move catches up several times before its end. Dropping the delay at once had each time begin anew.
                (true, _) => self.delay_ms / 2,
                (false, true) => self.delay_ms,
                (false, false) => (self.delay_ms * 2).clamp(LEAST_MS, MOST_MS),
            };
        }
        if passed >= LOOK_MS {
            (self.looked_at_ms, self.behind_ms) = (now_ms, behind_ms);
        }
        self.delay_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many seconds a target is at most 100 ms behind, that applies a record in the time in which the writers of
    /// its source write `ratio`, but for the delay; each of them a record a ms.
    fn catches_up_after(ratio: f64) -> Option<u64> {
        let (mut throttle, mut lag, mut delay) = (Throttle::default(), 5000.0, 0);
        for tick in 1..=6000 {
            let written = 100.0 / (1.0 + delay as f64);
            lag = f64::max(lag + written - 100.0 / ratio, 0.0);
            delay = throttle.observe(lag as u64, tick * 100);
            if lag <= 100.0 {
                return Some(tick / 10);
            }
        }
        None
    }

    #[test]
    fn a_lag_that_shrinks_by_itself_slows_nobody() {
        let mut throttle = Throttle::default();
        let delays: Vec<u64> = (0..40)
            .map(|tick| throttle.observe(20_000 - tick * 100, 1 + tick * 250))
            .collect();
        assert!(delays.iter().all(|delay| *delay == 0), "{delays:?}");
    }

    #[test]
    fn whoever_writes_faster_than_the_target_applies_is_slowed_until_it_catches_up() {
        for ratio in [1.5, 2.0, 4.0, 10.0] {
            let after = catches_up_after(ratio);
            assert!(
                after.is_some_and(|seconds| seconds < 400),
                "{ratio}: {after:?}"
            );
        }
    }

    #[test]
    fn a_target_that_has_caught_up_ends_it_bit_by_bit() {
        let mut throttle = Throttle::default();
        for tick in 1..10 {
            throttle.observe(5000, tick * 1000);
        }
        let most = throttle.observe(5000, 11_000);
        assert_eq!(throttle.observe(0, 12_000), most / 2);
        let last = (13..24).map(|second| throttle.observe(0, second * 1000));
        assert_eq!(last.last(), Some(0));
    }

    /// A move catches up, is compared and archived meanwhile, and has to catch up again.
    #[test]
    fn catching_up_again_takes_less_than_the_first_time() {
        let (mut throttle, mut lag, mut delay) = (Throttle::default(), 5000.0, 0);
        let mut seconds = |from: u64| {
            for tick in from..from + 6000 {
                lag = f64::max(lag + 100.0 / (1.0 + delay as f64) - 100.0 / 4.0, 0.0);
                delay = throttle.observe(lag as u64, tick * 100);
                if tick > from + 20 && lag <= 100.0 {
                    return tick - from;
                }
            }
            u64::MAX
        };
        let first = seconds(1);
        let again = seconds(1 + first);
        assert!(again < first / 2, "{again} {first} tenths of a second");
    }
}
