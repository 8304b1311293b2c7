//! Epochs rise, and LSNs leap with them (V1, D10).

use crate::support::{FaultIo, open, put};

#[test]
fn an_epoch_begins_beyond_the_cut_and_is_remembered() {
    let io = FaultIo::default();
    let store = open(&io);
    store.begin_epoch(1).unwrap();
    let last = put(&store, "k", "v");
    let cut = store.begin_epoch(2).unwrap();
    assert_eq!(cut, last);
    let next = put(&store, "k", "w");
    assert!(next > cut + (1 << 32), "{next} after a cut at {cut}");
    assert!(store.begin_epoch(2).is_err());
    store.close().unwrap();
    let store = open(&io);
    assert_eq!((store.epoch(), store.visible_lsn()), (2, next));
}

/// What was served in epochs that are lost is never numbered again (V1).
#[test]
fn an_epoch_leaps_over_those_that_are_not_in_the_log() {
    let store = open(&FaultIo::default());
    store.begin_epoch(3).unwrap();
    let last = put(&store, "k", "v");
    assert!(last > 2 << 32, "{last} after two epochs of somebody else");
    let cut = store.begin_epoch(7).unwrap();
    let next = put(&store, "k", "w");
    assert!(next > cut + (4 << 32), "{next} after a cut at {cut}");
    assert!(next < cut + (5 << 32));
}
