//! The compactor: one task at a time, so that tasks never compete for a table.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::merge::merge;
use super::picker::{self, Task};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::flush::info;
use crate::manifest::Edit;
use crate::shared::Shared;
use crate::table::Table;
use crate::version::Version;

/// How often expired tables are looked for while nothing happens.
const IDLE: Duration = Duration::from_secs(60);

pub(crate) fn run(shared: &Shared) -> Result<()> {
    loop {
        let seen = shared.events.seen();
        if shared.closing.load(Ordering::Acquire) {
            return Ok(());
        }
        let requested = shared.compactions.asked();
        let version = Arc::clone(&shared.view().version);
        let shape = picker::shape(&version);
        let task = if requested.is_some() {
            picker::everything(&shape)
        } else {
            picker::pick(&shape, &shared.config, shared.clock_ms())
        };
        let debt = picker::debt(&shape, &shared.config);
        shared.debt_bytes.store(debt, Ordering::Release);
        if task.is_none() && requested.is_none() {
            shared.events.wait(seen, IDLE);
            continue;
        }
        shared.poison.check()?;
        let done = match task {
            Some(task) => compact(shared, &version, &task),
            None => Ok(()),
        };
        match &done {
            Err(Error::Closed) => return Ok(()),
            Err(Error::DiskFull { .. }) => {}
            Err(error) => return Err(error.clone()),
            Ok(()) => {}
        }
        let full = shared.note_disk_full(&done);
        if let Some(request) = requested {
            shared.compactions.finish(request, done);
            shared.events.notify();
        } else if full {
            shared.events.wait(shared.events.seen(), Events::LOOK_AGAIN);
        }
    }
}

fn compact(shared: &Shared, version: &Version, task: &Task) -> Result<()> {
    let inputs: Vec<&Arc<Table>> = version
        .tables()
        .filter(|table| {
            task.runs
                .iter()
                .flatten()
                .any(|number| *number == table.number)
        })
        .collect();
    let outputs = if task.moves {
        inputs.iter().map(|table| Arc::clone(table)).collect()
    } else {
        merge(shared, version, task)?
    };
    let removed: Vec<u64> = inputs.iter().map(|table| table.number).collect();
    let added: Vec<_> = outputs
        .iter()
        .map(|table| (task.target, Arc::clone(table)))
        .collect();
    let edit = Edit {
        added: added
            .iter()
            .map(|(level, table)| (*level, info(table)))
            .collect(),
        removed,
        ..Edit::default()
    };
    if let Err(error) = shared.install(edit, &added, |_| {}) {
        if !task.moves && matches!(error, Error::DiskFull { .. }) {
            outputs.iter().for_each(|table| table.mark_obsolete());
        }
        return Err(error);
    }
    if !task.moves {
        inputs.iter().for_each(|table| table.mark_obsolete());
    }
    Ok(())
}
