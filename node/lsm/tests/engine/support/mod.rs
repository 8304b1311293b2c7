pub mod fault_io;
pub mod history;
pub mod options;
pub mod reference;
pub mod steps;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aidb_lsm::{Clock, Direction, Op, Options, Range, Snapshot, Store};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use fault_io::{FaultIo, Loss, Lost};

pub type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Everything small, so that a few hundred writes pass through every level.
pub fn small(io: &FaultIo) -> Options {
    Options {
        memtable_bytes: 16 << 10,
        cache_bytes: 64 << 10,
        block_bytes: 256,
        segment_bytes: 8 << 10,
        file_bytes: 4 << 10,
        l0_compact_at: 2,
        level_base_bytes: 16 << 10,
        level_ratio: 4,
        log_retention: Duration::ZERO,
        tail_bytes: 16 << 10,
        io: Arc::new(io.clone()),
        ..Options::default()
    }
}

pub fn dir() -> &'static Path {
    Path::new("/store")
}

pub fn open(io: &FaultIo) -> Store {
    Store::open(dir(), small(io)).unwrap()
}

pub fn put(store: &Store, key: &str, value: &str) -> u64 {
    let batch = vec![Op::put(key, value.to_owned())];
    store.write(batch.into()).unwrap().lsn
}

pub fn delete(store: &Store, key: &str) -> u64 {
    store.write(vec![Op::delete(key)].into()).unwrap().lsn
}

pub fn get(store: &Store, key: &str) -> Option<String> {
    let entry = store.get(key.as_bytes()).unwrap().entry;
    entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// Everything a snapshot shows, read in both directions.
pub fn contents(snapshot: &Snapshot) -> aidb_lsm::Result<Model> {
    let scan = |direction| {
        let scan = snapshot.scan(Range::all(), direction)?;
        scan.map(|item| item.map(|(key, entry)| (key.to_vec(), entry.value.to_vec())))
            .collect::<aidb_lsm::Result<Vec<_>>>()
    };
    let forward = scan(Direction::Forward)?;
    let mut reverse = scan(Direction::Reverse)?;
    reverse.reverse();
    assert_eq!(forward, reverse);
    assert!(forward.is_sorted_by(|a, b| a.0 < b.0));
    Ok(forward.into_iter().collect())
}

/// Random numbers from `AIDB_SEED`, or from a new seed, which is printed.
pub fn random(test: &str) -> StdRng {
    let seed = match std::env::var("AIDB_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    };
    eprintln!("{test}: AIDB_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// A wall clock that the test moves.
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub fn new(now_ms: u64) -> ManualClock {
        ManualClock(Arc::new(AtomicU64::new(now_ms)))
    }

    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
