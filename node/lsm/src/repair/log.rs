use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};
use crate::io::{Io, OpenMode};
use crate::log::frame;
use crate::log::recovery::{Chain, listed, read_file};
use crate::log::segments::file_name;
use crate::log::{LogOpKind, LogRecord};
use crate::store::Damage;

/// The run of records that counts, and what the log has beyond it.
#[derive(Default)]
pub(super) struct LogSurvey {
    pub dir: PathBuf,
    pub records: u64,
    /// What the first record continues.
    pub begins_after: Option<u64>,
    pub last_lsn: Option<u64>,
    pub epoch: u64,
    pub clock_ms: u64,
    pub ingests: bool,
    pub damage: Vec<Damage>,
    /// Records after the first through at least the second were synced and are gone.
    pub lost: Option<(u64, u64)>,
    /// With damage: the segment in which the run ends and where, and those after it.
    cut: Option<(u64, u64)>,
    beyond: Vec<u64>,
}

impl LogSurvey {
    /// What is set aside.
    pub(super) fn replaced(&self) -> Vec<PathBuf> {
        let cut = self.cut.iter().map(|(number, _)| *number);
        let numbers = cut.chain(self.beyond.iter().copied());
        numbers.map(|n| self.dir.join(file_name(n))).collect()
    }
}

/// `flushed_lsn`: what the tables hold.
pub(super) fn survey(io: &dyn Io, dir: &Path, flushed_lsn: u64) -> Result<LogSurvey> {
    let mut found = LogSurvey {
        dir: dir.to_path_buf(),
        ..LogSurvey::default()
    };
    let numbers = match listed(io, dir) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Vec::new()
        }
        numbers => numbers?,
    };
    let mut chain = Chain::new(flushed_lsn);
    // The first number that does not belong to the run, for which reason.
    let mut stop: Option<(u64, u64, String)> = None;
    let mut end = (numbers.first().copied().unwrap_or(0), 0);
    let mut promised = 0;
    let mut previous = None;
    for &number in &numbers {
        let path = dir.join(file_name(number));
        let data = read_file(io, &path)?;
        if stop.is_none() && previous.is_some_and(|last: u64| last + 1 != number) {
            stop = Some((number, 0, "segments before it are missing".to_owned()));
        }
        previous = Some(number);
        let mut from = 0;
        if stop.is_none() {
            match chain.follow(&path, &data, number, &mut |record| found.take(&record)) {
                Ok(offset) => {
                    from = offset;
                    if offset > 0 {
                        end = (number, offset as u64);
                    }
                }
                Err(Error::Corruption { offset, what, .. }) => {
                    stop = Some((number, offset, what));
                    from = offset as usize;
                }
                Err(error) => return Err(error),
            }
        }
        promised = promised.max(frame::highest_synced(&data, number, from).unwrap_or(0));
    }
    let reached = found.last_lsn.unwrap_or(0).max(flushed_lsn);
    let behind = found.last_lsn.is_some_and(|last| last < flushed_lsn);
    if stop.is_none() && promised > reached {
        let what = format!("records after lsn {reached} are lost, {promised} had been synced");
        stop = Some((end.0, end.1, what));
    }
    if stop.is_none() && behind {
        // An end before what was flushed: its records are in tables, and nothing may follow them.
        let what = format!(
            "the log ends at {:?}, before what was flushed",
            found.last_lsn
        );
        stop = Some((end.0, end.1, what));
    }
    if let Some((number, offset, what)) = stop {
        found.damage.push(Damage {
            file: dir.join(file_name(number)),
            offset,
            what,
        });
        found.lost = (promised > reached).then_some((reached, promised));
        if behind {
            end = (numbers.first().copied().unwrap_or(0), 0);
            found.last_lsn = None;
        }
        let keep = |n: &u64| *n > end.0 || *n == end.0 && end.1 == 0;
        found.beyond = numbers.iter().copied().filter(keep).collect();
        found.cut = (end.1 > 0).then_some(end);
    }
    Ok(found)
}

impl LogSurvey {
    fn take(&mut self, record: &LogRecord) {
        self.begins_after.get_or_insert(record.previous_lsn);
        self.last_lsn = Some(record.lsn);
        self.epoch = self.epoch.max(record.epoch);
        self.clock_ms = self.clock_ms.max(record.clock_ms);
        self.records += 1;
        let mut ops = record.ops.iter();
        self.ingests |= ops.any(|op| op.kind == LogOpKind::Ingest);
    }
}

/// Leaves the run that counts; what it removes was set aside before.
pub(super) fn cut(io: &dyn Io, store: &Path, found: &LogSurvey) -> Result<()> {
    let dir = store.join(crate::shared::LOG_DIR);
    io.create_dir(&dir).at(&dir, "create")?;
    for number in found.beyond.iter().rev() {
        let path = dir.join(file_name(*number));
        io.remove(&path).at(&path, "remove")?;
        io.sync_dir(&dir).at(&dir, "sync")?;
    }
    if let Some((number, offset)) = found.cut {
        // A new file: the old one lives on under its name in `lost/`.
        let path = dir.join(file_name(number));
        let data = read_file(io, &path)?;
        let new = dir.join("repaired.tmp");
        let file = io.open(&new, OpenMode::Create).at(&new, "create")?;
        file.write_at(0, &data[..offset as usize])
            .at(&new, "write")?;
        file.sync().at(&new, "sync")?;
        io.rename(&new, &path).at(&path, "rename")?;
    }
    io.sync_dir(&dir).at(&dir, "sync")
}
