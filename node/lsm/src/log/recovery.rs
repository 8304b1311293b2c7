//! Reads the log back. Records are taken in order as long as each names the one before it as its
//! predecessor. Where that ends, a torn tail and damage look alike; a frame found beyond the end
//! that was written when more than what was recovered had been synced proves damage, and the store
//! does not open. Otherwise nobody was promised what is missing, and it is discarded.
//!
//! New records always go to a new segment: what a crash left behind the end of an old one is never
//! followed by anything that could make it count again.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::frame;
use super::record::{self, LogRecord};
use super::segments::{Finished, file_name, parse_name};
use crate::error::{Error, IoContext, Result};
use crate::io::{Io, OpenMode};

pub(crate) struct Recovered {
    pub finished: VecDeque<Finished>,
    pub next_number: u64,
    /// Of the newest record in the log; 0 when there is none.
    pub last_lsn: u64,
}

/// Feeds every record to `replay`, oldest first. `flushed_lsn`: what the SSTs hold, hence what the
/// log must reach back to. `now_ms`: when the segments found count as finished.
pub(crate) fn recover(
    io: &dyn Io,
    dir: &Path,
    flushed_lsn: u64,
    now_ms: u64,
    replay: &mut dyn FnMut(LogRecord),
) -> Result<Recovered> {
    let numbers = listed(io, dir)?;
    if let Some(hole) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        let missing = dir.join(file_name(hole[0] + 1));
        return Err(Error::corruption(&missing, 0, "the segment is missing"));
    }

    let mut chain = Chain {
        last_lsn: None,
        flushed_lsn,
    };
    let mut finished = VecDeque::new();
    let mut end: Option<End> = None;
    let mut kept = 0;
    for &number in &numbers {
        let path = dir.join(file_name(number));
        let data = read_file(io, &path)?;
        let offset = chain.follow(&path, &data, number, replay)?;
        if offset > 0 {
            end = Some(End {
                path,
                number,
                offset,
            });
            kept = finished.len() + 1;
        } else if chain.last_lsn.is_none() {
            end.get_or_insert(End {
                path,
                number,
                offset,
            });
        }
        finished.push_back(Finished {
            number,
            last_lsn: chain.last_lsn.unwrap_or(0),
            finished_ms: now_ms,
            capacity: data.len() as u64,
        });
    }
    let last_lsn = chain.last_lsn.unwrap_or(0);
    if let Some(end) = end {
        let reached = last_lsn.max(flushed_lsn);
        check_nothing_promised_is_missing(io, dir, &end, &numbers, reached)?;
        if last_lsn != 0 && last_lsn < flushed_lsn {
            let what = format!("the log ends at lsn {last_lsn}, before what was flushed");
            return Err(Error::corruption(&end.path, end.offset as u64, what));
        }
    }
    discard(io, dir, finished.drain(kept..).map(|old| old.number))?;
    for segment in finished.iter().rev().take(2) {
        let path = dir.join(file_name(segment.number));
        let file = io.open(&path, OpenMode::Write).at(&path, "open")?;
        file.sync().at(&path, "sync")?;
    }
    Ok(Recovered {
        next_number: finished.back().map_or(1, |last| last.number + 1),
        finished,
        last_lsn,
    })
}

/// Where the chain of records ends.
struct End {
    path: PathBuf,
    number: u64,
    offset: usize,
}

pub(crate) struct Chain {
    last_lsn: Option<u64>,
    flushed_lsn: u64,
}

impl Chain {
    /// `flushed_lsn`: what the tables hold.
    pub(crate) fn new(flushed_lsn: u64) -> Chain {
        Chain {
            last_lsn: None,
            flushed_lsn,
        }
    }

    /// Replays the records at the start of a segment that continue the chain; returns where they
    /// end.
    pub(crate) fn follow(
        &mut self,
        path: &Path,
        data: &Bytes,
        number: u64,
        replay: &mut dyn FnMut(LogRecord),
    ) -> Result<usize> {
        let mut offset = 0;
        while let Some(frame) = frame::read(data, number, offset) {
            let length = frame::HEADER_BYTES + frame.record.len();
            let record = record::decode(&frame.record)
                .map_err(|what| Error::corruption(path, offset as u64, what))?;
            match self.last_lsn {
                // What is missing before it may never have been synced, as at any other end.
                None if record.previous_lsn > self.flushed_lsn => break,
                Some(last) if record.previous_lsn != last => break,
                _ => {}
            }
            self.last_lsn = Some(record.lsn);
            replay(record);
            offset += length;
        }
        Ok(offset)
    }
}

