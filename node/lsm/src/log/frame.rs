//! What surrounds a record in a segment file:
//!
//! ```text
//! segment := frame* rest
//! frame   := crc32c:u32  length:u32  segment:u64  synced_lsn:u64  record (length bytes)
//! ```
//!
//! Little endian; the crc covers everything after itself. `rest` is zeros or what an earlier life
//! of a reused file left: its frames carry another segment number and are not replayed.
//! `synced_lsn` is what was durable when the frame was written. It is how recovery tells a torn
//! tail (nobody was promised what follows) from damage (a later frame proves that what is missing
//! had been synced). Rejected: a length in a segment header, which every sync would rewrite.

use bytes::Bytes;

pub(crate) const HEADER_BYTES: usize = 24;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub synced_lsn: u64,
    pub record: Bytes,
}

/// Appends a frame whose record `body` writes; the record's place in `buffer` is returned.
pub(crate) fn put(
    buffer: &mut Vec<u8>,
    segment: u64,
    synced_lsn: u64,
    body: impl FnOnce(&mut Vec<u8>),
) -> std::ops::Range<usize> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&segment.to_le_bytes());
    buffer.extend_from_slice(&synced_lsn.to_le_bytes());
    let record = buffer.len();
    body(buffer);
    let length = (buffer.len() - record) as u32;
    buffer[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c(&buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    record..buffer.len()
}

/// The frame of `segment` at `offset`; `None` when there is no valid one.
pub(crate) fn read(file: &Bytes, segment: u64, offset: usize) -> Option<Frame> {
    let input = file.get(offset..)?;
    let header = input.get(..HEADER_BYTES)?;
    if header[8..16] != segment.to_le_bytes() {
        return None;
    }
    let length = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
    let end = HEADER_BYTES.checked_add(length)?;
    let frame = input.get(4..end)?;
    let crc = u32::from_le_bytes(header[..4].try_into().ok()?);
    (crc32c::crc32c(frame) == crc).then(|| Frame {
        synced_lsn: u64::from_le_bytes(header[16..24].try_into().unwrap_or_default()),
        record: file.slice(offset + HEADER_BYTES..offset + end),
    })
}

/// Where the next whole frame of `segment` begins, at or after `offset`.
pub(crate) fn next_whole(file: &Bytes, segment: u64, offset: usize) -> Option<usize> {
    let number = segment.to_le_bytes();
    let last = (file.len() + 1).saturating_sub(HEADER_BYTES);
    (offset..last).find(|at| file[at + 8..at + 16] == number && read(file, segment, *at).is_some())
}

/// The highest `synced_lsn` of any valid frame of `segment` at or after `offset`, at whatever
/// byte it begins.
pub(crate) fn highest_synced(file: &Bytes, segment: u64, offset: usize) -> Option<u64> {
    let number = segment.to_le_bytes();
    let mut highest = None;
    let mut at = offset;
    while at + HEADER_BYTES <= file.len() {
        if file[at + 8..at + 16] == number
            && let Some(frame) = read(file, segment, at)
        {
            highest = highest.max(Some(frame.synced_lsn));
            at += HEADER_BYTES + frame.record.len();
        } else {
            at += 1;
        }
    }
    highest
}
