//! Random histories of a primary, a stream that delays and breaks, and fills that overtake invalidations: whatever a lookup
//! serves is checked against the primary's log. The same histories against the two mutants show that the checks can fail.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use aidb_client::{Position, key_hash, pb, physical_key, slot_of};
use fastrand::Rng;

use super::coherence::{Answer, Coherence, Demand, Fill, Now};
use super::faults::Faults;

const STEPS: u64 = 800;
const HISTORIES: u64 = 600;
const KEYS: usize = 4;
/// Records that the primary still has for a resume.
const TAIL: usize = 6;

struct Key {
    slot: u16,
    hash: u64,
    physical: Vec<u8>,
}

struct Commit {
    lsn: u64,
    key: usize,
    deleted: bool,
    /// It travels with its value, to be renewed in place.
    carried: bool,
    /// The step it became visible in.
    at: u64,
}

enum Message {
    Record(pb::CacheRecord),
    Echo { committed: u64, sent_at: u64 },
}

struct Filling {
    key: usize,
    fill: Fill,
    /// What the primary answered, once it has.
    answer: Option<Answer>,
}

struct World {
    rng: Rng,
    now: u64,
    keys: Vec<Key>,
    epoch: u64,
    log: Vec<Commit>,
    replica: Coherence,
    /// None: no stream.
    stream: Option<VecDeque<Message>>,
    fillings: Vec<Filling>,
    served: u64,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let key = |number: usize| {
            let name = [b'k', number as u8];
            let physical = physical_key(0, &name);
            Key {
                slot: slot_of(&name),
                hash: key_hash(&physical),
                physical,
            }
        };
        Self {
            rng: Rng::with_seed(seed),
            now: 1,
            keys: (0..KEYS).map(key).collect(),
            epoch: 1,
            log: Vec::new(),
            replica: Coherence::new(1 << 20, faults),
            stream: None,
            fillings: Vec::new(),
            served: 0,
        }
    }

    fn visible(&self) -> u64 {
        self.log.last().map_or(0, |commit| commit.lsn)
    }

    /// The newest version of `key` among the commits that `of` accepts; 0 = none.
    fn newest(&self, key: usize, of: impl Fn(&Commit) -> bool) -> u64 {
        let mut commits = self.log.iter().rev();
        commits
            .find(|commit| commit.key == key && of(commit))
            .map_or(0, |commit| commit.lsn)
    }

    /// What a reader is told of the state that the commit at `lsn` made; 0 = there is no such key.
    fn version(&self, lsn: u64) -> u64 {
        let commit = self.log.iter().find(|commit| commit.lsn == lsn);
        commit
            .filter(|commit| !commit.deleted)
            .map_or(0, |commit| commit.lsn)
    }

    fn record(&self, index: usize) -> Message {
        let previous_lsn = index.checked_sub(1).map_or(0, |at| self.log[at].lsn);
        let commit = &self.log[index];
        let key = &self.keys[commit.key];
        let mut record = pb::CacheRecord {
            lsn: commit.lsn,
            previous_lsn,
            ..Default::default()
        };
        match commit.carried {
            false => record.key_hashes.push(key.hash),
            true => record.updates.push(pb::CacheUpdate {
                key: key.physical.clone().into(),
                value: commit.lsn.to_be_bytes().to_vec().into(),
                deleted: commit.deleted,
                version: commit.lsn,
                ..Default::default()
            }),
        }
        Message::Record(record)
    }

    fn step(&mut self) {
        self.now += 1;
        match self.rng.u32(0..100) {
            0..20 => self.write(),
            20..45 => self.deliver(),
            45..55 => self.ping(),
            55..58 => self.lose_stream(),
            58..62 => self.connect(),
            62..70 => self.begin_fill(),
            70..78 => self.read_at_primary(),
            78..86 => self.finish_fill(),
            86..87 => self.restart_primary(),
            _ => self.look_up(),
        }
    }

    fn write(&mut self) {
        let commit = Commit {
            lsn: self.visible() + self.rng.u64(1..3),
            key: self.rng.usize(0..KEYS),
            deleted: self.rng.u8(0..4) == 0,
            carried: self.rng.bool(),
            at: self.now,
        };
        self.log.push(commit);
        let message = self.record(self.log.len() - 1);
        if let Some(stream) = &mut self.stream {
            stream.push_back(message);
        }
    }

    fn deliver(&mut self) {
        let Some(message) = self.stream.as_mut().and_then(VecDeque::pop_front) else {
            return;
        };
        match message {
            Message::Record(record) => self.replica.apply(&record).unwrap(),
            Message::Echo { committed, sent_at } => {
                self.replica.echoed(committed, sent_at).unwrap();
            }
        }
    }

    fn ping(&mut self) {
        let echo = Message::Echo {
            committed: self.visible(),
            sent_at: self.now,
        };
        if let Some(stream) = &mut self.stream {
            stream.push_back(echo);
        }
    }

    fn lose_stream(&mut self) {
        self.stream = None;
        self.replica.lost();
    }

    fn connect(&mut self) {
        if self.stream.is_some() {
            return;
        }
        let (epoch, applied) = self.replica.hello();
        let kept = self.log.len().saturating_sub(TAIL);
        let from = self.log.iter().position(|commit| commit.lsn == applied);
        let resumed = epoch == self.epoch && from.is_some_and(|from| from + 1 >= kept);
        let lsn = if resumed { applied } else { self.visible() };
        let welcome = pb::Welcome {
            epoch: self.epoch,
            lsn,
            resumed,
            ..Default::default()
        };
        self.replica.welcome(&welcome).unwrap();
        let first = match from {
            Some(from) if resumed => from + 1,
            _ => self.log.len(),
        };
        let missed = (first..self.log.len()).map(|index| self.record(index));
        self.stream = Some(missed.collect());
    }

    fn begin_fill(&mut self) {
        let filling = Filling {
            key: self.rng.usize(0..KEYS),
            fill: self.replica.begin_fill(),
            answer: None,
        };
        self.fillings.push(filling);
    }

    fn read_at_primary(&mut self) {
        let Some(index) = self.fillings.iter().position(|fill| fill.answer.is_none()) else {
            return;
        };
        let newest = self.newest(self.fillings[index].key, |_| true);
        let version = self.version(newest);
        self.fillings[index].answer = Some(Answer {
            value: (version > 0).then(|| version.to_be_bytes().to_vec().into()),
            version,
            expires_at_ms: 0,
            position: Position {
                epoch: self.epoch,
                lsn: self.visible(),
            },
        });
    }

    fn finish_fill(&mut self) {
        let ready = |filling: &Filling| filling.answer.is_some();
        let Some(index) = self.fillings.iter().rposition(ready) else {
            return;
        };
        let Filling { key, fill, answer } = self.fillings.swap_remove(index);
        let Some(answer) = answer else { return };
        let at = &self.keys[key];
        let now = self.now;
        self.replica
            .finish_fill(fill, at.slot, at.hash, &at.physical, &answer, now);
    }

    /// In place, as by D10: the log is kept, the epoch rises, the tail is gone.
    fn restart_primary(&mut self) {
        self.epoch += 1;
        self.lose_stream();
    }

    fn look_up(&mut self) {
        let key = self.rng.usize(0..KEYS);
        let bound_ns = self.rng.u64(1..80);
        let seen = match self.log.is_empty() || self.rng.bool() {
            true => None,
            false => Some(Position {
                epoch: self.epoch,
                lsn: self.log[self.rng.usize(0..self.log.len())].lsn,
            }),
        };
        let now = Now {
            ns: self.now,
            wall_ms: 0,
            skew_ms: 0,
        };
        let at = &self.keys[key];
        let demand = Demand {
            bound_ns,
            seen,
            since_lsn: 0,
        };
        let Some(hit) = self
            .replica
            .lookup(at.slot, at.hash, &at.physical, &demand, &now)
        else {
            return;
        };
        self.served += 1;
        let value = hit.value.as_deref();
        let version = value.map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()));
        let shown = self.newest(key, |commit| commit.lsn <= hit.position.lsn);
        assert_eq!(
            (version, hit.version),
            (self.version(shown), self.version(shown)),
            "not the state at the position it names"
        );
        let fresh = self.newest(key, |commit| commit.at + bound_ns < self.now);
        assert!(shown >= fresh, "staler than asked (C3)");
        if let Some(seen) = seen {
            let own = self.newest(key, |commit| commit.lsn <= seen.lsn);
            assert!(shown >= own, "older than the session has seen (C5)");
        }
    }
}

