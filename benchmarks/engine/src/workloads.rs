//! The rows. Each group opens a directory of its own and removes it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::engines::{self, Engine, Settings};
use crate::keys::{key, missing, value};
use crate::measure::{Row, histogram, record, row, space};
use crate::ycsb;

pub struct Run<'a> {
    pub engine: &'a str,
    pub dir: &'a Path,
    pub keys: u64,
    pub value_bytes: usize,
    /// Rows whose names begin with one of these; all when empty.
    pub only: &'a [String],
    pub emit: &'a (dyn Fn(&Row, u64) + Sync),
}

pub const CACHED: Settings = Settings {
    cache_bytes: 1 << 30,
    memtable_bytes: 16 << 20,
    sync: false,
};
/// A small part of the data; the operating system still has the files in memory.
const UNCACHED: Settings = Settings {
    cache_bytes: 4 << 20,
    ..CACHED
};
const SYNCED: Settings = Settings {
    sync: true,
    ..CACHED
};

const FILLS: [&str; 2] = ["fillrandom", "overwrite"];
const READS: [&str; 9] = [
    "readrandom",
    "readmissing",
    "multiget64",
    "seek10",
    "seek100",
    "seekback10",
    "seekback100",
    "readseq",
    "readreverse",
];
const UNCACHED_READS: [&str; 2] = ["readrandom-uncached", "readmissing-uncached"];

