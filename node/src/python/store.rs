//! The embedded store: the engine's methods on raw keys.
//!
//! Single reads keep the GIL: they take less time than to give it away. Whatever may sync, wait or read much gives it away.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use aidb_client::pb::ErrorCode;
use aidb_lsm::{
    self as lsm, Batch, Condition, Direction, Op, OpKind, Options, Outcome, RequestId, SyncMode,
};
use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use super::failure::{condition_failed, failure, of_engine, of_request};
use super::log::{Applied, Bounds, LogChunk, LogRecords, apply_log, log_chunk};
use super::scan::Scan;
use crate::primary::limits::{check_batch, check_key, check_value};
use crate::serve::Limits;

/// (value, version, expiry in ms since 1970 or 0)
type FoundEntry = (Py<PyBytes>, u64, u64);

#[pyclass(frozen, module = "aidb_node._native")]
pub struct Store {
    /// None once closed.
    store: Mutex<Option<lsm::Store>>,
    limits: Limits,
}

/// A write as Python hands it over: `value` None deletes; `condition` is "", "absent", "exists" or "version".
#[derive(FromPyObject)]
pub struct Write(PyBackedBytes, Option<PyBackedBytes>, u64, String, u64);

#[pymethods]
impl Store {
    #[new]
    /// `keep_log`: the log stays until it is `archived`.
    #[pyo3(signature = (path, *, create, sync, cache_bytes, memtable_bytes, compression, keep_log = false))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        create: bool,
        sync: &str,
        cache_bytes: usize,
        memtable_bytes: usize,
        compression: &str,
        keep_log: bool,
    ) -> PyResult<Self> {
        let compression = match compression {
            "none" => lsm::Compression::None,
            "lz4" => lsm::Compression::Lz4,
            _ => {
                return Err(failure(
                    ErrorCode::InvalidArgument,
                    "compression is \"none\" or \"lz4\"",
                ));
            }
        };
        let sync = sync_mode(sync)?;
        let options = move || Options {
            create,
            sync,
            cache_bytes,
            memtable_bytes,
            compression,
            // Nobody follows an embedded store.
            tail_bytes: 0,
            // Nobody writes here so much that the archive's lag should hold him back.
            archive_lag_bytes: keep_log.then_some(u64::MAX >> 1),
            ..Options::default()
        };
        let store = py
            .detach(|| lsm::Store::open(&path, options()))
            .map_err(of_engine)?;
        Ok(Self {
            store: Mutex::new(Some(store)),
            limits: Limits::default(),
        })
    }

    fn get(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Py<PyBytes>>> {
        let read = self.read(key)?;
        Ok(read.map(|entry| PyBytes::new(py, &entry.value).unbind()))
    }

    fn get_entry(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<FoundEntry>> {
        let read = self.read(key)?;
        Ok(read.map(|entry| found(py, &entry)))
    }

    fn get_many(
        &self,
        py: Python<'_>,
        keys: Vec<PyBackedBytes>,
    ) -> PyResult<Vec<Option<Py<PyBytes>>>> {
        let entries = self.read_many(py, &keys)?;
        let value = |entry: lsm::Entry| PyBytes::new(py, &entry.value).unbind();
        Ok(entries.into_iter().map(|entry| entry.map(value)).collect())
    }

    fn get_entries(
        &self,
        py: Python<'_>,
        keys: Vec<PyBackedBytes>,
    ) -> PyResult<Vec<Option<FoundEntry>>> {
        let entries = self.read_many(py, &keys)?;
        Ok(entries
            .into_iter()
            .map(|entry| entry.map(|entry| found(py, &entry)))
            .collect())
    }

    /// Puts many keys, each by itself: the fast path of loads. Returns the version of all of them.
    fn put_all(
        &self,
        py: Python<'_>,
        items: Vec<(PyBackedBytes, PyBackedBytes)>,
        ttl_ms: u64,
    ) -> PyResult<u64> {
        let store = self.open()?;
        let expires_at_ms = expiry(&store, ttl_ms)?;
        let mut ops = Vec::with_capacity(items.len());
        for (key, value) in &items {
            ops.push(self.op(key, Some(value), expires_at_ms, Condition::None)?);
        }
        let committed = self.commit(py, &store, ops, false)?;
        Ok(committed.lsn)
    }

    /// An unconditional put; its version.
    fn put(&self, py: Python<'_>, key: &[u8], value: Cow<'_, [u8]>, ttl_ms: u64) -> PyResult<u64> {
        let store = self.open()?;
        let expires_at_ms = expiry(&store, ttl_ms)?;
        check_key(&self.limits, key)
            .and_then(|()| check_value(&self.limits, &value))
            .and_then(|()| check_batch(&self.limits, 1, key.len() + value.len()))
            .map_err(|error| of_request(&error))?;
        py.detach(|| store.put(key, &value, expires_at_ms))
            .map_err(of_engine)
    }

    /// One write; its version.
    fn write_one(&self, py: Python<'_>, write: Write) -> PyResult<u64> {
        let store = self.open()?;
        let op = self.op_of(&store, &write)?;
        let committed = self.commit(py, &store, vec![op], false)?;
        match committed.outcomes.into_iter().next() {
            Some(outcome) => version_of(outcome),
            None => Err(failure(ErrorCode::Internal, "the commit has no outcome")),
        }
    }

    /// Independent writes: a version or an exception for each.
    fn write_many(
        &self,
        py: Python<'_>,
        writes: Vec<Write>,
    ) -> PyResult<Vec<(u64, Option<Py<PyAny>>)>> {
        let store = self.open()?;
        let mut answers: Vec<(u64, Option<Py<PyAny>>)> = Vec::with_capacity(writes.len());
        let mut ops = Vec::with_capacity(writes.len());
        let mut positions = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().enumerate() {
            match self.op_of(&store, write) {
                Ok(op) => {
                    ops.push(op);
                    positions.push(index);
                    answers.push((0, None));
                }
                Err(refused) => answers.push((0, Some(refused.into_value(py).into_any()))),
            }
        }
        if ops.is_empty() {
            return Ok(answers);
        }
        let committed = self.commit(py, &store, ops, false)?;
        for (index, outcome) in positions.into_iter().zip(committed.outcomes) {
            answers[index] = match version_of(outcome) {
                Ok(version) => (version, None),
                Err(refused) => (0, Some(refused.into_value(py).into_any())),
            };
        }
        Ok(answers)
    }

    /// All or nothing; the one version of all.
    fn write_atomic(&self, py: Python<'_>, writes: Vec<Write>) -> PyResult<u64> {
        let store = self.open()?;
        let ops = writes
            .iter()
            .map(|write| self.op_of(&store, write))
            .collect::<PyResult<Vec<Op>>>()?;
        let committed = self.commit(py, &store, ops, true)?;
        let failed =
            |outcome: &Outcome| !matches!(outcome, Outcome::Applied { .. } | Outcome::NotApplied);
        match committed.outcomes.iter().find(|outcome| failed(outcome)) {
            Some(outcome) => version_of(outcome.clone()),
            None => Ok(committed.lsn),
        }
    }

    /// Entries in [start, end), in key order or its reverse; an empty `end` is open. `after` (given, and not empty) is
    /// passed in the scan's direction.
    #[pyo3(signature = (start, end, after, reverse, keys_only, limit))]
    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        after: Option<&[u8]>,
        reverse: bool,
        keys_only: bool,
        limit: Option<usize>,
    ) -> PyResult<Scan> {
        let store = self.open()?;
        let direction = if reverse {
            Direction::Reverse
        } else {
            Direction::Forward
        };
        let snapshot = store.snapshot();
        Scan::new(&snapshot, start, end, after, direction, keys_only, limit)
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let store = self.open()?;
        let stats = py.detach(|| store.stats());
        let dict = PyDict::new(py);
        dict.set_item("keys", stats.keys)?;
        dict.set_item("bytes", stats.disk_bytes)?;
        dict.set_item("memtable_bytes", stats.memtable_bytes)?;
        dict.set_item(
            "level_files",
            stats
                .levels
                .iter()
                .map(|level| level.0)
                .collect::<Vec<u64>>(),
        )?;
        dict.set_item(
            "level_bytes",
            stats
                .levels
                .iter()
                .map(|level| level.1)
                .collect::<Vec<u64>>(),
        )?;
        dict.set_item("index_bytes", stats.index_bytes)?;
        dict.set_item("cache_bytes", stats.cache_bytes)?;
        dict.set_item("write_amplification", stats.write_amplification)?;
        let levels = stats.level_stats.iter().map(|level| {
            let dict = PyDict::new(py);
            dict.set_item("tables", level.tables)?;
            dict.set_item("bytes", level.bytes)?;
            dict.set_item("entries", level.entries)?;
            dict.set_item("tombstones", level.tombstones)?;
            dict.set_item("hidden_parts", level.hidden_parts)?;
            dict.set_item("read_bytes", level.read_bytes)?;
            dict.set_item("written_bytes", level.written_bytes)?;
            Ok(dict)
        });
        dict.set_item("levels", levels.collect::<PyResult<Vec<_>>>()?)?;
        dict.set_item("cache_hits", stats.cache_hits)?;
        dict.set_item("cache_misses", stats.cache_misses)?;
        dict.set_item("stalled", stats.stall.unwrap_or_default())?;
        dict.set_item("poisoned", stats.poisoned.unwrap_or_default())?;
        dict.set_item("visible_lsn", stats.visible_lsn)?;
        dict.set_item("synced_lsn", stats.synced_lsn)?;
        Ok(dict.unbind())
    }

    /// The log after `lsn`, see [`log_chunk`]. Raises `LogGap`.
    fn log_after(&self, py: Python<'_>, lsn: u64, max_bytes: usize) -> PyResult<Option<LogChunk>> {
        log_chunk(py, &self.open()?, lsn, max_bytes)
    }

    /// Applies those of the records that are not there yet, see [`apply_log`]. Raises `LogGap`.
    fn apply_log(
        &self,
        py: Python<'_>,
        records: &LogRecords,
        through_lsn: u64,
        through_clock_ms: u64,
        logged_from_ms: u64,
    ) -> PyResult<Applied> {
        let bounds = Bounds {
            through_lsn,
            through_clock_ms,
            logged_from_ms,
        };
        apply_log(py, &self.open()?, records, &bounds)
    }

    /// The archive has the log through `lsn`: of a store that keeps its log, what is before it may go.
    fn archived(&self, lsn: u64) -> PyResult<()> {
        self.open()?.archived(lsn, 0);
        Ok(())
    }

    /// Logs the start of a new epoch; the last LSN before it.
    fn begin_epoch(&self, py: Python<'_>, epoch: u64) -> PyResult<u64> {
        let store = self.open()?;
        py.detach(|| store.begin_epoch(epoch)).map_err(of_engine)
    }

    /// (epoch, visible LSN, clock in ms)
    fn position(&self) -> PyResult<(u64, u64, u64)> {
        let store = self.open()?;
        Ok((store.epoch(), store.visible_lsn(), store.clock_ms()))
    }

    /// Writes memtables out.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let store = self.open()?;
        py.detach(|| store.flush()).map_err(of_engine)
    }

    fn compact(&self, py: Python<'_>) -> PyResult<()> {
        let store = self.open()?;
        py.detach(|| store.compact()).map_err(of_engine)
    }

    /// A copy by hard links in the new directory `path`; the LSN that it shows.
    fn checkpoint(&self, py: Python<'_>, path: PathBuf) -> PyResult<u64> {
        let store = self.open()?;
        py.detach(|| store.checkpoint(&path))
            .map(|taken| taken.lsn)
            .map_err(of_engine)
    }

    /// Idempotent.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let taken = self
            .store
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .take();
        match taken {
            Some(store) => py.detach(|| store.close()).map_err(of_engine),
            None => Ok(()),
        }
    }
}

