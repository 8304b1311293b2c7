//! Cut files and flipped bits: an error or a prefix that was promised, never a panic, never a wrong
//! answer.

use std::path::{Path, PathBuf};

use aidb_lsm::{Direction, Error, Options, Range, Store};
use rand::Rng;

use crate::support::{FaultIo, Model, contents, dir, get, open, put, random, small};

const RECORDS: u64 = 20;

fn one_segment(io: &FaultIo) -> Options {
    Options {
        segment_bytes: 4 << 10,
        memtable_bytes: 1 << 20,
        ..small(io)
    }
}

/// A store with `RECORDS` records in one log segment; and where each record ends in it.
fn log_only() -> (FaultIo, PathBuf, Vec<usize>) {
    let io = FaultIo::default();
    let store = Store::open(dir(), one_segment(&io)).unwrap();
    for number in 1..=RECORDS {
        put(
            &store,
            &format!("key{number}"),
            &"v".repeat(number as usize),
        );
    }
    let frames = store.records_after(0, usize::MAX).unwrap();
    let mut end = 0;
    let ends = frames.iter().map(|record| {
        end += 24 + record.encoded().len();
        end
    });
    let ends = ends.collect();
    store.close().unwrap();
    let path = dir().join("log/0000000000000001.log");
    (io, path, ends)
}

fn open_copy(io: &FaultIo, path: &Path, data: Vec<u8>) -> aidb_lsm::Result<Store> {
    let copy = io.image();
    copy.replace(path, data);
    Store::open(dir(), one_segment(&copy))
}

fn is_prefix(store: &Store, count: u64) {
    assert_eq!(store.visible_lsn(), count);
    let expected: Model = (1..=count)
        .map(|number| {
            let value = "v".repeat(number as usize);
            (format!("key{number}").into_bytes(), value.into_bytes())
        })
        .collect();
    assert_eq!(contents(&store.snapshot()).unwrap(), expected);
}

#[test]
fn a_log_cut_at_any_byte_gives_the_whole_records_before() {
    let (io, path, ends) = log_only();
    let data = io.read(&path);
    for cut in 0..=ends[ends.len() - 1] {
        let store = open_copy(&io, &path, data[..cut].to_vec()).unwrap();
        is_prefix(
            &store,
            ends.iter().filter(|end| **end <= cut).count() as u64,
        );
    }
}

#[test]
fn a_log_torn_in_the_middle_of_a_write_gives_the_whole_records_before() {
    let (io, path, ends) = log_only();
    let data = io.read(&path);
    for cut in ends[ends.len() - 2]..ends[ends.len() - 1] {
        let mut torn = data.clone();
        torn[cut..].fill(0);
        is_prefix(&open_copy(&io, &path, torn).unwrap(), RECORDS - 1);
    }
}

