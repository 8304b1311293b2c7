//! Single writes of one serving thread, gathered: those that have arrived together become one batch of the engine, so one
//! record of the log, and wake this thread once. Alone, each of them wakes the committer and is woken by it, which costs
//! several times what the write itself does.
//!
//! No timer: a batch leaves as soon as this thread has read what has arrived, whether or not others are under way. Its
//! items are independent like those of a `BatchPut`: each is judged by itself and in its turn (V6). Of one key a batch has
//! one write, since all of a batch have one version, and a key's versions only grow (V1). Conditional writes do not travel
//! so: a lookup that fails would fail their neighbours. (Rejected: committing on this thread when nobody else does, as
//! callers of the embedded engine do; a disk that is slow to take a write would hold up every read of this thread.)
//!
//! Bounded by admission: whoever waits here is a request inside.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aidb_client::key_hash;
use aidb_lsm::{Batch, Committed, Error, Op, OpKind, Outcome, Store};
use tokio::sync::oneshot;

/// A batch takes no more than this, and a larger write travels alone.
const MOST_BYTES: usize = 1 << 20;
const MOST_WRITES: usize = 1024;

/// The state that an answer shows, and what became of the write.
pub type Answer = Result<(u64, Outcome), Error>;

#[derive(Default)]
pub struct Together {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    groups: Vec<Group>,
    /// Somebody will take the groups.
    leaving: bool,
}

#[derive(Default)]
struct Group {
    ops: Vec<Op>,
    replies: Vec<oneshot::Sender<Answer>>,
    /// Hashes of its keys: two keys with one hash travel in two batches.
    keys: HashSet<u64>,
    bytes: usize,
}

impl Together {
    /// The answer comes by the receiver; none when the store or the runtime ended first.
    pub fn write(self: &Arc<Self>, store: &Store, op: Op) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        let first = {
            let mut state = self.lock();
            state.add(op, reply);
            !std::mem::replace(&mut state.leaving, true)
        };
        if first {
            tokio::spawn(leave(Arc::clone(self), store.clone()));
        }
        answer
    }

    fn take(&self) -> Vec<Group> {
        let mut state = self.lock();
        state.leaving = false;
        std::mem::take(&mut state.groups)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// In the order of arrival: a write never goes into a batch before that of an earlier write of its key.
    fn add(&mut self, op: Op, reply: oneshot::Sender<Answer>) {
        let hash = key_hash(&op.key);
        let bytes = op.key.len() + value_bytes(&op);
        let fits = self.groups.last().is_some_and(|last| {
            last.ops.len() < MOST_WRITES
                && last.bytes + bytes <= MOST_BYTES
                && !last.keys.contains(&hash)
        });
        if !fits {
            self.groups.push(Group::default());
        }
        if let Some(last) = self.groups.last_mut() {
            last.ops.push(op);
            last.replies.push(reply);
            last.keys.insert(hash);
            last.bytes += bytes;
        }
    }
}

fn value_bytes(op: &Op) -> usize {
    match &op.kind {
        OpKind::Put { value, .. } => value.len(),
        OpKind::Delete | OpKind::DeleteRange { .. } => 0,
    }
}

async fn leave(together: Arc<Together>, store: Store) {
    // Requests that have arrived with this one are read from their connections first.
    tokio::task::yield_now().await;
    let under_way: Vec<_> = together
        .take()
        .into_iter()
        .map(|group| {
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
            (committed, group.replies)
        })
        .collect();
    for (committed, replies) in under_way {
        // Without an answer the replies are dropped, and whoever waits learns as much.
        if let Ok(result) = committed.await {
            tell(replies, result);
        }
    }
}

fn tell(replies: Vec<oneshot::Sender<Answer>>, result: Result<Committed, Error>) {
    match result {
        Ok(Committed { lsn, outcomes, .. }) => {
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                let _ = reply.send(Ok((lsn, outcome)));
            }
        }
        Err(error) => {
            for reply in replies {
                let _ = reply.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aidb_lsm::{Condition, RequestId};

    use super::*;

    fn put(key: &str, bytes: usize) -> Op {
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

    fn batches(writes: &[(&str, usize)]) -> Vec<Vec<String>> {
        let mut state = State::default();
        for (key, bytes) in writes {
            state.add(put(key, *bytes), oneshot::channel().0);
        }
        let names = |group: &Group| {
            let keys = group.ops.iter().map(|op| op.key.clone());
            keys.map(|key| String::from_utf8(key).unwrap()).collect()
        };
        state.groups.iter().map(names).collect()
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
    async fn writes_that_come_together_are_one_record() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), aidb_lsm::Options::default()).unwrap();
        let together = Arc::new(Together::default());
        let before = store.visible_lsn();
        let answers = ["a", "b", "c", "a"].map(|key| together.write(&store, put(key, 10)));
        let mut versions = Vec::new();
        for answer in answers {
            match answer.await.unwrap().unwrap() {
                (_, Outcome::Applied { version }) => versions.push(version - before),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(versions, [1, 1, 1, 2]);
        store.clone().close().unwrap();
        assert!(matches!(
            together.write(&store, put("d", 1)).await.unwrap(),
            Err(Error::Closed)
        ));
    }
}