impl Store {
    fn open(&self) -> PyResult<lsm::Store> {
        let store = self
            .store
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        store.clone().ok_or_else(|| of_engine(lsm::Error::Closed))
    }

    fn read(&self, key: &[u8]) -> PyResult<Option<lsm::Entry>> {
        check_key(&self.limits, key).map_err(|error| of_request(&error))?;
        self.open()?
            .get(key)
            .map(|read| read.entry)
            .map_err(of_engine)
    }

    fn read_many(
        &self,
        py: Python<'_>,
        keys: &[PyBackedBytes],
    ) -> PyResult<Vec<Option<lsm::Entry>>> {
        for key in keys {
            check_key(&self.limits, key).map_err(|error| of_request(&error))?;
        }
        let store = self.open()?;
        py.detach(|| store.get_many(keys))
            .map(|(_, entries)| entries)
            .map_err(of_engine)
    }

    fn op_of(&self, store: &lsm::Store, write: &Write) -> PyResult<Op> {
        let Write(key, value, ttl_ms, condition, version) = write;
        let condition = match condition.as_str() {
            "" => Condition::None,
            "absent" => Condition::IfAbsent,
            "exists" => Condition::IfExists,
            "version" => Condition::IfVersion(*version),
            other => {
                return Err(failure(
                    ErrorCode::InvalidArgument,
                    &format!("there is no condition {other:?}"),
                ));
            }
        };
        self.op(key, value.as_ref(), expiry(store, *ttl_ms)?, condition)
    }

