//! Figures of each level, and one budget for what the store keeps in memory.

use aidb_lsm::{Options, Range, Store};

use crate::support::{FaultIo, contents, delete, dir, open, put, small};

#[test]
fn levels_say_what_they_hold_and_what_it_cost() {
    let io = FaultIo::default();
    let store = open(&io);
    for round in 0..4 {
        for key in 0..400 {
            put(
                &store,
                &format!("{key:03}"),
                &format!("{round} {}", "v".repeat(40)),
            );
        }
    }
    store.compact().unwrap();
    for key in 0..10 {
        delete(&store, &format!("{key:03}"));
    }
    store.flush().unwrap();
    let stats = store.stats();
    assert_eq!(stats.level_stats.len(), stats.levels.len());
    let sum = |figure: fn(&aidb_lsm::LevelStats) -> u64| -> u64 {
        stats.level_stats.iter().map(figure).sum()
    };
    assert_eq!(sum(|level| level.entries), 410);
    assert_eq!(sum(|level| level.tombstones), 10);
    let flushed = stats.level_stats[0].written_bytes;
    assert!(flushed > 0 && sum(|level| level.read_bytes) >= flushed / 2);
    let amplification = sum(|level| level.written_bytes) as f64 / flushed as f64;
    assert!((stats.write_amplification - amplification).abs() < 1e-9);
    assert!(amplification > 1.0);
    store.excise(&Range::between("100", "101")).unwrap();
    let hidden: u64 = store
        .stats()
        .level_stats
        .iter()
        .map(|level| level.hidden_parts)
        .sum();
    assert!(hidden > 0);
}

#[test]
fn the_cache_leaves_room_for_indexes_filters_and_memtables() {
    let io = FaultIo::default();
    let budget = 200 << 10;
    let options = Options {
        memory_bytes: Some(budget),
        ..small(&io)
    };
    let store = Store::open(dir(), options).unwrap();
    for key in 0..6000 {
        put(&store, &format!("{key:05}"), &"v".repeat(100));
    }
    store.compact().unwrap();
    for _ in 0..2 {
        assert_eq!(contents(&store.snapshot()).unwrap().len(), 6000);
    }
    let stats = store.stats();
    let used = stats.cache_bytes + stats.index_bytes + stats.memtable_bytes;
    assert!(
        stats.index_bytes > 20 << 10 && stats.cache_bytes > 20 << 10,
        "{stats:?}"
    );
    assert!(used <= budget as u64, "{used}: {stats:?}");
}
