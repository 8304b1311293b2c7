//! The n-th call to the file system fails, once or from then on, for every n of a scenario with every
//! operation: each call of the store returns, nothing acknowledged is lost, no batch is half there.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use aidb_lsm::{Op, Options, RequestId, SstWriter, Store};

use crate::support::{FaultIo, contents, dir, small};

const BATCHES: u64 = 40;
/// Batches of them that come in as files.
const INGESTED: u64 = 4;
/// A net, not a measure: a store that hangs fails the test instead of the run.
const HANG: Duration = Duration::from_secs(60);

/// What the scenario has to do to the file system, whole and by what.
const CALLS: [&str; 14] = [
    "open log",
    "read log",
    "write log",
    "sync log",
    "rename log",
    "preallocate log",
    "read sst",
    "write sst",
    "sync sst",
    "link sst",
    "remove sst",
    "sync_dir",
    "rename MANIFEST",
    "list",
];

fn key(batch: u64, part: u64) -> Vec<u8> {
    format!("key{batch:03}{part}").into_bytes()
}

/// No background call may depend on time: the scenario makes the same calls each time, but for their order.
fn options(io: &FaultIo) -> Options {
    Options {
        segment_bytes: 2 << 10,
        memtable_bytes: 8 << 10,
        ..small(io)
    }
}

/// Batches of two keys each, by all ways in, in two lives of a store; which were acknowledged.
fn scenario(io: &FaultIo) -> BTreeSet<u64> {
    let mut acknowledged = BTreeSet::new();
    for life in 0..2 {
        // Opening fails, or recovers what the first life left.
        let Ok(store) = Store::open(dir(), options(io)) else {
            continue;
        };
        let _ = store.begin_epoch(life + 1);
        for number in life * BATCHES / 2..(life + 1) * BATCHES / 2 {
            let done = if number % (BATCHES / INGESTED) == 3 {
                ingest(io, &store, number).is_ok()
            } else {
                let op = |part| Op::put(key(number, part), vec![b'v'; 300]);
                store.write(vec![op(0), op(1)].into()).is_ok()
            };
            if done {
                acknowledged.insert(number);
            }
            if number == BATCHES / 4 {
                let _ = store.flush();
                let _ = store.checkpoint(&dir().with_file_name("checkpoint"));
                let _ = store.excise(&aidb_lsm::Range::prefix(b"nothing"));
            }
        }
        let _ = contents(&store.snapshot());
        let _ = store.compact();
        let _ = store.verify();
        // The second life begins with a log to recover.
        let op = Op::put("last", life.to_string());
        let _ = store.write(vec![op].into());
        let _ = store.close();
    }
    acknowledged
}

fn ingest(io: &FaultIo, store: &Store, number: u64) -> aidb_lsm::Result<u64> {
    let path = Path::new("/").join(format!("file{number}"));
    let mut writer = SstWriter::create(&path, &options(io))?;
    for part in 0..2 {
        writer.put(&key(number, part), &[b'i'; 300], number + 1, 0)?;
    }
    writer.finish()?;
    let request = RequestId {
        client: 1,
        seq: number,
    };
    Ok(store.ingest(&[path], request)?.lsn)
}

/// The scenario on a thread of its own; panics when it hangs.
fn run(io: &FaultIo, what: &str) -> BTreeSet<u64> {
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

fn check(io: &FaultIo, acknowledged: &BTreeSet<u64>, what: &str) {
    io.heal();
    let store = Store::open(dir(), options(io)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = contents(&store.snapshot()).unwrap();
    for number in 0..BATCHES {
        let parts = [key(number, 0), key(number, 1)].map(|key| found.contains_key(&key));
        assert_eq!(parts[0], parts[1], "{what}: half of batch {number}");
        assert!(
            parts[0] || !acknowledged.contains(&number),
            "{what}: batch {number} was acknowledged and is lost"
        );
    }
    assert_eq!(store.verify().unwrap().damage, [], "{what}");
}

#[test]
fn every_call_may_fail() {
    let whole = FaultIo::default();
    let calls = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&calls);
    whole.watch(move |call, path, _| {
        let extension = path
            .extension()
            .unwrap_or(path.file_name().unwrap_or_default());
        let extension = extension.to_string_lossy();
        let mut seen = seen.lock().unwrap();
        seen.insert(format!("{call} {}", extension.replace("tmp", "MANIFEST")));
        seen.insert(call.to_owned());
    });
    let count = failing(&whole, |_| false);
    assert_eq!(run(&whole, "without faults").len() as u64, BATCHES);
    let seen = std::mem::take(&mut *calls.lock().unwrap());
    let missing: Vec<_> = CALLS.iter().filter(|call| !seen.contains(**call)).collect();
    assert!(
        missing.is_empty(),
        "the scenario makes no {missing:?}, only {seen:?}"
    );
    let calls = count.load(Ordering::SeqCst);
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
