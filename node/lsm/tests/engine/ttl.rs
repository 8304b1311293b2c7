//! Expired values are hidden by the shard clock, which never goes back (V3).

use std::sync::Arc;
use std::time::Duration;

use aidb_lsm::{Op, Options, Store};

use crate::support::{FaultIo, ManualClock, contents, dir, get, put, small};

fn open_at(io: &FaultIo, clock: &ManualClock) -> Store {
    let clock = Arc::new(clock.clone());
    let expiry_grace = Duration::from_secs(3600);
    Store::open(
        dir(),
        Options {
            clock,
            expiry_grace,
            ..small(io)
        },
    )
    .unwrap()
}

#[test]
fn an_expired_value_is_gone_for_every_reader_and_after_a_restart() {
    let (io, clock) = (FaultIo::default(), ManualClock::new(1000));
    let store = open_at(&io, &clock);
    store
        .write(vec![Op::put("k", "v").with_expiry(2000)].into())
        .unwrap();
    clock.set(1999);
    assert_eq!(get(&store, "k").as_deref(), Some("v"));
    clock.set(2000);
    assert_eq!(get(&store, "k"), None);
    assert!(contents(&store.snapshot()).unwrap().is_empty());
    store.close().unwrap();
    assert_eq!(get(&open_at(&io, &clock), "k"), None);
}

#[test]
fn the_shard_clock_does_not_follow_the_wall_clock_back() {
    let (io, clock) = (FaultIo::default(), ManualClock::new(5000));
    let store = open_at(&io, &clock);
    store
        .write(vec![Op::put("k", "v").with_expiry(5500)].into())
        .unwrap();
    clock.set(6000);
    put(&store, "later", "x");
    clock.set(1000);
    assert_eq!(store.clock_ms(), 6000);
    assert_eq!(get(&store, "k"), None);
    store.close().unwrap();
    let store = open_at(&io, &clock);
    assert!(store.clock_ms() >= 6000);
    assert_eq!(get(&store, "k"), None);
}