impl Run<'_> {
    pub fn all(&self) {
        self.fresh("fillseq", &["fillseq"], &CACHED, |db| {
            self.fill("fillseq", db, |_, n| n)
        });
        self.fresh("fillbatch", &["fillbatch100"], &CACHED, |db| {
            self.fill_batches(db)
        });
        let loaded: Vec<&str> =
            [&FILLS[..], &READS, &UNCACHED_READS, &["readwhilewriting"]].concat();
        if self.wants(&loaded) {
            self.load_and_read();
        }
        for (name, writers, each) in [
            ("fillsync-1", 1, 1000),
            ("fillsync-8", 8, 400),
            ("fillsync-64", 64, 150),
        ] {
            self.fresh(name, &[name], &SYNCED, |db| {
                self.fill_synced(name, db, writers, each)
            });
        }
        self.fresh("ycsb", &ycsb::ROWS, &CACHED, |db| ycsb::run(self, db));
    }

    pub fn wants(&self, rows: &[&str]) -> bool {
        let wanted = |row: &&str| self.only.iter().any(|only| row.starts_with(only.as_str()));
        self.only.is_empty() || rows.iter().any(wanted)
    }

    /// Measures the row if it was asked for.
    pub fn measure(&self, name: &str, operations: u64, body: impl FnOnce(&mut Histogram<u64>)) {
        if self.wants(&[name]) {
            (self.emit)(&row(name, operations, body), space(self.dir));
        }
    }

    fn fresh(&self, dir: &str, rows: &[&str], settings: &Settings, body: impl FnOnce(&dyn Engine)) {
        if self.wants(rows) {
            let path = self.dir.join(dir);
            body(engines::open(self.engine, &path, settings).as_ref());
            std::fs::remove_dir_all(&path).expect("remove");
        }
    }

    fn random(&self) -> SmallRng {
        SmallRng::seed_from_u64(1)
    }

    fn fill(&self, name: &str, db: &dyn Engine, number: impl Fn(&mut SmallRng, u64) -> u64) {
        let mut random = self.random();
        let value = value(&mut random, self.value_bytes);
        self.measure(name, self.keys, |latencies| {
            for n in 0..self.keys {
                let key = key(number(&mut random, n));
                timed(latencies, || db.put(&key, &value));
            }
        });
    }

    fn fill_batches(&self, db: &dyn Engine) {
        let mut random = self.random();
        let value = value(&mut random, self.value_bytes);
        self.measure("fillbatch100", self.keys, |latencies| {
            for _ in 0..self.keys / 100 {
                let mut item = || (key(random.random_range(0..self.keys)), value.clone());
                let items: Vec<_> = (0..100).map(|_| item()).collect();
                timed(latencies, || db.put_batch(&items));
            }
        });
    }

    pub fn load(&self, db: &dyn Engine) {
        let value = value(&mut self.random(), self.value_bytes);
        // A permutation: every key once, in no order.
        let scattered = |n: u64| n.wrapping_mul(7_919) % self.keys;
        for first in (0..self.keys).step_by(100) {
            let last = (first + 100).min(self.keys);
            let items: Vec<_> = (first..last)
                .map(|n| (key(scattered(n)), value.clone()))
                .collect();
            db.put_batch(&items);
        }
    }

    fn load_and_read(&self) {
        let path = self.dir.join("loaded");
        {
            let db = engines::open(self.engine, &path, &CACHED);
            let anywhere = |random: &mut SmallRng, _| random.random_range(0..self.keys);
            self.fill("fillrandom", &*db, anywhere);
            self.fill("overwrite", &*db, anywhere);
            self.load(&*db);
            db.settle();
            assert_eq!(db.scan(None, usize::MAX, false) as u64, self.keys);
            self.read(&*db);
        }
        if self.wants(&UNCACHED_READS) {
            let db = engines::open(self.engine, &path, &UNCACHED);
            self.get("readrandom-uncached", &*db, key, true);
            self.get("readmissing-uncached", &*db, missing, false);
        }
        if self.wants(&["readwhilewriting"]) {
            self.read_while_writing(&*engines::open(self.engine, &path, &CACHED));
        }
        std::fs::remove_dir_all(&path).expect("remove");
    }

    fn read(&self, db: &dyn Engine) {
        self.get("readrandom", db, key, true);
        self.get("readmissing", db, missing, false);
        let mut random = self.random();
        self.measure("multiget64", self.keys / 64 * 64, |latencies| {
            for _ in 0..self.keys / 64 {
                let keys: Vec<_> = (0..64)
                    .map(|_| key(random.random_range(0..self.keys)))
                    .collect();
                assert_eq!(timed(latencies, || db.get_many(&keys)), 64);
            }
        });
        for (name, length, reverse) in [
            ("seek10", 10, false),
            ("seek100", 100, false),
            ("seekback10", 10, true),
            ("seekback100", 100, true),
        ] {
            let seeks = self.keys / length as u64 / 2;
            self.measure(name, seeks, |latencies| {
                for _ in 0..seeks {
                    let margin = length as u64;
                    let start = key(random.random_range(margin..self.keys - margin));
                    assert_eq!(
                        timed(latencies, || db.scan(Some(&start), length, reverse)),
                        length
                    );
                }
            });
        }
        for (name, reverse) in [("readseq", false), ("readreverse", true)] {
            self.measure(name, 4 * self.keys, |latencies| {
                for _ in 0..4 {
                    let count = timed(latencies, || db.scan(None, usize::MAX, reverse));
                    assert_eq!(count as u64, self.keys);
                }
            });
        }
    }

    fn get(&self, name: &str, db: &dyn Engine, key: impl Fn(u64) -> Vec<u8>, found: bool) {
        let mut random = self.random();
        self.measure(name, self.keys, |latencies| {
            for _ in 0..self.keys {
                let key = key(random.random_range(0..self.keys));
                assert_eq!(timed(latencies, || db.get(&key)), found);
            }
        });
    }

    /// Reads beside a writer held to 20,000 puts each second, so that all engines bear the same.
    fn read_while_writing(&self, db: &dyn Engine) {
        const PUTS_PER_MS: u64 = 20;
        let stop = AtomicBool::new(false);
        let value = value(&mut self.random(), self.value_bytes);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = SmallRng::seed_from_u64(2);
                let (begin, mut done) = (Instant::now(), 0);
                while !stop.load(Ordering::Relaxed) {
                    if done >= begin.elapsed().as_millis() as u64 * PUTS_PER_MS {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    db.put(&key(random.random_range(0..self.keys)), &value);
                    done += 1;
                }
            });
            self.get("readwhilewriting", db, key, true);
            stop.store(true, Ordering::Relaxed);
        });
    }

    fn fill_synced(&self, name: &str, db: &dyn Engine, writers: u64, each: u64) {
        let value = value(&mut self.random(), self.value_bytes);
        self.measure(name, writers * each, |latencies| {
            std::thread::scope(|scope| {
                let value = &value;
                let write = move |writer: u64| {
                    let mut latencies = histogram();
                    for n in 0..each {
                        timed(&mut latencies, || db.put(&key(writer * each + n), &value));
                    }
                    latencies
                };
                let threads: Vec<_> = (0..writers)
                    .map(|writer| scope.spawn(move || write(writer)))
                    .collect();
                for thread in threads {
                    *latencies += thread.join().expect("a writer");
                }
            });
        });
    }
}

pub fn timed<T>(latencies: &mut Histogram<u64>, call: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = call();
    record(latencies, begin.elapsed());
    result
}
