//! Records that the tail no longer has in memory, from the segments of a running store.
//!
//! The files read are safe from reuse if the archive follows the log and `lsn` is what it has: a segment goes only
//! when the archive has all of it. Otherwise a segment may vanish under the reader, which ends at a gap.

use std::io::ErrorKind;

use super::recovery::read_file;
use super::segments::Segments;
use super::{LogRecord, frame, record};
use crate::error::{Error, Result};
use crate::io::Io;

/// Records after `lsn` through `synced_lsn`, up to about `max_bytes` but at least one.
///
/// Errors: `Gap` when the first of them is not there, `Corruption`, `Io`.
pub(crate) fn after(
    io: &dyn Io,
    segments: &Segments,
    lsn: u64,
    synced_lsn: u64,
    max_bytes: usize,
) -> Result<Vec<LogRecord>> {
    let (mut found, mut last_lsn, mut bytes) = (Vec::new(), lsn, 0);
    let mut oldest = synced_lsn;
    for (number, path) in segments.holding(lsn) {
        let data = match read_file(io, &path) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
            data => data?,
        };
        let mut offset = 0;
        while let Some(frame) = frame::read(&data, number, offset) {
            offset += frame::HEADER_BYTES + frame.record.len();
            let record = record::decode(&frame.record)
                .map_err(|what| Error::corruption(&path, offset as u64, what))?;
            if record.lsn <= last_lsn {
                continue;
            }
            bytes += record.encoded().len();
            if record.lsn > synced_lsn || (bytes > max_bytes && !found.is_empty()) {
                return Ok(found);
            }
            if record.previous_lsn != last_lsn {
                oldest = oldest.min(record.previous_lsn);
                if found.is_empty() {
                    return Err(Error::Gap { asked: lsn, oldest });
                }
                return Ok(found);
            }
            last_lsn = record.lsn;
            found.push(record);
        }
    }
    if found.is_empty() && lsn < synced_lsn {
        return Err(Error::Gap { asked: lsn, oldest });
    }
    Ok(found)
}
