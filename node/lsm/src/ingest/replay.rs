//! Completes what a crash or a restore left between the record of an ingest and the edit.

use std::collections::BTreeMap;

use super::stage::sha256;
use crate::error::{Error, IoContext, Result};
use crate::log::{LogOpKind, LogRecord};
use crate::shared::{Shared, TABLE_DIR};
use crate::table::Table;
use crate::table::reader::parse_name;

/// The record of an ingest that the manifest does not hold yet.
pub(crate) struct Pending(LogRecord);

impl Pending {
    pub(crate) fn new(record: &LogRecord) -> Option<Pending> {
        let mut ops = record.ops.iter();
        ops.any(|op| op.kind == LogOpKind::Ingest)
            .then(|| Pending(record.clone()))
    }
}

/// Installs the files of the `pending` records, oldest first, each after the memtables that are
/// older; then removes the files that no manifest names.
///
/// Errors: `Corruption` when a file is missing or damaged, `Io`, `DiskFull`.
pub(crate) fn complete(shared: &Shared, pending: &[Pending]) -> Result<()> {
    let orphans = orphans(shared)?;
    if let (Some(last), false) = (orphans.last(), pending.is_empty()) {
        shared.manifest.lock().skip_number(*last);
    }
    let mut staged = BTreeMap::new();
    if !pending.is_empty() {
        for number in orphans {
            staged.insert(sha256(&*shared.io, &shared.table_path(number))?, number);
        }
    }
    for Pending(record) in pending {
        loop {
            let oldest = shared.view().full.last().cloned();
            let Some(older) = oldest.filter(|full| full.last_lsn() < record.lsn) else {
                break;
            };
            crate::flush::flush(shared, &older)?;
        }
        let mut tables = Vec::new();
        for op in &record.ops {
            let sum = op.sst_sha256().unwrap_or_default();
            let dir = shared.path.join(TABLE_DIR);
            let Some(number) = staged.get(&sum) else {
                let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
                let what = format!("the file {hex}, ingested at lsn {}, is missing", record.lsn);
                return Err(Error::corruption(&dir, 0, what));
            };
            tables.push(Table::open(&shared.io, &dir, *number, &shared.cache)?);
        }
        let request = record.ops.first().map(|op| op.request).unwrap_or_default();
        let at = (record.epoch, record.clock_ms);
        shared.install_ingested(tables, record.lsn, at, request)?;
    }
    remove_orphans(shared)
}

/// The numbers of tables that no manifest names: an unfinished flush, compaction or ingest left
/// them.
fn orphans(shared: &Shared) -> Result<Vec<u64>> {
    let dir = shared.path.join(TABLE_DIR);
    let names = shared.io.list(&dir).at(&dir, "list")?;
    let manifest = shared.manifest.lock();
    let tables = &manifest.inventory().tables;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| parse_name(name)).collect();
    numbers.retain(|number| !tables.contains_key(number));
    numbers.sort_unstable();
    Ok(numbers)
}

fn remove_orphans(shared: &Shared) -> Result<()> {
    for number in orphans(shared)? {
        let path = shared.table_path(number);
        shared.io.remove(&path).at(&path, "remove")?;
    }
    Ok(())
}
