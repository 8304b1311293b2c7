//! Everything a store can be asked to change, as data: drawn from a seed, performed, and described
//! for the reference. One seed gives one step, so that whoever knows the seed knows the step.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use aidb_lsm::{
    Batch, Condition, Entry, Op, Options, Outcome, Range, RequestId, SstWriter, Store, SyncMode,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::reference::is_applied;

/// Where the tests' clocks begin.
pub const START_MS: u64 = 1_000_000;
const KEYS: u32 = 250;

pub type Ingest = BTreeMap<Vec<u8>, Option<Entry>>;

#[derive(Debug, Clone)]
pub enum Step {
    Write(Batch),
    Excise(Range),
    Ingest(RequestId, Ingest),
    Epoch,
    Checkpoint,
    Flush,
    Compact,
}

/// What became of a step.
#[derive(Debug, Default)]
pub struct Done {
    /// Of its record; else of the newest record before it that it tells of.
    pub lsn: u64,
    pub change: Option<Change>,
    /// A power failure after the answer leaves everything through `lsn`, whatever the sync mode.
    pub durable: bool,
    pub checkpoint: Option<PathBuf>,
    /// A batch of which nothing was applied, with what `lsn` shows.
    pub refused: Option<(Batch, u64, Vec<Outcome>)>,
}

/// One record of the log, as the reference applies it.
#[derive(Debug, Clone)]
pub enum Change {
    /// Clock, and the outcomes if they are known.
    Batch(Batch, u64, Option<Vec<Outcome>>),
    Ingest(Ingest),
    Epoch(u64),
}

pub fn key(random: &mut StdRng) -> Vec<u8> {
    // Different lengths with shared prefixes.
    let mut key = random.random_range(0..KEYS).to_string().into_bytes();
    key.resize(key.len() + random.random_range(0..2) * 3, b'x');
    key
}

pub fn range(random: &mut StdRng) -> Range {
    let mut keys = [key(random), key(random)];
    if random.random_range(0..8) > 0 {
        keys.sort();
    }
    let [start, end] = keys;
    let mut bound = |key| match random.random_range(0..12) {
        0..6 => Bound::Included(key),
        6..11 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    };
    Range {
        start: bound(start),
        end: bound(end),
    }
}

/// Half of the ranges hold few keys: deletes that leave something.
fn narrow(random: &mut StdRng) -> Range {
    let start = key(random);
    let end = [start.as_slice(), b"5"].concat();
    if random.random() {
        range(random)
    } else {
        Range::between(start, end)
    }
}

fn value(random: &mut StdRng, request: RequestId) -> Vec<u8> {
    let mut value = format!("{}.{} ", request.client, request.seq).into_bytes();
    let more = match random.random_range(0..100) {
        0 => 6000,
        1..40 => random.random_range(0..300),
        _ => random.random_range(0..60),
    };
    value.resize(value.len() + more, random.random());
    value
}

fn expiry(random: &mut StdRng) -> u64 {
    match random.random_range(0..6) {
        0 => START_MS + random.random_range(0..200_000),
        _ => 0,
    }
}

fn condition(random: &mut StdRng) -> Condition {
    match random.random_range(0..12) {
        0 => Condition::IfAbsent,
        1 => Condition::IfExists,
        2 => Condition::IfVersion(random.random_range(1..400)),
        _ => Condition::None,
    }
}

fn batch(random: &mut StdRng, request: RequestId) -> Batch {
    let ranges = random.random_range(0..12) == 0;
    let mut ops = Vec::new();
    for _ in 0..random.random_range(1..6) {
        let delete = random.random_range(0..4) == 0;
        let mut op = if ranges && random.random() {
            let Some(op) = Op::delete_range(&narrow(random)) else {
                continue;
            };
            op
        } else if delete {
            Op::delete(key(random))
        } else {
            Op::put(key(random), value(random, request)).with_expiry(expiry(random))
        };
        op.request = request;
        ops.push(if ranges {
            op
        } else {
            op.with_condition(condition(random))
        });
    }
    if ops.is_empty() {
        ops.push(Op {
            request,
            ..Op::delete(key(random))
        });
    }
    Batch {
        ops,
        atomic: random.random_range(0..3) == 0,
        sync: (random.random_range(0..12) == 0).then_some(SyncMode::Group),
    }
}

fn ingest(random: &mut StdRng, request: RequestId) -> Ingest {
    let entry = |random: &mut StdRng| {
        (random.random_range(0..5) > 0).then(|| Entry {
            value: value(random, request).into(),
            version: random.random_range(1..400),
            expires_at_ms: expiry(random),
        })
    };
    let count = random.random_range(1..30);
    (0..count).map(|_| (key(random), entry(random))).collect()
}

