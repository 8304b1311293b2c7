use std::ops::Bound;
use std::path::Path;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::io::Io;
use crate::log::recovery::read_file;
use crate::range::Direction;
use crate::store::Damage;
use crate::table::Properties;
use crate::table::block::{Block, BlockCursor};
use crate::table::filter::Filter;
use crate::table::format::{self, Footer, Handle};
use crate::table::index::Index;
use crate::value::Value;

/// What is in a table, or in what is left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SstReport {
    pub bytes: u64,
    pub properties: Option<SstProperties>,
    /// In key order.
    pub blocks: Vec<BlockReport>,
    /// Empty when all is well.
    pub damage: Vec<Damage>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SstProperties {
    pub entries: u64,
    pub tombstones: u64,
    pub smallest: Vec<u8>,
    pub largest: Vec<u8>,
    /// 0: the manifest says it (an ingested file).
    pub last_lsn: u64,
    /// `u64::MAX` when a value never expires.
    pub all_expired_at_ms: u64,
}

/// A data block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReport {
    pub offset: u64,
    pub length: u32,
    /// 0 when it is damaged.
    pub entries: u64,
    /// Its keys are after this one (none: from the table's first) ...
    pub after: Option<Vec<u8>>,
    /// ... up to this one.
    pub through: Vec<u8>,
    pub damaged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SstEntry {
    pub key: Bytes,
    /// `None` = a tombstone.
    pub value: Option<Bytes>,
    pub version: u64,
    /// Milliseconds since the Unix epoch; 0 = never.
    pub expires_at_ms: u64,
}

impl From<&Properties> for SstProperties {
    fn from(properties: &Properties) -> SstProperties {
        let Properties {
            entries,
            tombstones,
            smallest,
            largest,
            last_lsn,
            all_expired_at_ms,
        } = properties.clone();
        SstProperties {
            entries,
            tombstones,
            smallest,
            largest,
            last_lsn,
            all_expired_at_ms,
        }
    }
}

/// Shows `each` every entry of the whole blocks, in key order. Without a footer or index, blocks are
/// found one after the other by their checksums, up to the first damaged one.
///
/// Errors: `Io`.
pub fn read_sst(io: &dyn Io, path: &Path, each: &mut dyn FnMut(&SstEntry)) -> Result<SstReport> {
    let mut shown = |key, value: Value| {
        each(&SstEntry {
            key,
            value: (!value.tombstone).then_some(value.data),
            version: value.version,
            expires_at_ms: value.expires_at_ms,
        });
        Ok(())
    };
    walk(io, path, &mut shown)
}

pub(crate) type Visit<'a> = dyn FnMut(Bytes, Value) -> Result<()> + 'a;

/// Errors: `Io`, and those of `visit`.
pub(crate) fn walk(io: &dyn Io, path: &Path, visit: &mut Visit<'_>) -> Result<SstReport> {
    let data = read_file(io, path)?;
    let mut report = SstReport {
        bytes: data.len() as u64,
        ..SstReport::default()
    };
    let mut order = Order::default();
    match header(&data, path, &mut report) {
        Some(index) => {
            for number in 0..index.len() {
                let Some(handle) = index.handle(number) else {
                    break;
                };
                let through = index.last_key(number).to_vec();
                let read = format::parse_block(&data, path, handle);
                block(
                    &mut report,
                    path,
                    handle,
                    read,
                    Some(through),
                    &mut order,
                    visit,
                )?;
            }
            check_counts(&mut report, path);
        }
        None => {
            let mut offset = 0;
            while let Some(handle) = format::find_block(&data, offset) {
                let read = format::parse_block(&data, path, handle);
                let seen = report.blocks.len();
                let damage = report.damage.len();
                block(&mut report, path, handle, read, None, &mut order, visit)?;
                if report.blocks[seen].damaged {
                    // The filter or the index: what follows the data.
                    report.blocks.truncate(seen);
                    report.damage.truncate(damage);
                    break;
                }
                offset += u64::from(handle.length);
            }
            report.damage.push(Damage {
                file: path.to_path_buf(),
                offset,
                what: "without an index, no data block is found from here on".into(),
            });
        }
    }
    Ok(report)
}

