//! Power failures at any moment: the recovered state is a prefix of commit order that holds every
//! acknowledged write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use aidb_lsm::{Batch, Op, Options, Store, SyncMode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::{FaultIo, Loss, Model, contents, dir, random, small};

/// Batches that the writer may be ahead of the next crash.
const AHEAD: u64 = 20;
const ROUNDS: usize = 30;
const CRASHES: usize = 12;

/// The n-th batch: it names its number, so that the number of applied ones can be read back.
fn batch(number: u64, seed: u64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
    let mut ops = vec![(b"count".to_vec(), Some(number.to_string().into_bytes()))];
    for _ in 0..random.random_range(0..4) {
        let key = random.random_range(0..100u32).to_string().into_bytes();
        let value = vec![number as u8; random.random_range(0..300)];
        ops.push((key, (random.random_range(0..4) > 0).then_some(value)));
    }
    ops
}

fn state_after(count: u64, seed: u64) -> Model {
    let mut model = Model::new();
    for number in 1..=count {
        for (key, value) in batch(number, seed) {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
    }
    model
}

fn write(store: &Store, number: u64, seed: u64) -> aidb_lsm::Result<u64> {
    let ops = batch(number, seed)
        .into_iter()
        .map(|(key, value)| match value {
            Some(value) => Op::put(key, value),
            None => Op::delete(key),
        });
    let batch: Batch = ops.collect::<Vec<_>>().into();
    store.write(batch).map(|committed| committed.lsn)
}

/// Opens what a crash left; returns the number of batches it holds, after checking that it holds
/// exactly these.
fn check(io: &FaultIo, sync: SyncMode, seed: u64) -> u64 {
    let store = Store::open(dir(), Options { sync, ..small(io) }).unwrap();
    let found = contents(&store.snapshot()).unwrap();
    let count = found.get(b"count".as_slice()).map_or(0, |count| {
        String::from_utf8(count.clone()).unwrap().parse().unwrap()
    });
    assert_eq!(
        found,
        state_after(count, seed),
        "not the state after {count} batches"
    );
    assert_eq!(store.visible_lsn(), count);
    // What was flushed before the crash is in no log any more.
    match store.records_after(count.saturating_sub(1), usize::MAX) {
        Ok(records) => assert!(records.len() <= 1),
        Err(error) => assert!(matches!(error, aidb_lsm::Error::Gap { .. }), "{error}"),
    }
    count
}

/// Crashes while a writer runs, and goes on with what one of the crashes left.
fn run(sync: SyncMode, mut random: StdRng) -> u64 {
    let seed = random.random();
    let mut io = FaultIo::default();
    let mut lost = 0;
    let mut written = 0;
    for _ in 0..ROUNDS {
        let store = Store::open(dir(), Options { sync, ..small(&io) }).unwrap();
        let synced = Arc::new(AtomicU64::new(written));
        let stop = Arc::new(AtomicBool::new(false));
        // The writer keeps a little ahead of the crashes: what it writes beyond is only checked, again and again.
        let limit = Arc::new(AtomicU64::new(written));
        let writer = thread::spawn({
            let (store, synced, stop) = (store.clone(), Arc::clone(&synced), Arc::clone(&stop));
            let limit = Arc::clone(&limit);
            move || {
                let mut number = synced.load(Ordering::SeqCst);
                while !stop.load(Ordering::SeqCst) {
                    if number >= limit.load(Ordering::SeqCst) {
                        thread::yield_now();
                        continue;
                    }
                    number += 1;
                    write(&store, number, seed).unwrap();
                    if sync == SyncMode::Group {
                        synced.store(number, Ordering::SeqCst);
                    }
                }
            }
        });
        let mut left = io.clone();
        for _ in 0..CRASHES {
            let until = store.visible_lsn() + random.random_range(0..20);
            limit.store(until + AHEAD, Ordering::SeqCst);
            while store.visible_lsn() < until {
                thread::yield_now();
            }
            let promised = match sync {
                SyncMode::Group => synced.load(Ordering::SeqCst),
                _ => store.synced_lsn(),
            };
            let loss = if random.random() {
                Loss::All
            } else {
                Loss::Some
            };
            let (after, bytes) = io.crash(loss, &mut random);
            lost += bytes;
            // Recovery itself may be cut short, too.
            let (twice, _) = after.crash(Loss::Some, &mut random);
            written = check(&twice, sync, seed);
            assert!(
                written >= promised,
                "{written} of {promised} promised are left"
            );
            assert_eq!(written, check(&after, sync, seed));
            left = after;
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        io = left;
    }
    lost
}

#[test]
fn group_keeps_every_acknowledged_write() {
    let lost = run(SyncMode::Group, random("crash, sync group"));
    assert!(lost > 0, "the crashes did no damage");
}

#[test]
fn without_sync_a_prefix_is_left() {
    let lost = run(SyncMode::None, random("crash, sync none"));
    assert!(lost > 10_000, "the crashes did little damage: {lost} bytes");
}
