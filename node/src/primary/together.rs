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
//! Bounded by admission: whoever waits here is a request inside. Deadlines are watched for a whole batch: a timer for each
//! write would cost as much as its way through the engine's queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aidb_client::key_hash;
use aidb_lsm::{Batch, Committed, Error, Op, OpKind, Outcome, Store};
use tokio::sync::oneshot;

use crate::serve::Deadline;

/// A batch takes no more than this, and a larger write travels alone.
const MOST_BYTES: usize = 1 << 20;
const MOST_WRITES: usize = 1024;

/// The state that an answer shows, and what became of the write.
pub type Answer = Result<(u64, Outcome), Failed>;

#[derive(Debug)]
pub enum Failed {
    Store(Error),
    /// The deadline passed; it may yet be committed.
    Late,
}

struct Reply {
    deadline_ms: u64,
    /// None: answered.
    asker: Option<oneshot::Sender<Answer>>,
}

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
    replies: Vec<Reply>,
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
            last.replies.push(Reply {
                deadline_ms: op.deadline_ms,
                asker: Some(reply),
            });
            last.ops.push(op);
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
    // Nearly always there is one.
    let mut under_way = under_way.into_iter();
    let first = under_way.next();
    for (committed, replies) in under_way {
        tokio::spawn(answer(committed, replies));
    }
    if let Some((committed, replies)) = first {
        answer(committed, replies).await;
    }
}

async fn answer(
    mut committed: oneshot::Receiver<Result<Committed, Error>>,
    mut replies: Vec<Reply>,
) {
    let committed = loop {
        let waiting = replies.iter().filter(|reply| reply.asker.is_some());
        let earliest = waiting
            .map(|reply| reply.deadline_ms)
            .filter(|&at| at != 0)
            .min();
        let Some(at_ms) = earliest else {
            break committed.await;
        };
        let left = Deadline { at_ms }.remaining().unwrap_or_default();
        // The runtime's timers count in milliseconds.
        let left = left.max(Duration::from_millis(1));
        match tokio::time::timeout(left, &mut committed).await {
            Ok(committed) => break committed,
            Err(_) => refuse_late(&mut replies),
        }
    };
    // Without an answer the replies are dropped, and whoever waits learns as much.
    if let Ok(result) = committed {
        tell(replies, result);
    }
}

fn refuse_late(replies: &mut [Reply]) {
    for reply in replies {
        let deadline = Deadline {
            at_ms: reply.deadline_ms,
        };
        if deadline.in_time().is_err()
            && let Some(asker) = reply.asker.take()
        {
            let _ = asker.send(Err(Failed::Late));
        }
    }
}

fn tell(replies: Vec<Reply>, result: Result<Committed, Error>) {
    let askers = replies.into_iter().map(|reply| reply.asker);
    match result {
        Ok(Committed { lsn, outcomes, .. }) => {
            for (asker, outcome) in askers.zip(outcomes) {
                let _ = asker.map(|asker| asker.send(Ok((lsn, outcome))));
            }
        }
        Err(error) => {
            for asker in askers.flatten() {
                let _ = asker.send(Err(Failed::Store(error.clone())));
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
    async fn a_deadline_that_passes_is_answered_though_the_batch_is_not() {
        let reply = |deadline_ms| {
            let (asker, answer) = oneshot::channel();
            let asker = Some(asker);
            (Reply { deadline_ms, asker }, answer)
        };
        let soon = crate::serve::wall_ms() + 20;
        let ((late, was_late), (patient, was_patient)) = (reply(soon), reply(soon + 600_000));
        let (commit, committed) = oneshot::channel();
        let answering = tokio::spawn(answer(committed, vec![late, patient]));
        assert!(matches!(was_late.await.unwrap(), Err(Failed::Late)));
        let outcomes = [1, 2].map(|version| Outcome::Applied { version });
        let done = Committed {
            lsn: 2,
            clock_ms: 0,
            outcomes: outcomes.into(),
        };
        commit.send(Ok(done)).unwrap();
        let second = was_patient.await.unwrap().unwrap();
        assert_eq!(second, (2, Outcome::Applied { version: 2 }));
        answering.await.unwrap();
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
            Err(Failed::Store(Error::Closed))
        ));
    }
}