/// How many lookups one history served.
fn history(seed: u64, faults: Faults) -> u64 {
    lived(seed, faults).served
}

fn lived(seed: u64, faults: Faults) -> World {
    let mut world = World::new(seed, faults);
    for _ in 0..STEPS {
        world.step();
    }
    world
}

fn caught(faults: Faults) -> bool {
    let fails = |seed| catch_unwind(AssertUnwindSafe(|| history(seed, faults))).is_err();
    (0..HISTORIES).any(fails)
}

#[test]
fn whatever_is_served_is_as_new_as_it_says_and_as_was_asked() {
    let served: u64 = (0..HISTORIES)
        .map(|seed| history(seed, Faults::default()))
        .sum();
    assert!(served > HISTORIES, "{served} lookups served show little");
}

#[test]
fn the_histories_renew_in_place() {
    let renewed = |seed| {
        let world = lived(seed, Faults::default());
        world.replica.counters.updates.load(Ordering::Relaxed)
    };
    let renewed: u64 = (0..HISTORIES).map(renewed).sum();
    assert!(renewed > HISTORIES / 4, "{renewed} renewals show little");
}

#[test]
fn an_unguarded_fill_is_caught() {
    assert!(caught(Faults {
        unguarded_fill: true,
        ..Faults::default()
    }));
}

#[test]
fn going_on_after_a_break_without_resync_is_caught() {
    assert!(caught(Faults {
        no_resync: true,
        ..Faults::default()
    }));
}
