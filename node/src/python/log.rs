//! Runs of log records as Python carries them between a store and the archive: bytes, which it does not look into.
//!
//! ```text
//! chunk := (length:u32 record)*      little endian; the record's encoding is the log's own (V2)
//! ```

use std::sync::Mutex;

use aidb_client::pb::ErrorCode;
use aidb_lsm::{LogOpKind, LogRecord, Store};
use bytes::Bytes;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use super::failure::{failure, of_engine};
use crate::primary::moving::slots_touched;

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

/// A chunk's records, decoded: they can be applied once.
#[pyclass(frozen, module = "aidb_node._native")]
pub struct LogRecords(Mutex<Option<Vec<LogRecord>>>);

#[pymethods]
impl LogRecords {
    /// `chunk`: bytes, or a view of some, which stay in memory as long as the records do. Raises `Corruption` for what is
    /// no chunk.
    #[new]
    fn new(py: Python<'_>, chunk: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut rest = shared(chunk)?;
        let records = py.detach(|| {
            let mut records = Vec::new();
            while !rest.is_empty() {
                records.push(next_record(&mut rest)?);
            }
            Ok::<_, PyErr>(records)
        })?;
        Ok(Self(Mutex::new(Some(records))))
    }

    /// The slots that are deleted as a whole: (LSN, first slot, last slot), in the order of the log. Empty once they were
    /// applied.
    fn deletions(&self) -> Vec<(u64, u16, u16)> {
        let held = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let records = held.as_deref().unwrap_or_default();
        let deletions = records.iter().flat_map(|record| {
            let deletes = record.ops.iter();
            let deletes = deletes.filter(|op| op.kind == LogOpKind::RangeDelete);
            deletes
                .filter_map(|op| slots_touched(op).map(|(first, last)| (record.lsn, first, last)))
        });
        deletions.collect()
    }
}

/// The memory of a bytes object, or the part of it that a view shows.
fn shared(chunk: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(whole) = chunk.extract::<PyBackedBytes>() {
        return Ok(Bytes::from_owner(whole));
    }
    let view = PyBuffer::<u8>::get(chunk)?;
    let whole: PyBackedBytes = chunk.getattr("obj")?.extract()?;
    let start = (view.buf_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    let within = start
        .checked_add(view.len_bytes())
        .is_some_and(|end| end <= whole.len());
    if !view.is_c_contiguous() || !within {
        let what = "a run of log records has to lie in one piece";
        return Err(failure(ErrorCode::InvalidArgument, what));
    }
    Ok(Bytes::from_owner(whole).slice(start..start + view.len_bytes()))
}

/// Which records are to be applied: through the LSN and as long as their clock is at most so. Of these, the ones from
/// `logged_from_ms` on are logged, and those that follow on one.
pub struct Bounds {
    pub through_lsn: u64,
    pub through_clock_ms: u64,
    pub logged_from_ms: u64,
}

/// Applies what comes after what the store holds, within the bounds.
///
/// Raises `LogGap` when they do not continue the store's log.
pub fn apply_log(
    py: Python<'_>,
    store: &Store,
    records: &LogRecords,
    bounds: &Bounds,
) -> PyResult<Applied> {
    let taken = records.0.lock().ok().and_then(|mut records| records.take());
    let Some(records) = taken else {
        let what = "these records were applied before";
        return Err(failure(ErrorCode::InvalidArgument, what));
    };
    let held = store.visible_lsn();
    py.detach(|| {
        let (mut applied, mut ended) = (0, false);
        let mut group = Group::default();
        for record in records {
            if record.lsn <= held {
                continue;
            }
            if record.lsn > bounds.through_lsn || record.clock_ms > bounds.through_clock_ms {
                ended = true;
                break;
            }
            let logged = record.clock_ms >= bounds.logged_from_ms;
            if group.bytes >= GROUP_BYTES || logged != group.logged {
                group.apply(store)?;
            }
            group.logged = logged;
            group.bytes += record.encoded().len();
            applied += 1;
            ended = record.lsn == bounds.through_lsn;
            group.records.push(record);
            if ended {
                break;
            }
        }
        group.apply(store)?;
        Ok((store.visible_lsn(), store.clock_ms(), applied, ended))
    })
}

#[derive(Default)]
struct Group {
    records: Vec<LogRecord>,
    bytes: usize,
    logged: bool,
}

impl Group {
    /// It is empty afterwards.
    fn apply(&mut self, store: &Store) -> PyResult<()> {
        self.bytes = 0;
        let records = std::mem::take(&mut self.records);
        let applied = if self.logged {
            store.apply(records)
        } else {
            store.apply_unlogged(records)
        };
        applied.map(|_| ()).map_err(of_engine)
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
