use std::path::Path;

use crate::error::Result;
use crate::io::Io;
use crate::log::recovery::read_file;
use crate::log::segments::parse_name;
use crate::log::{LogRecord, frame, record};
use crate::store::Damage;

/// What is in a segment of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReport {
    /// The number that its frames carry.
    pub segment: u64,
    pub bytes: u64,
    pub records: u64,
    /// Where the run of whole frames ends.
    pub end: u64,
    /// What follows it: nothing, zeros, what an earlier life of the file left, or a torn frame.
    pub rest: &'static str,
    /// Whole frames beyond `end` prove that records are missing.
    pub damage: Vec<Damage>,
}

/// Shows `each` the records of the whole frames at the start of a segment, with their offsets and
/// what was synced (LSN) when they were written. A file with another name than its own is read as
/// the segment its first frame names.
///
/// Errors: `Io`.
pub fn read_log(
    io: &dyn Io,
    path: &Path,
    each: &mut dyn FnMut(u64, u64, &LogRecord),
) -> Result<LogReport> {
    let data = read_file(io, path)?;
    let name = path.file_name().map(|name| name.to_string_lossy());
    let named = name.and_then(|name| parse_name(&name));
    let first = data.get(8..16).and_then(|field| field.try_into().ok());
    let segment = named.unwrap_or_else(|| u64::from_le_bytes(first.unwrap_or_default()));
    let (mut offset, mut records, mut damage) = (0, 0, Vec::new());
    let mut damaged = |offset: usize, what: String| {
        damage.push(Damage {
            file: path.to_path_buf(),
            offset: offset as u64,
            what,
        });
    };
    while let Some(frame) = frame::read(&data, segment, offset) {
        match record::decode(&frame.record) {
            Ok(record) => each(offset as u64, frame.synced_lsn, &record),
            Err(what) => damaged(offset, format!("a whole frame with {what}")),
        }
        records += 1;
        offset += frame::HEADER_BYTES + frame.record.len();
    }
    let next = frame::next_whole(&data, segment, offset);
    if let Some(next) = next {
        damaged(
            offset,
            format!("no whole frame; the next one is at byte {next}"),
        );
    }
    let rest = &data[offset..];
    Ok(LogReport {
        segment,
        bytes: data.len() as u64,
        records,
        end: offset as u64,
        rest: match rest {
            [] => "nothing",
            _ if next.is_some() => "damage, then whole frames",
            _ if rest.iter().all(|byte| *byte == 0) => "zeros",
            _ if rest.get(8..16) == Some(&segment.to_le_bytes()) => "a torn frame",
            _ => "what an earlier life of the file left, or a torn frame",
        },
        damage,
    })
}
