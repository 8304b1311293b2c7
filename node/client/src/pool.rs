//! Connections to other members: a few per address, opened at first use, shared by calls in turn.
//!
//! A channel's tasks live on the runtime it was made on, so each serving thread has a pool of its own and its calls
//! never change threads.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::error::refuse;
use crate::pb::ErrorCode;
use crate::tls::{Dialer, Program};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that answers no ping for this long, while a call waits, counts as lost.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Addresses change when members restart elsewhere; beyond this many the pool begins anew.
const MOST_PEERS: usize = 1024;

pub struct Pool {
    per_peer: usize,
    dialer: Dialer,
    peers: Mutex<HashMap<String, Peer>>,
}

struct Peer {
    channels: Vec<Channel>,
    turn: usize,
}

impl Pool {
    pub fn new(per_peer: usize, dialer: Dialer) -> Self {
        Self {
            per_peer: per_peer.max(1),
            dialer,
            peers: Mutex::default(),
        }
    }

    /// A channel to `address` (host:port). Call it on the runtime that will use it.
    pub fn channel(&self, address: &str) -> Result<Channel, Status> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get_mut(address) {
            peer.turn = (peer.turn + 1) % peer.channels.len();
            return Ok(peer.channels[peer.turn].clone());
        }
        let endpoint = endpoint(address)?;
        let channels: Vec<_> = (0..self.per_peer)
            .map(|_| self.dialer.lazy(endpoint.clone(), Program::Node))
            .collect();
        let first = channels[0].clone();
        if peers.len() >= MOST_PEERS {
            peers.clear();
        }
        peers.insert(address.to_owned(), Peer { channels, turn: 0 });
        Ok(first)
    }
}

/// How members are connected to.
pub fn endpoint(address: &str) -> Result<Endpoint, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| {
        refuse(
            ErrorCode::ShardUnavailable,
            format!("{address} is no address: {error}"),
        )
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .tcp_nodelay(true))
}
