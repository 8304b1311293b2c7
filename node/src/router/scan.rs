//! A scan over all shards in (slot, key) order: one stream (a leg) at each shard, opened when the walk reaches a slot of
//! it, merged by slot.
//!
//! Each message is from one leg, so that its LSN holds for what it says is covered. A leg is read only when the walk
//! waits for it: what it holds is one message, and flow control holds back the rest. A leg that fails is opened again
//! after the last entry given out; `RETRIES` failures without progress end the scan with the last of them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aidb_client::call::{cause, forwarded_status};
use aidb_client::error::{refuse, reported};
use aidb_client::pb::{self, ErrorCode};
use aidb_client::policy::{Action, Kind, decide};
use aidb_client::retry::Backoff;
use aidb_client::slot_of;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::merge::{Step, Walk, extend};
use super::route::{Caller, Target, merged, moved_to, primary};
use super::upstream::Upstream;
use crate::primary::ResponseStream;
use crate::serve::{Deadline, Inside, Node, Place, carried};

const MESSAGES_AHEAD: usize = 2;
const RETRIES: u32 = 5;

pub struct Scan {
    pub node: Arc<Node>,
    pub upstream: Arc<Upstream>,
    pub caller: Caller,
    /// Without its header.
    pub request: pb::ScanRequest,
    pub deadline: Deadline,
    pub peer: Option<SocketAddr>,
}

/// One shard's stream.
struct Leg {
    address: String,
    /// None after its end.
    stream: Option<Streaming<pb::ScanResponse>>,
    entries: VecDeque<pb::Entry>,
    header: Option<pb::ResponseHeader>,
}

enum End {
    /// The client does not listen any more.
    Abandoned,
    Failed(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

impl Scan {
    /// `place` is held until the end.
    pub fn start(self, place: Place) -> ResponseStream<pb::ScanResponse> {
        let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
        tokio::spawn(async move {
            let _place = place;
            let node = Arc::clone(&self.node);
            let closed = sender.clone();
            let mut merge = Merge {
                walk: Walk::new(&self.request),
                cursor: self.request.resume_after.clone(),
                given: 0,
                legs: Vec::new(),
                out: pb::ScanResponse::default(),
                retries: 0,
                backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(500)),
                moved: None,
                scan: self,
                sender,
            };
            let ended = tokio::select! {
                ended = merge.run() => ended,
                () = closed.closed() => Err(End::Abandoned),
                () = node.stopping() => Err(End::Failed(refuse(
                    ErrorCode::ShuttingDown,
                    "this router leaves the cluster; go on after the last entry elsewhere",
                ))),
            };
            if let Err(End::Failed(status)) = ended {
                let _ = closed.send(Err(status)).await;
            }
        });
        Box::pin(carried(receiver))
    }
}

struct Merge {
    scan: Scan,
    walk: Walk,
    /// The last entry given out.
    cursor: Option<pb::ScanCursor>,
    given: u64,
    legs: Vec<Leg>,
    /// The message being filled, all of one leg.
    out: pb::ScanResponse,
    retries: u32,
    backoff: Backoff,
    /// Where the last refusal said that a slot is, until the view shows it.
    moved: Option<(u16, Target)>,
    sender: mpsc::Sender<Result<(pb::ScanResponse, Inside), Status>>,
}

impl Merge {
    async fn run(&mut self) -> Result<(), End> {
        let mut current = None;
        loop {
            let step = self.walk.step();
            let leg = match step {
                Step::Read { leg, .. } | Step::Finish { leg, .. } => Some(leg),
                Step::Plan(_) => None,
                Step::End => break,
            };
            if leg.is_some() && current != leg {
                self.send(false).await?;
                current = leg;
            }
            match step {
                Step::End => break,
                Step::Plan(slot) => self.plan(slot).await?,
                Step::Read { slot, leg } | Step::Finish { slot, leg } => {
                    if self.give(slot, leg)? {
                        return self.send(false).await;
                    }
                    if matches!(step, Step::Finish { .. }) {
                        extend(&mut self.out.covered, slot);
                        self.walk.advance();
                    } else {
                        self.send(false).await?;
                        self.read(slot, leg).await?;
                    }
                }
            }
        }
        self.send(true).await
    }

