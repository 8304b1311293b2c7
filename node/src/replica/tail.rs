//! Keeps the un-archived end of the primary's log, in clusters of mode `replica` (D5): follows, confirms what is held, and
//! hands it to whoever takes the shard over. What is held and refused is `held`'s.
//!
//! Before it follows anybody it has registered, so it knows the shard's epoch, taken or published, as it was when this
//! process began: a primary that was replaced before finds nobody to confirm its writes (t38, t43). An epoch that is
//! taken later is learned from who seals, or when it is published: in a hand-over the old primary still has writes to end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aidb_client::error::refuse;
use aidb_client::pb::hold_request::Kind as Tell;
use aidb_client::pb::hold_response::Kind as Told;
use aidb_client::pb::replication_client::ReplicationClient;
use aidb_client::pb::tail_server::Tail;
use aidb_client::pb::{self, ErrorCode};
use aidb_client::pool::endpoint;
use aidb_client::retry::Backoff;
use aidb_client::tls::Program;
use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::held::{Held, Refused, Run};
use crate::primary::ResponseStream;
use crate::primary::durable::Mode;
use crate::serve::{Event, Identity, Node, View};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Confirmations under way: only the newest counts, so that few are enough.
const MOST_ACKS: usize = 16;
const CHUNK_BYTES: usize = 1 << 20;

pub struct TailKeeper {
    held: Mutex<Held>,
}

