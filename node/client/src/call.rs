//! One call to another member: what goes out with it, and what its failure means to whoever forwarded it.

use std::time::Duration;

use tonic::{Code, Request, Status, TimeoutExpired};

use crate::error::{error, never_sent, refuse, reported, status};
use crate::pb::{self, ErrorCode};
use crate::policy::{Cause, Kind};

/// Of a call whose caller named no deadline: nothing waits for ever.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The request with what is left of its caller's time, which the receiver obeys as well.
pub fn outgoing<T>(message: T, remaining: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(remaining.unwrap_or(DEFAULT_TIMEOUT));
    request
}

/// What a failed call says: a server's word, or how the transport failed.
pub fn cause(failed: &Status) -> Cause {
    if let Some(error) = reported(failed) {
        return cause_of(&error);
    }
    if never_sent(failed) {
        return Cause::Unreachable;
    }
    match failed.code() {
        // Cancelled is how tonic's servers end a call whose deadline has passed.
        Code::DeadlineExceeded | Code::Cancelled => Cause::Timeout,
        _ if timed_out(failed) => Cause::Timeout,
        Code::InvalidArgument => Cause::Code(ErrorCode::InvalidArgument),
        Code::Unimplemented => Cause::Code(ErrorCode::Unsupported),
        Code::Unauthenticated => Cause::Code(ErrorCode::Unauthenticated),
        Code::PermissionDenied => Cause::Code(ErrorCode::PermissionDenied),
        _ => Cause::Lost,
    }
}

/// A newer server's code is known by its flag alone.
pub fn cause_of(error: &pb::Error) -> Cause {
    match ErrorCode::try_from(error.code) {
        Ok(code) => Cause::Code(code),
        Err(_) if error.retryable => Cause::Code(ErrorCode::Starting),
        Err(_) => Cause::Code(ErrorCode::InvalidArgument),
    }
}

/// What the caller of a forwarded request is told when the call to `address` failed. A forwarder repeats no write (V6):
/// it says whether the write was not done, or may have been.
pub fn forwarded(failed: &Status, kind: Kind, address: &str) -> pb::Error {
    if let Some(error) = reported(failed) {
        return error;
    }
    let why = failed.message();
    let unknown = |how: String| {
        let message =
            format!("{how}: the write may or may not have been applied; read the key to find out");
        error(ErrorCode::UnknownOutcome, message)
    };
    match (cause(failed), kind) {
        (Cause::Code(code), _) => error(code, format!("{address}: {why}")),
        (Cause::Unreachable, _) => error(
            ErrorCode::ShardUnavailable,
            format!("no connection to {address} ({why}); retry in a moment"),
        ),
        (Cause::Timeout, Kind::Read) => error(
            ErrorCode::DeadlineExceeded,
            format!("{address} gave no answer before the deadline"),
        ),
        (Cause::Lost, Kind::Read) => error(
            ErrorCode::ShardUnavailable,
            format!("the connection to {address} was lost ({why}); retry in a moment"),
        ),
        (Cause::Timeout, _) => unknown(format!("{address} gave no answer before the deadline")),
        (Cause::Lost, _) => unknown(format!("the connection to {address} was lost ({why})")),
    }
}

/// As `forwarded`, for an answer that is the failure.
pub fn forwarded_status(failed: &Status, kind: Kind, address: &str) -> Status {
    status(forwarded(failed, kind, address))
}

/// Nobody can be asked.
pub fn no_primary(shard: u32) -> Status {
    refuse(
        ErrorCode::ShardUnavailable,
        format!("the primary of shard {shard} is not known to serve; retry in a moment"),
    )
}

fn timed_out(failed: &Status) -> bool {
    let mut source = std::error::Error::source(failed);
    while let Some(error) = source {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_write_is_unknown_and_a_lost_read_is_not() {
        let lost = Status::unavailable("reset");
        assert_eq!(cause(&lost), Cause::Lost);
        assert_eq!(
            forwarded(&lost, Kind::Write, "a:1").code(),
            ErrorCode::UnknownOutcome
        );
        assert_eq!(
            forwarded(&lost, Kind::ConditionalWrite, "a:1").code(),
            ErrorCode::UnknownOutcome
        );
        assert_eq!(
            forwarded(&lost, Kind::Read, "a:1").code(),
            ErrorCode::ShardUnavailable
        );
        let late = Status::deadline_exceeded("late");
        assert_eq!(
            forwarded(&late, Kind::Write, "a:1").code(),
            ErrorCode::UnknownOutcome
        );
        assert_eq!(
            forwarded(&late, Kind::Read, "a:1").code(),
            ErrorCode::DeadlineExceeded
        );
    }

    #[test]
    fn a_servers_word_is_passed_on() {
        let busy = pb::Error {
            retry_after_ms: 70,
            ..error(ErrorCode::Busy, "full")
        };
        assert_eq!(forwarded(&status(busy.clone()), Kind::Write, "a:1"), busy);
        let unheard = pb::Error {
            code: 9999,
            retryable: true,
            ..Default::default()
        };
        assert_eq!(cause_of(&unheard), Cause::Code(ErrorCode::Starting));
    }

    #[tokio::test]
    async fn no_connection_means_never_sent() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let channel = crate::pool::Pool::new(1, crate::tls::Dialer::default())
            .channel(&port.to_string())
            .unwrap();
        let failed = pb::storage_client::StorageClient::new(channel)
            .get(outgoing(pb::GetRequest::default(), None))
            .await
            .unwrap_err();
        assert_eq!(cause(&failed), Cause::Unreachable, "{failed:?}");
        assert_eq!(
            forwarded(&failed, Kind::Write, "a:1").code(),
            ErrorCode::ShardUnavailable
        );
    }
}
