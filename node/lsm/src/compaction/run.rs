//! The compactor: one task at a time, so that tasks never compete for a table.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::merge::merge;
use super::picker::{self, Task};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::manifest::Edit;
use crate::shared::{Plan, Shared};
use crate::spans::Spans;
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
        let (version, shape, task) = pick(shared, requested.is_some());
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
        *shared.compacting.lock() = None;
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

/// Under the manifest's lock: an ingest sees either the version before or what the task will fill.
fn pick(shared: &Shared, everything: bool) -> (Arc<Version>, picker::Shape, Option<Task>) {
    let _unchanged = shared.manifest.lock();
    let version = Arc::clone(&shared.view().version);
    let shape = picker::shape(&version);
    let task = if everything {
        picker::everything(&shape)
    } else {
        picker::pick(&shape, &shared.config, shared.clock_ms())
    };
    let hull = task.as_ref().and_then(|task| picker::hull(&version, task));
    *shared.compacting.lock() = hull;
    (version, shape, task)
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
    let installed = shared.install(
        |current| {
            if task.moves {
                moved(current, &inputs, task.target)
            } else {
                replaced(version, current, &inputs, &outputs, task.target)
            }
        },
        |_| {},
    );
    if let Err(error) = &installed
        && !task.moves
        && matches!(error, Error::DiskFull { .. })
    {
        outputs.iter().for_each(|table| table.mark_obsolete());
    }
    if installed.is_ok() && !task.moves {
        let read = inputs.iter().map(|table| table.bytes).sum();
        let written = outputs.iter().map(|table| table.bytes).sum();
        shared.counters.compacted(task.target, read, written);
    }
    installed
}

/// A range delete may have taken the table away meanwhile.
fn moved(current: &Version, inputs: &[&Arc<Table>], target: usize) -> Plan {
    let still = |input: &&&Arc<Table>| current.tables().any(|table| table.number == input.number);
    let tables: Vec<_> = inputs.iter().filter(still).collect();
    Plan {
        edit: Edit {
            removed: tables.iter().map(|table| table.number).collect(),
            ..Edit::default()
        },
        added: tables
            .iter()
            .map(|table| (target, Arc::clone(table)))
            .collect(),
        dropped: Vec::new(),
    }
}

/// What was hidden of an input since the task was `picked` is hidden of the outputs: all inputs were
/// there when it was, hence all that the outputs hold of it is older.
fn replaced(
    picked: &Version,
    current: &Version,
    inputs: &[&Arc<Table>],
    outputs: &[Arc<Table>],
    target: usize,
) -> Plan {
    let mut since = Spans::default();
    for input in inputs {
        let (smallest, largest) = (&input.properties.smallest, &input.properties.largest);
        let hidden = |version: &Version| -> Spans {
            match version.hidden(input.number) {
                Some(hidden) => hidden.clipped(smallest, largest),
                None => Spans::default(),
            }
        };
        let now = if current.tables().any(|table| table.number == input.number) {
            hidden(current)
        } else {
            Spans::everything().clipped(smallest, largest)
        };
        since.extend(&now.minus(&hidden(picked)));
    }
    let hidden = outputs.iter().map(|output| {
        let (smallest, largest) = (&output.properties.smallest, &output.properties.largest);
        (output.number, since.overlapping(smallest, largest))
    });
    Plan {
        edit: Edit {
            hidden: hidden.filter(|(_, spans)| !spans.is_empty()).collect(),
            ..Edit::default()
        },
        added: outputs
            .iter()
            .map(|table| (target, Arc::clone(table)))
            .collect(),
        dropped: inputs.iter().map(|table| Arc::clone(table)).collect(),
    }
}
