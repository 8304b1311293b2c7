//! Where the committer appends. Groups go to explicit offsets, so a group that could not be
//! written leaves nothing that counts: it is cut off before anything else is appended.

use std::sync::Arc;

use super::segments::{Segment, Segments};
use crate::error::{Error, IoContext, Result};
use crate::io::IoFile;

pub(crate) struct LogWriter {
    segments: Arc<Segments>,
    active: Option<Active>,
}

struct Active {
    segment: Segment,
    offset: u64,
    last_lsn: u64,
}

impl LogWriter {
    pub(crate) fn new(segments: Arc<Segments>) -> LogWriter {
        LogWriter {
            segments,
            active: None,
        }
    }

    /// Makes room for a group of at most `bytes` and returns the segment its frames must name.
    ///
    /// Errors: `DiskFull`, with nothing written.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<u64> {
        if let Some(active) = &self.active
            && active.offset + bytes <= active.segment.capacity
        {
            return Ok(active.segment.number);
        }
        let segment = self.segments.take(bytes)?;
        let number = segment.number;
        let next = Active {
            segment,
            offset: 0,
            last_lsn: 0,
        };
        if let Some(full) = self.active.replace(next) {
            self.segments.finish(full.segment, full.last_lsn);
        }
        Ok(number)
    }

    /// Writes the frames of the reserved group; the file is what a sync must cover.
    ///
    /// Errors: `DiskFull`, with the group cut off again; any other error leaves the tail unknown
    /// and must poison the store.
    pub(crate) fn append(&mut self, frames: &[u8], last_lsn: u64) -> Result<Arc<dyn IoFile>> {
        let Some(active) = &mut self.active else {
            return Err(Error::Invalid("append without reserve".into()));
        };
        let path = &active.segment.path;
        let written = active.segment.file.write_at(active.offset, frames);
        if let Err(error) = written.at(path, "write") {
            if matches!(error, Error::DiskFull { .. }) {
                active
                    .segment
                    .file
                    .truncate(active.offset)
                    .at(path, "truncate")?;
                active.segment.file.sync().at(path, "sync")?;
                // No room is left in it: the next group goes to a new segment.
                active.segment.capacity = active.offset;
            }
            return Err(error);
        }
        let half = active.segment.capacity / 2;
        let before = active.offset;
        active.offset += frames.len() as u64;
        if before < half && active.offset >= half {
            self.segments.half_used();
        }
        active.last_lsn = last_lsn;
        Ok(Arc::clone(&active.segment.file))
    }
}
