use std::path::Path;

use super::SstProperties;
use crate::batch::RequestId;
use crate::error::Result;
use crate::io::Io;
use crate::log::recovery::read_file;
use crate::manifest::{Edit, Piece, pieces};
use crate::store::Damage;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestReport {
    pub format: u32,
    pub bytes: u64,
    pub edits: u64,
    /// A torn last record is damage here; a store opens all the same and cuts it off.
    pub damage: Vec<Damage>,
}

/// From the first key (inclusive) to the second (exclusive; `None` = without end).
pub type KeyInterval = (Vec<u8>, Option<Vec<u8>>);

/// One record; 0 in a number means that it did not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestEdit {
    pub added: Vec<TableEntry>,
    pub removed: Vec<u64>,
    /// Table, and what is hidden of it.
    pub hidden: Vec<(u64, Vec<KeyInterval>)>,
    pub ingested: Vec<(RequestId, u64)>,
    pub flushed_lsn: u64,
    pub epoch: u64,
    pub clock_ms: u64,
    pub next_number: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableEntry {
    pub level: usize,
    pub number: u64,
    pub bytes: u64,
    pub properties: SstProperties,
}

/// Shows `each` every whole edit and its offset, also those beyond damage.
///
/// Errors: `Io`.
pub fn read_manifest(
    io: &dyn Io,
    path: &Path,
    each: &mut dyn FnMut(u64, &ManifestEdit),
) -> Result<ManifestReport> {
    let data = read_file(io, path)?;
    let (edits, mut report) = salvage(&data, path);
    report.edits = edits.len() as u64;
    for (offset, edit) in &edits {
        each(*offset, &shown(edit));
    }
    Ok(report)
}

/// Every whole edit of what is left of a manifest.
pub(crate) fn salvage(data: &[u8], path: &Path) -> (Vec<(u64, Edit)>, ManifestReport) {
    let mut report = ManifestReport {
        format: 0,
        bytes: data.len() as u64,
        ..ManifestReport::default()
    };
    let mut edits = Vec::new();
    for piece in pieces(data) {
        match piece {
            Piece::Header { format } => report.format = format,
            Piece::Edit { offset, edit } => edits.push((offset as u64, edit)),
            Piece::Damage { offset, what } => report.damage.push(Damage {
                file: path.to_path_buf(),
                offset: offset as u64,
                what,
            }),
        }
    }
    (edits, report)
}

fn shown(edit: &Edit) -> ManifestEdit {
    let added = edit.added.iter().map(|(level, table)| TableEntry {
        level: *level,
        number: table.number,
        bytes: table.bytes,
        properties: (&table.properties).into(),
    });
    let hidden = edit.hidden.iter().map(|(number, spans)| {
        let spans = spans.iter();
        let ends = spans.map(|span| (span.begin.clone(), span.end.clone()));
        (*number, ends.collect())
    });
    ManifestEdit {
        added: added.collect(),
        removed: edit.removed.clone(),
        hidden: hidden.collect(),
        ingested: edit.ingested.clone(),
        flushed_lsn: edit.flushed_lsn,
        epoch: edit.epoch,
        clock_ms: edit.clock_ms,
        next_number: edit.next_number,
    }
}
