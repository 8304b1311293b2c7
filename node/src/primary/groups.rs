//! Single writes gathered into batches of the engine: one record of the log, one hand-over to the committer's thread and
//! back for all of them. Its items are independent like those of a `BatchPut`: each is judged by itself and in its turn
//! (V6). Of one key a batch has one write, since all of a batch have one version, and a key's versions only grow (V1).
//! Conditional writes do not travel so: a lookup that fails would fail their neighbours.
//!
//! Bounded by admission: whoever waits here is a request inside. Deadlines are watched for a whole batch: a timer for each
//! write would cost as much as its way through the engine's queue.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use aidb_client::key_hash;
use aidb_lsm::{Batch, Committed, Error, Op, OpKind, Store};
use tokio::sync::oneshot;

use crate::serve::Deadline;

/// A batch takes no more than this, and a larger write travels alone.
const MOST_BYTES: usize = 1 << 20;
const MOST_WRITES: usize = 1024;

/// Who asked for one of the writes.
pub trait Asker {
    /// Wall time; 0 = none, or it has its answer.
    fn deadline_ms(&self) -> u64;
}

pub struct Groups<A>(Vec<Group<A>>);

struct Group<A> {
    ops: Vec<Op>,
    askers: Vec<A>,
    /// Hashes of its keys: two keys with one hash travel in two batches.
    keys: HashSet<u64, BuildHasherDefault<Hashed>>,
    bytes: usize,
}

impl<A> Default for Groups<A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<A> Groups<A> {
    /// In the order of arrival: a write never goes into a batch before that of an earlier write of its key.
    pub fn add(&mut self, op: Op, asker: A) {
        let hash = key_hash(&op.key);
        let bytes = op.key.len() + value_bytes(&op);
        let fits = self.0.last().is_some_and(|last| {
            last.ops.len() < MOST_WRITES
                && last.bytes + bytes <= MOST_BYTES
                && !last.keys.contains(&hash)
        });
        if !fits {
            self.0.push(Group {
                ops: Vec::new(),
                askers: Vec::new(),
                keys: HashSet::default(),
                bytes: 0,
            });
        }
        if let Some(last) = self.0.last_mut() {
            last.askers.push(asker);
            last.ops.push(op);
            last.keys.insert(hash);
            last.bytes += bytes;
        }
    }

    /// Hands the batches to the engine, in order.
    pub fn submit(self, store: &Store) -> impl Iterator<Item = UnderWay<A>> {
        self.0.into_iter().map(|group| {
            let batch = Batch {
                ops: group.ops,
                atomic: false,
                sync: None,
            };
            let (sender, committed) = oneshot::channel();
            store.submit(
                batch,
                Box::new(move |result| {
                    let _ = sender.send(result);
                }),
            );
            UnderWay {
                committed,
                askers: group.askers,
            }
        })
    }

    pub fn into_askers(self) -> impl Iterator<Item = A> {
        self.0.into_iter().flat_map(|group| group.askers)
    }
}

/// A batch that the engine has.
pub struct UnderWay<A> {
    committed: oneshot::Receiver<Result<Committed, Error>>,
    pub askers: Vec<A>,
}

pub enum Step {
    /// Somebody's deadline has passed; the batch may yet be committed.
    Late,
    Ended(Result<Committed, Error>),
    /// The store was closed.
    Closed,
}

impl<A: Asker> UnderWay<A> {
    /// The end, or the first deadline that passes before it.
    pub async fn wait(&mut self) -> Step {
        let deadlines = self.askers.iter().map(Asker::deadline_ms);
        let ended = match deadlines.filter(|&at| at != 0).min() {
            None => (&mut self.committed).await,
            Some(at_ms) => {
                let left = Deadline { at_ms }.remaining().unwrap_or_default();
                // The runtime's timers count in milliseconds.
                let left = left.max(Duration::from_millis(1));
                match tokio::time::timeout(left, &mut self.committed).await {
                    Ok(ended) => ended,
                    Err(_) => return Step::Late,
                }
            }
        };
        ended.map_or(Step::Closed, Step::Ended)
    }
}

pub(super) fn value_bytes(op: &Op) -> usize {
    match &op.kind {
        OpKind::Put { value, .. } => value.len(),
        OpKind::Delete | OpKind::DeleteRange { .. } => 0,
    }
}

/// What is put into the set is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = key_hash(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aidb_lsm::{Condition, RequestId};

    use super::*;

    pub fn put(key: &str, bytes: usize) -> Op {
        Op {
            key: key.into(),
            kind: OpKind::Put {
                value: vec![0; bytes].into(),
                expires_at_ms: 0,
            },
            condition: Condition::None,
            request: RequestId::default(),
            first_sent_ms: 0,
            deadline_ms: 0,
            tag: 0,
        }
    }

    struct Patient(u64);

    impl Asker for Patient {
        fn deadline_ms(&self) -> u64 {
            self.0
        }
    }

    fn batches(writes: &[(&str, usize)]) -> Vec<Vec<String>> {
        let mut groups = Groups::default();
        for (key, bytes) in writes {
            groups.add(put(key, *bytes), ());
        }
        let names = |group: &Group<()>| {
            let keys = group.ops.iter().map(|op| op.key.clone());
            keys.map(|key| String::from_utf8(key).unwrap()).collect()
        };
        groups.0.iter().map(names).collect()
    }

    #[test]
    fn of_one_key_a_batch_has_one_write() {
        let got = batches(&[("a", 1), ("b", 1), ("a", 1), ("c", 1), ("b", 1)]);
        assert_eq!(got, [vec!["a", "b"], vec!["a", "c", "b"]]);
    }

    #[test]
    fn batches_are_bounded_and_a_large_write_is_alone() {
        let got = batches(&[("a", 1), ("b", MOST_BYTES), ("c", 1), ("d", 1)]);
        assert_eq!(got, [vec!["a"], vec!["b"], vec!["c", "d"]]);
        let many: Vec<String> = (0..=MOST_WRITES).map(|key| key.to_string()).collect();
        let many: Vec<(&str, usize)> = many.iter().map(|key| (key.as_str(), 1)).collect();
        assert_eq!(batches(&many).len(), 2);
    }

    #[tokio::test]
    async fn a_deadline_that_passes_is_told_before_the_end() {
        let (commit, committed) = oneshot::channel();
        let soon = crate::serve::wall_ms() + 20;
        let mut under_way = UnderWay {
            committed,
            askers: vec![Patient(soon), Patient(soon + 600_000)],
        };
        assert!(matches!(under_way.wait().await, Step::Late));
        under_way.askers[0] = Patient(0);
        commit.send(Err(Error::Closed)).unwrap();
        assert!(matches!(
            under_way.wait().await,
            Step::Ended(Err(Error::Closed))
        ));
    }
}
