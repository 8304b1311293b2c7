//! What every serving thread stands on: its runtime and its HTTP/2 settings. Public, so that the benchmark's bare echo
//! stands on the same.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tonic::transport::Server;

/// How long a connection may be silent before it is asked whether it lives, if clients have not to be quicker anyway,
/// and how long the answer may take.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// As many as keep a connection busy, and no more: what else its client has to ask waits there and costs nothing, while
/// each stream costs 10 to 20 KB here and there for as long as it is open, and tables that grow to what was open once. With
/// 1024, three times what a server could do left a third of it.
pub const STREAMS_PER_CONNECTION: u32 = 128;
/// Of one request.
const HEADER_BYTES: u32 = 16 << 10;
/// Scans wait for their clients on such threads; flushes and checkpoints need some as well.
const BLOCKING_THREADS: usize = 128;

/// Answers of writes are woken by other threads (the committer, the syncer). Unless told otherwise, tokio looks for what
/// others have woken at every 31st turn while it has tasks of its own: a flood of requests kept the answers to those that
/// were done from leaving (of 900 batches a second that were committed, 40 were answered). So it is every second turn.
const TURNS_TO_WHAT_OTHERS_WOKE: u32 = 2;

pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .global_queue_interval(TURNS_TO_WHAT_OTHERS_WOKE)
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
}

/// `patience`: how long a client may owe what it has to do next.
pub fn server(patience: Duration) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.min(patience)))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .initial_stream_window_size(Some(1 << 20))
        .initial_connection_window_size(Some(8 << 20))
        .http2_max_header_list_size(Some(HEADER_BYTES))
}
