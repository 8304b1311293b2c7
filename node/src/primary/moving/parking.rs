//! Requests for fenced slots wait a little: most often the move is over in milliseconds (M6). Bounded in number and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tonic::Status;

use crate::serve::{Admitted, Node, View, busy};

const MOST_PARKED: usize = 2048;
const LONGEST: Duration = Duration::from_secs(2);
/// The end of a fence comes with the topology, which is asked for so often meanwhile.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Default)]
pub struct Parking {
    inside: AtomicUsize,
    before: AtomicU64,
}

struct Parked<'a>(&'a Parking);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Parking {
    /// How many requests wait, and how many have so far.
    pub fn counts(&self) -> (usize, u64) {
        let inside = self.inside.load(Ordering::Relaxed);
        (inside, self.before.load(Ordering::Relaxed))
    }

    /// `view`, or the first after it of which `is_fenced` holds no more.
    ///
    /// Refuses with BUSY when that takes too long, or as many wait already as may: nothing was done.
    pub async fn pass(
        &self,
        node: &Node,
        mut view: Arc<View>,
        admitted: &Admitted,
        is_fenced: impl Fn(&View) -> bool,
    ) -> Result<Arc<View>, Status> {
        if !is_fenced(&view) {
            return Ok(view);
        }
        let parked = Parked(self);
        if self.inside.fetch_add(1, Ordering::Relaxed) >= MOST_PARKED {
            return Err(busy("as many requests as may be wait for slots that move"));
        }
        self.before.fetch_add(1, Ordering::Relaxed);
        let time = admitted
            .deadline
            .remaining()
            .map_or(LONGEST, |left| left.min(LONGEST));
        let ends = Instant::now() + time;
        while is_fenced(&view) {
            if Instant::now() >= ends {
                return Err(busy("the slot moves to another shard just now"));
            }
            if let Some(newer) = node.refreshed(view.version() + 1, LOOK).await {
                view = newer;
            }
        }
        drop(parked);
        Ok(view)
    }
}
