//! What a source keeps for each move that its topology has under way: the snapshots and a hold on its log. It lives as
//! long as that attempt of the move is in the topology.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aidb_client::pb;
use aidb_lsm::{LogHold, Snapshot, Store};
use tokio::sync::OnceCell;

use super::throttle::Throttle;
use crate::primary::slots::Span;
use crate::serve::{View, wall_ms};

/// A target that has not asked for so long is no reason to slow anybody.
const SILENT_MS: u64 = 5000;

/// A move's id and attempt.
type Key = (String, u32);

#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<Key, Arc<Session>>>,
    /// How long a write of a moving slot is held back at most (M4), and when that was last found out.
    delay_ms: AtomicU64,
    observed_at_ms: AtomicU64,
}

pub struct Session {
    pub spans: Vec<Span>,
    /// M2: what is copied.
    pub copied: Mutex<Option<Arc<Snapshot>>>,
    /// M5: what is compared.
    pub compared: Mutex<Option<Arc<Snapshot>>>,
    /// M6: the LSN after which there is nothing of the slots.
    pub final_lsn: OnceCell<u64>,
    throttle: Mutex<Throttle>,
    delay_ms: AtomicU64,
    _hold: LogHold,
}

impl Sessions {
    /// The session of the move at its attempt, begun now if there is none.
    pub fn of(&self, asked: &pb::Move, store: &Store) -> Arc<Session> {
        let key = (asked.id.clone(), asked.attempt);
        let mut open = self.open();
        let session = open.entry(key).or_insert_with(|| {
            let spans = asked.slots.iter();
            Arc::new(Session {
                spans: spans
                    .map(|span| (span.first as u16, span.last as u16))
                    .collect(),
                copied: Mutex::default(),
                compared: Mutex::default(),
                final_lsn: OnceCell::new(),
                throttle: Mutex::default(),
                delay_ms: AtomicU64::new(0),
                // Before any snapshot of it: all that follows one stays.
                _hold: store.hold_log(store.visible_lsn()),
            })
        });
        Arc::clone(session)
    }

    /// Ends those that the view has no more.
    pub fn look(&self, view: &View) {
        let mut open = self.open();
        open.retain(|(id, attempt), _| view.move_at(id, *attempt).is_some());
        self.settle(&open);
    }

    /// The target of `session` is so much behind.
    pub fn observe(&self, session: &Session, behind_ms: u64, now_ms: u64) {
        let delay_ms = locked(&session.throttle).observe(behind_ms, now_ms);
        session.delay_ms.store(delay_ms, Ordering::Relaxed);
        self.observed_at_ms.store(now_ms, Ordering::Relaxed);
        self.settle(&self.open());
    }

    fn settle(&self, open: &HashMap<Key, Arc<Session>>) {
        let delays = open
            .values()
            .map(|session| session.delay_ms.load(Ordering::Relaxed));
        self.delay_ms
            .store(delays.max().unwrap_or(0), Ordering::Relaxed);
    }

    /// For how long a write is held back if it touches a slot that moves. Nobody is for a target that asks no more.
    pub fn delay(&self) -> Option<Duration> {
        let delay_ms = self.delay_ms.load(Ordering::Relaxed);
        if delay_ms == 0 {
            return None;
        }
        let age_ms = wall_ms().saturating_sub(self.observed_at_ms.load(Ordering::Relaxed));
        (age_ms < SILENT_MS).then(|| Duration::from_millis(delay_ms))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Arc<Session>>> {
        locked(&self.open)
    }
}

impl Session {
    pub fn has(&self, slot: u16) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|&(first, last)| (first..=last).contains(&slot))
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
