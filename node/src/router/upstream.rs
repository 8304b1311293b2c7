//! Calls to members, and what follows their failure. Each serving thread has its own connections.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aidb_client::call::{DEFAULT_TIMEOUT, cause, forwarded_status, outgoing};
use aidb_client::error::reported;
use aidb_client::pb;
use aidb_client::pb::storage_client::StorageClient;
use aidb_client::policy::{Action, Kind, decide};
use aidb_client::pool::Pool;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::members::Members;
use super::route::{Caller, Target, moved_to};
use crate::serve::{Deadline, Node};

pub type Client = StorageClient<Channel>;

const CONNECTIONS: usize = 2;
/// `Moved` answers followed for one request: more of them are a topology that does not settle.
pub const MOST_MOVES: usize = 5;
/// How long a read waits for one member while there is another to ask.
pub const READ_ATTEMPT: Duration = Duration::from_secs(1);

pub struct Upstream {
    node: Arc<Node>,
    pool: Pool,
    pub members: Members,
}

impl Upstream {
    /// To be made on the runtime that will use it.
    pub fn new(node: &Arc<Node>, members: Members) -> Self {
        Self {
            node: Arc::clone(node),
            pool: Pool::new(CONNECTIONS, node.dialer.clone()),
            members,
        }
    }

    pub fn client(&self, address: &str) -> Result<Client, Status> {
        let message = self.node.limits.message_bytes();
        Ok(StorageClient::new(self.pool.channel(address)?)
            .max_decoding_message_size(message)
            .max_encoding_message_size(message))
    }

    /// Asks the targets in their order until one answers; a read that the first of them takes long to answer goes to
    /// the second as well.
    pub async fn ask<Q, A, Answer>(
        &self,
        mut targets: VecDeque<Target>,
        kind: Kind,
        caller: &Caller,
        deadline: Deadline,
        request: impl Fn(pb::RequestHeader) -> Q,
        send: impl Fn(Client, Request<Q>) -> Answer,
    ) -> Result<A, Status>
    where
        Answer: Future<Output = Result<Response<A>, Status>>,
    {
        let mut moves = 0;
        let mut nobody = Status::unavailable("there is nobody to ask");
        while let Some(target) = targets.pop_front() {
            deadline.in_time()?;
            let call = |target: &Target, others: bool| {
                let timeout = patience(deadline, others);
                let request = outgoing(request(caller.header_for(target.shard)), Some(timeout));
                let client = self.client(&target.address);
                client.map(|client| send(client, request))
            };
            let first = call(&target, !targets.is_empty())?;
            let answered = match (kind, targets.front()) {
                (Kind::Read, Some(spare)) => {
                    let second = || call(spare, targets.len() > 1);
                    self.race(&target, first, spare, second).await
                }
                _ => first.await,
            };
            let failed = match answered {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(failed) => failed,
            };
            self.judge(&target, Some(&failed));
            let elsewhere = reported(&failed).as_ref().and_then(moved_to);
            match (decide(cause(&failed), kind), elsewhere) {
                (Action::Redirect, Some(target)) if moves < MOST_MOVES => {
                    moves += 1;
                    targets.push_front(target);
                }
                (Action::OtherMember, _) => {}
                _ => targets.clear(),
            }
            nobody = forwarded_status(&failed, kind, &target.address);
        }
        Err(nobody)
    }
}

impl Upstream {
    /// What a call's end says of the member.
    pub fn judge(&self, target: &Target, failed: Option<&Status>) {
        match failed {
            None => self.members.answered(target),
            Some(failed) => {
                self.members
                    .failed(target, cause(failed), &self.node.topology.view());
            }
        }
    }

    /// The answer of `first`, which asks `target`, or of `second`, which asks `spare`, when that is late; the first's
    /// failure when both fail. Whichever loses is cancelled.
    async fn race<A, Answer>(
        &self,
        target: &Target,
        first: Answer,
        spare: &Target,
        second: impl FnOnce() -> Result<Answer, Status>,
    ) -> Result<Response<A>, Status>
    where
        Answer: Future<Output = Result<Response<A>, Status>>,
    {
        let began = Instant::now();
        let mut first = pin!(first);
        let in_time = match self.members.hedge_after(target) {
            Some(delay) => timeout(delay, first.as_mut()).await.ok(),
            None => Some(first.as_mut().await),
        };
        let (answered, by) = match in_time {
            Some(answered) => (answered, target),
            None if !self.members.spend() => (first.await, target),
            None => {
                let mut second = pin!(second()?);
                tokio::select! {
                    answered = first.as_mut() => match answered {
                        Ok(answer) => (Ok(answer), target),
                        Err(failed) => match second.await {
                            Ok(answer) => (Ok(answer), spare),
                            Err(_) => (Err(failed), target),
                        },
                    },
                    answered = second.as_mut() => match answered {
                        Ok(answer) => (Ok(answer), spare),
                        Err(_) => (first.await, target),
                    },
                }
            }
        };
        if answered.is_ok() {
            self.members.answered(by);
            self.members.took(target, began.elapsed());
            if by != target {
                self.members.second_won();
            }
        }
        answered
    }
}

/// How long a call may take: what is left of the caller's time, and less of it while there is another member to ask.
pub fn patience(deadline: Deadline, others: bool) -> Duration {
    let left = deadline.remaining().unwrap_or(DEFAULT_TIMEOUT);
    if others { left.min(READ_ATTEMPT) } else { left }
}