#[derive(Default)]
struct Order {
    last: Option<Bytes>,
}

fn note(report: &mut SstReport, error: Error) {
    if let Error::Corruption { file, offset, what } = error {
        report.damage.push(Damage { file, offset, what });
    } else {
        report.damage.push(Damage {
            file: Default::default(),
            offset: 0,
            what: error.to_string(),
        });
    }
}

/// Footer, properties, filter and index; `None` when there is no index.
fn header(data: &Bytes, path: &Path, report: &mut SstReport) -> Option<Index> {
    let footer = Footer::parse(data, path)
        .map_err(|error| note(report, error))
        .ok()?;
    let mut part = |handle: Handle| {
        let read = format::parse_block(data, path, handle);
        read.map_err(|error| note(report, error)).ok()
    };
    let properties = part(footer.properties);
    let filter = part(footer.filter);
    let index = part(footer.index);
    let mut unreadable = |handle: Handle, what: &str| {
        note(report, Error::corruption(path, handle.offset, what));
    };
    if let Some(payload) = filter
        && Filter::new(payload).is_none()
    {
        unreadable(footer.filter, "filter");
    }
    let index = index.map(Index::new);
    if matches!(index, Some(None)) {
        unreadable(footer.index, "index");
    }
    let properties = properties.map(|payload| Properties::take(&mut payload.as_ref()));
    if matches!(properties, Some(None)) {
        unreadable(footer.properties, "properties");
    }
    report.properties = properties.flatten().as_ref().map(SstProperties::from);
    index.flatten()
}

/// `through`: the last key, by the index.
fn block(
    report: &mut SstReport,
    path: &Path,
    handle: Handle,
    read: Result<Bytes>,
    through: Option<Vec<u8>>,
    order: &mut Order,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let after = report.blocks.last().map(|block| block.through.clone());
    let entries = read.and_then(|payload| {
        entries(payload, order.last.as_ref())
            .ok_or_else(|| Error::corruption(path, handle.offset, "block entries"))
    });
    let damaged = entries.is_err();
    let entries = entries.unwrap_or_else(|error| {
        note(report, error);
        Vec::new()
    });
    let last = entries.last().map(|(key, _)| key.clone());
    report.blocks.push(BlockReport {
        offset: handle.offset,
        length: handle.length,
        entries: entries.len() as u64,
        after,
        through: through
            .or_else(|| last.as_ref().map(|key| key.to_vec()))
            .unwrap_or_default(),
        damaged,
    });
    if last.is_some() {
        order.last = last;
    }
    entries
        .into_iter()
        .try_for_each(|(key, value)| visit(key, value))
}

/// All entries of a block; `None` when they do not decode or their keys do not ascend.
fn entries(payload: Bytes, after: Option<&Bytes>) -> Option<Vec<(Bytes, Value)>> {
    let mut cursor = BlockCursor::new(Block::new(payload)?, Direction::Forward, Bound::Unbounded)?;
    let mut entries: Vec<(Bytes, Value)> = Vec::new();
    while cursor.advance()? {
        let key = Bytes::copy_from_slice(cursor.key());
        let before = entries.last().map(|(key, _)| key).or(after);
        if before.is_some_and(|before| *before >= key) {
            return None;
        }
        entries.push((key, cursor.value().to_value()));
    }
    (!entries.is_empty()).then_some(entries)
}

fn check_counts(report: &mut SstReport, path: &Path) {
    let counted: u64 = report.blocks.iter().map(|block| block.entries).sum();
    let said = report.properties.as_ref().map(|known| known.entries);
    if report.damage.is_empty() && said != Some(counted) {
        let what = format!("{counted} entries, the properties say {said:?}");
        note(report, Error::corruption(path, 0, what));
    }
}
