//! Runs of log records as Python carries them between a store and the archive: bytes, which it does not look into.
//!
//! ```text
//! chunk := (length:u32 record)*      little endian; the record's encoding is the log's own (V2)
//! ```

use std::sync::mpsc::{self, SyncSender};

use aidb_client::pb::ErrorCode;
use aidb_lsm::{LogRecord, Store};
use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::failure::{failure, of_engine};

/// What a frame of the log on disk has beside its record.
const FRAME_BYTES: usize = 24;
/// Records are applied in groups of about so many bytes.
const GROUP_BYTES: usize = 2 << 20;

/// (chunk, previous LSN of the first, last LSN, clock of the first, clock of the last, records, bytes in the log)
pub type LogChunk = (Py<PyBytes>, u64, u64, u64, u64, u64, u64);
/// (last LSN of the store, its clock, records applied, whether the end that was asked for has been reached)
pub type Applied = (u64, u64, u64, bool);

/// Synced records after `lsn`, about `max_bytes` of them but at least one; `None` when there are none.
pub fn log_chunk(
    py: Python<'_>,
    store: &Store,
    lsn: u64,
    max_bytes: usize,
) -> PyResult<Option<LogChunk>> {
    let records = py
        .detach(|| store.log_after(lsn, max_bytes))
        .map_err(of_engine)?;
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Ok(None);
    };
    let bytes: usize = records.iter().map(|record| record.encoded().len()).sum();
    let mut chunk = Vec::with_capacity(bytes + 4 * records.len());
    for record in &records {
        chunk.extend_from_slice(&(record.encoded().len() as u32).to_le_bytes());
        chunk.extend_from_slice(record.encoded());
    }
    Ok(Some((
        PyBytes::new(py, &chunk).unbind(),
        first.previous_lsn,
        last.lsn,
        first.clock_ms,
        last.clock_ms,
        records.len() as u64,
        (bytes + FRAME_BYTES * records.len()) as u64,
    )))
}

/// Applies the chunk's records that come after what the store holds, through `through_lsn` and as long as their clock
/// is at most `through_clock_ms`.
///
/// Raises `LogGap` when they do not continue the store's log, `Corruption` for what is no chunk.
pub fn apply_log(
    py: Python<'_>,
    store: &Store,
    chunk: &[u8],
    through_lsn: u64,
    through_clock_ms: u64,
) -> PyResult<Applied> {
    let chunk = Bytes::copy_from_slice(chunk);
    let bounds = Bounds {
        held: store.visible_lsn(),
        through_lsn,
        through_clock_ms,
    };
    py.detach(|| {
        // A group is decoded while the one before it is applied.
        let (sender, groups) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let decoder = scope.spawn(move || bounds.decode(chunk, &sender));
            let mut applied = 0;
            for group in groups {
                applied += group.len() as u64;
                store.apply(group).map_err(of_engine)?;
            }
            let decoded = decoder.join();
            let ended = decoded.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok((store.visible_lsn(), store.clock_ms(), applied, ended))
        })
    })
}

/// Which records of a chunk are to be applied: those after `held`, through the LSN and as long as the clock is at most so.
struct Bounds {
    held: u64,
    through_lsn: u64,
    through_clock_ms: u64,
}

impl Bounds {
    /// Hands on groups of about `GROUP_BYTES`; whether the end that was asked for has been reached. Nobody takes them any
    /// more once one could not be applied.
    fn decode(&self, mut rest: Bytes, groups: &SyncSender<Vec<LogRecord>>) -> PyResult<bool> {
        let (mut group, mut group_bytes) = (Vec::new(), 0);
        let mut ended = false;
        while !rest.is_empty() && !ended {
            let record = next_record(&mut rest)?;
            if record.lsn <= self.held {
                continue;
            }
            ended = record.lsn > self.through_lsn || record.clock_ms > self.through_clock_ms;
            if ended {
                break;
            }
            ended = record.lsn == self.through_lsn;
            group_bytes += record.encoded().len();
            group.push(record);
            if group_bytes >= GROUP_BYTES {
                group_bytes = 0;
                if groups.send(std::mem::take(&mut group)).is_err() {
                    return Ok(ended);
                }
            }
        }
        let _ = groups.send(group);
        Ok(ended)
    }
}

fn next_record(rest: &mut Bytes) -> PyResult<LogRecord> {
    let damaged = |what: &str| {
        failure(
            ErrorCode::Corruption,
            &format!("a run of log records {what}"),
        )
    };
    if rest.len() < 4 {
        return Err(damaged("is cut short"));
    }
    let head = rest.split_to(4);
    let length = u32::from_le_bytes(head[..].try_into().unwrap_or_default()) as usize;
    if rest.len() < length {
        return Err(damaged("is cut short"));
    }
    LogRecord::decode(rest.split_to(length))
        .map_err(|error| damaged(&format!("has one that is none: {error}")))
}