impl TailKeeper {
    /// Keeps at most `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self {
            held: Mutex::new(Held::new(capacity)),
        }
    }

    /// Bytes held, and the LSN that they end at.
    pub fn position(&self) -> (usize, u64) {
        let held = self.held();
        (held.bytes(), held.last_lsn())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the primary of this node's shard until the future is dropped.
    pub async fn follow(&self, node: &Node) {
        let shard = node.identity.shard;
        let mut views = node.topology.watch();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut began = false;
        loop {
            let address = {
                let view = views.borrow_and_update();
                self.held().learn(epoch_of(&view, shard));
                if !began && let Some(shard) = view.shard(shard) {
                    let taken = shard.successor.as_ref().map_or(0, |next| next.epoch);
                    self.held().learn(taken);
                    began = true;
                }
                let address = view.primary_address(shard).map(str::to_owned);
                let wanted = Mode::from(view.durability()) == Mode::Replica;
                address.filter(|_| wanted || is_member(&view, &node.identity))
            };
            let Some(address) = address else {
                // The cell lives in the node: the wait ends with a view.
                let _ = views.changed().await;
                continue;
            };
            let since = Instant::now();
            let ended = self.stream(node, &address).await;
            if since.elapsed() > LONGEST_PAUSE {
                backoff.reset();
                if let Err(why) = ended {
                    let message = format!("the log of {address} is not followed any more: {why}");
                    node.tell(Event::Notice { message });
                }
            }
            tokio::select! {
                () = sleep(backoff.wait()) => {}
                _ = views.changed() => backoff.reset(),
            }
        }
    }

    /// One stream from its beginning to its end.
    async fn stream(&self, node: &Node, address: &str) -> Result<(), String> {
        let connecting = node
            .dialer
            .connect(endpoint(address).map_err(said)?, Program::Node);
        let channel = timeout(CONNECT_WITHIN, connecting)
            .await
            .map_err(|_| "no connection in time".to_owned())?
            .map_err(|failed| failed.message().to_owned())?;
        // One record may be as large as the largest batch.
        let mut client = ReplicationClient::new(channel)
            .max_decoding_message_size(2 * node.limits.message_bytes());
        let (sender, receiver) = mpsc::channel(MOST_ACKS);
        let hello = self.held().hello(&node.identity.name);
        tell(&sender, Tell::Hello(hello)).await?;
        let mut messages = timeout(CONNECT_WITHIN, client.hold(ReceiverStream::new(receiver)))
            .await
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|failed| failed.message().to_owned())?
            .into_inner();
        let mut views = node.topology.watch();
        let mut epoch = 0;
        loop {
            tokio::select! {
                message = messages.message() => {
                    let message = message.map_err(|failed| failed.message().to_owned())?;
                    match message.map(|message| message.kind) {
                        Some(Some(Told::Begin(begin))) => {
                            self.held().begin(&begin).map_err(said)?;
                            epoch = begin.epoch;
                        }
                        Some(Some(Told::Records(records))) => {
                            let lsn = self.take(node, epoch, records)?;
                            tell(&sender, Tell::Ack(pb::HoldAck { lsn })).await?;
                        }
                        Some(None) => return Err("a message of an unknown kind".into()),
                        None => return Ok(()),
                    }
                }
                _ = views.changed() => {
                    let view = views.borrow_and_update();
                    let shard = node.identity.shard;
                    self.held().learn(epoch_of(&view, shard));
                    if view.primary_address(shard) != Some(address) {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn take(&self, node: &Node, epoch: u64, records: pb::HoldRecords) -> Result<u64, String> {
        let mut held = self.held();
        let taken = held.take(epoch, records);
        if taken == Err(Refused::Full) && !is_member(&node.topology.view(), &node.identity) {
            held.forget();
        }
        taken.map_err(said)
    }
}

/// The shard's published epoch.
fn epoch_of(view: &View, shard: u32) -> u64 {
    view.shard(shard).map_or(0, |shard| shard.epoch)
}

fn is_member(view: &View, me: &Identity) -> bool {
    let shard = view.shard(me.shard);
    shard.is_some_and(|shard| shard.tail_set.contains(&me.name))
}

async fn tell(sender: &mpsc::Sender<pb::HoldRequest>, kind: Tell) -> Result<(), String> {
    let request = pb::HoldRequest { kind: Some(kind) };
    sender
        .send(request)
        .await
        .map_err(|_| "the primary is gone".to_owned())
}

fn said(why: impl std::fmt::Display) -> String {
    why.to_string()
}

/// What takers ask of this replica.
#[derive(Clone)]
pub struct TailService {
    pub node: Arc<Node>,
    pub keeper: Arc<TailKeeper>,
}

#[tonic::async_trait]
impl Tail for TailService {
    type SealStream = ResponseStream<pb::SealTailResponse>;

    async fn seal(
        &self,
        request: Request<pb::SealTailRequest>,
    ) -> Result<Response<Self::SealStream>, Status> {
        let asked = request.into_inner();
        let view = self.node.topology.view();
        if asked.cluster_uid != view.cluster_uid() || asked.shard != self.node.identity.shard {
            let message = format!(
                "this is a replica of shard {} of cluster {}, not of shard {} of cluster {}",
                self.node.identity.shard,
                view.cluster_uid(),
                asked.shard,
                asked.cluster_uid
            );
            return Err(refuse(ErrorCode::WrongCluster, message));
        }
        let sealed = self.keeper.held().seal(asked.epoch);
        let runs = sealed.map_err(|refused| refuse(ErrorCode::StaleEpoch, refused.to_string()))?;
        let messages = runs
            .into_iter()
            .enumerate()
            .flat_map(|(number, run)| Chunks::of(number as u32, run))
            .map(Ok);
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }
}

/// A run as messages: at least one, records in the form that archives have them in.
struct Chunks {
    head: pb::SealTailResponse,
    run: Run,
    begun: bool,
}

impl Chunks {
    fn of(number: u32, run: Run) -> Self {
        Self {
            head: pb::SealTailResponse {
                run: number,
                start_lsn: run.start_lsn,
                last_lsn: run.last_lsn,
                complete: run.complete(),
                chunk: Bytes::new(),
            },
            run,
            begun: false,
        }
    }
}

impl Iterator for Chunks {
    type Item = pb::SealTailResponse;

    fn next(&mut self) -> Option<pb::SealTailResponse> {
        if self.run.records.is_empty() && self.begun {
            return None;
        }
        self.begun = true;
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK_BYTES
            && let Some((_, record)) = self.run.records.pop_front()
        {
            chunk.put_u32_le(record.len() as u32);
            chunk.extend_from_slice(&record);
        }
        Some(pb::SealTailResponse {
            chunk: chunk.freeze(),
            ..self.head.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_travels_in_chunks() {
        let record = |lsn: u64| (lsn, Bytes::from(vec![lsn as u8; CHUNK_BYTES]));
        let run = Run {
            start_lsn: 4,
            last_lsn: 6,
            records: [record(5), record(6)].into(),
            complete_lsn: 6,
        };
        let chunks: Vec<_> = Chunks::of(3, run).collect();
        assert_eq!(chunks.len(), 2);
        for (chunk, lsn) in chunks.iter().zip([5u8, 6]) {
            assert_eq!((chunk.run, chunk.start_lsn, chunk.last_lsn), (3, 4, 6));
            assert!(chunk.complete);
            assert_eq!(chunk.chunk[..4], (CHUNK_BYTES as u32).to_le_bytes());
            assert_eq!(chunk.chunk[4], lsn);
        }
        assert_eq!(Chunks::of(0, Run::default()).count(), 1);
    }
}
