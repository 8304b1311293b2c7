//! Every kind of file a store writes, cut at every byte and with a bit of every byte flipped, in a store
//! that has all of them at once: an error or a durable prefix, never a panic, never a wrong answer. And no
//! kind is forgotten: a file of another name fails here until it is damaged here, too.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aidb_lsm::io::RealIo;
use aidb_lsm::{Direction, Error, Options, Range, RequestId, Store, repair};
use rand::Rng;

use crate::support::history::{Base, History};
use crate::support::reference::Items;
use crate::support::steps::step;
use crate::support::{FaultIo, dir, random, small};

const STEPS: u64 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Segment,
    Table,
    Manifest,
    /// Never read.
    TemporaryManifest,
    /// Never read.
    Lock,
}

const KINDS: [Kind; 5] = [
    Kind::Segment,
    Kind::Table,
    Kind::Manifest,
    Kind::TemporaryManifest,
    Kind::Lock,
];

/// Of a file in a store's directory, by its whole path there.
fn kind(path: &Path) -> Kind {
    let name = path.to_string_lossy();
    match (
        path.parent().and_then(Path::to_str),
        path.extension().and_then(|e| e.to_str()),
    ) {
        (Some("log"), Some("log")) => Kind::Segment,
        (Some("sst"), Some("sst")) => Kind::Table,
        (Some(""), None) if name == "MANIFEST" => Kind::Manifest,
        (Some(""), Some("tmp")) if name == "MANIFEST.tmp" => Kind::TemporaryManifest,
        (Some(""), None) if name == "LOCK" => Kind::Lock,
        _ => panic!("{name} is of a kind that this test does not damage"),
    }
}

/// Every operation; what was done.
fn fill(store: &Store, options: &dyn Fn() -> Options, beside: &Path) -> History {
    let mut history = History::new(Base::default());
    // A seed with an ingest, an epoch, a checkpoint, an excision, a flush and a compaction.
    let mut seeds = 0..;
    let mut missing: BTreeSet<&str> = [
        "Excise",
        "Ingest",
        "Epoch",
        "Checkpoint",
        "Flush",
        "Compact",
    ]
    .into();
    let mut number = 0;
    while !missing.is_empty() || number < STEPS {
        let request = RequestId {
            client: 1,
            seq: number,
        };
        let step = step(seeds.next().unwrap(), request, true);
        let name = format!("{step:?}");
        let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
        if name == "Write" && number >= STEPS / 2 && !missing.is_empty()
            || name != "Write" && !missing.remove(name.as_str())
        {
            continue;
        }
        history.done(
            step.perform(store, &options(), beside, number).unwrap(),
            true,
        );
        number += 1;
    }
    history
}

fn tiny(io: &FaultIo) -> Options {
    Options {
        segment_bytes: 2 << 10,
        memtable_bytes: 4 << 10,
        file_bytes: 2 << 10,
        ..small(io)
    }
}

#[test]
fn every_file_is_of_a_known_kind() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let io = FaultIo::default();
    let names = Arc::clone(&seen);
    io.watch(move |call, path, _| {
        let dirs = ["list", "create_dir", "sync_dir"].contains(&call);
        if let (false, Ok(path)) = (dirs, path.strip_prefix(dir())) {
            names.lock().unwrap().insert(path.to_path_buf());
        }
    });
    let store = Store::open(dir(), tiny(&io)).unwrap();
    fill(&store, &|| tiny(&io), Path::new("/"));
    store.close().unwrap();
    io.heal();

    let temporary = tempfile::tempdir().unwrap();
    let real = || Options {
        io: Arc::new(RealIo),
        ..tiny(&io)
    };
    let path = temporary.path().join("store");
    let store = Store::open(&path, real()).unwrap();
    fill(&store, &real, temporary.path());
    store.close().unwrap();
    let mut dirs = vec![path.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                dirs.push(entry);
            } else {
                seen.lock()
                    .unwrap()
                    .insert(entry.strip_prefix(&path).unwrap().to_path_buf());
            }
        }
    }
    let kinds: BTreeSet<Kind> = seen.lock().unwrap().iter().map(|path| kind(path)).collect();
    assert_eq!(kinds, KINDS.into());

    // What is never read may hold anything.
    for name in ["LOCK", "MANIFEST.tmp"] {
        std::fs::write(path.join(name), b"anything").unwrap();
    }
    Store::open(&path, real()).unwrap();
}

