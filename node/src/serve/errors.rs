//! Why a program could not start.

use std::io;

use aidb_client::tls::BadCredentials;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "cannot listen on {listen}: {source}; give another --listen, or port 0 to pick a free one"
    )]
    Listen { listen: String, source: io::Error },
    #[error(
        "cannot listen on {listen}: the port is in use; stop the program that holds it, or give another --listen"
    )]
    PortBusy { listen: String },
    #[error("{listen} is no address: give HOST:PORT")]
    BadAddress { listen: String },
    #[error("cannot use the certificates: {0}; see docs/security.md")]
    Credentials(#[source] BadCredentials),
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}
