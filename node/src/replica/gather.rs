//! Forwarded reads, gathered: what waits while calls to the primary are under way leaves as one batch when one returns.
//!
//! No timer: a read that finds a call free leaves at once, so nothing waits but behind what the primary is busy with
//! anyway, and batches grow with load. (A stream of single requests was rejected: it saves the HTTP/2 stream of each
//! read and still pays message, task and handler of each at both ends; a batch pays them once.)
//!
//! What stays each read's own: its deadline (the batch has the latest of them), its error, and the judgement of its
//! answer. The batch carries no session: whoever asked compares the position it shows with what its session has seen.
//! Bounded by admission: whoever waits here is a request inside.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aidb_client::error::refuse;
use aidb_client::pb::{self, ErrorCode};
use bytes::Bytes;
use tokio::sync::oneshot;
use tonic::Status;

use crate::serve::Deadline;

/// Calls under way at a time. A second one begins only when more wait than one call may carry: with two at once the same
/// reads travel in twice as many calls, and cost more than the waiting saves (measured).
const MOST_CALLS: usize = 4;
/// Reads in one call: an answer of so many large values still fits a message in most cases.
const MOST_KEYS: usize = 256;

/// A read that any primary of the shard may answer with its newest state.
pub struct Ask {
    pub keyspace: u32,
    pub key: Bytes,
    pub deadline: Deadline,
}

/// What became of one read.
#[derive(Clone, Debug)]
pub enum Outcome {
    Answered(pb::GetResponse),
    /// The primary's word on this key alone.
    Refused(pb::Error),
    /// The call failed, and so did each of its reads.
    Failed(Status),
}

/// The reads of one serving thread.
#[derive(Default)]
pub struct Gather {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    calls: usize,
}

struct Waiting {
    ask: Ask,
    reply: oneshot::Sender<Outcome>,
}

