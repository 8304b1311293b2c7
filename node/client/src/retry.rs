//! Waits between attempts of background work: doubling, bounded, random, so that a herd does not come back in step.

use std::time::Duration;

pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// Between half of the present step and all of it; the step doubles.
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.longest);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It worked: begin anew.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(10), ms(35));
        for step in [10, 20, 35, 35] {
            let wait = backoff.wait();
            assert!(
                (ms(step) / 2..=ms(step)).contains(&wait),
                "{wait:?} for {step}"
            );
        }
        backoff.reset();
        assert!(backoff.wait() <= ms(10));
    }
}
