//! A full disk refuses writes cleanly; with space again the store goes on.

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
