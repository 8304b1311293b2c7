//! What writers did to a store, in commit order, and whether a store is what a crash may leave of
//! it: a prefix of that order that holds everything promised.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aidb_lsm::{LogOpKind, LogRecord, Op, OpKind, Options, Outcome, Range, RequestId, Store};

use super::reference::{Reference, compare, is_applied, read};
use super::steps::{Change, Done, Step};

#[derive(Clone, Default)]
pub struct History {
    pub base: Base,
    commits: BTreeMap<u64, Change>,
    refused: Vec<(u64, aidb_lsm::Batch, u64, Vec<Outcome>)>,
    /// Whether these were done is unknown.
    pub unanswered: Vec<(RequestId, Step)>,
    /// Complete ones, and the LSNs of their states.
    pub checkpoints: Vec<(PathBuf, u64)>,
    /// The newest LSN that must survive a power failure.
    pub promised: u64,
    pub acknowledged: u64,
}

/// A state to begin with.
#[derive(Clone, Default)]
pub struct Base {
    pub state: Reference,
    pub lsn: u64,
    pub epoch: u64,
}

impl History {
    pub fn new(base: Base) -> History {
        History {
            promised: base.lsn,
            base,
            ..History::default()
        }
    }

    /// `all_durable`: by the sync mode every answer is a promise.
    pub fn done(&mut self, done: Done, all_durable: bool) {
        self.acknowledged += 1;
        if all_durable || done.durable {
            self.promised = self.promised.max(done.lsn);
        }
        if let Some(change) = done.change {
            self.commits.insert(done.lsn, change);
        }
        if let Some(checkpoint) = done.checkpoint {
            self.checkpoints.push((checkpoint, done.lsn));
        }
        if let Some((batch, clock_ms, outcomes)) = done.refused {
            self.refused.push((done.lsn, batch, clock_ms, outcomes));
        }
    }

    /// Of all commits acknowledged so far.
    pub fn lsns(&self) -> Vec<u64> {
        self.commits.keys().copied().collect()
    }

    pub fn newest(&self) -> u64 {
        self.commits
            .keys()
            .next_back()
            .map_or(self.base.lsn, |lsn| *lsn)
    }

    /// The state after the commit `lsn`; checks the outcomes on the way.
    pub fn at(&self, lsn: u64) -> Result<Base, String> {
        let mut at = self.base.clone();
        let mut refused = self.refused.iter().collect::<Vec<_>>();
        refused.sort_by_key(|(lsn, ..)| *lsn);
        let mut refused = refused.into_iter().peekable();
        let mut check_refused = |at: &Base, before: u64| {
            while let Some((seen, batch, clock_ms, outcomes)) =
                refused.next_if(|next| next.0 < before)
            {
                // Older than the base: another life's state, not at hand any more.
                let expected = at.state.clone().write(batch, seen + 1, *clock_ms);
                if *seen == at.lsn && expected != *outcomes {
                    return Err(differ(*seen, outcomes, &expected));
                }
            }
            Ok(())
        };
        for (commit, change) in self.commits.range(..=lsn) {
            check_refused(&at, *commit)?;
            at.apply(*commit, change)?;
        }
        check_refused(&at, lsn + 1)?;
        if at.lsn == lsn {
            Ok(at)
        } else {
            Err(format!(
                "lsn {lsn} is of no commit; the one before is {}",
                at.lsn
            ))
        }
    }

    /// Whether the store holds a prefix of this history with all of `promised`, is whole, and knows
    /// where it is. Returns what it holds.
    pub fn check(&self, store: &Store, promised: u64) -> Result<Base, String> {
        let mut history = self.clone();
        history.answer(store)?;
        let lsn = store.visible_lsn();
        let expected = history.at(lsn)?;
        let snapshot = store.snapshot();
        let found = read(&snapshot, &Range::all())?;
        compare(&found, &expected.state.live(store.clock_ms()))
            .map_err(|what| format!("not the state of lsn {lsn}: {what}"))?;
        for (key, entry) in found.iter().step_by(7) {
            let got = store
                .get(key)
                .map_err(|error| format!("get: {error}"))?
                .entry;
            if got.as_ref() != Some(entry) {
                return Err(format!(
                    "get and scan differ on {}",
                    String::from_utf8_lossy(key)
                ));
            }
        }
        if lsn < promised {
            return Err(format!(
                "lsn {promised} was promised and only {lsn} is left"
            ));
        }
        if store.epoch() != expected.epoch {
            return Err(format!(
                "epoch {} instead of {}",
                store.epoch(),
                expected.epoch
            ));
        }
        let report = store.verify().map_err(|error| format!("verify: {error}"))?;
        match report.damage.first() {
            Some(damage) => Err(format!("verify: {damage:?}")),
            None => Ok(expected),
        }
    }

