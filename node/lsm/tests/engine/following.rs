//! An archive that follows the log gets every record, however late; a store that applies them becomes the same.

use std::path::Path;

use aidb_lsm::{Error, LogRecord, Op, Options, Range, Store};
use rand::Rng;

use crate::support::{FaultIo, Loss, contents, delete, dir, put, random, small};

const NO_LIMIT: u64 = 1 << 40;

fn archived(io: &FaultIo, limit: u64) -> Store {
    let options = Options {
        archive_lag_bytes: Some(limit),
        tail_bytes: 2 << 10,
        ..small(io)
    };
    Store::open(dir(), options).unwrap()
}

fn follow(store: &Store, mut at: u64, max_bytes: usize) -> Vec<LogRecord> {
    let mut found = Vec::new();
    while at < store.synced_lsn() {
        let records = store.log_after(at, max_bytes).unwrap();
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record.previous_lsn, at);
            at = record.lsn;
            found.push(LogRecord::clone(&record));
        }
    }
    found
}

#[test]
fn the_log_stays_until_it_is_archived() {
    let io = FaultIo::default();
    let store = archived(&io, NO_LIMIT);
    store.begin_epoch(1).unwrap();
    for number in 0..400 {
        put(&store, &format!("k{number}"), &"v".repeat(100));
    }
    store.flush().unwrap();
    assert!(
        store.records_after(0, 1).is_err(),
        "memory still has it all"
    );
    let all = follow(&store, 0, 3000);
    assert_eq!(all.len(), 401);
    assert!(store.unarchived_bytes() > 400 * 100);
    store.close().unwrap();

    // A restart keeps it as well; once archived, it goes.
    let store = archived(&io, NO_LIMIT);
    assert_eq!(follow(&store, 0, 3000), all);
    store.archived(store.synced_lsn(), store.unarchived_bytes());
    for number in 0..400 {
        put(&store, &format!("k{number}"), &"v".repeat(100));
        store.archived(store.synced_lsn(), u64::MAX);
    }
    store.flush().unwrap();
    put(&store, "wake", "the preparer");
    let gone = || matches!(store.log_after(0, 1), Err(Error::Gap { .. }));
    while !gone() {
        std::thread::yield_now();
    }
    assert_eq!(store.unarchived_bytes() / 200, 0);
}

#[test]
fn writers_are_refused_when_the_archive_is_too_far_behind() {
    let store = archived(&FaultIo::default(), 20 << 10);
    let write = |number: u32| {
        let op = Op::put(format!("k{number}"), vec![7; 1 << 10]);
        store.write(vec![op].into())
    };
    let refused = (0..100).find_map(|number| write(number).err()).unwrap();
    assert!(matches!(refused, Error::Stalled(_)), "{refused}");
    let stats = store.stats();
    assert!(stats.stall.is_some());
    assert!(stats.stalls > 0);
    store.archived(store.synced_lsn(), u64::MAX);
    write(0).unwrap();
}

#[test]
fn applied_records_make_the_same_store() {
    let mut random = random("applied_records_make_the_same_store");
    let io = FaultIo::default();
    let store = archived(&io, NO_LIMIT);
    store.begin_epoch(1).unwrap();
    let other = |io: &FaultIo| Store::open(Path::new("/other"), small(io)).unwrap();
    let mut copy = other(&io);
    for round in 0..20 {
        for _ in 0..30 {
            let key = format!("k{:02}", random.random_range(0..40));
            match random.random_range(0..10) {
                0 => delete(&store, &key),
                1 => store
                    .delete_range(&Range::prefix(&key.as_bytes()[..2]))
                    .unwrap(),
                _ => put(&store, &key, &format!("{round}")),
            };
        }
        if round == 10 {
            store.begin_epoch(2).unwrap();
        }
        for chunk in follow(&store, copy.visible_lsn(), 4000).chunks(7) {
            copy.apply(chunk.to_vec()).unwrap();
        }
        if random.random() {
            copy.close().unwrap();
            copy = other(&io);
        }
        assert_eq!(copy.visible_lsn(), store.visible_lsn());
        assert_eq!(copy.epoch(), store.epoch());
        assert_eq!(
            contents(&copy.snapshot()).unwrap(),
            contents(&store.snapshot()).unwrap()
        );
    }
    let version = |store: &Store| {
        let keys = (0..40).map(|key| format!("k{key:02}"));
        let read = |key: String| {
            store
                .get(key.as_bytes())
                .unwrap()
                .entry
                .map(|entry| entry.version)
        };
        keys.map(read).collect::<Vec<_>>()
    };
    assert_eq!(version(&copy), version(&store));
}

