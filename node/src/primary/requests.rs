//! The memory of request ids (V6): what lets a write with unknown outcome be sent again.
//!
//! Ids are kept for `KEEP_MS` by the shard clock, as spans: a batch's consecutive ids share one entry. Engine replay
//! rebuilds the memory (its log reaches back at least as far). Beyond the bound on entries the oldest go early; then the
//! memory reaches less far back, and a retry older than that is answered "unknown", never applied twice.

use std::collections::{BTreeMap, HashMap, VecDeque};

use aidb_lsm::RequestId;

pub const KEEP_MS: u64 = 60_000;

pub struct RequestMemory {
    clients: HashMap<u64, BTreeMap<u64, Span>>,
    /// In order of the clock.
    age: VecDeque<Aged>,
    /// Everything at or after this shard time is known, as far as `KEEP_MS` goes.
    complete_since_ms: u64,
    most: usize,
}

#[derive(Clone, Copy)]
struct Span {
    last_seq: u64,
    version: u64,
}

struct Aged {
    clock_ms: u64,
    client: u64,
    first_seq: u64,
    lsn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    New,
    Done {
        version: u64,
    },
    /// It may have been applied before the memory begins.
    Unknown,
}

impl RequestMemory {
    /// Keeps at most `most` spans.
    pub fn new(most: usize) -> Self {
        Self {
            clients: HashMap::new(),
            age: VecDeque::new(),
            complete_since_ms: 0,
            most,
        }
    }

    /// What is known of `id`; `retry_of_ms` is when a repeated request was first sent, by its client's clock, which may
    /// differ from ours by `bound_ms`. None: a first attempt.
    pub fn recall(
        &self,
        id: RequestId,
        retry_of_ms: Option<u64>,
        clock_ms: u64,
        bound_ms: u64,
    ) -> Recall {
        if id.client != 0
            && let Some((_, span)) = self
                .clients
                .get(&id.client)
                .and_then(|spans| spans.range(..=id.seq).next_back())
            && id.seq <= span.last_seq
        {
            return Recall::Done {
                version: span.version,
            };
        }
        let since = self.complete_since_ms.max(clock_ms.saturating_sub(KEEP_MS));
        match retry_of_ms {
            Some(_) if id.client == 0 => Recall::Unknown,
            Some(sent) if sent.saturating_sub(bound_ms) < since => Recall::Unknown,
            _ => Recall::New,
        }
    }

    /// `id` was sequenced in the record `lsn`, as `version`.
    pub fn remember(&mut self, id: RequestId, lsn: u64, version: u64, clock_ms: u64) {
        if id.client == 0 {
            return;
        }
        let spans = self.clients.entry(id.client).or_default();
        if let Some((_, span)) = spans.range_mut(..=id.seq).next_back()
            && span.version == version
            && id.seq == span.last_seq.wrapping_add(1)
        {
            span.last_seq = id.seq;
            return;
        }
        spans.insert(
            id.seq,
            Span {
                last_seq: id.seq,
                version,
            },
        );
        self.age.push_back(Aged {
            clock_ms,
            client: id.client,
            first_seq: id.seq,
            lsn,
        });
        self.trim(clock_ms);
    }

    /// Records from `lsn` on were never written.
    pub fn forget_from(&mut self, lsn: u64) {
        while self.age.back().is_some_and(|newest| newest.lsn >= lsn) {
            if let Some(newest) = self.age.pop_back() {
                self.drop_span(&newest);
            }
        }
    }

    fn trim(&mut self, clock_ms: u64) {
        let keep_from = clock_ms.saturating_sub(KEEP_MS);
        while self
            .age
            .front()
            .is_some_and(|oldest| oldest.clock_ms < keep_from)
        {
            if let Some(oldest) = self.age.pop_front() {
                self.drop_span(&oldest);
            }
        }
        while self.age.len() > self.most {
            if let Some(oldest) = self.age.pop_front() {
                self.complete_since_ms = oldest.clock_ms + 1;
                self.drop_span(&oldest);
            }
        }
    }

