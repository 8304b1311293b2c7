//! From the rounds to tables. A ratio is the median, over the rounds, of one case's CPU time of a key by the other's of the
//! same round: what else the machine does hits both.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cases::{Case, Limit};
use crate::measure::Measured;

#[derive(Default)]
pub struct Results {
    /// By case, one of each round.
    rounds: BTreeMap<String, Vec<Measured>>,
}

impl Results {
    pub fn add(&mut self, case: &str, measured: Measured) {
        self.rounds
            .entry(case.to_owned())
            .or_default()
            .push(measured);
    }

    pub fn median(&self, case: &str, of: impl Fn(&Measured) -> f64) -> f64 {
        let rounds = self.rounds.get(case).map_or(&[][..], Vec::as_slice);
        median(rounds.iter().map(of).collect())
    }

    pub fn server_us(&self, case: &str) -> f64 {
        self.median(case, Measured::server_us)
    }

    fn ratio(&self, case: &str, against: &str) -> f64 {
        let (Some(ours), Some(theirs)) = (self.rounds.get(case), self.rounds.get(against)) else {
            return f64::NAN;
        };
        let pairs = ours.iter().zip(theirs);
        median(pairs.map(|(a, b)| a.server_us() / b.server_us()).collect())
    }

    pub fn table(&self, cases: &[Case]) -> String {
        let mut table = String::from(
            "| case | server CPU-µs per key | compared with | ratio | target | | client CPU-µs | keys/s | p50 µs | p99 µs |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for case in cases
            .iter()
            .filter(|case| self.rounds.contains_key(&case.name))
        {
            let name = &case.name;
            let us = self.server_us(name);
            let ratio = case
                .against
                .as_ref()
                .map(|against| self.ratio(name, against));
            let (target, met) = judged(case.limit, us, ratio.unwrap_or(f64::NAN));
            let _ = writeln!(
                table,
                "| {name} | {us:.2} | {} | {} | {target} | {met} | {:.2} | {:.0} | {:.0} | {:.0} |",
                case.against.as_deref().unwrap_or(""),
                ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
                self.median(name, Measured::client_us),
                self.median(name, |run| run.tally.keys as f64 / run.seconds),
                self.median(name, |run| run.tally.quantile(0.5)),
                self.median(name, |run| run.tally.quantile(0.99)),
            );
        }
        table
    }
}

/// As all tables say it.
pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

/// The target in words, and whether it is met.
fn judged(limit: Limit, us: f64, ratio: f64) -> (String, &'static str) {
    let (target, met) = match limit {
        Limit::None => return (String::new(), ""),
        Limit::Times(most) => (format!("at most {most}"), ratio <= most),
        Limit::Micros(most) => (format!("at most {most} µs"), us <= most),
        Limit::Fold(least) => (format!("at most 1/{least}"), ratio <= 1.0 / least),
    };
    (target, verdict(met))
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Tally;

    fn run(cpu_us: u64) -> Measured {
        Measured {
            tally: Tally {
                keys: 1,
                ..Tally::default()
            },
            seconds: 1.0,
            server_cpu: Duration::from_micros(cpu_us),
            client_cpu: Duration::ZERO,
        }
    }

    #[test]
    fn ratios_are_medians_of_pairs() {
        let mut results = Results::default();
        for (ours, theirs) in [(20, 10), (90, 30), (8, 8)] {
            results.add("ours", run(ours));
            results.add("theirs", run(theirs));
        }
        assert_eq!(results.ratio("ours", "theirs"), 2.0);
        assert_eq!(results.server_us("ours"), 20.0);
        assert!(results.ratio("ours", "nobody").is_nan());
    }

    #[test]
    fn targets_are_judged() {
        assert_eq!(judged(Limit::Times(1.2), 9.0, 1.2).1, "met");
        assert_eq!(judged(Limit::Times(1.2), 9.0, 1.21).1, "**missed**");
        assert_eq!(judged(Limit::Times(1.2), 9.0, f64::NAN).1, "**missed**");
        assert_eq!(judged(Limit::Micros(2.0), 2.5, 1.0).1, "**missed**");
        assert_eq!(judged(Limit::Fold(10.0), 2.5, 0.09).1, "met");
    }
}
