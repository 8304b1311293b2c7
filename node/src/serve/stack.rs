//! What every serving thread stands on: its runtime and its HTTP/2 settings. Public, so that the benchmark's bare echo
//! stands on the same.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// How long a connection may be silent before it is asked whether it lives, and how long the answer may take.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// More than a connection needs to be kept busy, and no more: what waits behind it here waits unfairly.
const STREAMS_PER_CONNECTION: u32 = 1024;

pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(64)
        .build()
}

pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .initial_stream_window_size(Some(1 << 20))
        .initial_connection_window_size(Some(8 << 20))
}

/// The connections of one of `listen`'s listeners. To be called on the runtime that will serve them.
pub fn incoming(listener: std::net::TcpListener) -> io::Result<TcpIncoming> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(TcpIncoming::from(listener).with_nodelay(Some(true)))
}