    fn drop_span(&mut self, aged: &Aged) {
        if let Some(spans) = self.clients.get_mut(&aged.client) {
            spans.remove(&aged.first_seq);
            if spans.is_empty() {
                self.clients.remove(&aged.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn id(seq: u64) -> RequestId {
        RequestId { client: 7, seq }
    }

    #[test]
    fn known_ids_are_answered_and_new_ones_applied() {
        let mut memory = RequestMemory::new(100);
        memory.remember(id(5), 10, 10, NOW);
        assert_eq!(
            memory.recall(id(5), Some(NOW), NOW, 500),
            Recall::Done { version: 10 }
        );
        assert_eq!(memory.recall(id(6), None, NOW, 500), Recall::New);
        assert_eq!(
            memory.recall(id(6), Some(NOW - 1000), NOW, 500),
            Recall::New
        );
        assert_eq!(
            memory.recall(RequestId { client: 8, seq: 5 }, None, NOW, 500),
            Recall::New
        );
    }

    #[test]
    fn a_retry_from_before_the_memory_is_unknown() {
        let memory = RequestMemory::new(100);
        let edge = NOW - KEEP_MS + 500;
        assert_eq!(memory.recall(id(1), Some(edge), NOW, 500), Recall::New);
        assert_eq!(
            memory.recall(id(1), Some(edge - 1), NOW, 500),
            Recall::Unknown
        );
        let nameless = RequestId { client: 0, seq: 0 };
        assert_eq!(
            memory.recall(nameless, Some(NOW), NOW, 500),
            Recall::Unknown
        );
        assert_eq!(memory.recall(nameless, None, NOW, 500), Recall::New);
    }

    #[test]
    fn ids_age_by_the_shard_clock() {
        let mut memory = RequestMemory::new(100);
        memory.remember(id(1), 10, 10, NOW);
        memory.remember(id(50), 11, 11, NOW + KEEP_MS);
        assert_eq!(
            memory.recall(id(1), None, NOW + KEEP_MS, 500),
            Recall::Done { version: 10 }
        );
        memory.remember(id(90), 12, 12, NOW + KEEP_MS + 1);
        assert_eq!(
            memory.recall(id(1), None, NOW + KEEP_MS + 1, 500),
            Recall::New
        );
        assert_eq!(
            memory.recall(id(1), Some(NOW), NOW + KEEP_MS + 1, 500),
            Recall::Unknown
        );
    }

    #[test]
    fn the_bound_shortens_the_reach() {
        let mut memory = RequestMemory::new(2);
        for seq in 0..3 {
            memory.remember(id(seq * 10), seq + 1, seq + 1, NOW + seq * 1000);
        }
        assert_eq!(
            memory.recall(id(0), Some(NOW + 500), NOW + 3000, 500),
            Recall::Unknown
        );
        assert_eq!(
            memory.recall(id(10), Some(NOW + 1000), NOW + 3000, 500),
            Recall::Done { version: 2 }
        );
        assert_eq!(
            memory.recall(id(11), Some(NOW + 2000), NOW + 3000, 500),
            Recall::New
        );
    }

    #[test]
    fn a_batch_is_one_span() {
        let mut memory = RequestMemory::new(1);
        for seq in 100..200 {
            memory.remember(id(seq), 10, 10, NOW);
        }
        assert_eq!(memory.age.len(), 1);
        assert_eq!(
            memory.recall(id(199), None, NOW, 0),
            Recall::Done { version: 10 }
        );
        assert_eq!(memory.recall(id(200), None, NOW, 0), Recall::New);
        assert_eq!(memory.recall(id(99), None, NOW, 0), Recall::New);
    }

    #[test]
    fn what_was_not_written_is_forgotten() {
        let mut memory = RequestMemory::new(10);
        memory.remember(id(1), 10, 10, NOW);
        memory.remember(id(2), 11, 11, NOW);
        memory.forget_from(11);
        assert_eq!(memory.recall(id(2), Some(NOW), NOW, 0), Recall::New);
        assert_eq!(
            memory.recall(id(1), Some(NOW), NOW, 0),
            Recall::Done { version: 10 }
        );
    }
}
