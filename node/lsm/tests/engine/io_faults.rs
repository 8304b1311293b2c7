//! The n-th call to the file system fails, once or from then on, for every n of a scenario: each call of the store
//! returns, nothing acknowledged is lost, no batch is half there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aidb_lsm::{Op, Store};

use crate::support::{FaultIo, contents, dir, small};

const BATCHES: u64 = 40;
/// A net, not a measure: a store that hangs fails the test instead of the run.
const HANG: Duration = Duration::from_secs(60);

fn key(batch: u64, part: u64) -> Vec<u8> {
    format!("key{batch:03}{part}").into_bytes()
}

/// Writes batches of two until one fails, then the rest of a store's life; which batches were acknowledged.
fn scenario(io: &FaultIo) -> Vec<u64> {
    let Ok(store) = Store::open(dir(), small(io)) else {
        return Vec::new();
    };
    let mut acknowledged = Vec::new();
    for number in 0..BATCHES {
        let op = |part| Op::put(key(number, part), vec![b'v'; 300]);
        if store.write(vec![op(0), op(1)].into()).is_ok() {
            acknowledged.push(number);
        }
        if number == BATCHES / 2 {
            let _ = store.flush();
            let _ = store.checkpoint(&dir().with_file_name("checkpoint"));
        }
    }
    let _ = contents(&store.snapshot());
    let _ = store.compact();
    let _ = store.close();
    acknowledged
}

/// The scenario on a thread of its own; panics when it hangs.
fn run(io: &FaultIo, what: &str) -> Vec<u64> {
    let (sender, receiver) = mpsc::channel();
    let io = io.clone();
    thread::spawn(move || sender.send(scenario(&io)));
    receiver
        .recv_timeout(HANG)
        .unwrap_or_else(|_| panic!("{what}: the store hangs or panicked"))
}

/// Calls counted from 0; those that `fails` names fail.
fn failing(io: &FaultIo, fails: impl Fn(u64) -> bool + Send + 'static) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    io.inject(move |call, path| {
        let now = counter.fetch_add(1, Ordering::SeqCst);
        fails(now).then(|| io::Error::other(format!("{call} {} fails", path.display())))
    });
    count
}

fn check(io: &FaultIo, acknowledged: &[u64], what: &str) {
    io.heal();
    let store = Store::open(dir(), small(io)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = contents(&store.snapshot()).unwrap();
    for number in 0..BATCHES {
        let parts = [key(number, 0), key(number, 1)].map(|key| found.contains_key(&key));
        assert_eq!(parts[0], parts[1], "{what}: half of batch {number}");
        assert!(
            parts[0] || !acknowledged.contains(&number),
            "{what}: batch {number} was acknowledged and is lost"
        );
    }
}

#[test]
fn every_call_may_fail() {
    let whole = FaultIo::default();
    let count = failing(&whole, |_| false);
    assert_eq!(run(&whole, "without faults").len() as u64, BATCHES);
    let calls = count.load(Ordering::SeqCst);
    assert!(calls > 100, "a scenario of {calls} calls shows little");
    for n in 0..calls + 10 {
        for (mode, lasting) in [("once", false), ("from then on", true)] {
            let what = format!("call {n} fails {mode}");
            let io = FaultIo::default();
            failing(&io, move |call| call == n || (lasting && call > n));
            let acknowledged = run(&io, &what);
            check(&io, &acknowledged, &what);
        }
    }
}
