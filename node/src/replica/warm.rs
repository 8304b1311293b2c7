//! Warming a cache before clients ask: after each flush, so after the start too, from what a sibling is read for most or
//! from the beginning of the shard's keys. One call to the primary at a time, so that it serves clients between them.
//!
//! What comes is cached by the rule of every fill (C2). It stops when the cache is nearly full, and when the cache is
//! flushed again. A cache that could not be warmed is a cold one, which works: the failure is told, nothing else.

use std::time::Duration;

use aidb_client::key::parts;
use aidb_client::pb::node_client::NodeClient;
use aidb_client::policy::Kind;
use aidb_client::pool::endpoint;
use aidb_client::tls::Program;
use aidb_client::{Position, Token, key_hash, pb, physical_key, slot_of};
use bytes::Bytes;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::Status;

use super::Replica;
use super::coherence::{Answer, Fill};
use super::forward::Forwarder;
use crate::serve::{Event, Node, boottime_ns};

/// Keys that a sibling is asked for, and that one call carries.
const MOST_KEYS: u32 = 20_000;
const KEYS_PER_CALL: usize = 256;
const SIBLING_WITHIN: Duration = Duration::from_secs(2);
const CALL_WITHIN: Duration = Duration::from_secs(10);

/// How a replica fills its cache before it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Warm {
    /// Not at all.
    #[default]
    None,
    /// With the keys that a sibling's clients read most.
    Siblings,
    /// With the default keyspace's keys in their order, as many as fit.
    Scan,
}

/// Until the future is dropped.
pub async fn keep_warm(replica: &Replica, node: &Node, forwarder: &Forwarder, how: Warm) {
    let mut generations = replica.coherence.generations();
    loop {
        let generation = *generations.borrow_and_update();
        if generation > 0 {
            let warming = Warming {
                replica,
                node,
                forwarder,
                generation,
            };
            let ended = match how {
                Warm::None => return,
                Warm::Siblings => warming.by_siblings().await,
                Warm::Scan => warming.by_scan().await,
            };
            if let Err(why) = ended {
                let message = format!("the cache stays cold: {}", why.message());
                node.tell(Event::Notice { message });
            }
        }
        // The sender lives in the replica.
        let _ = generations.changed().await;
    }
}

struct Warming<'a> {
    replica: &'a Replica,
    node: &'a Node,
    forwarder: &'a Forwarder,
    generation: u64,
}

impl Warming<'_> {
    async fn by_siblings(&self) -> Result<(), Status> {
        let keys = self.hottest_of_siblings().await?;
        let mut calls: Vec<(u32, Vec<Bytes>)> = Vec::new();
        for physical in &keys {
            let Some((_, keyspace, key)) = parts(physical) else {
                continue;
            };
            let key = Bytes::copy_from_slice(key);
            match calls.last_mut() {
                Some((space, keys)) if *space == keyspace && keys.len() < KEYS_PER_CALL => {
                    keys.push(key);
                }
                _ => calls.push((keyspace, vec![key])),
            }
        }
        for (keyspace, keys) in calls {
            if !self.goes_on() {
                break;
            }
            let fill = self.replica.coherence.begin_fill();
            let request = pb::BatchGetRequest {
                header: Some(pb::RequestHeader {
                    keyspace,
                    ..Default::default()
                }),
                keys: keys.clone(),
            };
            let answer = self
                .forwarder
                .batch_get(request, Kind::Read, Some(CALL_WITHIN))
                .await?;
            let Some(position) = self.shown(answer.header.as_ref()) else {
                continue;
            };
            for (key, result) in keys.iter().zip(answer.results) {
                if result.error.is_none() {
                    let answer = Answer {
                        value: result.found.then_some(result.value),
                        version: result.version,
                        expires_at_ms: result.expires_at_unix_ms,
                        position,
                    };
                    self.take(fill, keyspace, key, &answer);
                }
            }
        }
        Ok(())
    }

    /// Of the first sibling that answers with any; a shard's first replica has none, and that is no failure.
    async fn hottest_of_siblings(&self) -> Result<Vec<Bytes>, Status> {
        let view = self.node.topology.view();
        let own = &self.node.identity;
        let siblings = view
            .readable_replicas(own.shard)
            .filter(|sibling| sibling.name != own.name);
        let mut failed = None;
        for sibling in siblings {
            match timeout(SIBLING_WITHIN, hottest(&self.node, &sibling.address)).await {
                Ok(Ok(keys)) if !keys.is_empty() => return Ok(keys),
                Ok(Ok(_)) => {}
                Ok(Err(why)) => failed = Some(why),
                Err(_) => failed = Some(Status::deadline_exceeded("a sibling is silent")),
            }
        }
        failed.map_or_else(|| Ok(Vec::new()), Err)
    }

    async fn by_scan(&self) -> Result<(), Status> {
        let fill = self.replica.coherence.begin_fill();
        let mut chunks = self
            .forwarder
            .scan(pb::ScanRequest::default(), None)
            .await?;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if !self.goes_on() {
                break;
            }
            let Some(position) = self.shown(chunk.header.as_ref()) else {
                continue;
            };
            for entry in chunk.entries {
                let answer = Answer {
                    value: Some(entry.value),
                    version: entry.version,
                    expires_at_ms: entry.expires_at_unix_ms,
                    position,
                };
                self.take(fill, 0, &entry.key, &answer);
            }
        }
        Ok(())
    }

    fn take(&self, fill: Fill, keyspace: u32, key: &[u8], answer: &Answer) {
        let physical = physical_key(keyspace, key);
        let (slot, hash) = (slot_of(key), key_hash(&physical));
        let coherence = &self.replica.coherence;
        if coherence.finish_fill(fill, slot, hash, &physical, answer, boottime_ns()) {
            coherence.count_warmed();
        }
    }

    fn goes_on(&self) -> bool {
        let coherence = &self.replica.coherence;
        let (_, bytes) = coherence.cache().size();
        bytes < coherence.cache().capacity() / 10 * 9
            && *coherence.generations().borrow() == self.generation
    }

    fn shown(&self, header: Option<&pb::ResponseHeader>) -> Option<Position> {
        let token = Token::decode(&header?.token).ok()?;
        Some(token.position(self.node.identity.shard))
    }
}

async fn hottest(node: &Node, address: &str) -> Result<Vec<Bytes>, Status> {
    let connecting = node.dialer.connect(endpoint(address)?, Program::Node);
    let channel = connecting.await?;
    let request = pb::HotKeysRequest { count: MOST_KEYS };
    let answer = NodeClient::new(channel).hot_keys(request).await?;
    Ok(answer.into_inner().keys)
}
