//! Scans of the embedded store: iterators of Python that read in chunks, without the GIL.

use std::ops;
use std::sync::{Mutex, MutexGuard, TryLockError};

use aidb_lsm::{Direction, Range, Snapshot};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple, PyType};
use pyo3::{IntoPyObjectExt, ffi};

use super::failure::{failure, of_engine};
use aidb_client::pb::ErrorCode;

/// A chunk holds no more entries, nor much more bytes.
const CHUNK_ITEMS: usize = 1024;
const CHUNK_BYTES: usize = 1 << 20;
/// Of the first chunk. Many scans end early, unless it is said how much is wanted.
const FIRST_ITEMS: usize = 16;
const FIRST_OF_LIMITED: usize = 128;
/// Each chunk has so many times the entries of the one before.
const GROWTH: usize = 4;
/// Room that is made at once for as much as a chunk's first entry lets expect.
const EXPECTED_BYTES: usize = 64 << 10;

#[pyclass(frozen, module = "aidb_node._native")]
pub struct Scan {
    /// Locked without the GIL, or with it for no longer than it takes to copy an entry.
    reading: Mutex<Reading>,
    keys_only: bool,
}

struct Reading {
    /// None once all is read or the scan is closed: then the snapshot is free.
    entries: Option<aidb_lsm::Scan>,
    chunk: Chunk,
    /// Of the next chunk.
    count: usize,
    /// Entries that may still be read.
    left: usize,
}

/// Entries without Python: keys and values, one after the other.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    entries: Vec<Taken>,
    /// What Python has of both.
    bytes_given: usize,
    entries_given: usize,
}

/// Lengths of key and value, and the rest of an entry.
struct Taken {
    key: usize,
    value: usize,
    version: u64,
    expires_at_ms: u64,
}

impl Scan {
    pub fn new(
        snapshot: &Snapshot,
        start: &[u8],
        end: &[u8],
        after: Option<&[u8]>,
        direction: Direction,
        keys_only: bool,
        limit: Option<usize>,
    ) -> PyResult<Self> {
        let mut range = Range {
            start: ops::Bound::Included(start.to_vec()),
            end: if end.is_empty() {
                ops::Bound::Unbounded
            } else {
                ops::Bound::Excluded(end.to_vec())
            },
        };
        let mut empty = !end.is_empty() && start >= end;
        if let Some(after) = after {
            match direction {
                Direction::Forward if after >= start => {
                    range.start = ops::Bound::Excluded(after.to_vec());
                    empty |= !end.is_empty() && after >= end;
                }
                Direction::Reverse if end.is_empty() || after < end => {
                    range.end = ops::Bound::Excluded(after.to_vec());
                    empty |= after <= start;
                }
                Direction::Forward | Direction::Reverse => {}
            }
        }
        empty |= limit == Some(0);
        let entries = if empty {
            None
        } else {
            Some(snapshot.scan(range, direction).map_err(of_engine)?)
        };
        let reading = Reading {
            entries,
            chunk: Chunk::default(),
            count: limit.map_or(FIRST_ITEMS, |_| FIRST_OF_LIMITED),
            left: limit.unwrap_or(usize::MAX),
        };
        Ok(Self {
            reading: Mutex::new(reading),
            keys_only,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[pymethods]
impl Scan {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            let held = match self.reading.try_lock() {
                Ok(held) => Some(held),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                // Another thread reads the next chunk.
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut reading) = held {
                let next = reading.chunk.next(py);
                let ended = reading.entries.is_none();
                // What follows may collect garbage, and that call this scan.
                drop(reading);
                if let Some((key, value, version, expires_at_ms)) = next {
                    return entry(py, key, value, version, expires_at_ms).map(Some);
                }
                if ended {
                    return Ok(None);
                }
            }
            py.detach(|| self.lock().read(self.keys_only))
                .map_err(of_engine)?;
        }
    }

    fn close(&self) {
        let mut reading = self.lock();
        reading.entries = None;
        reading.chunk = Chunk::default();
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, _raised: &Bound<'_, PyTuple>) {
        self.close();
    }
}

/// An `aidb.Entry`: a tuple with names. It is made as `tuple.__new__` makes one, but without another
/// tuple to copy from: that would take as long as to read the entry.
fn entry<'py>(
    py: Python<'py>,
    key: Bound<'py, PyBytes>,
    value: Bound<'py, PyBytes>,
    version: u64,
    expires_at_ms: u64,
) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "aidb.interface", "Entry")?;
    if !class.is_subclass_of::<PyTuple>()? {
        return Err(failure(ErrorCode::Internal, "aidb.Entry is not a tuple"));
    }
    let expires_at = match expires_at_ms {
        0 => py.None().into_bound(py),
        at_ms => (at_ms as f64 / 1000.0).into_bound_py_any(py)?,
    };
    let version = version.into_bound_py_any(py)?;
    let fields = [key.into_any(), value.into_any(), version, expires_at];
    // SAFETY: instances of a subclass of tuple have room for as many items as are allocated. The new
    // one has no items, which a tuple allows while they are set, and only this function knows it;
    // setting an item takes over a reference and runs no code of others.
    unsafe {
        let made = ffi::PyType_GenericAlloc(class.as_type_ptr(), fields.len() as ffi::Py_ssize_t);
        let made = Bound::from_owned_ptr_or_err(py, made)?;
        for (index, field) in fields.into_iter().enumerate() {
            let index = index as ffi::Py_ssize_t;
            if ffi::PyTuple_SetItem(made.as_ptr(), index, field.into_ptr()) != 0 {
                return Err(PyErr::fetch(py));
            }
        }
        Ok(made)
    }
}

