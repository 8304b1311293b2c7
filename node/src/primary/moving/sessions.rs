//! What a source keeps for each move that its topology has under way: the snapshots and a hold on its log. It lives as
//! long as that attempt of the move is in the topology.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aidb_client::pb;
use aidb_lsm::{LogHold, Snapshot, Store};
use tokio::sync::OnceCell;

use super::throttle::{Debt, Throttle};
use crate::primary::slots::Span;
use crate::serve::{View, wall_ms};

/// What an entry takes beside its key and value.
const ENTRY_BYTES: usize = 64;
/// A target that has not asked for so long is no reason to slow anybody.
const SILENT_MS: u64 = 5000;

/// A move's id and attempt.
type Key = (String, u32);

#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<Key, Arc<Session>>>,
    /// How many bytes a second may be written to slots that move (M4; 0 = as many as come), and when that was last found
    /// out. One for all moves: the least.
    limit: AtomicU64,
    observed_at_ms: AtomicU64,
    debt: Mutex<Debt>,
}

/// A write would have to wait for so long, in ms: more than its client has.
#[derive(Debug)]
pub struct TooMuch(pub u64);

pub struct Session {
    pub spans: Vec<Span>,
    /// M2: what is copied.
    pub copied: Mutex<Option<Arc<Snapshot>>>,
    /// M5: what is compared.
    pub compared: Mutex<Option<Arc<Snapshot>>>,
    /// M6: the LSN after which there is nothing of the slots.
    pub final_lsn: OnceCell<u64>,
    throttle: Mutex<Throttle>,
    /// Bytes of its tail that the target was given.
    given: AtomicU64,
    limit: AtomicU64,
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
                given: AtomicU64::new(0),
                limit: AtomicU64::new(0),
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
        let given = session.given.load(Ordering::Relaxed);
        let limit = locked(&session.throttle).observe(behind_ms, given, now_ms);
        session.limit.store(limit.unwrap_or(0), Ordering::Relaxed);
        self.observed_at_ms.store(now_ms, Ordering::Relaxed);
        self.settle(&self.open());
    }

    fn settle(&self, open: &HashMap<Key, Arc<Session>>) {
        let limits = open
            .values()
            .map(|session| session.limit.load(Ordering::Relaxed))
            .filter(|limit| *limit > 0);
        self.limit
            .store(limits.min().unwrap_or(0), Ordering::Relaxed);
    }

    /// How many bytes a second may be written to slots that move. None for a target that asks no more.
    pub fn limit(&self) -> Option<u64> {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == 0 {
            return None;
        }
        let age_ms = wall_ms().saturating_sub(self.observed_at_ms.load(Ordering::Relaxed));
        (age_ms < SILENT_MS).then_some(limit)
    }

    /// How long a write of so many entries and bytes to slots that move has to wait; it counts from then on.
    pub fn write(
        &self,
        limit: u64,
        entries: usize,
        bytes: usize,
        patience: Duration,
    ) -> Result<Duration, TooMuch> {
        let bytes = (bytes + entries * ENTRY_BYTES) as u64;
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let mut debt = locked(&self.debt);
        let now_ms = wall_ms();
        match debt.add(bytes, limit, now_ms, patience_ms) {
            Some(wait_ms) => Ok(Duration::from_millis(wait_ms)),
            None => Err(TooMuch(debt.wait_ms(limit, now_ms))),
        }
    }

    /// How long a write has to wait now.
    pub fn delay(&self) -> Duration {
        let wait = |limit| locked(&self.debt).wait_ms(limit, wall_ms());
        Duration::from_millis(self.limit().map_or(0, wait))
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
    /// The target was given so many bytes more of the tail.
    pub fn gave(&self, bytes: usize) {
        self.given.fetch_add(bytes as u64, Ordering::Relaxed);
    }

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
