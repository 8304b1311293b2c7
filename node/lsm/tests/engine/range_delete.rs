//! A range delete is one operation: it hides what is older, wherever that is, and nothing newer.

use std::ops::Bound;

use aidb_lsm::{Condition, Direction, Error, Op, Range, Snapshot, Store};
use rand::Rng;
use rand::rngs::StdRng;

use crate::support::{FaultIo, Loss, Model, contents, dir, get, open, put, random, small};

fn between(start: &str, end: &str) -> Range {
    Range::between(start, end)
}

#[test]
fn hides_older_keys_in_memtables_and_tables_only() {
    let io = FaultIo::default();
    let store = open(&io);
    put(&store, "a", "deep");
    put(&store, "b", "deep");
    store.compact().unwrap();
    put(&store, "b1", "level 0");
    store.flush().unwrap();
    put(&store, "b2", "memtable");
    put(&store, "d", "memtable");
    let before = store.snapshot();
    let lsn = store.delete_range(&between("b", "c")).unwrap();
    assert_eq!(lsn, store.visible_lsn());
    put(&store, "b1", "newer");

    let expected = [("a", "deep"), ("b1", "newer"), ("d", "memtable")];
    let expected: Model = expected.map(|(k, v)| (k.into(), v.into())).into();
    let check = |store: &Store| {
        assert_eq!(contents(&store.snapshot()).unwrap(), expected);
        assert_eq!(get(store, "b"), None);
        assert_eq!(get(store, "b1").as_deref(), Some("newer"));
        assert_eq!(get(store, "b2"), None);
    };
    check(&store);
    assert_eq!(contents(&before).unwrap().len(), 5);
    store.close().unwrap();
    let store = open(&io);
    check(&store);
    store.flush().unwrap();
    check(&store);
    store.close().unwrap();
    let store = open(&io);
    check(&store);
    store.compact().unwrap();
    check(&store);
    assert_eq!(store.stats().keys, 3);
    assert_eq!(contents(&before).unwrap().len(), 5);
}

#[test]
fn within_a_batch_the_last_operation_on_a_key_wins() {
    let io = FaultIo::default();
    let store = open(&io);
    put(&store, "k1", "old");
    let range = Op::delete_range(&between("k", "l")).unwrap();
    let batch = vec![Op::put("k2", "before"), range, Op::put("k3", "after")];
    store.write(batch.into()).unwrap();
    for _ in 0..2 {
        assert_eq!(get(&store, "k1"), None);
        assert_eq!(get(&store, "k2"), None);
        assert_eq!(get(&store, "k3").as_deref(), Some("after"));
        store.flush().unwrap();
    }
}

#[test]
fn conditions_after_it_see_what_it_left_and_none_may_share_its_batch() {
    let io = FaultIo::default();
    let store = open(&io);
    put(&store, "k", "old");
    let range = || Op::delete_range(&Range::prefix(b"k")).unwrap();
    let conditional = || Op::put("k", "new").with_condition(Condition::IfAbsent);
    let refused = store.write(vec![range(), conditional()].into());
    assert!(matches!(refused, Err(Error::Invalid(_))));
    let (send, receive) = std::sync::mpsc::channel();
    let batches = [
        vec![range()],
        vec![conditional()],
        vec![range()],
        vec![conditional()],
    ];
    for batch in batches {
        let send = send.clone();
        let done = move |result: aidb_lsm::Result<aidb_lsm::Committed>| {
            send.send(result.unwrap().outcomes.remove(0)).unwrap();
        };
        store.submit(batch.into(), Box::new(done));
    }
    for outcome in receive.iter().take(4) {
        assert!(
            matches!(outcome, aidb_lsm::Outcome::Applied { .. }),
            "{outcome:?}"
        );
    }
}

#[test]
fn one_record_of_the_log_says_it_to_everybody() {
    let io = FaultIo::default();
    let store = open(&io);
    let before = put(&store, "k", "v");
    let lsn = store.delete_range(&between("k", "l")).unwrap();
    while store.synced_lsn() < lsn {
        std::thread::yield_now();
    }
    let records = store.records_after(before, usize::MAX).unwrap();
    assert_eq!(records.len(), 1);
    let op = &records[0].ops[0];
    assert_eq!(op.kind, aidb_lsm::LogOpKind::RangeDelete);
    assert_eq!(
        (op.key.as_ref(), op.end_key().unwrap()),
        (b"k".as_slice(), b"l".as_slice())
    );
}

