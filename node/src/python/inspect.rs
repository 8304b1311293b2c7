//! The files of a store, for `aidb-admin`: dictionaries of plain values, keys and values as bytes.
//!
//! `emit` is called for each item while the file is read; an exception of it ends the reading's output
//! and is raised afterwards. The GIL is held: a tool of one thread.

use std::path::PathBuf;

use aidb_lsm::inspect::{
    KeyInterval, ManifestEdit, SstEntry, SstProperties, read_log, read_manifest, read_sst,
};
use aidb_lsm::io::RealIo;
use aidb_lsm::{Damage, LogOp, LogOpKind, LogRecord, LostTable, Options};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::failure::of_engine;

pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(dump_sst, module)?)?;
    module.add_function(wrap_pyfunction!(dump_log, module)?)?;
    module.add_function(wrap_pyfunction!(dump_manifest, module)?)?;
    module.add_function(wrap_pyfunction!(repair_store, module)?)
}

/// Collects the first exception of a callback.
struct Emit<'py> {
    to: Bound<'py, PyAny>,
    outcome: PyResult<()>,
}

impl<'py> Emit<'py> {
    fn send(&mut self, make: impl FnOnce(Python<'py>) -> PyResult<Bound<'py, PyDict>>) {
        if self.outcome.is_ok() {
            let sent = make(self.to.py()).and_then(|item| self.to.call1((item,)));
            self.outcome = sent.map(|_| ());
        }
    }
}

#[pyfunction]
fn dump_sst<'py>(
    py: Python<'py>,
    path: PathBuf,
    emit: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut emit = Emit {
        to: emit,
        outcome: Ok(()),
    };
    let mut each = |entry: &SstEntry| emit.send(|py| entry_dict(py, entry));
    let report = read_sst(&RealIo, &path, &mut each).map_err(of_engine)?;
    emit.outcome?;
    let dict = PyDict::new(py);
    dict.set_item("bytes", report.bytes)?;
    let properties = report.properties.as_ref();
    let properties = properties.map(|known| properties_dict(py, known));
    dict.set_item("properties", properties.transpose()?)?;
    let blocks = report.blocks.iter().map(|block| {
        let dict = PyDict::new(py);
        dict.set_item("offset", block.offset)?;
        dict.set_item("length", block.length)?;
        dict.set_item("entries", block.entries)?;
        dict.set_item(
            "after",
            block.after.as_ref().map(|key| PyBytes::new(py, key)),
        )?;
        dict.set_item("through", PyBytes::new(py, &block.through))?;
        dict.set_item("damaged", block.damaged)?;
        Ok(dict)
    });
    dict.set_item("blocks", blocks.collect::<PyResult<Vec<_>>>()?)?;
    dict.set_item("damage", damage_list(py, &report.damage)?)?;
    Ok(dict)
}

#[pyfunction]
fn dump_log<'py>(
    py: Python<'py>,
    path: PathBuf,
    emit: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut emit = Emit {
        to: emit,
        outcome: Ok(()),
    };
    let mut each = |offset: u64, synced_lsn: u64, record: &LogRecord| {
        emit.send(|py| record_dict(py, offset, synced_lsn, record));
    };
    let report = read_log(&RealIo, &path, &mut each).map_err(of_engine)?;
    emit.outcome?;
    let dict = PyDict::new(py);
    dict.set_item("segment", report.segment)?;
    dict.set_item("bytes", report.bytes)?;
    dict.set_item("records", report.records)?;
    dict.set_item("end", report.end)?;
    dict.set_item("rest", report.rest)?;
    dict.set_item("damage", damage_list(py, &report.damage)?)?;
    Ok(dict)
}

#[pyfunction]
fn dump_manifest<'py>(
    py: Python<'py>,
    path: PathBuf,
    emit: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut emit = Emit {
        to: emit,
        outcome: Ok(()),
    };
    let mut each = |offset: u64, edit: &ManifestEdit| emit.send(|py| edit_dict(py, offset, edit));
    let report = read_manifest(&RealIo, &path, &mut each).map_err(of_engine)?;
    emit.outcome?;
    let dict = PyDict::new(py);
    dict.set_item("format", report.format)?;
    dict.set_item("bytes", report.bytes)?;
    dict.set_item("edits", report.edits)?;
    dict.set_item("damage", damage_list(py, &report.damage)?)?;
    Ok(dict)
}

/// Without `apply` nothing is written: what is damaged, and what a repair would do.
#[pyfunction]
fn repair_store(py: Python<'_>, path: PathBuf, apply: bool) -> PyResult<Bound<'_, PyDict>> {
    let report = py
        .detach(|| aidb_lsm::repair(&path, &Options::default(), apply))
        .map_err(of_engine)?;
    let dict = PyDict::new(py);
    dict.set_item("damage", damage_list(py, &report.damage)?)?;
    dict.set_item("rebuilt", report.rebuilt)?;
    dict.set_item("tables", report.tables)?;
    dict.set_item("records", report.records)?;
    let lost = report.lost_tables.iter().map(|table| lost_dict(py, table));
    dict.set_item("lost_tables", lost.collect::<PyResult<Vec<_>>>()?)?;
    dict.set_item("lost_records", report.lost_records)?;
    dict.set_item("lsn", report.lsn)?;
    dict.set_item("epoch", report.epoch)?;
    dict.set_item("clock_ms", report.clock_ms)?;
    dict.set_item("notes", report.notes)?;
    dict.set_item("applied", report.applied)?;
    Ok(dict)
}

fn lost_dict<'py>(py: Python<'py>, table: &LostTable) -> PyResult<Bound<'py, PyDict>> {
    let key = |key: &Option<Vec<u8>>| key.as_ref().map(|key| PyBytes::new(py, key));
    let ranges = table.ranges.iter();
    let ranges: Vec<_> = ranges.map(|(a, b)| (key(a), key(b))).collect();
    let dict = PyDict::new(py);
    dict.set_item("file", &table.file)?;
    dict.set_item("last_lsn", table.last_lsn)?;
    dict.set_item("entries", table.entries)?;
    dict.set_item("saved_entries", table.saved_entries)?;
    dict.set_item("ranges", ranges)?;
    Ok(dict)
}