#[test]
fn a_flipped_bit_in_the_log_is_found() {
    let (io, path, ends) = log_only();
    let data = io.read(&path);
    let mut random = random("flipped log");
    let last = ends.len() - 1;
    for at in 0..ends[last] {
        let mut flipped = data.clone();
        flipped[at] ^= 1 << random.random_range(0..8);
        let before = ends.iter().filter(|end| **end <= at).count();
        match open_copy(&io, &path, flipped) {
            Err(Error::Corruption { file, .. }) => assert_eq!(file, path),
            Err(other) => panic!("{other}"),
            // Only where no later record proves that it had been synced.
            Ok(store) => {
                assert!(before >= last, "byte {at}");
                is_prefix(&store, before as u64);
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_the_log_of_a_running_store_is_found() {
    let io = FaultIo::default();
    let options = Options {
        memtable_bytes: 1 << 20,
        ..small(&io)
    };
    let store = Store::open(dir(), options).unwrap();
    for number in 0..100 {
        put(&store, &number.to_string(), &"v".repeat(200));
    }
    let mut random = random("flipped running log");
    let paths = io.paths();
    let logs = paths
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(".log"));
    let mut tried = 0;
    for path in logs {
        let data = io.read(path);
        // Zeros follow the last record.
        let end = data.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for at in (0..end).step_by(11) {
            let mut flipped = data.clone();
            flipped[at] ^= 1 << random.random_range(0..8);
            io.replace(path, flipped);
            let damage = store.verify().unwrap().damage;
            assert_eq!(damage.len(), 1, "byte {at} of {}", path.display());
            tried += 1;
        }
        io.replace(path, data);
    }
    assert_eq!(store.verify().unwrap().damage, []);
    assert!(tried > 1000, "only {tried} flips were tried");
}

#[test]
fn a_missing_segment_is_found() {
    let io = FaultIo::default();
    let options = || Options {
        memtable_bytes: 1 << 20,
        ..small(&io)
    };
    let store = Store::open(dir(), options()).unwrap();
    for number in 0..200 {
        put(&store, &number.to_string(), &"v".repeat(200));
    }
    store.close().unwrap();
    let segments = io.paths();
    let segments = segments
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(".log"));
    let second = segments.clone().nth(1).unwrap();
    assert!(segments.count() > 3);
    aidb_lsm::io::Io::remove(&io, second).unwrap();
    let opened = Store::open(dir(), options());
    assert!(matches!(opened, Err(Error::Corruption { .. })));
}

/// A store whose data is in tables of several levels.
fn tables() -> (FaultIo, Model) {
    let io = FaultIo::default();
    let store = open(&io);
    for number in 0..120 {
        put(
            &store,
            &format!("key{:03}", number % 80),
            &format!("{number:050}"),
        );
        if number == 60 {
            store.compact().unwrap();
        }
    }
    store.flush().unwrap();
    let model = contents(&store.snapshot()).unwrap();
    store.close().unwrap();
    (io, model)
}

fn answers_are_right_or_errors(store: &Store, model: &Model) {
    for (key, value) in model {
        if let Ok(read) = store.get(key) {
            assert_eq!(
                read.entry.map(|entry| entry.value.to_vec()).as_ref(),
                Some(value)
            );
        }
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        let snapshot = store.snapshot();
        for item in snapshot.scan(Range::all(), direction).unwrap() {
            let Ok((key, entry)) = item else { break };
            assert_eq!(entry.value, model[&key.to_vec()]);
        }
    }
}

#[test]
fn a_flipped_bit_in_a_table_is_found() {
    let (io, model) = tables();
    let mut random = random("flipped table");
    let mut found = 0;
    let paths = io.paths();
    for path in paths
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(".sst"))
    {
        let data = io.read(path);
        for at in 0..data.len() {
            let mut flipped = data.clone();
            flipped[at] ^= 1 << random.random_range(0..8);
            let copy = io.image();
            copy.replace(path, flipped);
            match Store::open(dir(), small(&copy)) {
                Err(Error::Corruption { .. } | Error::NewerFormat { .. }) => found += 1,
                Err(other) => panic!("{other}"),
                Ok(store) => {
                    answers_are_right_or_errors(&store, &model);
                    let damage = store.verify().unwrap().damage;
                    assert!(
                        !damage.is_empty() && damage.iter().all(|found| found.file == *path),
                        "byte {at}: {damage:?}"
                    );
                    assert!(store.stats().poisoned.is_some());
                    found += 1;
                }
            }
        }
    }
    assert!(found > 1000, "only {found} flips were tried");
}

#[test]
fn a_table_cut_short_is_found() {
    let (io, _) = tables();
    let paths = io.paths();
    let is_table = |path: &&PathBuf| path.to_string_lossy().ends_with(".sst");
    for path in paths.iter().filter(is_table) {
        let data = io.read(path);
        for cut in 0..data.len() {
            let copy = io.image();
            copy.replace(path, data[..cut].to_vec());
            let opened = Store::open(dir(), small(&copy));
            assert!(
                matches!(opened, Err(Error::Corruption { .. })),
                "cut at {cut}"
            );
        }
    }
}

#[test]
fn a_manifest_cut_or_flipped_never_gives_wrong_answers() {
    let (io, model) = tables();
    let path = dir().join("MANIFEST");
    let data = io.read(&path);
    let mut refused = 0;
    let mut check = |data: Vec<u8>| {
        let copy = io.image();
        copy.replace(&path, data);
        match Store::open(dir(), small(&copy)) {
            Ok(store) => assert_eq!(contents(&store.snapshot()).unwrap(), model),
            Err(Error::Corruption { .. } | Error::NotAStore { .. } | Error::NewerFormat { .. }) => {
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    };
    for at in 0..data.len() {
        check(data[..at].to_vec());
        for bit in 0..8 {
            let mut flipped = data.clone();
            flipped[at] ^= 1 << bit;
            check(flipped);
        }
    }
    assert!(refused > 4 * data.len(), "{refused} of {}", 9 * data.len());
}

#[test]
fn a_damaged_store_serves_what_is_whole() {
    let (io, _) = tables();
    let paths = io.paths();
    let path = paths
        .iter()
        .rfind(|path| path.to_string_lossy().ends_with(".sst"))
        .unwrap();
    let mut data = io.read(path);
    data[10] ^= 1;
    io.replace(path, data);
    let store = open(&io);
    let key = |number: u32| format!("key{number:03}");
    let bad = (0..80).find(|number| store.get(key(*number).as_bytes()).is_err());
    assert!(bad.is_some());
    assert!((0..80).any(|number| store.get(key(number).as_bytes()).is_ok()));
    let refused = store.write(vec![aidb_lsm::Op::put("new", "value")].into());
    assert!(matches!(refused, Err(Error::Poisoned(_))));
    assert_eq!(get(&store, "new"), None);
}
