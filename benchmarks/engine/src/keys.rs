//! Keys and values: 16-byte decimal keys, incompressible values, a Zipfian choice.

use rand::rngs::SmallRng;
use rand::{Rng, RngCore};

pub fn key(number: u64) -> Vec<u8> {
    format!("{number:016}").into_bytes()
}

/// Between the keys: never written.
pub fn missing(number: u64) -> Vec<u8> {
    format!("{number:016}x").into_bytes()
}

pub fn value(random: &mut SmallRng, bytes: usize) -> Vec<u8> {
    let mut value = vec![0; bytes];
    random.fill_bytes(&mut value);
    value
}

/// Zipfian ranks with exponent 0.99, scattered over the keys (Gray et al. 1994, as YCSB has it).
pub struct Zipf {
    count: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

const THETA: f64 = 0.99;

impl Zipf {
    pub fn new(count: u64) -> Zipf {
        let zeta = |n: u64| (1..=n).map(|rank| (rank as f64).powf(-THETA)).sum::<f64>();
        let all = zeta(count);
        Zipf {
            count,
            alpha: 1.0 / (1.0 - THETA),
            zeta: all,
            eta: (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - zeta(2) / all),
        }
    }

    pub fn rank(&self, random: &mut SmallRng) -> u64 {
        let uniform: f64 = random.random();
        let scaled = uniform * self.zeta;
        let rank = if scaled < 1.0 {
            0
        } else if scaled < 1.0 + 0.5_f64.powf(THETA) {
            1
        } else {
            (self.count as f64 * (self.eta * uniform - self.eta + 1.0).powf(self.alpha)) as u64
        };
        rank.min(self.count - 1)
    }

    pub fn scattered(&self, random: &mut SmallRng) -> u64 {
        self.rank(random).wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.count
    }
}
