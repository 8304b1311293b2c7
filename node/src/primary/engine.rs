//! The engine's errors as answers.

use aidb_client::error::refuse;
use aidb_client::pb::ErrorCode;
use aidb_lsm::Error;
use tonic::Status;

use crate::serve::busy;

/// Of an operation that changed nothing.
pub fn status_of(error: Error) -> Status {
    let code = match &error {
        Error::Busy => return busy("the commit queue is full"),
        Error::DiskFull { .. } => ErrorCode::DiskFull,
        Error::Corruption { .. } => ErrorCode::Corruption,
        Error::Poisoned(_) => ErrorCode::Poisoned,
        Error::Closed => ErrorCode::ShuttingDown,
        Error::Stalled(_) => ErrorCode::Stalled,
        Error::TooLarge(_) => ErrorCode::BatchTooLarge,
        Error::Invalid(_) => ErrorCode::InvalidArgument,
        _ => ErrorCode::Internal,
    };
    refuse(code, error.to_string())
}

/// Of a commit: where the engine cannot say that nothing was done, the outcome is unknown (V6). A store that turns
/// poisoned answers so whether or not the record had reached the disk.
pub fn status_of_commit(error: Error) -> Status {
    match error {
        Error::Io { .. } | Error::Poisoned(_) => refuse(
            ErrorCode::UnknownOutcome,
            format!("the write may or may not be on disk: {error}; read the key to find out"),
        ),
        other => status_of(other),
    }
}