    fn op(
        &self,
        key: &[u8],
        value: Option<&PyBackedBytes>,
        expires_at_ms: u64,
        condition: Condition,
    ) -> PyResult<Op> {
        check_key(&self.limits, key).map_err(|error| of_request(&error))?;
        let kind = match value {
            Some(value) => {
                check_value(&self.limits, value).map_err(|error| of_request(&error))?;
                OpKind::Put {
                    value: Bytes::copy_from_slice(value),
                    expires_at_ms,
                }
            }
            None => OpKind::Delete,
        };
        Ok(Op {
            key: key.to_vec(),
            kind,
            condition,
            request: RequestId::default(),
            first_sent_ms: 0,
            deadline_ms: 0,
            tag: 0,
        })
    }

    fn commit(
        &self,
        py: Python<'_>,
        store: &lsm::Store,
        ops: Vec<Op>,
        atomic: bool,
    ) -> PyResult<lsm::Committed> {
        let bytes = ops
            .iter()
            .map(|op| op.key.len() + value_len(&op.kind))
            .sum();
        check_batch(&self.limits, ops.len(), bytes).map_err(|error| of_request(&error))?;
        py.detach(|| {
            store.write(Batch {
                ops,
                atomic,
                sync: None,
            })
        })
        .map_err(of_engine)
    }
}

