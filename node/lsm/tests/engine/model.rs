//! Random operations against a sorted map, with flushes, compactions and restarts in between.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use aidb_lsm::{Direction, Op, Options, Range, Snapshot, Store, SyncMode};
use rand::Rng;
use rand::rngs::StdRng;

use crate::support::{FaultIo, ManualClock, Model, contents, dir, random, small};

type Expiring = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

const STEPS: usize = 4000;

fn key(random: &mut StdRng) -> Vec<u8> {
    // Different lengths with shared prefixes.
    let number: u32 = random.random_range(0..400);
    let mut key = number.to_string().into_bytes();
    key.resize(key.len() + random.random_range(0..2) * 3, b'x');
    key
}

fn live(model: &Expiring, now_ms: u64) -> Model {
    let live = model
        .iter()
        .filter(|(_, (_, expiry))| *expiry == 0 || *expiry > now_ms);
    live.map(|(key, (value, _))| (key.clone(), value.clone()))
        .collect()
}

fn check_range(snapshot: &Snapshot, model: &Model, random: &mut StdRng) {
    let mut bound = |first: &[u8]| match random.random_range(0..3) {
        0 => Bound::Included(first.to_vec()),
        1 => Bound::Excluded(first.to_vec()),
        _ => Bound::Unbounded,
    };
    let range = Range {
        start: bound(b"2"),
        end: bound(b"31xxx"),
    };
    for direction in [Direction::Forward, Direction::Reverse] {
        let scan = snapshot.scan(range.clone(), direction).unwrap();
        let found: Vec<Vec<u8>> = scan.map(|item| item.unwrap().0.to_vec()).collect();
        let mut expected: Vec<Vec<u8>> = model
            .range((range.start.clone(), range.end.clone()))
            .map(|(key, _)| key.clone())
            .collect();
        if direction == Direction::Reverse {
            expected.reverse();
        }
        assert_eq!(found, expected, "{range:?} {direction:?}");
    }
}

fn run(sync: SyncMode, mut random: StdRng) {
    let io = FaultIo::default();
    let clock = ManualClock::new(1_000_000);
    let open = || {
        let options = Options {
            sync,
            clock: Arc::new(clock.clone()),
            ..small(&io)
        };
        Store::open(dir(), options).unwrap()
    };
    let mut store = open();
    let mut model = Expiring::new();
    let mut now_ms = 1_000_000;
    let mut held: Vec<(Snapshot, Model)> = Vec::new();
    for _ in 0..STEPS {
        match random.random_range(0..1000) {
            0..900 => {
                let mut ops = Vec::new();
                for _ in 0..random.random_range(1..6) {
                    let key = key(&mut random);
                    if random.random_range(0..4) == 0 {
                        model.remove(&key);
                        ops.push(Op::delete(key));
                    } else {
                        let value = vec![random.random(); random.random_range(0..200)];
                        let expiry = match random.random_range(0..5) {
                            0 => now_ms + random.random_range(0..20_000),
                            _ => 0,
                        };
                        model.insert(key.clone(), (value.clone(), expiry));
                        ops.push(Op::put(key, value).with_expiry(expiry));
                    }
                }
                store.write(ops.into()).unwrap();
            }
            900..950 => {
                let key = key(&mut random);
                let entry = store.get(&key).unwrap().entry;
                let value = entry.map(|entry| entry.value.to_vec());
                assert_eq!(value, live(&model, now_ms).remove(&key));
            }
            950..970 => check_range(&store.snapshot(), &live(&model, now_ms), &mut random),
            970..978 => {
                now_ms += random.random_range(0..2_000_000);
                clock.set(now_ms);
            }
            978..984 => held.push((store.snapshot(), live(&model, now_ms))),
            984..988 => {
                for (snapshot, expected) in held.drain(..) {
                    assert_eq!(contents(&snapshot).unwrap(), expected);
                }
            }
            988..992 => store.flush().unwrap(),
            992..995 => store.compact().unwrap(),
            _ => {
                store.close().unwrap();
                store = open();
                assert_eq!(contents(&store.snapshot()).unwrap(), live(&model, now_ms));
            }
        }
    }
    assert_eq!(contents(&store.snapshot()).unwrap(), live(&model, now_ms));
    assert_eq!(store.verify().unwrap().damage, []);
    store.compact().unwrap();
    let stats = store.stats();
    assert!(
        stats.levels.iter().skip(1).any(|(files, _)| *files > 1),
        "{stats:?}"
    );
}

#[test]
fn agrees_with_a_sorted_map_with_sync_group() {
    run(SyncMode::Group, random("model, sync group"));
}

#[test]
fn agrees_with_a_sorted_map_without_sync() {
    run(SyncMode::None, random("model, sync none"));
}
