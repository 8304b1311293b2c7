//! What the store's threads and its callers share.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::commit::queue::CommitQueue;
use crate::commit::syncer::SyncQueue;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::log::segments::Segments;
use crate::log::tail::Tail;
use crate::options::{Clock, Config};
use crate::poison::Poison;
use crate::progress::Progress;
use crate::view::View;

pub(crate) struct Shared {
    pub path: PathBuf,
    pub config: Config,
    pub io: Arc<dyn Io>,
    pub clock: Arc<dyn Clock>,
    pub progress: Arc<Progress>,
    pub poison: Arc<Poison>,
    pub queue: CommitQueue,
    pub sync_queue: Arc<SyncQueue>,
    pub tail: Arc<Tail>,
    pub segments: Arc<Segments>,
    pub view: RwLock<Arc<View>>,
}

impl Shared {
    pub(crate) fn clock_ms(&self) -> u64 {
        self.progress.clock(self.clock.now_ms())
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// A view and the LSN to read it at. Both are taken under the lock: a view replaced before has
    /// files that hold no more than what was visible then; one replaced later is not this one.
    pub(crate) fn read_view(&self) -> (Arc<View>, u64) {
        let view = self.view.read();
        (Arc::clone(&view), self.progress.visible())
    }

    pub(crate) fn update_view(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.write();
        let mut next = View::clone(&view);
        change(&mut next);
        *view = Arc::new(next);
    }

    /// Backpressure.
    pub(crate) fn admit(&self, _bytes: usize) -> Result<()> {
        Ok(())
    }

    pub(crate) fn flush_wanted(&self) {}

    pub(crate) fn noting_damage<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error @ Error::Corruption { .. }) = &result {
            self.poison.set(error.to_string());
        }
        result
    }
}
