//! Operations of another store's log become one record of this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aidb_lsm::{
    Error, Gate, Import, LogOp, LogOpKind, LogRecord, Op, Options, RequestId, Store, Verdict,
};
use bytes::Bytes;

use crate::support::{FaultIo, dir, put, small};

fn op(kind: LogOpKind, key: &str, value: &str, version: u64) -> LogOp {
    LogOp {
        kind,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        expires_at_ms: 0,
        version,
        request: RequestId {
            client: 7,
            seq: version,
        },
        tag: 0,
    }
}

fn seen(store: &Store, key: &str) -> Option<(Bytes, u64)> {
    let found = store.get(key.as_bytes()).unwrap().entry;
    found.map(|entry| (entry.value, entry.version))
}

#[test]
fn versions_stay_and_the_lsn_and_clock_rise() {
    let io = FaultIo::default();
    let store = Store::open(dir(), small(&io)).unwrap();
    store.begin_epoch(1).unwrap();
    put(&store, "a", "old");
    put(&store, "z", "stays");
    let before = store.visible_lsn();
    let wipe = vec![op(LogOpKind::RangeDelete, "a", "b", 0)];
    let wiped = store.import(Import {
        ops: wipe,
        ..Import::default()
    });
    assert_eq!(wiped.unwrap(), before + 1);
    assert_eq!(seen(&store, "a"), None);
    // A version of a source that is far ahead, and one of far behind.
    let ops = vec![
        op(LogOpKind::Put, "a1", "x", 1 << 40),
        op(LogOpKind::Put, "a2", "y", 3),
        op(LogOpKind::Put, "a2", "newer", 4),
        op(LogOpKind::Put, "a3", "gone", 5),
        op(LogOpKind::Delete, "a3", "", 6),
    ];
    store
        .import(Import {
            ops,
            ..Import::default()
        })
        .unwrap();
    let late_ms = store.clock_ms() + 5000;
    let gained = store.import(Import {
        ops: vec![op(LogOpKind::Gained, "a", "b", 0)],
        least_lsn: (1 << 40) + 1,
        least_clock_ms: late_ms,
    });
    assert_eq!(gained.unwrap(), (1 << 40) + 1);
    assert!(store.clock_ms() >= late_ms);
    let check = |store: &Store| {
        assert_eq!(seen(store, "a1"), Some(("x".into(), 1 << 40)));
        assert_eq!(seen(store, "a2"), Some(("newer".into(), 4)));
        assert_eq!(seen(store, "a3"), None);
        assert_eq!(seen(store, "z").unwrap().0, "stays");
        assert!(store.visible_lsn() > 1 << 40 && store.clock_ms() >= late_ms);
    };
    check(&store);
    let chain = store.records_after(before, 1 << 20).unwrap();
    assert!(
        chain
            .windows(2)
            .all(|pair| pair[1].previous_lsn == pair[0].lsn)
    );
    put(&store, "a1", "next");
    assert!(seen(&store, "a1").unwrap().1 > 1 << 40);
    store.write(vec![Op::delete("a1")].into()).unwrap();
    drop(store);
    let store = Store::open(dir(), small(&io)).unwrap();
    assert_eq!(seen(&store, "a1"), None);
    assert_eq!(seen(&store, "a2"), Some(("newer".into(), 4)));
    store.flush().unwrap();
    assert_eq!(seen(&store, "a2"), Some(("newer".into(), 4)));
    assert!(store.visible_lsn() > 1 << 40 && store.clock_ms() >= late_ms);
}

/// Refuses imports while it is closed.
struct Door(Arc<AtomicBool>);

impl Gate for Door {
    fn replayed(&mut self, _: &LogRecord) {}
    fn judge(&mut self, _: &Op, _: u64) -> Verdict {
        Verdict::Apply
    }
    fn sequenced(&mut self, _: &Op, _: u64, _: u64) {}
    fn refuses(&mut self, ops: &[LogOp]) -> Option<String> {
        self.0
            .load(Ordering::SeqCst)
            .then(|| format!("{} operations", ops.len()))
    }
}

#[test]
fn the_gate_may_refuse_them_and_then_nothing_is_done() {
    let io = FaultIo::default();
    let closed = Arc::new(AtomicBool::new(true));
    let options = Options {
        gate: Some(Box::new(Door(Arc::clone(&closed)))),
        ..small(&io)
    };
    let store = Store::open(dir(), options).unwrap();
    store.begin_epoch(1).unwrap();
    let import = || {
        store.import(Import {
            ops: vec![op(LogOpKind::Put, "k", "v", 9)],
            ..Import::default()
        })
    };
    let lsn = store.visible_lsn();
    assert!(matches!(import(), Err(Error::Invalid(why)) if why == "1 operations"));
    assert_eq!((store.visible_lsn(), seen(&store, "k")), (lsn, None));
    closed.store(false, Ordering::SeqCst);
    assert_eq!(import().unwrap(), lsn + 1);
    let nothing = store.import(Import::default());
    assert!(matches!(nothing, Err(Error::Invalid(_))));
}

#[test]
fn held_log_stays_until_the_hold_ends() {
    let io = FaultIo::default();
    let options = Options {
        tail_bytes: 2 << 10,
        ..small(&io)
    };
    let store = Store::open(dir(), options).unwrap();
    store.begin_epoch(1).unwrap();
    let from = store.visible_lsn();
    let hold = store.hold_log(from);
    let fill = || {
        for number in 0..400 {
            put(&store, &format!("k{number}"), &"v".repeat(100));
        }
        store.flush().unwrap();
    };
    fill();
    fill();
    assert_eq!(
        store
            .log_after(from, 1)
            .unwrap()
            .first()
            .unwrap()
            .previous_lsn,
        from
    );
    drop(hold);
    fill();
    fill();
    assert!(matches!(store.log_after(from, 1), Err(Error::Gap { .. })));
}

#[test]
fn an_epoch_begins_no_lower_than_asked() {
    let io = FaultIo::default();
    let store = Store::open(dir(), small(&io)).unwrap();
    store.begin_epoch(1).unwrap();
    put(&store, "a", "1");
    let cut = store.visible_lsn();
    assert_eq!(store.begin_epoch_at(2, 1 << 50).unwrap(), cut);
    assert_eq!(store.visible_lsn(), 1 << 50);
    store.begin_epoch_at(3, 7).unwrap();
    assert_eq!(store.visible_lsn(), (1 << 50) + (1 << 32));
}
