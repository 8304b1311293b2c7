//! Evidence of ownership (D1, D2).
//!
//! A renewal counts from when its request was **first sent**, never from when the answer came: the coordinator may have
//! taken its decision at any moment between. The lease may be relied on until `sent + T - T/20` (the allowance for
//! clock rates). `valid_until` only grows within an epoch and is read without a lock just before each answer; everything
//! else changes under the lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub struct Lease {
    valid_until_ns: AtomicU64,
    newest_sent_ns: AtomicU64,
    /// A copy of what is held: each answer names it.
    epoch: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Clone, Copy, Default)]
struct Held {
    epoch: u64,
    term: u64,
    /// T; 0 = nothing is held.
    lease_ms: u64,
}

/// What one answered renewal says.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    pub epoch: u64,
    pub term: u64,
    pub sent_ns: u64,
    pub lease_ms: u64,
}

impl Lease {
    /// A new epoch was granted: what was held for an older one counts no longer.
    pub fn begin(&self, renewal: Renewal) {
        let mut held = self
            .held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        held.epoch = renewal.epoch;
        held.term = held.term.max(renewal.term);
        held.lease_ms = renewal.lease_ms;
        self.epoch.store(renewal.epoch, Ordering::Release);
        self.newest_sent_ns
            .store(renewal.sent_ns, Ordering::Release);
        self.valid_until_ns
            .store(renewal.valid_until_ns(), Ordering::Release);
    }

    /// Takes a renewal; false when it is of another epoch or of a lower term than seen (D2) and was ignored.
    pub fn renew(&self, renewal: Renewal) -> bool {
        let mut held = self
            .held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if renewal.term < held.term || renewal.epoch != held.epoch {
            return false;
        }
        held.term = renewal.term;
        self.newest_sent_ns
            .fetch_max(renewal.sent_ns, Ordering::AcqRel);
        self.valid_until_ns
            .fetch_max(renewal.valid_until_ns(), Ordering::AcqRel);
        true
    }

    /// A create of the next object of `epoch`'s log succeeded, first sent at `sent_ns` (D1): nobody had sealed that log
    /// then, and who does so later waits. Ignored for another epoch, and where nothing was granted.
    pub fn archived(&self, epoch: u64, sent_ns: u64) {
        let held = self
            .held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if epoch != held.epoch || held.lease_ms == 0 {
            return;
        }
        let renewal = Renewal {
            epoch,
            term: held.term,
            sent_ns,
            lease_ms: held.lease_ms,
        };
        self.newest_sent_ns.fetch_max(sent_ns, Ordering::AcqRel);
        self.valid_until_ns
            .fetch_max(renewal.valid_until_ns(), Ordering::AcqRel);
    }

    /// Remembers a term; false when it is lower than one seen.
    pub fn saw_term(&self, term: u64) -> bool {
        let mut held = self
            .held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let current = term >= held.term;
        held.term = held.term.max(term);
        current
    }

    pub fn holds(&self, now_ns: u64) -> bool {
        now_ns < self.valid_until_ns.load(Ordering::Acquire)
    }

    /// Age of the newest evidence, in ms.
    pub fn age_ms(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.newest_sent_ns.load(Ordering::Acquire)) / 1_000_000
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub fn term(&self) -> u64 {
        self.held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .term
    }

    /// Nothing is held any more: the process has to register anew.
    pub fn lose(&self) {
        let mut held = self
            .held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        held.lease_ms = 0;
        self.valid_until_ns.store(0, Ordering::Release);
    }
}

impl Renewal {
    fn valid_until_ns(&self) -> u64 {
        let lease_ns = self.lease_ms * 1_000_000;
        self.sent_ns + lease_ns - lease_ns / 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn renewal(epoch: u64, term: u64, sent_ms: u64) -> Renewal {
        Renewal {
            epoch,
            term,
            sent_ns: sent_ms * MS,
            lease_ms: 1000,
        }
    }

    #[test]
    fn evidence_counts_from_the_sending_less_the_drift() {
        let lease = Lease::default();
        assert!(!lease.holds(0));
        lease.begin(renewal(1, 1, 100));
        assert!(lease.holds(1049 * MS));
        assert!(!lease.holds(1050 * MS));
        assert!(lease.renew(renewal(1, 1, 500)));
        assert!(lease.holds(1449 * MS));
        assert_eq!(lease.age_ms(700 * MS), 200);
    }

    #[test]
    fn a_late_answer_to_an_early_renewal_takes_nothing_back() {
        let lease = Lease::default();
        lease.begin(renewal(1, 1, 500));
        assert!(lease.renew(renewal(1, 1, 100)));
        assert!(lease.holds(1449 * MS));
    }

    #[test]
    fn lower_terms_and_other_epochs_renew_nothing() {
        let lease = Lease::default();
        lease.begin(renewal(3, 7, 0));
        assert!(!lease.renew(renewal(3, 6, 900)));
        assert!(!lease.renew(renewal(2, 7, 900)));
        assert!(!lease.holds(1000 * MS));
        assert!(lease.renew(renewal(3, 8, 900)));
        assert!(!lease.saw_term(7));
    }

    #[test]
    fn a_create_in_ones_own_log_is_evidence_from_when_it_was_sent() {
        let lease = Lease::default();
        lease.archived(0, 5000 * MS);
        assert!(!lease.holds(0));
        lease.begin(renewal(2, 1, 0));
        lease.archived(1, 5000 * MS);
        assert!(!lease.holds(950 * MS));
        lease.archived(2, 500 * MS);
        assert!(lease.holds(1449 * MS));
        assert!(!lease.holds(1450 * MS));
        lease.lose();
        lease.archived(2, 5000 * MS);
        assert!(!lease.holds(0));
    }

    #[test]
    fn a_new_epoch_drops_what_the_old_one_held() {
        let lease = Lease::default();
        lease.begin(renewal(1, 1, 5000));
        lease.begin(renewal(2, 1, 100));
        assert!(!lease.holds(2000 * MS));
        lease.lose();
        assert!(!lease.holds(200 * MS));
    }
}
