//! A full disk refuses writes cleanly; with space again the store goes on.

use std::time::{Duration, Instant};

use aidb_lsm::{Error, Op};

use crate::support::{FaultIo, contents, open, put};

#[test]
fn nothing_acknowledged_is_lost_and_writes_resume() {
    let io = FaultIo::default();
    let store = open(&io);
    put(&store, "first", "v");
    io.limit_space(Some(io.used()));
    let mut acknowledged = 1;
    let refused = loop {
        let op = Op::put(format!("k{acknowledged:04}"), vec![b'v'; 200]);
        match store.write(vec![op].into()) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the disk never filled");
    };
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    assert_eq!(contents(&store.snapshot()).unwrap().len(), acknowledged);
    io.limit_space(None);
    put(&store, "again", "v");
    store.close().unwrap();
    assert_eq!(
        contents(&open(&io).snapshot()).unwrap().len(),
        acknowledged + 1
    );
}

#[test]
fn a_flush_gets_the_room_of_the_log_that_is_prepared() {
    let io = FaultIo::default();
    let store = open(&io);
    put(&store, "first", &"v".repeat(2000));
    let is_log = |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "log");
    let logs = || io.paths().iter().filter(is_log).count();
    let end = Instant::now() + Duration::from_secs(60);
    while logs() < 2 {
        assert!(Instant::now() < end, "no log is prepared");
        std::thread::yield_now();
    }
    io.limit_space(Some(io.used() + 500));
    // The flusher may have tried again before its first failure is looked at.
    while let Err(refused) = store.flush() {
        assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
        assert!(Instant::now() < end, "there is room in the prepared log");
    }
    assert_eq!(logs(), 1, "the disk was too full with it");
    io.limit_space(None);
    put(&store, "again", &"v".repeat(30_000));
    put(&store, "and again", &"v".repeat(30_000));
    store.close().unwrap();
    assert_eq!(contents(&open(&io).snapshot()).unwrap().len(), 3);
}
