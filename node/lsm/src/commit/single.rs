//! A put or delete by itself, of a caller who found nobody before him, in a store where nothing is judged, nobody follows
//! and who writes waits for no sync. It does to the store what a group of this one batch does ([`super::committer`]),
//! without the lists, copies and answers of groups, which would take longer than all else but the `write()`.

use super::committer::Committer;
use super::syncer::Written;
use crate::batch::{Batch, Committed, Condition, OpKind, Outcome, RequestId};
use crate::error::{Error, Result};
use crate::log::frame;
use crate::log::record::{self, Header};
use crate::memtable::Memtable;
use crate::options::SyncMode;
use crate::value::ValueRef;

pub(crate) struct Single<'a> {
    pub key: &'a [u8],
    /// `None` deletes.
    pub value: Option<&'a [u8]>,
    pub expires_at_ms: u64,
    pub request: RequestId,
}

/// Where it went.
pub(crate) struct Done {
    pub lsn: u64,
    pub clock_ms: u64,
}

impl Single<'_> {
    pub(crate) fn of(batch: &Batch) -> Option<Single<'_>> {
        let [op] = batch.ops.as_slice() else {
            return None;
        };
        if op.condition != Condition::None || batch.sync == Some(SyncMode::Group) {
            return None;
        }
        let (value, expires_at_ms) = match &op.kind {
            OpKind::Put {
                value,
                expires_at_ms,
            } => (Some(value.as_ref()), *expires_at_ms),
            OpKind::Delete => (None, 0),
            OpKind::DeleteRange { .. } => return None,
        };
        Some(Single {
            key: &op.key,
            value,
            expires_at_ms,
            request: op.request,
        })
    }
}

impl From<Done> for Committed {
    fn from(done: Done) -> Committed {
        let version = done.lsn;
        Committed {
            lsn: done.lsn,
            clock_ms: done.clock_ms,
            outcomes: vec![Outcome::Applied { version }],
        }
    }
}

impl Committer {
    /// [`Committer::takes_singles`] holds.
    ///
    /// Errors: `DiskFull`, `Stalled`, with nothing written; any other poisons the store.
    pub(crate) fn single(&mut self, single: &Single<'_>) -> Result<Done> {
        let bytes = frame::HEADER_BYTES + record::max_single_len(single);
        let segment = self.room(bytes)?;
        let progress = &self.shared.progress;
        let last_lsn = progress.appended();
        let header = Header {
            epoch: progress.epoch(),
            lsn: last_lsn + 1,
            previous_lsn: last_lsn,
            clock_ms: self.shared.clock_ms(),
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.reserve(bytes);
        frame::put(&mut buffer, segment, progress.synced(), |buffer| {
            record::put_single(buffer, header, single);
        });
        let bytes = buffer.len();
        let written = self.log.append(&buffer, header.lsn);
        self.spare(buffer);
        let file = match written {
            Ok(file) => file,
            Err(error) => {
                if !matches!(error, Error::DiskFull { .. }) {
                    self.shared.poison.set(error.to_string());
                }
                return Err(error);
            }
        };
        self.shared.logged(bytes);
        let full = self.remember(header, single);
        let progress = &self.shared.progress;
        progress.set_appended(header.lsn);
        progress.set_visible(header.lsn);
        self.shared.sync_queue.push(Written {
            file: Some(file),
            last_lsn: header.lsn,
            records: Vec::new(),
            bytes,
            answers: Vec::new(),
            attended: false,
        });
        if full {
            self.rotate();
        }
        Ok(Done {
            lsn: header.lsn,
            clock_ms: header.clock_ms,
        })
    }

    /// In the memtable; whether it is full.
    fn remember(&mut self, header: Header, single: &Single<'_>) -> bool {
        let data = single.value.unwrap_or_default();
        let tombstone = single.value.is_none();
        let (lsn, expires_at_ms) = (header.lsn, single.expires_at_ms);
        let insert = |value| {
            let view = self.shared.view.read();
            view.active.insert_one(header, single.key, value);
            view.active.bytes() >= self.shared.config.memtable_bytes
        };
        if Memtable::copies(data) {
            return insert(ValueRef::alone(data, tombstone, lsn, expires_at_ms));
        }
        let kept = self.frames.keep(data);
        insert(ValueRef::whole(&kept, tombstone, lsn, expires_at_ms))
    }
}
