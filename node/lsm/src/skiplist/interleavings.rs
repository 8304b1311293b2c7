//! Readers and the writer in the orders that a seed says.

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};

use super::*;
use crate::progress::Progress;
use crate::table::hash;

const ORDERS: usize = 3_000;
const KEYS: [&[u8]; 8] = [b"d", b"b", b"f", b"b", b"a", b"e", b"b", b"g"];

/// Whatever is visible is there, in order, by every way of looking.
fn look(list: &SkipList, seen: u64) {
    for backwards in [false, true] {
        let mut found = Vec::new();
        let mut at = if backwards { list.last() } else { list.first() };
        while let Some(entry) = at {
            assert_eq!(entry.value.data, entry.lsn.to_le_bytes());
            found.push((entry.key.to_vec(), u64::MAX - entry.lsn));
            at = if backwards {
                list.before(&entry)
            } else {
                list.after(&entry)
            };
        }
        if backwards {
            found.reverse();
        }
        assert!(found.is_sorted_by(|a, b| a < b));
        let visible = found.iter().filter(|(_, lsn)| u64::MAX - lsn <= seen);
        assert_eq!(visible.count() as u64, seen);
    }
    for (lsn, key) in (1..=seen).zip(KEYS) {
        for entry in [list.seek(key, lsn), list.get(key, hash(key), lsn)] {
            assert_eq!(entry.map(|entry| (entry.key, entry.lsn)), Some((key, lsn)));
        }
    }
}

fn one_writes_two_read() {
    let list = Arc::new(SkipList::default());
    let progress = Arc::new(Progress::default());
    let writer = {
        let (list, progress) = (Arc::clone(&list), Arc::clone(&progress));
        thread::spawn(move || {
            let mut lsn = 0;
            for keys in KEYS.chunks(2) {
                let keys = [0, 1].map(|index: usize| (keys[index], hash(keys[index])));
                let near = list.near(&keys, lsn + 1);
                for ((key, hash), near) in keys.into_iter().zip(&near) {
                    lsn += 1;
                    let data = lsn.to_le_bytes();
                    let value = ValueRef::alone(&data, false, lsn, 0);
                    list.insert(key, hash, lsn, value, near.as_ref());
                    progress.set_visible(lsn);
                }
            }
        })
    };
    let readers = [0, 1].map(|_| {
        let (list, progress) = (Arc::clone(&list), Arc::clone(&progress));
        thread::spawn(move || (0..3).for_each(|_| look(&list, progress.visible())))
    });
    writer.join().unwrap();
    for reader in readers {
        reader.join().unwrap();
    }
    look(&list, KEYS.len() as u64);
}

fn check(scheduler: impl Scheduler + 'static) {
    Runner::new(scheduler, Config::default()).run(one_writes_two_read);
}

#[test]
fn readers_see_what_is_visible_in_random_orders() {
    check(RandomScheduler::new_from_seed(7, ORDERS));
}

#[test]
fn readers_see_what_is_visible_with_few_well_placed_changes() {
    check(PctScheduler::new_from_seed(7, 3, ORDERS));
}