#[test]
fn a_range_with_many_keys_in_the_memtable_is_one_step() {
    let io = FaultIo::default();
    let options = aidb_lsm::Options {
        memtable_bytes: 4 << 20,
        ..small(&io)
    };
    let store = Store::open(dir(), options).unwrap();
    let ops = (0..5000).map(|key| Op::put(format!("{key:05}"), "value"));
    store.write(ops.collect::<Vec<_>>().into()).unwrap();
    let bytes = store.stats().memtable_bytes;
    store.delete_range(&between("00010", "04990")).unwrap();
    put(&store, "01000", "newer");
    assert_eq!(contents(&store.snapshot()).unwrap().len(), 21);
    assert!(
        store.stats().memtable_bytes < bytes + 100_000,
        "thousands of tombstones"
    );
    store.flush().unwrap();
    assert_eq!(contents(&store.snapshot()).unwrap().len(), 21);
    store.compact().unwrap();
    assert_eq!(store.stats().keys, 21);
}

fn key(random: &mut StdRng) -> Vec<u8> {
    random.random_range(0..300u32).to_string().into_bytes()
}

fn range(random: &mut StdRng) -> Range {
    let mut bound = || match random.random_range(0..8) {
        0 => Bound::Unbounded,
        1..4 => Bound::Excluded(key(random)),
        _ => Bound::Included(key(random)),
    };
    let (start, end) = (bound(), bound());
    Range { start, end }
}

fn contains(range: &Range, key: &[u8]) -> bool {
    let bounds = (
        range.start.as_ref().map(Vec::as_slice),
        range.end.as_ref().map(Vec::as_slice),
    );
    std::ops::RangeBounds::<[u8]>::contains(&bounds, key)
}

fn delete(model: &mut Model, range: &Range) {
    model.retain(|key, _| !contains(range, key));
}

/// Random puts, deletes, range deletes and excisions with flushes, compactions, crashes and
/// snapshots that are read later.
#[test]
fn agrees_with_a_sorted_map() {
    let mut random = random("range delete");
    let mut io = FaultIo::default();
    let mut store = open(&io);
    let mut model = Model::new();
    let mut held: Vec<(Snapshot, Model)> = Vec::new();
    let mut ranges = 0;
    for step in 0..6000 {
        match random.random_range(0..1000) {
            0..850 => {
                let (key, value) = (
                    key(&mut random),
                    vec![step as u8; random.random_range(0..90)],
                );
                model.insert(key.clone(), value.clone());
                store.write(vec![Op::put(key, value)].into()).unwrap();
            }
            850..900 => {
                let key = key(&mut random);
                model.remove(&key);
                store.write(vec![Op::delete(key)].into()).unwrap();
            }
            900..930 => {
                let range = range(&mut random);
                delete(&mut model, &range);
                ranges += 1;
                if random.random() {
                    store.delete_range(&range).unwrap();
                } else {
                    store.excise(&range).unwrap();
                }
            }
            930..950 => {
                let snapshot = store.snapshot();
                let within = range(&mut random);
                let mut expected = model.clone();
                expected.retain(|key, _| contains(&within, key));
                for direction in [Direction::Forward, Direction::Reverse] {
                    let scan = snapshot.scan(within.clone(), direction).unwrap();
                    let mut found: Vec<Vec<u8>> =
                        scan.map(|item| item.unwrap().0.to_vec()).collect();
                    if direction == Direction::Reverse {
                        found.reverse();
                    }
                    assert!(found.iter().eq(expected.keys()), "{within:?} {direction:?}");
                }
            }
            950..970 => {
                let key = key(&mut random);
                let found = store
                    .get(&key)
                    .unwrap()
                    .entry
                    .map(|entry| entry.value.to_vec());
                assert_eq!(found.as_ref(), model.get(&key));
            }
            970..978 => held.push((store.snapshot(), model.clone())),
            978..982 => {
                for (snapshot, expected) in held.drain(..) {
                    assert_eq!(contents(&snapshot).unwrap(), expected);
                }
            }
            982..989 => store.flush().unwrap(),
            989..993 => store.compact().unwrap(),
            _ => {
                held.clear();
                let (after, _) = io.crash(Loss::Some, &mut random);
                store.close().unwrap();
                io = after;
                store = open(&io);
                assert_eq!(contents(&store.snapshot()).unwrap(), model);
            }
        }
    }
    assert!(ranges > 50);
    assert_eq!(contents(&store.snapshot()).unwrap(), model);
    assert_eq!(store.verify().unwrap().damage, []);
    store.compact().unwrap();
    assert_eq!(store.stats().keys, model.len() as u64);
}
