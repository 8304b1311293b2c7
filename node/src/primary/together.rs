//! Single writes of one serving thread, gathered (see `groups`): those that have arrived together. Alone, each of them
//! wakes the committer and is woken by it, which costs several times what the write itself does.
//!
//! No timer: a batch leaves as soon as this thread has read what has arrived, whether or not others are under way.
//! (Rejected: committing on this thread when nobody else does, as callers of the embedded engine do; a disk that is slow
//! to take a write would hold up every read of this thread.)

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aidb_lsm::{Committed, Error, Op, Outcome, Store};
use tokio::sync::oneshot;

use super::groups::{Asker, Groups, Step, UnderWay};
use crate::serve::Deadline;

/// The state that an answer shows, and what became of the write.
pub type Answer = Result<(u64, Outcome), Failed>;

#[derive(Debug)]
pub enum Failed {
    Store(Error),
    /// The deadline passed; it may yet be committed.
    Late,
}

struct Waiter {
    deadline_ms: u64,
    /// None: answered.
    reply: Option<oneshot::Sender<Answer>>,
}

impl Asker for Waiter {
    fn deadline_ms(&self) -> u64 {
        match self.reply {
            Some(_) => self.deadline_ms,
            None => 0,
        }
    }
}

#[derive(Default)]
pub struct Together {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    groups: Groups<Waiter>,
    /// Somebody will take the groups.
    leaving: bool,
}

impl Together {
    /// The answer comes by the receiver; none when the store or the runtime ended first.
    pub fn write(self: &Arc<Self>, store: &Store, op: Op) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter {
            deadline_ms: op.deadline_ms,
            reply: Some(reply),
        };
        let first = {
            let mut state = self.lock();
            state.groups.add(op, waiter);
            !std::mem::replace(&mut state.leaving, true)
        };
        if first {
            tokio::spawn(leave(Arc::clone(self), store.clone()));
        }
        answer
    }

    fn take(&self) -> Groups<Waiter> {
        let mut state = self.lock();
        state.leaving = false;
        std::mem::take(&mut state.groups)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn leave(together: Arc<Together>, store: Store) {
    // Requests that have arrived with this one are read from their connections first.
    tokio::task::yield_now().await;
    let under_way: Vec<_> = together.take().submit(&store).collect();
    // Nearly always there is one.
    let mut under_way = under_way.into_iter();
    let first = under_way.next();
    for group in under_way {
        tokio::spawn(answer(group));
    }
    if let Some(group) = first {
        answer(group).await;
    }
}

async fn answer(mut group: UnderWay<Waiter>) {
    loop {
        match group.wait().await {
            Step::Late => refuse_late(&mut group.askers),
            Step::Ended(result) => return tell(group.askers, result),
            // The waiters are dropped, and whoever waits learns as much.
            Step::Closed => return,
        }
    }
}

fn refuse_late(waiters: &mut [Waiter]) {
    for waiter in waiters {
        let deadline = Deadline {
            at_ms: waiter.deadline_ms,
        };
        if deadline.in_time().is_err()
            && let Some(reply) = waiter.reply.take()
        {
            let _ = reply.send(Err(Failed::Late));
        }
    }
}

fn tell(waiters: Vec<Waiter>, result: Result<Committed, Error>) {
    let replies = waiters.into_iter().map(|waiter| waiter.reply);
    match result {
        Ok(Committed { lsn, outcomes, .. }) => {
            for (reply, outcome) in replies.zip(outcomes) {
                let _ = reply.map(|reply| reply.send(Ok((lsn, outcome))));
            }
        }
        Err(error) => {
            for reply in replies.flatten() {
                let _ = reply.send(Err(Failed::Store(error.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::put;
    use super::*;

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

    #[test]
    fn who_is_late_is_told_once_and_others_wait_on() {
        let waiter = |deadline_ms| {
            let (reply, answer) = oneshot::channel();
            let reply = Some(reply);
            (Waiter { deadline_ms, reply }, answer)
        };
        let ((late, mut was_late), (patient, mut was_patient)) = (waiter(1), waiter(u64::MAX));
        let mut waiters = vec![late, patient];
        refuse_late(&mut waiters);
        assert!(matches!(was_late.try_recv(), Ok(Err(Failed::Late))));
        assert!(was_patient.try_recv().is_err());
        assert_eq!(waiters[0].deadline_ms(), 0);
        assert_eq!(waiters[1].deadline_ms(), u64::MAX);
    }
}
