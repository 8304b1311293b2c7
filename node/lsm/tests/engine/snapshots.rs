//! A snapshot shows one LSN, whatever happens to the store.

use crate::support::{FaultIo, contents, delete, open, put};

#[test]
fn a_snapshot_outlives_overwrites_flush_and_compaction() {
    let store = open(&FaultIo::default());
    for number in 0..200 {
        put(&store, &format!("key{number:03}"), "old");
    }
    let snapshot = store.snapshot();
    let before = contents(&snapshot).unwrap();
    for number in 0..200 {
        match number % 2 {
            0 => put(&store, &format!("key{number:03}"), "new"),
            _ => delete(&store, &format!("key{number:03}")),
        };
    }
    store.flush().unwrap();
    store.compact().unwrap();
    assert_eq!(contents(&snapshot).unwrap(), before);
    assert_eq!(
        snapshot
            .get(b"key001")
            .unwrap()
            .map(|entry| entry.value.to_vec()),
        Some(b"old".to_vec())
    );
    assert_eq!(contents(&store.snapshot()).unwrap().len(), 100);
}
