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
//!        | 7 number:varint spans                                    keys of a table that are hidden
//!        | 8 lsn:varint client:varint seq:varint                    an ingest was done
//! ```
//!
//! Fields 7 and 8 are of format 2 and written only when there is something to say.

use std::collections::{BTreeMap, VecDeque};

use crate::batch::RequestId;
use crate::spans::Spans;
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
    /// By number: all that is then hidden of a table.
    pub hidden: Vec<(u64, Spans)>,
    /// Requests, and the LSNs at which they were done.
    pub ingested: Vec<(RequestId, u64)>,
    pub flushed_lsn: u64,
    pub epoch: u64,
    pub clock_ms: u64,
    pub next_number: u64,
}

/// All edits together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inventory {
    pub tables: BTreeMap<u64, (usize, TableInfo)>,
    pub hidden: BTreeMap<u64, Spans>,
    /// The newest last; so many that a retry finds its own.
    pub ingested: VecDeque<(RequestId, u64)>,
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
const HIDDEN: u8 = 7;
const INGESTED: u8 = 8;
/// Requests of ingests that are remembered.
const MAX_INGESTED: usize = 256;

/// The first format with fields 7 and 8.
fn format_for(hidden: bool, ingested: bool) -> u32 {
    if hidden || ingested { 2 } else { 1 }
}

impl Edit {
    /// The format that a reader of it has to know.
    pub(crate) fn format(&self) -> u32 {
        format_for(!self.hidden.is_empty(), !self.ingested.is_empty())
    }

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
        for (number, spans) in &self.hidden {
            buffer.push(HIDDEN);
            varint::put(&mut buffer, *number);
            spans.put(&mut buffer);
        }
        for (request, lsn) in &self.ingested {
            buffer.push(INGESTED);
            varint::put(&mut buffer, *lsn);
            varint::put(&mut buffer, request.client);
            varint::put(&mut buffer, request.seq);
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
                HIDDEN => edit.hidden.push((number, Spans::take(&mut input)?)),
                INGESTED => {
                    let client = varint::take(&mut input)?;
                    let seq = varint::take(&mut input)?;
                    edit.ingested.push((RequestId { client, seq }, number));
                }
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
        self.hidden.extend(edit.hidden.iter().cloned());
        self.hidden
            .retain(|number, _| self.tables.contains_key(number));
        self.ingested.extend(&edit.ingested);
        let old = self.ingested.len().saturating_sub(MAX_INGESTED);
        self.ingested.drain(..old);
        self.flushed_lsn = self.flushed_lsn.max(edit.flushed_lsn);
        self.epoch = self.epoch.max(edit.epoch);
        self.clock_ms = self.clock_ms.max(edit.clock_ms);
        self.next_number = self.next_number.max(edit.next_number);
    }

    /// The format that a reader of all this has to know.
    pub(crate) fn format(&self) -> u32 {
        format_for(!self.hidden.is_empty(), !self.ingested.is_empty())
    }

    /// The one edit that makes this of nothing.
    pub(crate) fn as_edit(&self) -> Edit {
        Edit {
            added: self.tables.values().cloned().collect(),
            removed: Vec::new(),
            hidden: self.hidden.clone().into_iter().collect(),
            ingested: self.ingested.iter().copied().collect(),
            flushed_lsn: self.flushed_lsn,
            epoch: self.epoch,
            clock_ms: self.clock_ms,
            next_number: self.next_number,
        }
    }
}