fn value_len(kind: &OpKind) -> usize {
    match kind {
        OpKind::Put { value, .. } => value.len(),
        OpKind::Delete => 0,
        OpKind::DeleteRange { end } => end.len(),
    }
}

fn version_of(outcome: Outcome) -> PyResult<u64> {
    match outcome {
        Outcome::Applied { version } | Outcome::Duplicate { version } => Ok(version),
        Outcome::ConditionFailed { current } => Err(condition_failed(current.as_ref())),
        Outcome::Refused(_) | Outcome::NotApplied => {
            Err(failure(ErrorCode::Internal, "the write was refused"))
        }
    }
}

fn found(py: Python<'_>, entry: &lsm::Entry) -> FoundEntry {
    (
        PyBytes::new(py, &entry.value).unbind(),
        entry.version,
        entry.expires_at_ms,
    )
}

fn expiry(store: &lsm::Store, ttl_ms: u64) -> PyResult<u64> {
    if ttl_ms == 0 {
        return Ok(0);
    }
    let at = store
        .clock_ms()
        .checked_add(ttl_ms)
        .filter(|at| *at < 1 << 62);
    at.ok_or_else(|| {
        failure(
            ErrorCode::InvalidArgument,
            "the time to live is beyond all calendars",
        )
    })
}

/// "group", "none", or "interval" (the same as a sync each 100 ms).
pub fn sync_mode(name: &str) -> PyResult<SyncMode> {
    match name {
        "group" => Ok(SyncMode::Group),
        "interval" => Ok(SyncMode::Interval(Duration::from_millis(100))),
        "none" => Ok(SyncMode::None),
        _ => Err(failure(
            ErrorCode::InvalidArgument,
            "sync is \"group\", \"interval\" or \"none\"",
        )),
    }
}