#[test]
fn records_that_do_not_continue_are_refused_and_nothing_is_applied() {
    let io = FaultIo::default();
    let store = archived(&io, NO_LIMIT);
    for number in 0..10 {
        put(&store, &format!("k{number}"), "v");
    }
    let records = follow(&store, 0, 1 << 20);
    let copy = Store::open(Path::new("/other"), small(&io)).unwrap();
    copy.apply(records[..3].to_vec()).unwrap();
    for wrong in [
        &records[2..5],
        &records[4..5],
        &[records[3].clone(), records[5].clone()][..],
    ] {
        let refused = copy.apply(wrong.to_vec()).unwrap_err();
        assert!(matches!(refused, Error::Gap { .. }), "{refused}");
        assert_eq!(copy.visible_lsn(), records[2].lsn);
    }
    copy.apply(records[3..].to_vec()).unwrap();
}

/// A history of all kinds of records.
fn lived(random: &mut impl Rng) -> Vec<LogRecord> {
    let store = archived(&FaultIo::default(), NO_LIMIT);
    store.begin_epoch(1).unwrap();
    for number in 0..300 {
        if number % 100 == 50 {
            store.begin_epoch(2 + number as u64 / 100).unwrap();
        }
        let key = format!("k{:02}", random.random_range(0..40));
        match random.random_range(0..10) {
            0 => delete(&store, &key),
            1 => store
                .delete_range(&Range::prefix(&key.as_bytes()[..2]))
                .unwrap(),
            _ => put(&store, &key, &"v".repeat(number)),
        };
    }
    follow(&store, 0, 1 << 20)
}

/// Nobody follows it; its log stays.
fn alone(io: &FaultIo) -> Store {
    let options = Options {
        tail_bytes: 0,
        archive_lag_bytes: Some(NO_LIMIT),
        ..small(io)
    };
    Store::open(dir(), options).unwrap()
}

/// That it holds what the first records of the history make.
fn check_prefix(store: &Store, history: &[LogRecord]) {
    let lsn = store.visible_lsn();
    let upto = history.iter().take_while(|record| record.lsn <= lsn);
    let expected = alone(&FaultIo::default());
    expected.apply(upto.cloned().collect()).unwrap();
    assert_eq!(expected.visible_lsn(), lsn);
    assert_eq!(expected.epoch(), store.epoch());
    assert_eq!(
        contents(&store.snapshot()).unwrap(),
        contents(&expected.snapshot()).unwrap()
    );
}

#[test]
fn what_bypassed_the_log_lasts_from_the_next_flush_on() {
    let mut random = random("what_bypassed_the_log_lasts_from_the_next_flush_on");
    let history = lived(&mut random);
    let mut went_back = 0;
    for _ in 0..30 {
        let io = FaultIo::default();
        let copy = alone(&io);
        let (mut flushed, mut at) = (0, 0);
        let crash_at = random.random_range(0..history.len());
        while at < crash_at {
            let next = (at + random.random_range(1..40)).min(history.len());
            copy.apply_unlogged(history[at..next].to_vec()).unwrap();
            at = next;
            if random.random_bool(0.2) {
                copy.flush().unwrap();
                flushed = copy.visible_lsn();
            }
        }
        let (after, _) = io.crash(Loss::Some, &mut random);
        let found = alone(&after);
        assert!(found.visible_lsn() >= flushed);
        went_back += usize::from(found.visible_lsn() < copy.visible_lsn());
        check_prefix(&found, &history);
        let rest = history
            .iter()
            .filter(|record| record.lsn > found.visible_lsn());
        found.apply_unlogged(rest.cloned().collect()).unwrap();
        check_prefix(&found, &history);
        assert_eq!(found.visible_lsn(), history[history.len() - 1].lsn);
    }
    assert!(
        went_back > 5,
        "{went_back} crashes of 30 took something back"
    );
}

#[test]
fn what_is_logged_leaves_no_hole_before_it() {
    let mut random = random("what_is_logged_leaves_no_hole_before_it");
    let history = lived(&mut random);
    for _ in 0..30 {
        let io = FaultIo::default();
        let copy = alone(&io);
        let [first, second] = [100, 200].map(|near| near + random.random_range(0..50));
        copy.apply_unlogged(history[..first].to_vec()).unwrap();
        copy.apply(history[first..second].to_vec()).unwrap();
        // From here on the log is in use: what bypassed it would leave a hole in it.
        copy.apply_unlogged(history[second..].to_vec()).unwrap();
        let (after, _) = io.crash(Loss::All, &mut random);
        let found = alone(&after);
        assert_eq!(found.visible_lsn(), copy.visible_lsn());
        check_prefix(&found, &history);
        assert_eq!(
            found
                .log_after(history[first].previous_lsn, 1 << 20)
                .unwrap()[0]
                .lsn,
            history[first].lsn
        );
    }
}

#[test]
fn a_store_that_is_followed_logs_everything() {
    let io = FaultIo::default();
    let record = LogRecord::new(1, 1, 0, 1, Vec::new());
    let followed = Store::open(dir(), small(&io)).unwrap();
    let refused = followed.apply_unlogged(vec![record]).unwrap_err();
    assert!(matches!(refused, Error::Invalid(_)), "{refused}");
}
