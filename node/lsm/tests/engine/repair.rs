//! Repair makes a damaged store open again, keeps all that is whole and says exactly what is not.

use std::path::{Path, PathBuf};

use aidb_lsm::{Error, Range, RepairReport, Store, repair};
use rand::Rng;
use rand::rngs::StdRng;

use crate::support::{FaultIo, Model, contents, delete, dir, open, put, random, small};

fn fix(io: &FaultIo, apply: bool) -> RepairReport {
    repair(dir(), &small(io), apply).unwrap()
}

/// Several levels, overwritten and deleted keys, a range deleted, some records only in the log.
fn filled(random: &mut StdRng) -> (FaultIo, Model) {
    let io = FaultIo::default();
    let store = open(&io);
    for step in 0..1500 {
        let key = format!("{:03}", random.random_range(0..400));
        if random.random_range(0..5) == 0 {
            delete(&store, &key);
        } else {
            put(&store, &key, &format!("{step} {}", "v".repeat(60)));
        }
        if step == 700 {
            store.compact().unwrap();
        }
    }
    store.excise(&Range::between("100", "110")).unwrap();
    put(&store, "105", "after");
    put(&store, "zzz", "last");
    let model = contents(&store.snapshot()).unwrap();
    store.close().unwrap();
    (io, model)
}

fn files(io: &FaultIo, extension: &str) -> Vec<PathBuf> {
    let matching = |path: &PathBuf| path.extension().is_some_and(|ext| ext == extension);
    io.paths().into_iter().filter(matching).collect()
}

fn lost_files(io: &FaultIo) -> Vec<PathBuf> {
    let paths = io.paths().into_iter();
    paths
        .filter(|path| path.starts_with("/store/lost"))
        .collect()
}

fn damage(io: &FaultIo, path: &Path, at: usize) {
    let mut data = io.read(path);
    data[at] ^= 0x41;
    io.replace(path, data);
}

fn is_lost(report: &RepairReport, key: &[u8]) -> bool {
    let mut ranges = report.lost_tables.iter().flat_map(|table| &table.ranges);
    ranges.any(|(after, through)| {
        after.as_ref().is_none_or(|after| after.as_slice() < key)
            && through
                .as_ref()
                .is_none_or(|through| key <= through.as_slice())
    })
}

#[test]
fn leaves_a_whole_store_and_one_in_use_alone() {
    let (io, model) = filled(&mut random("repair, whole"));
    let before: Vec<_> = io
        .paths()
        .iter()
        .map(|path| (path.clone(), io.read(path)))
        .collect();
    let report = fix(&io, true);
    assert!(report.is_healthy() && !report.applied, "{report:?}");
    let after: Vec<_> = io
        .paths()
        .iter()
        .map(|path| (path.clone(), io.read(path)))
        .collect();
    assert_eq!(before, after);
    let store = open(&io);
    assert_eq!(contents(&store.snapshot()).unwrap(), model);
    assert!(matches!(
        repair(dir(), &small(&io), true),
        Err(Error::Locked { .. })
    ));
}

#[test]
fn a_damaged_block_costs_its_own_keys_only() {
    let (io, model) = filled(&mut random("repair, block"));
    // Of every key one version is left: what is damaged is missed.
    let store = open(&io);
    store.flush().unwrap();
    store.compact().unwrap();
    store.close().unwrap();
    let tables = files(&io, "sst");
    let largest = tables
        .iter()
        .max_by_key(|path| io.read(path).len())
        .unwrap();
    damage(&io, largest, 300);
    let dry = fix(&io, false);
    assert_eq!(dry.damage.len(), 1);
    assert_eq!((&dry.damage[0].file, dry.lost_tables.len()), (largest, 1));
    let lost = &dry.lost_tables[0];
    assert_eq!(lost.ranges.len(), 1, "{lost:?}");
    assert!(lost.saved_entries > 0 && lost.saved_entries < lost.entries.unwrap());
    assert!(lost_files(&io).is_empty(), "a dry run changes nothing");

    let report = fix(&io, true);
    assert!(report.applied);
    let kept = lost_files(&io);
    assert_eq!(kept.len(), 1);
    assert!(
        kept[0]
            .to_string_lossy()
            .contains(&*largest.file_name().unwrap().to_string_lossy())
    );
    assert!(fix(&io, false).is_healthy());
    let store = open(&io);
    let found = contents(&store.snapshot()).unwrap();
    assert_ne!(found, model);
    for (key, value) in &model {
        assert!(is_lost(&report, key) || found.get(key) == Some(value));
    }
    assert_eq!(store.verify().unwrap().damage, []);
}