    /// Moves the leg's entries of `slot` to the message; true when the limit is reached.
    fn give(&mut self, slot: u16, leg: usize) -> Result<bool, End> {
        let leg = &mut self.legs[leg];
        self.out.header = leg.header.clone();
        let limit = self.scan.request.limit;
        while leg
            .entries
            .front()
            .is_some_and(|entry| slot_of(&entry.key) == slot)
        {
            let Some(entry) = leg.entries.pop_front() else {
                break;
            };
            self.cursor = Some(pb::ScanCursor {
                slot: slot.into(),
                key: entry.key.clone(),
            });
            self.out.entries.push(entry);
            self.given += 1;
            if self.given == limit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Opens a leg at the owner of `slot`, for all wanted slots of that shard.
    async fn plan(&mut self, slot: u16) -> Result<(), End> {
        self.scan.deadline.in_time()?;
        let view = self.scan.node.topology.view();
        let moved = self.moved.take().filter(|(of, _)| *of == slot);
        let (target, only) = match moved {
            Some((_, target)) => (target, true),
            None => match primary(&view, slot) {
                Ok(target) => (target, false),
                Err(nobody) => return self.again(nobody).await,
            },
        };
        let leg = self.legs.len();
        let shard = target.shard;
        let slots = self.walk.ask(leg, |wanted| {
            wanted == slot || !only && view.owner(wanted) == Some(shard)
        });
        let request = pb::ScanRequest {
            header: Some(self.scan.caller.header_for(shard)),
            slots,
            limit: self.left(),
            resume_after: self.cursor.clone(),
            ..self.scan.request.clone()
        };
        let mut call = Request::new(request);
        if let Some(left) = self.scan.deadline.remaining() {
            // Without a deadline it may take as long as its reader likes; a silent peer is found out by keepalive.
            call.set_timeout(left);
        }
        let opened = match self.scan.upstream.client(&target.address) {
            Ok(mut client) => client.scan(call).await.map(Response::into_inner),
            Err(refused) => Err(refused),
        };
        let (stream, failed) = match opened {
            Ok(stream) => (Some(stream), None),
            Err(failed) => (None, Some(failed)),
        };
        self.legs.push(Leg {
            address: target.address,
            stream,
            entries: VecDeque::new(),
            header: None,
        });
        match failed {
            None => Ok(()),
            Some(failed) => self.failed(slot, leg, failed).await,
        }
    }

    /// Takes the leg's next message, for `slot`.
    async fn read(&mut self, slot: u16, leg: usize) -> Result<(), End> {
        let source = &mut self.legs[leg];
        let early = || {
            let message = format!("the scan of slot {slot} ended early; retry in a moment");
            refuse(ErrorCode::ShardUnavailable, message)
        };
        // A leg that went on to later slots leaves this one to another.
        let skipped = !source.entries.is_empty();
        let message = match source.stream.as_mut().filter(|_| !skipped) {
            Some(stream) => stream.message().await,
            None => Ok(None),
        };
        match message {
            Ok(Some(message)) => {
                source.header = message.header;
                source.entries.extend(message.entries);
                self.walk.covered(leg, &message.covered);
                self.retries = 0;
                self.backoff.reset();
                Ok(())
            }
            Ok(None) if skipped => {
                self.walk.lost(slot);
                self.again(early()).await
            }
            Ok(None) => self.failed(slot, leg, early()).await,
            Err(failed) => self.failed(slot, leg, failed).await,
        }
    }

    /// A leg failed: what it left is planned again, unless the failure is the request's.
    async fn failed(&mut self, slot: u16, leg: usize, failed: Status) -> Result<(), End> {
        self.legs[leg].stream = None;
        self.walk.ended(leg);
        let action = decide(cause(&failed), Kind::Read);
        let told = forwarded_status(&failed, Kind::Read, &self.legs[leg].address);
        if action == Action::Raise {
            return Err(End::Failed(told));
        }
        if action == Action::Redirect {
            let elsewhere = reported(&failed).as_ref().and_then(moved_to);
            self.moved = elsewhere.map(|target| (slot, target));
        }
        self.again(told).await
    }

    /// Waits before another attempt; the last error ends the scan.
    async fn again(&mut self, told: Status) -> Result<(), End> {
        self.retries += 1;
        if self.retries > RETRIES {
            return Err(End::Failed(told));
        }
        self.send(false).await?;
        let wait = self.backoff.wait();
        tokio::time::sleep(match self.scan.deadline.remaining() {
            Some(left) => wait.min(left),
            None => wait,
        })
        .await;
        Ok(())
    }

    /// How many entries may still be given out; 0 = any number.
    fn left(&self) -> u64 {
        match self.scan.request.limit {
            0 => 0,
            limit => limit - self.given,
        }
    }

    /// Sends what is in the message, if anything.
    async fn send(&mut self, done: bool) -> Result<(), End> {
        if !done && self.out.entries.is_empty() && self.out.covered.is_empty() {
            return Ok(());
        }
        let mut message = std::mem::take(&mut self.out);
        message.done = done;
        if message.header.is_none() {
            let view = self.scan.node.topology.view();
            message.header = Some(merged(&self.scan.node, &view, []));
        }
        let bytes = message
            .entries
            .iter()
            .map(|entry| entry.key.len() + entry.value.len());
        let inside = self.scan.node.carry(self.scan.peer, bytes.sum())?;
        self.sender
            .send(Ok((message, inside)))
            .await
            .map_err(|_| End::Abandoned)
    }
}
