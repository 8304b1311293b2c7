//! Calls to members, and what follows their failure. Each serving thread has its own connections.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aidb_client::call::{DEFAULT_TIMEOUT, cause, forwarded_status, outgoing};
use aidb_client::error::reported;
use aidb_client::pb;
use aidb_client::pb::storage_client::StorageClient;
use aidb_client::policy::{Action, Kind, decide};
use aidb_client::pool::Pool;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

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
}

impl Upstream {
    /// To be made on the runtime that will use it.
    pub fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
            pool: Pool::new(CONNECTIONS),
        }
    }

    pub fn client(&self, address: &str) -> Result<Client, Status> {
        let message = self.node.limits.message_bytes();
        Ok(StorageClient::new(self.pool.channel(address)?)
            .max_decoding_message_size(message)
            .max_encoding_message_size(message))
    }

    /// Asks the targets in their order until one answers.
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
            let timeout = patience(deadline, !targets.is_empty());
            let request = outgoing(request(caller.header_for(target.shard)), Some(timeout));
            let failed = match send(self.client(&target.address)?, request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(failed) => failed,
            };
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

/// How long a call may take: what is left of the caller's time, and less of it while there is another member to ask.
pub fn patience(deadline: Deadline, others: bool) -> Duration {
    let left = deadline.remaining().unwrap_or(DEFAULT_TIMEOUT);
    if others { left.min(READ_ATTEMPT) } else { left }
}