fn damage_list<'py>(py: Python<'py>, damage: &[Damage]) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let item = |damage: &Damage| {
        let dict = PyDict::new(py);
        dict.set_item("file", &damage.file)?;
        dict.set_item("offset", damage.offset)?;
        dict.set_item("what", &damage.what)?;
        Ok(dict)
    };
    damage.iter().map(item).collect()
}

fn entry_dict<'py>(py: Python<'py>, entry: &SstEntry) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("key", PyBytes::new(py, &entry.key))?;
    let value = entry.value.as_ref();
    dict.set_item("value", value.map(|value| PyBytes::new(py, value)))?;
    dict.set_item("version", entry.version)?;
    dict.set_item("expires_at_ms", entry.expires_at_ms)?;
    Ok(dict)
}

fn properties_dict<'py>(py: Python<'py>, known: &SstProperties) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("entries", known.entries)?;
    dict.set_item("tombstones", known.tombstones)?;
    dict.set_item("smallest", PyBytes::new(py, &known.smallest))?;
    dict.set_item("largest", PyBytes::new(py, &known.largest))?;
    dict.set_item("last_lsn", known.last_lsn)?;
    let expires = (known.all_expired_at_ms != u64::MAX).then_some(known.all_expired_at_ms);
    dict.set_item("all_expired_at_ms", expires)?;
    Ok(dict)
}

fn record_dict<'py>(
    py: Python<'py>,
    offset: u64,
    synced_lsn: u64,
    record: &LogRecord,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("offset", offset)?;
    dict.set_item("lsn", record.lsn)?;
    dict.set_item("previous_lsn", record.previous_lsn)?;
    dict.set_item("epoch", record.epoch)?;
    dict.set_item("clock_ms", record.clock_ms)?;
    dict.set_item("synced_lsn", synced_lsn)?;
    let ops = record.ops.iter().map(|op| op_dict(py, op));
    dict.set_item("ops", ops.collect::<PyResult<Vec<_>>>()?)?;
    Ok(dict)
}

fn op_dict<'py>(py: Python<'py>, op: &LogOp) -> PyResult<Bound<'py, PyDict>> {
    let kind = match op.kind {
        LogOpKind::Put => "put",
        LogOpKind::Delete => "delete",
        LogOpKind::Epoch => "epoch",
        LogOpKind::RangeDelete => "range_delete",
        LogOpKind::Ingest => "ingest",
        LogOpKind::Gained => "slots_gained",
        LogOpKind::Lost => "slots_lost",
    };
    let dict = PyDict::new(py);
    dict.set_item("kind", kind)?;
    dict.set_item("key", PyBytes::new(py, &op.key))?;
    match op.kind {
        LogOpKind::Put => {
            dict.set_item("value", PyBytes::new(py, &op.value))?;
            dict.set_item("expires_at_ms", op.expires_at_ms)?;
        }
        LogOpKind::RangeDelete | LogOpKind::Ingest | LogOpKind::Gained | LogOpKind::Lost => {
            dict.set_item("end_key", op.end_key().map(|key| PyBytes::new(py, key)))?;
            let sum = op.sst_sha256();
            dict.set_item("sst_sha256", sum.map(|sum| PyBytes::new(py, &sum)))?;
        }
        LogOpKind::Delete | LogOpKind::Epoch => {}
    }
    dict.set_item("version", op.version)?;
    dict.set_item("client", op.request.client)?;
    dict.set_item("request_seq", op.request.seq)?;
    Ok(dict)
}

fn edit_dict<'py>(
    py: Python<'py>,
    offset: u64,
    edit: &ManifestEdit,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("offset", offset)?;
    let added = edit.added.iter().map(|table| {
        let dict = properties_dict(py, &table.properties)?;
        dict.set_item("level", table.level)?;
        dict.set_item("number", table.number)?;
        dict.set_item("bytes", table.bytes)?;
        Ok(dict)
    });
    dict.set_item("added", added.collect::<PyResult<Vec<_>>>()?)?;
    dict.set_item("removed", &edit.removed)?;
    let interval = |(begin, end): &KeyInterval| {
        let end = end.as_ref().map(|key| PyBytes::new(py, key));
        (PyBytes::new(py, begin), end)
    };
    let hidden = edit.hidden.iter().map(|(number, spans)| {
        let spans: Vec<_> = spans.iter().map(interval).collect();
        (*number, spans)
    });
    dict.set_item("hidden", hidden.collect::<Vec<_>>())?;
    let ingested = edit.ingested.iter();
    let ingested = ingested.map(|(request, lsn)| (request.client, request.seq, *lsn));
    dict.set_item("ingested", ingested.collect::<Vec<_>>())?;
    dict.set_item("flushed_lsn", edit.flushed_lsn)?;
    dict.set_item("epoch", edit.epoch)?;
    dict.set_item("clock_ms", edit.clock_ms)?;
    dict.set_item("next_number", edit.next_number)?;
    Ok(dict)
}
