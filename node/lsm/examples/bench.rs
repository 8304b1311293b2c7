//! Figures for one machine: `cargo run --release -p aidb-lsm --example bench [keys]`.
//! Prints operations per second and CPU time of the whole process per operation.

use std::time::Instant;

use aidb_lsm::{Batch, Direction, Op, Options, Range, Store, SyncMode};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const VALUE_BYTES: usize = 100;

fn main() {
    let keys: u64 = std::env::args()
        .nth(1)
        .and_then(|keys| keys.parse().ok())
        .unwrap_or(1_000_000);
    let dir = std::env::temp_dir().join(format!("aidb-bench-{}", std::process::id()));
    let open = |sync| {
        let options = Options {
            sync,
            ..Options::default()
        };
        Store::open(&dir, options).expect("open")
    };
    let mut random = SmallRng::seed_from_u64(1);
    let value = vec![7; VALUE_BYTES];

    let store = open(SyncMode::None);
    measure("fill random, batches of 100, sync none", keys, || {
        for _ in 0..keys / 100 {
            let ops: Vec<Op> = (0..100)
                .map(|_| Op::put(key(random.random_range(0..keys)), value.clone()))
                .collect();
            store.write(ops.into()).expect("write");
        }
    });
    measure("fill in order, batches of 100, sync none", keys, || {
        for first in (0..keys).step_by(100) {
            let ops: Vec<Op> = (first..first + 100)
                .map(|number| Op::put(key(number), value.clone()))
                .collect();
            store.write(ops.into()).expect("write");
        }
    });
    measure("close", 1, || store.close().expect("close"));

    let store = open(SyncMode::Group);
    measure("put one by one, sync group, 1 writer", 2_000, || {
        (0..2_000).for_each(|number| put(&store, number, &value));
    });
    measure("put one by one, sync group, 32 writers", 32_000, || {
        std::thread::scope(|scope| {
            for writer in 0..32 {
                let (store, value) = (&store, &value);
                scope.spawn(move || {
                    (0..1_000).for_each(|number| put(store, writer * 1_000 + number, value));
                });
            }
        });
    });
    measure("read random", keys, || {
        for _ in 0..keys {
            let read = store.get(&key(random.random_range(0..keys)));
            assert!(read.expect("get").entry.is_some());
        }
    });
    for direction in [Direction::Forward, Direction::Reverse] {
        measure(&format!("scan {direction:?}"), keys, || {
            let snapshot = store.snapshot();
            let scan = snapshot.scan(Range::all(), direction).expect("scan");
            assert_eq!(scan.count() as u64, keys);
        });
    }
    measure("compact", 1, || store.compact().expect("compact"));
    measure("read random, compacted", keys, || {
        for _ in 0..keys {
            let read = store.get(&key(random.random_range(0..keys)));
            assert!(read.expect("get").entry.is_some());
        }
    });
    println!("{:#?}", store.stats());
    drop(store);
    std::fs::remove_dir_all(&dir).expect("remove");
}

fn put(store: &Store, number: u64, value: &[u8]) {
    let batch: Batch = vec![Op::put(key(number), value.to_vec())].into();
    store.write(batch).expect("write");
}

fn key(number: u64) -> Vec<u8> {
    format!("{number:016}").into_bytes()
}

fn measure(name: &str, operations: u64, body: impl FnOnce()) {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    body();
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let operations = operations as f64;
    println!(
        "{name}: {:.0} per second, {:.2} CPU-us each",
        operations / wall,
        cpu * 1e6 / operations
    );
}

/// User and system time of the process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
    };
    (ticks(12).unwrap_or(0.0) + ticks(13).unwrap_or(0.0)) / 100.0
}
