//! When a read that takes long is sent to a second member too, and how often that may be. No I/O; times are seconds.
//!
//! The Python client decides by the same rules (`aidb/hedging.py` states them); `tests/routing_cases.json` holds both to
//! them.

/// Answers before a read is hedged.
const SAMPLES: u64 = 20;
/// No read is hedged earlier.
const LEAST: f64 = 0.001;
// The estimate stands still where one answer in twenty takes longer.
const UP: f64 = 1.095;
const DOWN: f64 = 0.995;

/// A running estimate of the 95th percentile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantile {
    samples: u64,
    value: f64,
}

impl Quantile {
    /// One more answer took `seconds`.
    pub fn add(&mut self, seconds: f64) {
        self.samples += 1;
        if self.samples == 1 {
            self.value = seconds;
        } else {
            self.value *= if seconds > self.value { UP } else { DOWN };
        }
    }

    pub fn value(&self) -> f64 {
        self.value
    }

    /// After how long a read may be hedged; None: too few answers are known.
    pub fn delay(&self) -> Option<f64> {
        (self.samples >= SAMPLES).then(|| self.value.max(LEAST))
    }
}

/// Each read earns a part of a hedge; at most `burst` are saved up. It begins empty.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    extra: f64,
    burst: f64,
    saved: f64,
}

impl Budget {
    pub fn new(extra: f64, burst: f64) -> Self {
        Self {
            extra,
            burst,
            saved: 0.0,
        }
    }

    /// A read begins.
    pub fn called(&mut self) {
        self.saved = self.burst.min(self.saved + self.extra);
    }

    /// Takes one hedge; false when there is none.
    pub fn spend(&mut self) -> bool {
        let allowed = self.saved >= 1.0;
        if allowed {
            self.saved -= 1.0;
        }
        allowed
    }
}
