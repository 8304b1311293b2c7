//! Files made elsewhere come in at one LSN: newer than all before, older than all after, once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use aidb_lsm::{Error, LogOpKind, Range, RequestId, SstWriter, Store};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::support::{FaultIo, Loss, Model, contents, delete, dir, get, open, put, small};

/// A file with one value for each key; an empty value stands for a tombstone.
fn file(io: &FaultIo, name: &str, entries: &[(&str, &str)]) -> PathBuf {
    let path = Path::new("/files").join(name);
    aidb_lsm::io::Io::create_dir(io, Path::new("/files")).unwrap();
    let mut writer = SstWriter::create(&path, &small(io)).unwrap();
    for (key, value) in entries {
        if value.is_empty() {
            writer.delete(key.as_bytes(), 7).unwrap();
        } else {
            writer.put(key.as_bytes(), value.as_bytes(), 7, 0).unwrap();
        }
    }
    let written = writer.finish().unwrap();
    assert_eq!(written.entries, entries.len() as u64);
    path
}

fn named(seq: u64) -> RequestId {
    RequestId { client: 9, seq }
}

fn model(pairs: &[(&str, &str)]) -> Model {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

#[test]
fn is_newer_than_what_was_there_and_older_than_what_comes() {
    let io = FaultIo::default();
    let store = open(&io);
    put(&store, "a", "level 1");
    put(&store, "b", "level 1");
    store.compact().unwrap();
    put(&store, "b", "level 0");
    store.flush().unwrap();
    put(&store, "b", "memtable");
    put(&store, "d", "memtable");
    let before = store.snapshot();
    let path = file(
        &io,
        "one",
        &[("a", ""), ("b", "ingested"), ("c", "ingested")],
    );
    let ingested = store.ingest(&[&path], named(1)).unwrap();
    assert_eq!(
        (ingested.lsn, ingested.repeated),
        (store.visible_lsn(), false)
    );
    let entry = store.get(b"c").unwrap().entry.unwrap();
    assert_eq!(entry.version, 7, "values keep the versions they bring (V1)");
    let expected = model(&[("b", "ingested"), ("c", "ingested"), ("d", "memtable")]);
    assert_eq!(contents(&store.snapshot()).unwrap(), expected);
    assert_eq!(contents(&before).unwrap()[b"b".as_slice()], b"memtable");
    put(&store, "c", "newer");
    delete(&store, "b");
    let expected = model(&[("c", "newer"), ("d", "memtable")]);
    for _ in 0..2 {
        assert_eq!(contents(&store.snapshot()).unwrap(), expected);
        store.compact().unwrap();
    }
    store.close().unwrap();
    let store = open(&io);
    assert_eq!(contents(&store.snapshot()).unwrap(), expected);
    assert_eq!(store.verify().unwrap().damage, []);
}

#[test]
fn is_a_record_of_the_log_that_names_the_files() {
    let io = FaultIo::default();
    let store = open(&io);
    let before = put(&store, "a", "1");
    let path = file(&io, "one", &[("b", "2"), ("c", "3")]);
    let lsn = store.ingest(&[path], named(1)).unwrap().lsn;
    let records = store.records_after(before, usize::MAX).unwrap();
    assert_eq!((records.len(), records[0].lsn), (1, lsn));
    let op = &records[0].ops[0];
    assert_eq!(
        (op.kind, op.key.as_ref()),
        (LogOpKind::Ingest, b"b".as_slice())
    );
    assert_eq!(op.end_key(), Some(b"c\0".as_slice()));
    assert!(op.sst_sha256().is_some());
    assert_eq!(put(&store, "d", "4"), lsn + 1);
}

#[test]
fn a_repeated_request_is_not_done_again() {
    let io = FaultIo::default();
    let store = open(&io);
    let path = file(&io, "one", &[("a", "ingested")]);
    let first = store.ingest(&[&path], named(1)).unwrap();
    put(&store, "a", "newer");
    let again = store.ingest(&[&path], named(1)).unwrap();
    assert_eq!((again.lsn, again.repeated), (first.lsn, true));
    store.close().unwrap();
    let store = open(&io);
    assert!(store.ingest(&[&path], named(1)).unwrap().repeated);
    assert_eq!(get(&store, "a").as_deref(), Some("newer"));
    assert!(!store.ingest(&[&path], named(2)).unwrap().repeated);
    assert_eq!(get(&store, "a").as_deref(), Some("ingested"));
}

#[test]
fn what_is_no_such_file_is_refused_and_the_store_goes_on() {
    let io = FaultIo::default();
    let store = open(&io);
    let one = file(&io, "one", &[("a", "1"), ("c", "1")]);
    let two = file(&io, "two", &[("b", "2")]);
    let refused = store.ingest(&[&one, &two], named(1));
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    let mut data = io.read(&one);
    data[3] ^= 1;
    io.replace(&one, data);
    let refused = store.ingest(&[&one], named(1));
    assert!(
        matches!(refused, Err(Error::Corruption { .. })),
        "{refused:?}"
    );
    put(&store, "z", "still writes");
    store.flush().unwrap();
    let is_table = |path: &&PathBuf| {
        path.starts_with("/store") && path.extension().is_some_and(|e| e == "sst")
    };
    let own = io.paths().iter().find(is_table).unwrap().clone();
    let refused = store.ingest(&[&own], named(1));
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert_eq!(
        io.paths().iter().filter(is_table).count(),
        1,
        "nothing is left of the refused"
    );
}

#[test]
fn goes_as_deep_as_what_it_overlaps_allows() {
    let io = FaultIo::default();
    let store = open(&io);
    for key in 0..3000 {
        put(
            &store,
            &format!("k{key:05}"),
            "some value that fills the levels of a small store",
        );
    }
    store.compact().unwrap();
    let levels = store.stats().levels;
    let deepest = levels.iter().rposition(|(tables, _)| *tables > 0).unwrap();
    assert!(deepest > 1, "{levels:?}");
    let apart = file(&io, "apart", &[("a", "1"), ("b", "2")]);
    store.ingest(&[apart], RequestId::default()).unwrap();
    assert_eq!(store.stats().levels[deepest].0, levels[deepest].0 + 1);
    let within = file(&io, "within", &[("k00500", "new")]);
    store.ingest(&[within], RequestId::default()).unwrap();
    assert_eq!(store.stats().levels[deepest - 1].0, 1);
    assert_eq!(get(&store, "k00500").as_deref(), Some("new"));
}

#[test]
fn keeps_its_place_among_writers_and_compactions() {
    let io = FaultIo::default();
    let store = open(&io);
    let writer = thread::spawn({
        let store = store.clone();
        move || {
            for round in 0..3000u32 {
                put(&store, &format!("{:03}", round % 500), &round.to_string());
            }
        }
    });
    for seq in 1..20 {
        let key = format!("{:03}", seq * 17);
        let path = file(
            &io,
            "next",
            &[(&key, "ingested"), (&format!("{key}x"), "ingested")],
        );
        store.ingest(&[path], named(seq)).unwrap();
        assert!(
            store
                .snapshot()
                .get(format!("{key}x").as_bytes())
                .unwrap()
                .is_some()
        );
    }
    writer.join().unwrap();
    let shown = contents(&store.snapshot()).unwrap();
    for key in 0..500 {
        let last = (2500 + key).to_string();
        let found = String::from_utf8(shown[format!("{key:03}").as_bytes()].clone()).unwrap();
        assert!(found == last || found == "ingested", "{key}: {found}");
    }
    store.close().unwrap();
    assert_eq!(contents(&open(&io).snapshot()).unwrap(), shown);
}

/// The n-th I/O call of an ingest fails, for every n, and the machine with it.
#[test]
fn a_crash_anywhere_leaves_all_of_it_or_nothing() {
    let mut outcomes = [0, 0];
    for n in 0.. {
        let io = FaultIo::default();
        let store = open(&io);
        put(&store, "a", "old");
        put(&store, "m", "old");
        let one = file(&io, "one", &[("a", "new"), ("b", "new")]);
        let two = file(&io, "two", &[("l", "new"), ("m", "")]);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        io.inject(move |_, _| {
            (counted.fetch_add(1, Ordering::SeqCst) >= n).then(|| io::Error::other("no more"))
        });
        let answered = store.ingest(&[&one, &two], named(1));
        let mut random = StdRng::seed_from_u64(n as u64);
        let (after, _) = io.crash(Loss::Some, &mut random);
        let done = calls.load(Ordering::SeqCst) <= n;
        io.heal();
        drop(store);
        let store = open(&after);
        let old = model(&[("a", "old"), ("m", "old")]);
        let new = model(&[("a", "new"), ("b", "new"), ("l", "new")]);
        let found = contents(&store.snapshot()).unwrap();
        assert!(
            found == new || found == old && answered.is_err(),
            "call {n}: {found:?}"
        );
        outcomes[usize::from(found == new)] += 1;
        let again = store.ingest(&[&one, &two], named(1)).unwrap();
        assert_eq!(again.repeated, found == new);
        assert_eq!(contents(&store.snapshot()).unwrap(), new);
        assert_eq!(again.lsn, 3);
        if done {
            break;
        }
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 2, "{outcomes:?}");
}

/// As a restore from an archive finds it: the record in the middle of a log, the file beside.
#[test]
fn a_log_that_holds_it_is_replayed_in_order() {
    let io = FaultIo::default();
    let store = open(&io);
    put(&store, "a", "old");
    let early = io.image();
    let path = file(&io, "one", &[("a", "ingested"), ("b", "ingested")]);
    store.ingest(&[&path], named(1)).unwrap();
    put(&store, "b", "newer");
    let expected = contents(&store.snapshot()).unwrap();
    store.close().unwrap();
    // The manifest and tables of before, the log of after.
    for log in io
        .paths()
        .iter()
        .filter(|path| path.starts_with("/store/log"))
    {
        let target = aidb_lsm::io::Io::open(&early, log, aidb_lsm::io::OpenMode::Create).unwrap();
        target.write_at(0, &io.read(log)).unwrap();
    }
    let missing = Store::open(dir(), small(&early.image()));
    assert!(matches!(missing, Err(Error::Corruption { .. })));
    let staged = dir().join("sst").join("0000000000000077.sst");
    let target = aidb_lsm::io::Io::open(&early, &staged, aidb_lsm::io::OpenMode::Create).unwrap();
    target.write_at(0, &io.read(&path)).unwrap();
    let restored = open(&early);
    assert_eq!(contents(&restored.snapshot()).unwrap(), expected);
    put(&restored, "c", "goes on");
    restored.excise(&Range::prefix(b"a")).unwrap();
    restored.close().unwrap();
    assert_eq!(contents(&open(&early).snapshot()).unwrap().len(), 2);
}