/// The step of this seed; its records carry `request`. `alone`: of all writers only this one begins
/// epochs.
pub fn step(seed: u64, request: RequestId, alone: bool) -> Step {
    let random = &mut StdRng::seed_from_u64(seed);
    match random.random_range(0..1000) {
        0..12 => Step::Excise(narrow(random)),
        12..24 => Step::Ingest(request, ingest(random, request)),
        24..30 if alone => Step::Epoch,
        30..34 => Step::Checkpoint,
        34..44 => Step::Flush,
        44..50 => Step::Compact,
        _ => Step::Write(batch(random, request)),
    }
}

impl Step {
    /// Files and checkpoints are made beside the store, under names with `id`.
    ///
    /// Errors: the store's; whether the step was done is then unknown.
    pub fn perform(
        &self,
        store: &Store,
        options: &Options,
        beside: &Path,
        id: u64,
    ) -> aidb_lsm::Result<Done> {
        let lsn = match self {
            Step::Write(batch) => return write(store, batch),
            Step::Excise(range) => {
                let lsn = store.excise(range)?;
                let Some(op) = Op::delete_range(range) else {
                    return Ok(Done {
                        lsn: 0,
                        ..Done::default()
                    });
                };
                let change = Some(Change::Batch(vec![op].into(), 0, None));
                return Ok(Done {
                    lsn,
                    change,
                    durable: true,
                    ..Done::default()
                });
            }
            Step::Ingest(request, entries) => {
                let files = write_files(options, beside, id, entries)?;
                let lsn = store.ingest(&files, *request)?.lsn;
                for file in &files {
                    let _ = options.io.remove(file);
                }
                let change = Some(Change::Ingest(entries.clone()));
                return Ok(Done {
                    lsn,
                    change,
                    durable: true,
                    ..Done::default()
                });
            }
            Step::Epoch => {
                let epoch = store.epoch() + 1;
                let cut = store.begin_epoch(epoch)?;
                let lsn = if cut == 0 { 1 } else { cut + (1 << 32) };
                let change = Some(Change::Epoch(epoch));
                return Ok(Done {
                    lsn,
                    change,
                    durable: true,
                    ..Done::default()
                });
            }
            Step::Checkpoint => {
                let checkpoint = checkpoint_dir(beside, id);
                let lsn = store.checkpoint(&checkpoint)?.lsn;
                let checkpoint = Some(checkpoint);
                return Ok(Done {
                    lsn,
                    durable: true,
                    checkpoint,
                    ..Done::default()
                });
            }
            Step::Flush => {
                let lsn = store.visible_lsn();
                store.flush()?;
                lsn
            }
            Step::Compact => {
                let lsn = store.visible_lsn();
                store.compact()?;
                lsn
            }
        };
        Ok(Done {
            lsn,
            durable: true,
            ..Done::default()
        })
    }
}

pub fn checkpoint_dir(beside: &Path, id: u64) -> PathBuf {
    beside.join(format!("checkpoint-{id}"))
}

fn write(store: &Store, batch: &Batch) -> aidb_lsm::Result<Done> {
    let committed = store.write(batch.clone())?;
    let done = Done {
        lsn: committed.lsn,
        durable: batch.sync == Some(SyncMode::Group),
        ..Done::default()
    };
    let (clock_ms, outcomes) = (committed.clock_ms, committed.outcomes);
    Ok(if outcomes.iter().any(is_applied) {
        let change = Some(Change::Batch(batch.clone(), clock_ms, Some(outcomes)));
        Done { change, ..done }
    } else {
        let refused = Some((batch.clone(), clock_ms, outcomes));
        Done { refused, ..done }
    })
}

/// One to three files that do not overlap.
fn write_files(
    options: &Options,
    beside: &Path,
    id: u64,
    entries: &Ingest,
) -> aidb_lsm::Result<Vec<PathBuf>> {
    let per_file = entries.len().div_ceil(1 + id as usize % 3);
    let entries: Vec<_> = entries.iter().collect();
    let mut files = Vec::new();
    for part in entries.chunks(per_file) {
        let path = beside.join(format!("ingest-{id}-{}", files.len()));
        let mut writer = SstWriter::create(&path, options)?;
        for (key, entry) in part {
            match entry {
                Some(entry) => writer.put(key, &entry.value, entry.version, entry.expires_at_ms)?,
                None => writer.delete(key, 1)?,
            }
        }
        writer.finish()?;
        files.push(path);
    }
    Ok(files)
}