/// A store with segments, tables and a manifest of several edits, and its files.
fn whole() -> (FaultIo, History, Vec<PathBuf>) {
    let io = FaultIo::default();
    let store = Store::open(dir(), tiny(&io)).unwrap();
    let history = fill(&store, &|| tiny(&io), Path::new("/"));
    store.close().unwrap();
    let io = io.image();
    let paths: Vec<PathBuf> = io
        .paths()
        .into_iter()
        .filter(|path| path.starts_with(dir()))
        .collect();
    let kinds: BTreeSet<Kind> = paths
        .iter()
        .map(|path| kind(path.strip_prefix(dir()).unwrap()))
        .collect();
    assert_eq!(kinds, [Kind::Segment, Kind::Table, Kind::Manifest].into());
    (io, history, paths)
}

/// What a damaged copy says: an error, or a prefix whose every answer is right or an error.
fn judge(copy: &FaultIo, history: &History) -> Result<bool, String> {
    let store = match Store::open(dir(), tiny(copy)) {
        Ok(store) => store,
        Err(Error::Corruption { .. } | Error::NotAStore { .. } | Error::NewerFormat { .. }) => {
            return Ok(true);
        }
        Err(other) => return Err(format!("open: {other}")),
    };
    let lsn = store.visible_lsn();
    let expected = history.at(lsn)?.state.live(store.clock_ms());
    let mut noticed = lsn < history.newest();
    let snapshot = store.snapshot();
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut found = Items::new();
        let mut whole = true;
        for item in snapshot
            .scan(Range::all(), direction)
            .map_err(|error| error.to_string())?
        {
            match item {
                Ok((key, entry)) => {
                    found.insert(key.to_vec(), entry);
                }
                Err(_) => whole = false,
            }
        }
        noticed |= !whole;
        // What was read before the error is right and complete, in the scan's order.
        let right = found
            .iter()
            .all(|(key, entry)| expected.get(key) == Some(entry));
        if !right || whole && found != expected {
            return Err(format!("a scan {direction:?} at lsn {lsn} is wrong"));
        }
    }
    for (key, entry) in &expected {
        match store.get(key) {
            Ok(read) if read.entry.as_ref() == Some(entry) => {}
            Ok(_) => {
                return Err(format!(
                    "a get of {} is wrong",
                    String::from_utf8_lossy(key)
                ));
            }
            Err(_) => noticed = true,
        }
    }
    let report = store.verify().map_err(|error| format!("verify: {error}"))?;
    Ok(noticed || !report.damage.is_empty())
}

/// Tries the damage, and now and then a repair of it.
fn try_damage(
    whole: &(FaultIo, History, Vec<PathBuf>),
    path: &Path,
    data: Vec<u8>,
    fixes: bool,
    what: &str,
) -> bool {
    let copy = whole.0.image();
    copy.replace(path, data);
    let judged = catch_unwind(AssertUnwindSafe(|| judge(&copy.image(), &whole.1)));
    let noticed = match judged {
        Ok(judged) => judged.unwrap_or_else(|wrong| panic!("{what}: {wrong}")),
        Err(_) => panic!("{what}: a panic"),
    };
    if fixes {
        let report = repair(dir(), &tiny(&copy), true)
            .unwrap_or_else(|error| panic!("{what}: repair: {error}"));
        let store = Store::open(dir(), tiny(&copy))
            .unwrap_or_else(|error| panic!("{what}: repaired: {error} {report:?}"));
        assert_eq!(store.verify().unwrap().damage, [], "{what}");
    }
    noticed
}

#[test]
fn a_file_cut_at_any_byte_or_flipped_in_any_gives_an_error_or_a_prefix() {
    let whole = whole();
    let mut random = random("file kinds");
    let (mut tried, mut noticed) = (0, 0);
    for path in &whole.2 {
        let data = whole.0.read(path);
        let mut last = None;
        for at in 0..data.len() {
            let zeros = data[at..].iter().all(|byte| *byte == 0);
            // In the zeros behind the last record one place is like another.
            if zeros && last == Some(at / 64) {
                continue;
            }
            last = zeros.then_some(at / 64);
            let mut flipped = data.clone();
            flipped[at] ^= 1 << random.random_range(0..8);
            let fixes = random.random_range(0..40) == 0;
            let name = path.display();
            tried += 2;
            noticed += u64::from(try_damage(
                &whole,
                path,
                data[..at].to_vec(),
                fixes,
                &format!("{name} cut at {at}"),
            ));
            noticed += u64::from(try_damage(
                &whole,
                path,
                flipped,
                fixes,
                &format!("{name} flipped at {at}"),
            ));
        }
    }
    println!("{noticed} of {tried} damages were noticed");
    assert!(noticed * 3 > tried, "{noticed} of {tried}");
}