impl Gather {
    /// Reads by `call`, with others or alone. Cancellation-safe: a read given up leaves its batch as it is.
    pub async fn ask<Call, Answer>(self: &Arc<Self>, ask: Ask, call: Call) -> Outcome
    where
        Call: Fn(pb::BatchGetRequest, Deadline) -> Answer + Send + 'static,
        Answer: Future<Output = Result<pb::BatchGetResponse, Status>> + Send + 'static,
    {
        let deadline = ask.deadline;
        let (reply, landed) = oneshot::channel();
        let free = {
            let mut state = self.lock();
            let wanted = 1 + state.waiting.len() / MOST_KEYS;
            state.waiting.push_back(Waiting { ask, reply });
            let free = state.calls < wanted.min(MOST_CALLS);
            state.calls += usize::from(free);
            free
        };
        if free {
            let caller = Caller {
                gather: Arc::clone(self),
                counted: true,
            };
            tokio::spawn(caller.run(call));
        }
        let landed = match deadline.remaining() {
            Some(left) => tokio::time::timeout(left, landed).await,
            None => Ok(landed.await),
        };
        match landed {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Outcome::Failed(Status::cancelled("this node leaves the cluster")),
            Err(_) => Outcome::Failed(refuse(
                ErrorCode::DeadlineExceeded,
                "the primary gave no answer before the deadline",
            )),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the calls under way.
struct Caller {
    gather: Arc<Gather>,
    counted: bool,
}

impl Caller {
    async fn run<Call, Answer>(mut self, call: Call)
    where
        Call: Fn(pb::BatchGetRequest, Deadline) -> Answer,
        Answer: Future<Output = Result<pb::BatchGetResponse, Status>>,
    {
        loop {
            // Requests that have arrived with this one are read from their connections first.
            tokio::task::yield_now().await;
            let Some(batch) = self.next() else { return };
            let answer = call(batch.request, batch.deadline).await;
            distribute(batch.reads, answer);
        }
    }

    /// None: nobody waits, and the next one to come makes a call of its own. One step, so that nobody waits for a call
    /// that has just ended.
    fn next(&mut self) -> Option<Batch> {
        let mut state = self.gather.lock();
        let batch = state.next_batch();
        if batch.is_none() {
            state.calls -= 1;
            self.counted = false;
        }
        batch
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if self.counted {
            self.gather.lock().calls -= 1;
        }
    }
}

struct Batch {
    request: pb::BatchGetRequest,
    deadline: Deadline,
    reads: Vec<Waiting>,
}

impl State {
    /// The oldest reads of one keyspace that somebody still waits for; None when there are none.
    fn next_batch(&mut self) -> Option<Batch> {
        self.waiting.retain(|waiting| !waiting.reply.is_closed());
        let keyspace = self.waiting.front()?.ask.keyspace;
        let mut reads = Vec::with_capacity(self.waiting.len().min(MOST_KEYS));
        let mut others = VecDeque::new();
        while let Some(waiting) = self.waiting.pop_front() {
            if waiting.ask.keyspace != keyspace {
                others.push_back(waiting);
                continue;
            }
            reads.push(waiting);
            if reads.len() == MOST_KEYS {
                break;
            }
        }
        others.append(&mut self.waiting);
        self.waiting = others;
        let deadline = latest(reads.iter().map(|read| read.ask.deadline));
        let request = pb::BatchGetRequest {
            header: Some(pb::RequestHeader {
                keyspace,
                deadline_unix_ms: deadline.at_ms,
                ..Default::default()
            }),
            keys: reads.iter().map(|read| read.ask.key.clone()).collect(),
        };
        Some(Batch {
            request,
            deadline,
            reads,
        })
    }
}

/// Of reads that travel together; 0 = none has to be the latest.
fn latest(deadlines: impl Iterator<Item = Deadline>) -> Deadline {
    let at_ms = deadlines
        .map(|deadline| deadline.at_ms.wrapping_sub(1))
        .max()
        .map_or(0, |last| last.wrapping_add(1));
    Deadline { at_ms }
}

fn distribute(reads: Vec<Waiting>, answer: Result<pb::BatchGetResponse, Status>) {
    let answer = match answer {
        Ok(answer) if answer.results.len() == reads.len() => answer,
        Ok(_) => {
            let nonsense = refuse(
                ErrorCode::ShardUnavailable,
                "the primary's answer has another number of results; retry",
            );
            return reads
                .into_iter()
                .for_each(|read| tell(read, Outcome::Failed(nonsense.clone())));
        }
        Err(failed) => {
            return reads
                .into_iter()
                .for_each(|read| tell(read, Outcome::Failed(failed.clone())));
        }
    };
    for (read, result) in reads.into_iter().zip(answer.results) {
        let outcome = match result.error {
            Some(refused) => Outcome::Refused(*refused),
            None => Outcome::Answered(pb::GetResponse {
                header: answer.header.clone(),
                found: result.found,
                value: result.value,
                version: result.version,
                expires_at_unix_ms: result.expires_at_unix_ms,
            }),
        };
        tell(read, outcome);
    }
}

/// Whoever has gone away meanwhile does not miss it.
fn tell(read: Waiting, outcome: Outcome) {
    let _ = read.reply.send(outcome);
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    const NEVER: Deadline = Deadline { at_ms: 0 };

    /// A primary that answers each key with itself, when it is let to, and remembers what it was asked.
    struct Primary {
        permits: Semaphore,
        asked: Mutex<Vec<pb::BatchGetRequest>>,
    }

    impl Primary {
        fn held() -> Arc<Self> {
            Arc::new(Self {
                permits: Semaphore::new(0),
                asked: Mutex::default(),
            })
        }

        fn sizes(&self) -> Vec<usize> {
            let asked = self.asked.lock().unwrap();
            asked.iter().map(|request| request.keys.len()).collect()
        }

        async fn answer(
            self: Arc<Self>,
            request: pb::BatchGetRequest,
        ) -> Result<pb::BatchGetResponse, Status> {
            self.asked.lock().unwrap().push(request.clone());
            self.permits.acquire().await.unwrap().forget();
            let result = |key: &Bytes| match &key[..] {
                b"refused" => pb::GetResult {
                    error: Some(aidb_client::error::error(ErrorCode::Moved, "elsewhere").into()),
                    ..Default::default()
                },
                _ => pb::GetResult {
                    found: true,
                    value: key.clone(),
                    ..Default::default()
                },
            };
            if request.keys.iter().any(|key| *key == "down") {
                return Err(refuse(ErrorCode::ShardUnavailable, "down"));
            }
            Ok(pb::BatchGetResponse {
                header: None,
                results: request.keys.iter().map(result).collect(),
            })
        }
    }

    fn ask(
        gather: &Arc<Gather>,
        primary: &Arc<Primary>,
        keyspace: u32,
        key: &'static str,
        deadline: Deadline,
    ) -> tokio::task::JoinHandle<Outcome> {
        let (gather, primary) = (Arc::clone(gather), Arc::clone(primary));
        tokio::spawn(async move {
            let ask = Ask {
                keyspace,
                key: key.into(),
                deadline,
            };
            gather
                .ask(ask, move |request, _| Arc::clone(&primary).answer(request))
                .await
        })
    }

    /// On a current-thread runtime: until every task waits.
    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    fn value(outcome: Outcome) -> Bytes {
        match outcome {
            Outcome::Answered(answer) => answer.value,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_waits_behind_a_call_leaves_together_and_each_gets_its_own() {
        let (gather, primary) = (Arc::new(Gather::default()), Primary::held());
        let early = ask(&gather, &primary, 0, "a", NEVER);
        settle().await;
        let late = ["b", "c", "d", "e"].map(|key| (key, ask(&gather, &primary, 0, key, NEVER)));
        settle().await;
        assert_eq!(primary.sizes(), [1]);
        primary.permits.add_permits(10);
        assert_eq!(value(early.await.unwrap()), "a");
        for (key, read) in late {
            assert_eq!(value(read.await.unwrap()), key);
        }
        assert_eq!(primary.sizes(), [1, 4]);
        settle().await;
        assert_eq!(gather.lock().calls, 0);
    }

    #[tokio::test]
    async fn more_than_a_call_may_carry_takes_another_call() {
        let (gather, primary) = (Arc::new(Gather::default()), Primary::held());
        let first = ask(&gather, &primary, 0, "a", NEVER);
        settle().await;
        let many: Vec<_> = (0..MOST_KEYS + 1)
            .map(|_| ask(&gather, &primary, 0, "b", NEVER))
            .collect();
        settle().await;
        assert_eq!(primary.sizes(), [1, MOST_KEYS]);
        primary.permits.add_permits(10);
        for read in many.into_iter().chain([first]) {
            value(read.await.unwrap());
        }
        assert_eq!(primary.sizes(), [1, MOST_KEYS, 1]);
    }

    #[tokio::test]
    async fn keyspaces_do_not_mix() {
        let (gather, primary) = (Arc::new(Gather::default()), Primary::held());
        primary.permits.add_permits(10);
        for read in [0, 7, 0].map(|keyspace| ask(&gather, &primary, keyspace, "k", NEVER)) {
            value(read.await.unwrap());
        }
        let asked = primary.asked.lock().unwrap();
        let spaces = asked.iter().map(|request| {
            let keyspace = request.header.as_ref().unwrap().keyspace;
            (keyspace, request.keys.len())
        });
        assert_eq!(spaces.collect::<Vec<_>>(), [(0, 2), (7, 1)]);
    }

    #[tokio::test]
    async fn one_keys_refusal_is_its_own_and_a_failed_call_is_everybodys() {
        let (gather, primary) = (Arc::new(Gather::default()), Primary::held());
        primary.permits.add_permits(10);
        let reads = ["fine", "refused"].map(|key| ask(&gather, &primary, 0, key, NEVER));
        let [fine, refused] = reads;
        assert_eq!(value(fine.await.unwrap()), "fine");
        assert!(matches!(
            refused.await.unwrap(),
            Outcome::Refused(error) if error.code() == ErrorCode::Moved
        ));
        for read in ["down", "beside"].map(|key| ask(&gather, &primary, 0, key, NEVER)) {
            assert!(matches!(read.await.unwrap(), Outcome::Failed(_)));
        }
    }

    #[tokio::test]
    async fn each_read_has_its_own_deadline_and_the_dead_are_not_carried() {
        let (gather, primary) = (Arc::new(Gather::default()), Primary::held());
        let held = ask(&gather, &primary, 0, "a", NEVER);
        settle().await;
        let soon = Deadline {
            at_ms: crate::serve::wall_ms() + 50,
        };
        let late = ask(&gather, &primary, 0, "late", soon);
        let gone = ask(&gather, &primary, 0, "gone", NEVER);
        settle().await;
        let outcome = late.await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Failed(status)
            if aidb_client::error::code_of(status) == ErrorCode::DeadlineExceeded),
            "{outcome:?}"
        );
        gone.abort();
        settle().await;
        primary.permits.add_permits(10);
        value(held.await.unwrap());
        settle().await;
        assert_eq!(primary.sizes(), [1]);
    }

    #[test]
    fn the_batch_has_the_latest_deadline() {
        let at = |at_ms| Deadline { at_ms };
        assert_eq!(latest([at(5), at(9), at(7)].into_iter()).at_ms, 9);
        assert_eq!(latest([at(5), at(0)].into_iter()).at_ms, 0);
    }
}
