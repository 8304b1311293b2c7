//! The tail gives every synced record in the order of the chain, or says that it no longer can (C1, V4).

use std::sync::mpsc;

use aidb_lsm::Error;

use crate::support::{FaultIo, open, put};

#[test]
fn records_form_a_chain() {
    let store = open(&FaultIo::default());
    let (sender, woken) = mpsc::channel();
    let _subscription = store.on_synced(Box::new(move || {
        let _ = sender.send(());
    }));
    let start = store.synced_lsn();
    for number in 0..50 {
        put(&store, &format!("k{number}"), "v");
    }
    woken.recv().unwrap();
    let mut at = start;
    while at < store.synced_lsn() {
        for record in store.records_after(at, 200).unwrap() {
            assert_eq!(record.previous_lsn, at);
            at = record.lsn;
        }
    }
    assert!(store.records_after(at, 200).unwrap().is_empty());
}

#[test]
fn what_the_ring_has_lost_is_a_gap() {
    let store = open(&FaultIo::default());
    let start = store.synced_lsn();
    for number in 0..500 {
        put(&store, &format!("k{number}"), &"v".repeat(100));
    }
    assert!(matches!(
        store.records_after(start, 1 << 20),
        Err(Error::Gap { .. })
    ));
}
