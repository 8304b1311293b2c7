//! Excision takes whole tables away unread, and the parts of those that straddle its ends.

use aidb_lsm::{Range, Store};

use crate::support::{FaultIo, contents, dir, open, put, small};

fn tables(io: &FaultIo) -> usize {
    let paths = io.paths();
    let is_table = |path: &&std::path::PathBuf| path.extension().is_some_and(|ext| ext == "sst");
    paths.iter().filter(is_table).count()
}

fn filled(io: &FaultIo) -> Store {
    let store = open(io);
    for key in 0..2000 {
        put(
            &store,
            &format!("{key:05}"),
            "a value of some length, so that there are many tables",
        );
    }
    store.compact().unwrap();
    store
}

#[test]
fn tables_in_the_range_are_dropped_at_once() {
    let io = FaultIo::default();
    let store = filled(&io);
    let tables_in = |store: &Store| {
        let levels = store.stats().levels;
        levels.iter().map(|(tables, _)| *tables).sum::<u64>()
    };
    let before = tables_in(&store);
    assert!(before > 20, "{before}");
    let lsn = store.excise(&Range::between("00100", "01900")).unwrap();
    assert_eq!(store.visible_lsn(), lsn);
    let after = tables_in(&store);
    assert!(after * 4 < before, "{after} of {before} tables are left");
    let left = contents(&store.snapshot()).unwrap();
    assert_eq!(left.len(), 200);
    assert!(!left.contains_key(b"00100".as_slice()) && left.contains_key(b"01900".as_slice()));
    store.close().unwrap();
    let store = open(&io);
    assert_eq!(contents(&store.snapshot()).unwrap(), left);
    assert_eq!(store.verify().unwrap().damage, []);
    // A compaction has what it reads and what it writes beside each other: count when none runs.
    store.compact().unwrap();
    store.close().unwrap();
    assert!(tables(&io) as u64 <= after);
}

#[test]
fn a_snapshot_keeps_what_it_shows_and_its_files() {
    let io = FaultIo::default();
    let store = filled(&io);
    let snapshot = store.snapshot();
    store.excise(&Range::all()).unwrap();
    assert_eq!(contents(&snapshot).unwrap().len(), 2000);
    assert_eq!(contents(&store.snapshot()).unwrap().len(), 0);
    drop(snapshot);
    store.close().unwrap();
    assert_eq!(tables(&io), 0);
}

#[test]
fn a_checkpoint_of_trimmed_tables_shows_no_more_than_the_store() {
    let io = FaultIo::default();
    let store = filled(&io);
    store.excise(&Range::between("00101", "00103")).unwrap();
    let copy = std::path::Path::new("/copy");
    store.checkpoint(copy).unwrap();
    let copied = Store::open(copy, small(&io)).unwrap();
    assert_eq!(contents(&copied.snapshot()).unwrap().len(), 1998);
}

#[test]
fn compaction_rewrites_what_is_mostly_hidden_and_the_store_has_the_old_format_again() {
    let io = FaultIo::default();
    let store = filled(&io);
    let manifest = dir().join("MANIFEST");
    let format = || io.read(&manifest)[8];
    assert_eq!(format(), 1);
    store.excise(&Range::between("00001", "01999")).unwrap();
    assert_eq!(
        format(),
        2,
        "an older program must refuse what it would misread"
    );
    store.compact().unwrap();
    assert_eq!(store.stats().keys, 2);
    store.close().unwrap();
}
