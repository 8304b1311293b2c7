//! Every operation and option against the reference, with restarts in between. A failure is shrunk to few
//! acts before it is shown.

mod shrink;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use aidb_lsm::{Batch, Condition, Entry, Op, Options, Range, RequestId, Snapshot, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::reference::{Items, Reference, compare, is_applied, read};
use crate::support::steps::{Change, Done, START_MS, Step, key, range, step};
use crate::support::{FaultIo, ManualClock, dir, options, random};
use shrink::shrink;

const LIVES: usize = 20;
const ACTS: usize = 800;

#[derive(Debug, Clone)]
enum Act {
    Do(Step),
    /// A put if the key still has the version that it has.
    Swap(Vec<u8>),
    Get(Vec<u8>),
    GetMany(Vec<Vec<u8>>),
    Scan(Range),
    /// Takes a snapshot, and looks at it when the next one is taken.
    Snapshot,
    /// Milliseconds.
    Advance(u64),
    Verify,
    /// With the options of this seed.
    Reopen(u64),
}

fn draw(random: &mut StdRng, number: u64) -> Act {
    match random.random_range(0..1000) {
        0..650 => Act::Do(step(
            random.random(),
            RequestId {
                client: 1,
                seq: number,
            },
            true,
        )),
        650..680 => Act::Swap(key(random)),
        680..760 => Act::Get(key(random)),
        760..800 => Act::GetMany(
            (0..random.random_range(0..9))
                .map(|_| key(random))
                .collect(),
        ),
        800..900 => Act::Scan(range(random)),
        900..930 => Act::Snapshot,
        930..970 => Act::Advance(random.random_range(0..30_000)),
        970..980 => Act::Verify,
        _ => Act::Reopen(random.random()),
    }
}

/// The store, and what it must hold.
struct Pair {
    io: FaultIo,
    clock: ManualClock,
    seed: u64,
    store: Store,
    reference: Reference,
    epoch: u64,
    lsn: u64,
    held: Option<(Snapshot, Items)>,
}

impl Pair {
    fn new() -> Pair {
        let (io, clock) = (FaultIo::default(), ManualClock::new(START_MS));
        let store = Store::open(dir(), options::draw(0, Arc::new(io.clone()), &clock)).unwrap();
        Pair {
            io,
            clock,
            seed: 0,
            store,
            reference: Reference::default(),
            epoch: 0,
            lsn: 0,
            held: None,
        }
    }

    fn options(&self) -> Options {
        options::draw(self.seed, Arc::new(self.io.clone()), &self.clock)
    }

    fn act(&mut self, number: u64, act: &Act) -> Result<(), String> {
        let said = |error: aidb_lsm::Error| error.to_string();
        match act {
            Act::Do(step) => {
                let done = step
                    .perform(&self.store, &self.options(), Path::new("/"), number)
                    .map_err(said)?;
                self.done(done)?;
            }
            Act::Swap(key) => {
                let current = self.reference.get(key, self.store.clock_ms());
                let version = current.map_or(1 << 60, |entry| entry.version);
                let op = Op::put(key.clone(), format!("swap {number}"))
                    .with_condition(Condition::IfVersion(version));
                let expected = current.is_some();
                let batch = Batch::from(vec![op]);
                let done = Step::Write(batch).perform(
                    &self.store,
                    &self.options(),
                    Path::new("/"),
                    number,
                );
                let done = done.map_err(said)?;
                if done.change.is_some() != expected {
                    return Err(format!(
                        "a swap at version {version} should have been applied: {expected}"
                    ));
                }
                self.done(done)?;
            }
            Act::Get(key) => {
                let found = self.store.get(key).map_err(said)?;
                self.is_newest(found.lsn)?;
                self.same(key, found.entry.as_ref())?;
            }
            Act::GetMany(keys) => {
                let (lsn, found) = self.store.get_many(keys).map_err(said)?;
                self.is_newest(lsn)?;
                for (key, entry) in keys.iter().zip(&found) {
                    self.same(key, entry.as_ref())?;
                }
            }
            Act::Scan(range) => self.scan(range)?,
            Act::Snapshot => {
                let taken = (
                    self.store.snapshot(),
                    self.reference.live(self.store.clock_ms()),
                );
                if let Some((snapshot, expected)) = self.held.replace(taken) {
                    compare(&read(&snapshot, &Range::all())?, &expected)
                        .map_err(|what| format!("a snapshot at {}: {what}", snapshot.lsn()))?;
                }
            }
            Act::Advance(ms) => self.clock.advance(*ms),
            Act::Verify => self.verify()?,
            Act::Reopen(seed) => {
                self.held = None;
                self.store.clone().close().map_err(said)?;
                self.seed = *seed;
                self.store = Store::open(dir(), self.options()).map_err(said)?;
                self.is_newest(self.store.visible_lsn())?;
                if self.store.epoch() != self.epoch {
                    return Err(format!(
                        "epoch {} instead of {}",
                        self.store.epoch(),
                        self.epoch
                    ));
                }
                self.scan(&Range::all())?;
            }
        }
        Ok(())
    }

