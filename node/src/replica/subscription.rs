//! The replica's end of the stream (C1, C3, C4): connect, resume or flush, apply in order, ping; whatever goes wrong ends
//! the stream, and the next one begins after a pause with jitter.
//!
//! A ping is remembered with the time it was *sent*; its echo dates the cache's freshness from then (C3).

use std::collections::VecDeque;
use std::time::Duration;

use aidb_client::pb;
use aidb_client::pb::replication_client::ReplicationClient;
use aidb_client::pb::subscribe_request::{Hello, Kind as Tell};
use aidb_client::pb::subscribe_response::Kind as Told;
use aidb_client::pool::endpoint;
use aidb_client::retry::Backoff;
use aidb_client::tls::Program;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::coherence::Coherence;
use crate::serve::{Event, Node, boottime_ns};

const PING_EACH: Duration = Duration::from_millis(75);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Pings without an echo, at most: a stream that answers none of so many is broken.
const MOST_PINGS: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Follows the primary of this node's shard until the future is dropped.
///
/// Values of at most `update_bytes` are to come with their records (0: none).
pub async fn follow(coherence: &Coherence, node: &Node, update_bytes: u32) {
    let mut views = node.topology.watch();
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let address = views
            .borrow_and_update()
            .primary_address(node.identity.shard)
            .map(str::to_owned);
        let Some(address) = address else {
            // The cell lives in the node: the wait ends with a view.
            let _ = views.changed().await;
            continue;
        };
        let began = Instant::now();
        let ended = run(coherence, node, &address, update_bytes).await;
        if coherence.stream().live {
            let why = ended.err().unwrap_or_else(|| "it ended or moved".into());
            let message = format!("the stream from {address} is lost: {why}");
            node.tell(Event::Notice { message });
        }
        coherence.lost();
        if began.elapsed() > LONGEST_PAUSE {
            backoff.reset();
        }
        tokio::select! {
            () = sleep(backoff.wait()) => {}
            _ = views.changed() => backoff.reset(),
        }
    }
}

/// One stream from its beginning to its end.
async fn run(
    coherence: &Coherence,
    node: &Node,
    address: &str,
    update_bytes: u32,
) -> Result<(), String> {
    let endpoint = endpoint(address).map_err(said)?;
    let connecting = node.dialer.connect(endpoint, Program::Node);
    let channel = timeout(CONNECT_WITHIN, connecting)
        .await
        .map_err(|_| "no connection in time".to_owned())?
        .map_err(|failed| failed.message().to_owned())?;
    let mut client =
        ReplicationClient::new(channel).max_decoding_message_size(node.limits.message_bytes());
    let (sender, receiver) = mpsc::channel(MOST_PINGS);
    let (epoch, applied_lsn) = coherence.hello();
    let hello = Hello {
        name: node.identity.name.clone(),
        epoch,
        applied_lsn,
        term: node.lease.term(),
        feature_level: 1,
        update_bytes,
    };
    tell(&sender, Tell::Hello(hello))?;
    let subscribing = client.subscribe(ReceiverStream::new(receiver));
    let mut messages = timeout(CONNECT_WITHIN, subscribing)
        .await
        .map_err(|_| "no answer in time".to_owned())?
        .map_err(said)?
        .into_inner();
    let mut pings = VecDeque::with_capacity(MOST_PINGS);
    let mut nonce = 0;
    let mut ticks = interval(PING_EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.message() => {
                let Some(message) = message.map_err(said)? else { return Ok(()) };
                take(coherence, message, &mut pings)?;
            }
            _ = ticks.tick() => {
                if node.topology.view().primary_address(node.identity.shard) != Some(address) {
                    return Ok(());
                }
                if pings.len() == MOST_PINGS {
                    return Err("the primary echoes no pings".into());
                }
                nonce += 1;
                pings.push_back((nonce, boottime_ns()));
                tell(&sender, Tell::Ping(pb::Ping { nonce }))?;
            }
        }
    }
}

pub(super) fn take(
    coherence: &Coherence,
    message: pb::SubscribeResponse,
    pings: &mut VecDeque<(u64, u64)>,
) -> Result<(), String> {
    match message.kind {
        Some(Told::Welcome(welcome)) => coherence.welcome(&welcome).map_err(said),
        Some(Told::Records(records)) => records
            .records
            .iter()
            .try_for_each(|record| coherence.apply(record))
            .map_err(said),
        Some(Told::Echo(echo)) => {
            // Echoes come in the order of their pings; an unknown one dates nothing.
            while pings.front().is_some_and(|&(nonce, _)| nonce < echo.nonce) {
                pings.pop_front();
            }
            match pings.front() {
                Some(&(nonce, sent_ns)) if nonce == echo.nonce => {
                    pings.pop_front();
                    coherence.echoed(echo.committed_lsn, sent_ns).map_err(said)
                }
                _ => Ok(()),
            }
        }
        None => Err("a message of an unknown kind".into()),
    }
}

fn tell(sender: &mpsc::Sender<pb::SubscribeRequest>, kind: Tell) -> Result<(), String> {
    sender
        .try_send(pb::SubscribeRequest { kind: Some(kind) })
        .map_err(|_| "the primary reads no pings".into())
}

fn said(why: impl std::fmt::Display) -> String {
    why.to_string()
}