impl Reading {
    /// The next chunk, once Python has all of the last one.
    fn read(&mut self, keys_only: bool) -> aidb_lsm::Result<()> {
        if !self.chunk.is_given() {
            return Ok(());
        }
        self.chunk.clear();
        // Put back below unless it failed or is at its end.
        let Some(mut entries) = self.entries.take() else {
            return Ok(());
        };
        let count = self.count.min(self.left);
        let mut size_read = 0;
        while self.chunk.entries.len() < count && size_read < CHUNK_BYTES {
            let Some(entry) = entries.step()? else {
                return Ok(());
            };
            let value = if keys_only { &[] } else { entry.value };
            if self.chunk.entries.is_empty() {
                let expected = (entry.key.len() + value.len()).saturating_mul(count);
                self.chunk.bytes.reserve(expected.min(EXPECTED_BYTES));
                self.chunk.entries.reserve(count);
            }
            size_read += entry.key.len() + entry.value.len();
            self.chunk.bytes.extend_from_slice(entry.key);
            self.chunk.bytes.extend_from_slice(value);
            self.chunk.entries.push(Taken {
                key: entry.key.len(),
                value: value.len(),
                version: entry.version,
                expires_at_ms: entry.expires_at_ms,
            });
        }
        self.left -= self.chunk.entries.len();
        self.count = (self.count * GROWTH).min(CHUNK_ITEMS);
        if self.left > 0 {
            self.entries = Some(entries);
        }
        Ok(())
    }
}

impl Chunk {
    fn next<'py>(
        &mut self,
        py: Python<'py>,
    ) -> Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, u64, u64)> {
        let taken = self.entries.get(self.entries_given)?;
        let (key, behind) = self.bytes[self.bytes_given..].split_at(taken.key);
        let value = &behind[..taken.value];
        self.entries_given += 1;
        self.bytes_given += taken.key + taken.value;
        Some((
            PyBytes::new(py, key),
            PyBytes::new(py, value),
            taken.version,
            taken.expires_at_ms,
        ))
    }

    fn is_given(&self) -> bool {
        self.entries_given == self.entries.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.bytes_given = 0;
        self.entries_given = 0;
    }
}
