//! From a request's batch to its answer: the engine's commit, the deadline, and evidence once more (D1, V6).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aidb_client::error::{refuse, status};
use aidb_client::pb::{self, ErrorCode};
use aidb_lsm::{Batch, Committed, Condition, Error, Op, Outcome};
use bytes::Bytes;
use tokio::sync::oneshot;
use tonic::Status;

use super::durable::{Late, Mode, Place};
use super::engine::status_of_commit;
use super::groups::value_bytes;
use super::storage::{StorageService, is_fenced};
use super::together::{self, Failed};
use super::token::header;
use super::write::{Context, Write, answer};
use crate::serve::{Admitted, View, committing};

/// Of one write, beside its key and value.
const OP_BYTES: usize = 256;

pub(super) fn sequenced(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. } | Outcome::Duplicate { .. })
}

fn shows(outcome: &Outcome) -> bool {
    sequenced(outcome) || matches!(outcome, Outcome::ConditionFailed { .. })
}

/// What a batch takes in memory, about: many small writes take more than their bytes.
fn weight(batch: &Batch) -> usize {
    let bytes = |op: &Op| OP_BYTES + op.key.len() + value_bytes(op);
    batch.ops.iter().map(bytes).sum()
}

impl StorageService {
    /// The stronger of the cluster's mode and the request's (C6).
    pub(super) fn mode(&self, view: &View, header: Option<&pb::RequestHeader>) -> Mode {
        let asked = header.map_or(pb::Durability::Default, pb::RequestHeader::durability);
        Mode::from(view.durability()).max(Mode::from(asked))
    }

    /// Before a write that will wait for the archive or the tail set is sequenced: refused, it was certainly not done.
    pub(super) fn place(&self, mode: Mode) -> Result<Option<Place<'_>>, Status> {
        if mode == Mode::Async {
            return Ok(None);
        }
        if !self.primary.archives {
            // What only an archive can promise is refused rather than promised.
            let message = "this primary was started without an object store (--objects), so that it cannot promise more than \
                           durability async";
            return Err(refuse(ErrorCode::Unsupported, message));
        }
        self.primary.durable.enter().map(Some)
    }

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

    /// Commits `batch`, waits for its answer, and until that is safe as `mode` says.
    pub(super) async fn commit(
        &self,
        batch: Batch,
        mode: Mode,
        admitted: &Admitted,
    ) -> Result<Committed, Status> {
        let place = self.place(mode)?;
        self.check_poison()?;
        let (sender, receiver) = oneshot::channel();
        let committing = committing(weight(&batch));
        self.primary.store.submit(
            batch,
            Box::new(move |committed| {
                let _ = sender.send(committed);
            }),
        );
        let committed = self.answered(receiver, admitted).await?;
        drop(committing);
        if let Some(place) = place {
            self.await_safe(&place, mode, committed.lsn, &committed.outcomes, admitted)
                .await?;
        }
        self.check_evidence(&committed.outcomes)?;
        Ok(committed)
    }

    /// Commits one write, with others that have none of its keys. The state that the answer shows, and what became of it.
    async fn commit_one(
        &self,
        op: Op,
        mode: Mode,
        admitted: &Admitted,
    ) -> Result<(u64, Outcome), Status> {
        if op.condition != Condition::None {
            let batch = Batch {
                ops: vec![op],
                atomic: false,
                sync: None,
            };
            let committed = self.commit(batch, mode, admitted).await?;
            let outcome = committed.outcomes.into_iter().next();
            return Ok((committed.lsn, outcome.unwrap_or(Outcome::NotApplied)));
        }
        let place = self.place(mode)?;
        self.check_poison()?;
        let committed = self.together.write(&self.primary.store, op).await;
        let (lsn, outcome) = self.gathered(committed)?;
        let outcomes = std::slice::from_ref(&outcome);
        if let Some(place) = place {
            self.await_safe(&place, mode, lsn, outcomes, admitted)
                .await?;
        }
        self.check_evidence(outcomes)?;
        Ok((lsn, outcome))
    }

    /// What became of a write that travelled with others.
    pub(super) fn gathered(
        &self,
        committed: Result<together::Answer, oneshot::error::RecvError>,
    ) -> Result<(u64, Outcome), Status> {
        committed
            .map_err(|_| closed())?
            .map_err(|failed| match failed {
                Failed::Store(failed) => self.failed(failed),
                Failed::Late => late(),
            })
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

    /// Waits until the state at `lsn`, which the outcomes show, is safe as `mode` says (D4, C6).
    async fn await_safe(
        &self,
        place: &Place<'_>,
        mode: Mode,
        lsn: u64,
        outcomes: &[Outcome],
        admitted: &Admitted,
    ) -> Result<(), Status> {
        if !outcomes.iter().any(shows) {
            return Ok(());
        }
        let time = self.patience(admitted);
        let waited = self.primary.durable.wait(place, mode, lsn, time).await;
        waited.map_err(|Late| match outcomes.iter().any(sequenced) {
            true => unknown(match mode {
                Mode::Archived => "the deadline passed before the object store had the write",
                _ => "the deadline passed before the tail set or the object store had the write",
            }),
            false => not_safe_in_time(),
        })
    }

    /// A request without a deadline waits for as long as a client is waited for.
    pub(super) fn patience(&self, admitted: &Admitted) -> Duration {
        let left = admitted.deadline.remaining();
        left.unwrap_or(self.node.limits.patience)
    }

    /// Just before an answer: it may be shown only under evidence (D1). What was sequenced is answered ok or unknown,
    /// never as if it had not been (q6).
    pub(super) fn check_evidence(&self, outcomes: &[Outcome]) -> Result<(), Status> {
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
        let view = self.node.view_for(Some(asked), &admitted).await?;
        let view = self.passed(view, &admitted, |view| is_fenced(view, write.key));
        let view = view.await?;
        let bytes = write.value.as_ref().map_or(0, |value| value.len());
        self.slowed(&view, &admitted, std::iter::once((write.key, bytes)))
            .await?;
        let mode = self.mode(&view, Some(asked));
        let op = self
            .context(asked, &admitted)
            .op(0, &write)
            .map_err(status)?;
        let (lsn, outcome) = self.commit_one(op, mode, &admitted).await?;
        self.told(&self.newest(view), lsn, outcome, write.key)
    }

    /// What the client of one write is told.
    pub(super) fn told(
        &self,
        view: &View,
        lsn: u64,
        outcome: Outcome,
        key: &Bytes,
    ) -> Result<(pb::ResponseHeader, u64), Status> {
        let version = answer(outcome, key, view).map_err(status)?;
        Ok((header(&self.node, view, lsn.max(version)), version))
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

pub(super) fn not_safe_in_time() -> Status {
    let message = "what the answer would show was not safe in time, as durability archived or replica asks: the archive or \
                   the tail set lags; nothing was done";
    refuse(ErrorCode::DeadlineExceeded, message)
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