    /// Gives the unanswered steps that the store's log holds their places.
    fn answer(&mut self, store: &Store) -> Result<(), String> {
        if self.unanswered.is_empty() {
            return Ok(());
        }
        let starts = std::iter::once(self.base.lsn).chain(self.commits.keys().copied());
        let starts: Vec<u64> = starts.collect();
        let records = starts
            .iter()
            .find_map(|lsn| store.records_after(*lsn, usize::MAX).ok());
        for record in records.unwrap_or_default() {
            if record.lsn > self.base.lsn && !self.commits.contains_key(&record.lsn) {
                let change = self.change_of(&record)?;
                self.commits.insert(record.lsn, change);
            }
        }
        Ok(())
    }

    fn change_of(&mut self, record: &LogRecord) -> Result<Change, String> {
        let position = self
            .unanswered
            .iter()
            .position(|(request, step)| is_of(record, *request, step));
        let position = position
            .ok_or_else(|| format!("a record nobody wrote: {:.200}", format!("{record:?}")))?;
        Ok(match self.unanswered.remove(position).1 {
            Step::Write(batch) => Change::Batch(batch, record.clock_ms, None),
            Step::Excise(range) => {
                let ops = Op::delete_range(&range).into_iter().collect::<Vec<_>>();
                Change::Batch(ops.into(), record.clock_ms, None)
            }
            Step::Ingest(_, entries) => Change::Ingest(entries),
            Step::Epoch => Change::Epoch(record.epoch),
            step => return Err(format!("{step:?} wrote the record {}", record.lsn)),
        })
    }

    /// Opens the checkpoints of which copies are in `image` and compares each with its state.
    pub fn check_checkpoints(
        &self,
        done: usize,
        open: impl Fn(&Path) -> Options,
    ) -> Result<(), String> {
        for (position, (dir, lsn)) in self.checkpoints.iter().enumerate() {
            let options = Options {
                create: false,
                ..open(dir)
            };
            match Store::open(dir, options) {
                Ok(copy) => {
                    let own = History {
                        unanswered: Vec::new(),
                        ..self.clone()
                    };
                    own.check(&copy, *lsn)
                        .map_err(|what| format!("checkpoint of {lsn}: {what}"))?;
                    if copy.visible_lsn() != *lsn {
                        return Err(format!("checkpoint of {lsn} is at {}", copy.visible_lsn()));
                    }
                }
                Err(error) if position < done => {
                    return Err(format!("checkpoint of {lsn}: {error}"));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Base {
    fn apply(&mut self, lsn: u64, change: &Change) -> Result<(), String> {
        match change {
            Change::Batch(batch, clock_ms, outcomes) => {
                let expected = self.state.write(batch, lsn, *clock_ms);
                if !expected.iter().any(is_applied) {
                    return Err(format!(
                        "lsn {lsn} cannot have been applied: its conditions fail"
                    ));
                }
                if let Some(found) = outcomes.as_ref().filter(|found| **found != expected) {
                    return Err(differ(lsn, found, &expected));
                }
            }
            Change::Ingest(entries) => self.state.ingest(entries),
            Change::Epoch(epoch) => self.epoch = *epoch,
        }
        self.lsn = lsn;
        Ok(())
    }
}

fn differ(lsn: u64, found: &[Outcome], expected: &[Outcome]) -> String {
    let pairs = found.iter().zip(expected);
    let first = pairs
        .enumerate()
        .find(|(_, (found, expected))| found != expected);
    let shown = first.map_or_else(String::new, |(op, (found, expected))| {
        format!(
            "operation {op} got {:.100}, not {:.100}",
            format!("{found:?}"),
            format!("{expected:?}")
        )
    });
    format!("the batch at lsn {lsn}: {shown}")
}

fn is_of(record: &LogRecord, request: RequestId, step: &Step) -> bool {
    let Some(first) = record.ops.first() else {
        return false;
    };
    match step {
        Step::Write(_) | Step::Ingest(..) => first.request == request,
        Step::Epoch => first.kind == LogOpKind::Epoch,
        Step::Excise(range) => Op::delete_range(range).is_some_and(|op| {
            let OpKind::DeleteRange { end } = &op.kind else {
                return false;
            };
            first.request == RequestId::default()
                && first.key == op.key
                && first.end_key() == Some(end.as_ref())
        }),
        Step::Checkpoint | Step::Flush | Step::Compact => false,
    }
}
