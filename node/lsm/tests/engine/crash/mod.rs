//! Power failures at any call to the file system, also while a store recovers from the last one: what
//! is left is a prefix of commit order that holds everything promised, it opens, and it is whole.
//!
//! `make evidence-engine` runs the long version: `AIDB_ROUNDS` crashes from `AIDB_SEED`.

mod defects;
mod life;
mod tally;

use rand::Rng;

use crate::support::random;
use life::{Defect, Life};
use tally::Tally;

/// Rounds of the ordinary run.
const ROUNDS: u64 = 60;

/// Lives of stores one after the other, most of them beginning with what a crash left of the last.
fn run(rounds: u64, name: &str, defect: Option<Defect>, enough: impl Fn(&Tally) -> bool) -> Tally {
    let mut random = random(name);
    let mut tally = Tally::default();
    let mut next = Life::new(&mut random);
    while tally.rounds < rounds && !enough(&tally) {
        let left = next.run(defect, rounds - tally.rounds, &mut random, &mut tally);
        next = match left {
            Some(life) if random.random_range(0..6) > 0 => life,
            _ => Life::new(&mut random),
        };
    }
    tally
}

#[test]
fn a_power_failure_leaves_a_prefix_with_everything_promised() {
    let rounds = std::env::var("AIDB_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let tally = run(rounds, "power failures", None, |_| false);
    println!("sum {tally}");
    assert_eq!(tally.violations, 0);
    assert_eq!(tally.lost_group, 0);
    assert!(
        tally.did_damage(),
        "the crashes did too little damage: {tally}"
    );
}