    fn done(&mut self, done: Done) -> Result<(), String> {
        match done.change {
            Some(Change::Batch(batch, clock_ms, outcomes)) => {
                let expected = self.reference.write(&batch, done.lsn, clock_ms);
                if outcomes.is_some_and(|found| found != expected)
                    || !expected.iter().any(is_applied)
                {
                    return Err(format!("outcomes are not {expected:?}"));
                }
                self.lsn = done.lsn;
            }
            Some(Change::Ingest(entries)) => {
                self.reference.ingest(&entries);
                self.lsn = done.lsn;
            }
            Some(Change::Epoch(epoch)) => (self.epoch, self.lsn) = (epoch, done.lsn),
            None => {}
        }
        if let Some((batch, clock_ms, outcomes)) = done.refused {
            let expected = self.reference.clone().write(&batch, done.lsn + 1, clock_ms);
            if outcomes != expected {
                return Err(format!("refused with {outcomes:?} instead of {expected:?}"));
            }
        }
        if let Some(checkpoint) = done.checkpoint {
            let copy = Store::open(&checkpoint, self.options())
                .map_err(|error| format!("checkpoint: {error}"))?;
            let found = read(&copy.snapshot(), &Range::all())?;
            let expected = self.reference.live(copy.clock_ms());
            compare(&found, &expected).map_err(|what| format!("checkpoint: {what}"))?;
        }
        // With a weaker sync mode than `Group`, too, one's own write is visible.
        self.is_newest(self.store.visible_lsn())
    }

    fn is_newest(&self, lsn: u64) -> Result<(), String> {
        if lsn == self.lsn {
            Ok(())
        } else {
            Err(format!("lsn {lsn} instead of {}", self.lsn))
        }
    }

    fn same(&self, key: &[u8], found: Option<&Entry>) -> Result<(), String> {
        let expected = self.reference.get(key, self.store.clock_ms());
        if found == expected {
            return Ok(());
        }
        let key = String::from_utf8_lossy(key);
        Err(format!("{key}: {found:?} instead of {expected:?}"))
    }

    fn scan(&self, range: &Range) -> Result<(), String> {
        let within = |key: &Vec<u8>| {
            std::ops::RangeBounds::contains(&(range.start.clone(), range.end.clone()), key)
        };
        let mut expected = self.reference.live(self.store.clock_ms());
        expected.retain(|key, _| within(key));
        let found = read(&self.store.snapshot(), range)?;
        compare(&found, &expected).map_err(|what| format!("scan of {range:?}: {what}"))
    }

    fn verify(&self) -> Result<(), String> {
        let report = self.store.verify().map_err(|error| error.to_string())?;
        if report.damage.is_empty() {
            Ok(())
        } else {
            Err(format!("{:?}", report.damage))
        }
    }
}

/// What goes wrong, and at which act.
fn run(acts: &[(u64, Act)]) -> Result<Store, String> {
    let mut pair = Pair::new();
    for (number, act) in acts {
        let done = catch_unwind(AssertUnwindSafe(|| pair.act(*number, act)));
        let done = done.unwrap_or_else(|_| Err("a panic".into()));
        done.map_err(|what| format!("act {number}: {what}"))?;
    }
    pair.scan(&Range::all())?;
    pair.verify()?;
    Ok(pair.store)
}

#[test]
fn agrees_with_the_reference_whatever_it_is_asked() {
    let mut random = random("model");
    let (mut deep, mut compacted) = (0, 0);
    for _ in 0..LIVES {
        let mut random = StdRng::seed_from_u64(random.random());
        let acts: Vec<(u64, Act)> = (0..ACTS as u64)
            .map(|number| (number, draw(&mut random, number)))
            .collect();
        match run(&acts) {
            Ok(store) => {
                let stats = store.stats();
                deep += u64::from(stats.levels.iter().skip(1).any(|level| level.0 > 0));
                compacted += u64::from(
                    stats
                        .level_stats
                        .iter()
                        .skip(1)
                        .any(|level| level.written_bytes > 0),
                );
            }
            Err(what) => {
                let (few, last) = shrink(acts, what, |acts| run(acts).err());
                panic!("{last}\nafter {} acts: {few:#?}", few.len());
            }
        }
    }
    assert!(
        deep > 0 && compacted > 0,
        "{deep} stores of {LIVES} had deeper levels, {compacted} compacted"
    );
}
