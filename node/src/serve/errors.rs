//! Why a program could not start.

use std::io;

use aidb_client::pb::ErrorCode;
use tonic::Status;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {listen}: {source}; give another --listen, or port 0 to pick a free one")]
    Listen { listen: String, source: io::Error },
    #[error("cannot listen on {listen}: the port is in use; stop the program that holds it, or give another --listen")]
    PortBusy { listen: String },
    #[error("{listen} is no address: give HOST:PORT")]
    BadAddress { listen: String },
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A failed call with `code`, retryable as the registry says.
pub fn refuse(code: ErrorCode, message: impl Into<String>) -> Status {
    aidb_client::error::refuse(code, message)
}
