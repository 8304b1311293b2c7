//! YCSB A-F (Cooper et al. 2010), one client, Zipfian choice: A half updates, B 5 % updates, C reads only, D reads of the
//! newest beside 5 % inserts, E short scans beside 5 % inserts, F reads beside reads that write back.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::engines::Engine;
use crate::keys::{Zipf, key, value};
use crate::workloads::{Run, timed};

pub const ROWS: [&str; 6] = ["ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f"];
const LONGEST_SCAN: usize = 100;

pub fn run(run: &Run<'_>, db: &dyn Engine) {
    run.load(db);
    db.settle();
    let zipf = Zipf::new(run.keys);
    let mut keys = run.keys;
    for name in ROWS {
        let mut random = SmallRng::seed_from_u64(9);
        let value = value(&mut random, run.value_bytes);
        let operations = if name == "ycsb-e" {
            run.keys / 10
        } else {
            run.keys
        };
        run.measure(name, operations, |latencies| {
            for _ in 0..operations {
                let rare = random.random_range(0..100) < 5;
                let half = random.random_bool(0.5);
                let chosen = key(zipf.scattered(&mut random));
                let newest = key(keys - 1 - zipf.rank(&mut random).min(keys - 1));
                let length = random.random_range(1..=LONGEST_SCAN);
                timed(latencies, || match name {
                    "ycsb-a" if half => db.put(&chosen, &value),
                    "ycsb-b" if rare => db.put(&chosen, &value),
                    "ycsb-d" | "ycsb-e" if rare => {
                        db.put(&key(keys), &value);
                        keys += 1;
                    }
                    "ycsb-d" => assert!(db.get(&newest)),
                    "ycsb-e" => assert!(db.scan(Some(&chosen), length, false) > 0),
                    "ycsb-f" if half => {
                        assert!(db.get(&chosen));
                        db.put(&chosen, &value);
                    }
                    _ => assert!(db.get(&chosen)),
                });
            }
        });
    }
}