#[test]
fn a_table_without_footer_is_read_block_by_block() {
    let (io, model) = filled(&mut random("repair, footer"));
    let table = files(&io, "sst").pop().unwrap();
    let mut data = io.read(&table);
    data.truncate(data.len() - 10);
    io.replace(&table, data);
    let report = fix(&io, true);
    let lost = &report.lost_tables[0];
    assert_eq!(
        (Some(lost.saved_entries), &lost.ranges),
        (lost.entries, &vec![])
    );
    assert_eq!(contents(&open(&io).snapshot()).unwrap(), model);
}

#[test]
fn without_a_manifest_the_levels_are_made_anew() {
    let (io, model) = filled(&mut random("repair, manifest"));
    let manifest = dir().join("MANIFEST");
    aidb_lsm::io::Io::remove(&io, &manifest).unwrap();
    assert!(Store::open(dir(), small(&io)).is_err());
    let report = fix(&io, true);
    assert!(report.rebuilt && !report.notes.is_empty(), "{report:?}");
    let store = open(&io);
    let found = contents(&store.snapshot()).unwrap();
    for (key, value) in &model {
        assert_eq!(found.get(key), Some(value));
    }
    // The one thing that may be back, as the report says: what had only been hidden.
    assert!(
        found
            .keys()
            .filter(|key| !model.contains_key(*key))
            .all(|key| key.starts_with(b"10"))
    );
    assert_eq!(store.verify().unwrap().damage, []);
    put(&store, "new", "write");
    store.compact().unwrap();
}

#[test]
fn a_log_broken_in_the_middle_leaves_a_prefix() {
    let io = FaultIo::default();
    let options = || aidb_lsm::Options {
        memtable_bytes: 1 << 20,
        ..small(&io)
    };
    let store = Store::open(dir(), options()).unwrap();
    for number in 1..=300 {
        put(&store, "count", &number.to_string());
    }
    store.close().unwrap();
    let log = files(&io, "log");
    damage(&io, &log[0], 3000);
    assert!(matches!(
        Store::open(dir(), options()),
        Err(Error::Corruption { .. })
    ));
    let report = repair(dir(), &options(), true).unwrap();
    let (after, through) = report.lost_records.unwrap();
    assert!(after > 10 && through > after, "{report:?}");
    let store = Store::open(dir(), options()).unwrap();
    let count = after.to_string().into_bytes();
    assert_eq!(
        contents(&store.snapshot()).unwrap()[b"count".as_slice()],
        count
    );
    assert_eq!(store.visible_lsn(), after);
    assert!(!lost_files(&io).is_empty());
}

#[test]
fn any_flipped_byte_or_cut_is_survived() {
    let mut random = random("repair, flips");
    let (whole, model) = filled(&mut random);
    let paths: Vec<PathBuf> = whole
        .paths()
        .into_iter()
        .filter(|p| !p.ends_with("LOCK"))
        .collect();
    let mut refused = 0;
    for _ in 0..240 {
        let io = whole.image();
        let path = &paths[random.random_range(0..paths.len())];
        let length = io.read(path).len();
        if length == 0 {
            continue;
        }
        let at = random.random_range(0..length);
        if random.random() {
            damage(&io, path, at);
        } else {
            let mut data = io.read(path);
            data.truncate(at);
            io.replace(path, data);
        }
        refused += usize::from(Store::open(dir(), small(&io.image())).is_err());
        let report = fix(&io, true);
        let store = open(&io);
        let found = contents(&store.snapshot()).unwrap();
        assert_eq!(store.verify().unwrap().damage, [], "{path:?} {at}");
        if report.lost_records.is_none() && report.is_healthy() {
            let log_end = path.extension().is_some_and(|ext| ext == "log");
            assert!(found == model || log_end, "{path:?} {at}");
        } else if report.lost_records.is_none() {
            // A log cut short says nothing of what it held beyond.
            let unknown = report
                .notes
                .iter()
                .any(|note| note.contains("if there were any"));
            for (key, value) in &model {
                let kept = found.get(key) == Some(value);
                assert!(
                    kept || is_lost(&report, key) || unknown,
                    "{path:?} {at} {key:?} {report:?}"
                );
            }
        }
    }
    assert!(refused > 10, "only {refused} flips mattered");
}
