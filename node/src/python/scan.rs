//! Scans of the embedded store, handed to Python in chunks.

use std::ops::Bound;
use std::sync::Mutex;

use aidb_lsm::{Direction, Range, Snapshot};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::failure::of_engine;

/// The fields of `aidb.Entry`: (key, value, version, expiry in seconds since 1970)
type Item = (Py<PyBytes>, Py<PyBytes>, u64, Option<f64>);

#[pyclass(frozen, module = "aidb_node._native")]
pub struct Scan {
    /// None once closed or at its end: then the snapshot is free.
    entries: Mutex<Option<aidb_lsm::Scan>>,
    keys_only: bool,
}

impl Scan {
    pub fn new(
        snapshot: &Snapshot,
        start: &[u8],
        end: &[u8],
        after: Option<&[u8]>,
        direction: Direction,
        keys_only: bool,
    ) -> PyResult<Self> {
        let mut range = Range {
            start: Bound::Included(start.to_vec()),
            end: if end.is_empty() {
                Bound::Unbounded
            } else {
                Bound::Excluded(end.to_vec())
            },
        };
        let mut empty = !end.is_empty() && start >= end;
        if let Some(after) = after {
            match direction {
                Direction::Forward if after >= start => {
                    range.start = Bound::Excluded(after.to_vec());
                    empty |= !end.is_empty() && after >= end;
                }
                Direction::Reverse if end.is_empty() || after < end => {
                    range.end = Bound::Excluded(after.to_vec());
                    empty |= after <= start;
                }
                Direction::Forward | Direction::Reverse => {}
            }
        }
        let entries = if empty {
            None
        } else {
            Some(snapshot.scan(range, direction).map_err(of_engine)?)
        };
        Ok(Self {
            entries: Mutex::new(entries),
            keys_only,
        })
    }
}

#[pymethods]
impl Scan {
    /// The next entries, at most `count` of at most about `size` bytes; an empty list is the end.
    fn take(&self, py: Python<'_>, count: usize, size: usize) -> PyResult<Vec<Item>> {
        let taken = py.detach(|| self.read(count, size)).map_err(of_engine)?;
        let mut rest = taken.bytes.as_slice();
        let mut next = |length: usize| {
            let (bytes, behind) = rest.split_at(length);
            rest = behind;
            PyBytes::new(py, bytes).unbind()
        };
        let item = |entry: &Taken| {
            let expires_at = match entry.expires_at_ms {
                0 => None,
                at_ms => Some(at_ms as f64 / 1000.0),
            };
            (
                next(entry.key),
                next(entry.value),
                entry.version,
                expires_at,
            )
        };
        Ok(taken.entries.iter().map(item).collect())
    }

    fn close(&self) {
        *self
            .entries
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
    }
}

/// A chunk without Python: keys and values, one after the other.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    entries: Vec<Taken>,
}

/// Lengths of key and value, and the rest of an entry.
struct Taken {
    key: usize,
    value: usize,
    version: u64,
    expires_at_ms: u64,
}

impl Scan {
    fn read(&self, count: usize, size: usize) -> aidb_lsm::Result<Chunk> {
        let mut held = self
            .entries
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut chunk = Chunk::default();
        let Some(entries) = held.as_mut() else {
            return Ok(chunk);
        };
        let mut size_read = 0;
        while chunk.entries.len() < count && size_read < size {
            let Some(entry) = entries.step()? else {
                *held = None;
                break;
            };
            size_read += entry.key.len() + entry.value.len();
            let value = if self.keys_only { &[] } else { entry.value };
            chunk.bytes.extend_from_slice(entry.key);
            chunk.bytes.extend_from_slice(value);
            chunk.entries.push(Taken {
                key: entry.key.len(),
                value: value.len(),
                version: entry.version,
                expires_at_ms: entry.expires_at_ms,
            });
        }
        Ok(chunk)
    }
}