/// Reads the log of a running store again: the records from `flushed_lsn` (what the SSTs hold) through
/// `synced_lsn` must all be whole. Returns the number of records and bytes read.
///
/// Segments are reused and removed meanwhile, but always the oldest first: while the oldest one
/// listed is there, none of the others was touched, and only then is a missing record damage.
///
/// Errors: `Busy` when the log moved on under each of some attempts.
pub(crate) fn verify(
    io: &dyn Io,
    dir: &Path,
    synced_lsn: u64,
    flushed_lsn: impl Fn() -> u64,
) -> Result<(u64, u64)> {
    for _ in 0..VERIFY_ATTEMPTS {
        let numbers = listed(io, dir)?;
        // Asked after the listing: what is not listed any more was flushed by then.
        let read = read_chain(io, dir, &numbers, synced_lsn, flushed_lsn());
        if read.is_ok() || listed(io, dir)?.first() == numbers.first() {
            return read;
        }
    }
    Err(Error::Busy)
}

const VERIFY_ATTEMPTS: usize = 16;

/// The segments' numbers, ascending.
pub(crate) fn listed(io: &dyn Io, dir: &Path) -> Result<Vec<u64>> {
    let names = io.list(dir).at(dir, "list")?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| parse_name(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_chain(
    io: &dyn Io,
    dir: &Path,
    numbers: &[u64],
    synced_lsn: u64,
    flushed_lsn: u64,
) -> Result<(u64, u64)> {
    let mut chain = Chain {
        last_lsn: None,
        flushed_lsn,
    };
    let (mut records, mut bytes) = (0, 0);
    let mut end = (dir.to_path_buf(), 0);
    for &number in numbers {
        let path = dir.join(file_name(number));
        let data = match read_file(io, &path) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
            data => data?,
        };
        let offset = chain.follow(&path, &data, number, &mut |_| records += 1)?;
        bytes += offset as u64;
        if offset > 0 {
            end = (path, offset as u64);
        }
    }
    let reached = chain.last_lsn.unwrap_or(0).max(flushed_lsn);
    if reached < synced_lsn {
        let what = format!("records after lsn {reached} are lost, {synced_lsn} had been synced");
        return Err(Error::corruption(&end.0, end.1, what));
    }
    Ok((records, bytes))
}

fn check_nothing_promised_is_missing(
    io: &dyn Io,
    dir: &Path,
    end: &End,
    numbers: &[u64],
    reached: u64,
) -> Result<()> {
    for &number in numbers.iter().filter(|number| **number >= end.number) {
        let data = read_file(io, &dir.join(file_name(number)))?;
        let from = if number == end.number { end.offset } else { 0 };
        if let Some(synced) = frame::highest_synced(&data, number, from)
            && synced > reached
        {
            let what = format!("records after lsn {reached} are lost, {synced} had been synced");
            return Err(Error::corruption(&end.path, end.offset as u64, what));
        }
    }
    Ok(())
}

fn discard(io: &dyn Io, dir: &Path, numbers: impl Iterator<Item = u64>) -> Result<()> {
    // Newest first: what remains after a crash in between is still a contiguous run.
    let numbers: Vec<u64> = numbers.collect();
    for number in numbers.iter().rev() {
        let path = dir.join(file_name(*number));
        io.remove(&path).at(&path, "remove")?;
    }
    io.sync_dir(dir).at(dir, "sync")
}

pub(crate) fn read_file(io: &dyn Io, path: &Path) -> Result<Bytes> {
    let file = io.open(path, OpenMode::Read).at(path, "open")?;
    let length = file.len().at(path, "stat")?;
    let mut data = vec![0; length as usize];
    let count = file.read_at(0, &mut data).at(path, "read")?;
    data.truncate(count);
    Ok(data.into())
}
