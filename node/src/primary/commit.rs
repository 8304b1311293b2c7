//! From a request's batch to its answer: the engine's commit, the deadline, and evidence once more (D1, V6).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aidb_client::error::{refuse, status};
use aidb_client::pb::{self, ErrorCode};
use aidb_lsm::{Batch, Committed, Condition, Error, Op, Outcome};
use tokio::sync::oneshot;
use tonic::Status;

use super::engine::status_of_commit;
use super::storage::StorageService;
use super::together::Failed;
use super::token::header;
use super::write::{Context, Write, answer};
use crate::serve::{Admitted, View};

/// Whether a write of this request is acknowledged as soon as the engine has committed it.
pub fn at_commit(header: Option<&pb::RequestHeader>) -> bool {
    let durability = header.map_or(pb::Durability::Default, pb::RequestHeader::durability);
    matches!(durability, pb::Durability::Default | pb::Durability::Async)
}

pub(super) fn sequenced(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. } | Outcome::Duplicate { .. })
}

/// What only an archive or a tail set could promise is refused rather than promised.
pub fn check_durability(header: &pb::RequestHeader) -> Result<(), Status> {
    match header.durability() {
        pb::Durability::Default | pb::Durability::Async => Ok(()),
        pb::Durability::Replica | pb::Durability::Archived => Err(refuse(
            ErrorCode::Unsupported,
            "this cluster has neither a tail set nor an archive: durability is async",
        )),
    }
}

impl StorageService {
    pub(super) fn context<'a>(
        &'a self,
        header: &'a pb::RequestHeader,
        admitted: &Admitted,
    ) -> Context<'a> {
        Context {
            limits: &self.node.limits,
            header,
            deadline_ms: admitted.deadline.at_ms,
            clock_ms: self.primary.store.clock_ms(),
        }
    }

    /// Commits `batch` and waits for its answer.
    pub(super) async fn commit(
        &self,
        batch: Batch,
        admitted: &Admitted,
    ) -> Result<Committed, Status> {
        self.check_poison()?;
        let (sender, receiver) = oneshot::channel();
        self.primary.store.submit(
            batch,
            Box::new(move |committed| {
                let _ = sender.send(committed);
            }),
        );
        let committed = self.answered(receiver, admitted).await?;
        self.check_evidence(&committed.outcomes)?;
        Ok(committed)
    }

    /// Commits one write, with others that have none of its keys. The state that the answer shows, and what became of it.
    async fn commit_one(&self, op: Op, admitted: &Admitted) -> Result<(u64, Outcome), Status> {
        if op.condition != Condition::None {
            let batch = Batch {
                ops: vec![op],
                atomic: false,
                sync: None,
            };
            let committed = self.commit(batch, admitted).await?;
            let outcome = committed.outcomes.into_iter().next();
            return Ok((committed.lsn, outcome.unwrap_or(Outcome::NotApplied)));
        }
        self.check_poison()?;
        let answered = self.together.write(&self.primary.store, op).await;
        let (lsn, outcome) = match answered.map_err(|_| closed())? {
            Ok(answer) => answer,
            Err(Failed::Store(failed)) => return Err(self.failed(failed)),
            Err(Failed::Late) => return Err(late()),
        };
        self.check_evidence(std::slice::from_ref(&outcome))?;
        Ok((lsn, outcome))
    }

    pub(super) fn check_poison(&self) -> Result<(), Status> {
        if self.primary.poisoned.load(Ordering::Acquire) {
            let message = "the store refuses writes after a failed write or sync; its log says why; restart this primary";
            return Err(refuse(ErrorCode::Poisoned, message));
        }
        Ok(())
    }

    /// The engine's answer, if it comes before the deadline.
    async fn answered<T>(
        &self,
        receiver: oneshot::Receiver<Result<T, Error>>,
        admitted: &Admitted,
    ) -> Result<T, Status> {
        let answered = match admitted.deadline.remaining() {
            None => receiver.await,
            Some(left) => tokio::time::timeout(left, receiver)
                .await
                .map_err(|_| late())?,
        };
        answered
            .map_err(|_| closed())?
            .map_err(|failed| self.failed(failed))
    }

    pub(super) fn failed(&self, failed: Error) -> Status {
        let poisoned = self.primary.store.stats().poisoned.is_some();
        self.primary.poisoned.fetch_or(poisoned, Ordering::AcqRel);
        status_of_commit(failed)
    }

    /// Just before an answer: it may be shown only under evidence (D1). What was sequenced is answered ok or unknown,
    /// never as if it had not been (q6).
    pub(super) fn check_evidence(&self, outcomes: &[Outcome]) -> Result<(), Status> {
        let shows = |outcome: &Outcome| {
            sequenced(outcome) || matches!(outcome, Outcome::ConditionFailed { .. })
        };
        if outcomes.iter().any(shows)
            && let Err(lapsed) = self.node.evidence()
        {
            if outcomes.iter().any(sequenced) {
                return Err(unknown(
                    "the evidence of ownership ended while the write was being synced",
                ));
            }
            return Err(lapsed);
        }
        Ok(())
    }

    /// A request of one write.
    pub(super) async fn write_one(
        &self,
        asked: Option<&pb::RequestHeader>,
        admitted: Admitted,
        write: Write<'_>,
    ) -> Result<(pb::ResponseHeader, u64), Status> {
        let default = pb::RequestHeader::default();
        let asked = asked.unwrap_or(&default);
        check_durability(asked)?;
        let view = self.node.view_for(Some(asked), &admitted).await?;
        let op = self
            .context(asked, &admitted)
            .op(0, &write)
            .map_err(status)?;
        let (lsn, outcome) = self.commit_one(op, &admitted).await?;
        let view = self.newest(view);
        let version = answer(outcome, write.key, &view).map_err(status)?;
        Ok((header(&self.node, &view, lsn.max(version)), version))
    }

    /// The gate judged by a view at least as new as `view`; routes in the answer come from the newest.
    pub(super) fn newest(&self, view: Arc<View>) -> Arc<View> {
        let newest = self.node.topology.view();
        if newest.version() > view.version() {
            newest
        } else {
            view
        }
    }
}

pub(super) fn late() -> Status {
    unknown("the deadline passed while the write was being synced")
}

pub(super) fn closed() -> Status {
    unknown("the store was closed while the write was being synced")
}

fn unknown(why: &str) -> Status {
    refuse(
        ErrorCode::UnknownOutcome,
        format!("{why}: it may or may not have been applied; read the key to find out"),
    )
}
