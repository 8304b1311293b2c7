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

#[test]
fn parts_add_up_to_what_lies_between_the_first_bound_and_the_last() {
    let io = FaultIo::default();
    let options = Options {
        memtable_bytes: 4 << 20,
        ..small(&io)
    };
    let store = Store::open(dir(), options).unwrap();
    // Of part `p` there are (p + 1) * 10 keys.
    for part in 0..10 {
        for key in 0..(part + 1) * 10 {
            put(&store, &format!("{part}-{key:03}"), &"v".repeat(90));
        }
    }
    let bounds: Vec<String> = (0..=10).map(|part| format!("{part}-")).collect();
    assert_eq!(store.estimate_parts(&bounds[..1]), []);
    // "10-" sorts before "2-": the bounds have to ascend.
    let bounds = [&bounds[..10], &["9.".to_string()]].concat();
    let in_memory = store.estimate_parts(&bounds);
    let entry = 5 + 90;
    let exact: Vec<u64> = (1..=10).map(|part| part * 10 * entry).collect();
    assert_eq!(in_memory, exact);
    store.compact().unwrap();
    let on_disk = store.estimate_parts(&bounds);
    let tables: u64 = store.stats().levels.iter().map(|(_, bytes)| *bytes).sum();
    assert_eq!(on_disk.iter().sum::<u64>(), tables);
    for (part, bytes) in on_disk.iter().enumerate().skip(2) {
        let share = *bytes as f64 / tables as f64 / ((part + 1) as f64 / 55.0);
        assert!((0.5..2.0).contains(&share), "part {part}: {on_disk:?}");
    }
    // Many bounds in one block share it.
    let fine: Vec<String> = (0..100).map(|key| format!("9-{key:03}")).collect();
    let shared = store.estimate_parts(&fine);
    assert!(shared.iter().all(|bytes| *bytes > 0), "{shared:?}");
}
