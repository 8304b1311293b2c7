//! An edit, one record of the manifest:
//!
//! ```text
//! edit  := field*
//! field := 1 level:varint number:varint bytes:varint properties     table added
//!        | 2 number:varint                                          table removed
//!        | 3 lsn:varint        SSTs hold all records through it
//!        | 4 epoch:varint
//!        | 5 clock (ms):varint
//!        | 6 number:varint     the next unused table number
//! ```

use std::collections::BTreeMap;

use crate::table::Properties;
use crate::varint;
use crate::version::LEVELS;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableInfo {
    pub number: u64,
    pub bytes: u64,
    pub properties: Properties,
}

/// What changed; 0 in a number means that it did not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Edit {
    pub added: Vec<(usize, TableInfo)>,
    pub removed: Vec<u64>,
    pub flushed_lsn: u64,
    pub epoch: u64,
    pub clock_ms: u64,
    pub next_number: u64,
}

/// All edits together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inventory {
    pub tables: BTreeMap<u64, (usize, TableInfo)>,
    pub flushed_lsn: u64,
    pub epoch: u64,
    pub clock_ms: u64,
    pub next_number: u64,
}

const ADDED: u8 = 1;
const REMOVED: u8 = 2;
const FLUSHED: u8 = 3;
const EPOCH: u8 = 4;
const CLOCK: u8 = 5;
const NEXT_NUMBER: u8 = 6;

impl Edit {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::new();
        for (level, table) in &self.added {
            buffer.push(ADDED);
            varint::put(&mut buffer, *level as u64);
            varint::put(&mut buffer, table.number);
            varint::put(&mut buffer, table.bytes);
            table.properties.put(&mut buffer);
        }
        for number in &self.removed {
            buffer.push(REMOVED);
            varint::put(&mut buffer, *number);
        }
        for (tag, value) in [
            (FLUSHED, self.flushed_lsn),
            (EPOCH, self.epoch),
            (CLOCK, self.clock_ms),
            (NEXT_NUMBER, self.next_number),
        ] {
            if value != 0 {
                buffer.push(tag);
                varint::put(&mut buffer, value);
            }
        }
        buffer
    }

    /// `None` when damaged.
    pub(crate) fn decode(mut input: &[u8]) -> Option<Edit> {
        let mut edit = Edit::default();
        while let Some((&tag, rest)) = input.split_first() {
            input = rest;
            let number = varint::take(&mut input)?;
            match tag {
                ADDED => {
                    let level = usize::try_from(number)
                        .ok()
                        .filter(|level| *level < LEVELS)?;
                    let table = TableInfo {
                        number: varint::take(&mut input)?,
                        bytes: varint::take(&mut input)?,
                        properties: Properties::take(&mut input)?,
                    };
                    edit.added.push((level, table));
                }
                REMOVED => edit.removed.push(number),
                FLUSHED => edit.flushed_lsn = number,
                EPOCH => edit.epoch = number,
                CLOCK => edit.clock_ms = number,
                NEXT_NUMBER => edit.next_number = number,
                _ => return None,
            }
        }
        Some(edit)
    }
}

impl Inventory {
    /// Of an empty store.
    pub(crate) fn new() -> Inventory {
        Inventory {
            next_number: 1,
            ..Inventory::default()
        }
    }

    pub(crate) fn apply(&mut self, edit: &Edit) {
        for number in &edit.removed {
            self.tables.remove(number);
        }
        for (level, table) in &edit.added {
            self.tables.insert(table.number, (*level, table.clone()));
        }
        self.flushed_lsn = self.flushed_lsn.max(edit.flushed_lsn);
        self.epoch = self.epoch.max(edit.epoch);
        self.clock_ms = self.clock_ms.max(edit.clock_ms);
        self.next_number = self.next_number.max(edit.next_number);
    }

    /// The one edit that makes this of nothing.
    pub(crate) fn as_edit(&self) -> Edit {
        Edit {
            added: self.tables.values().cloned().collect(),
            removed: Vec::new(),
            flushed_lsn: self.flushed_lsn,
            epoch: self.epoch,
            clock_ms: self.clock_ms,
            next_number: self.next_number,
        }
    }
}
