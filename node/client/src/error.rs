//! Errors on the wire: a gRPC status whose binary trailer `aidb-error-bin` holds an `aidb.v1.Error`.
//!
//! HTTP/2 peers bound the size of trailers (8 KiB in common gRPC stacks, and beyond it the whole answer is lost), so a
//! large `current` value is left out of them; inside the results of a batch it travels in full.

use bytes::Bytes;
use prost::Message;
use tonic::metadata::{BinaryMetadataValue as BinaryValue, MetadataMap};
use tonic::{Code, ConnectError, Status};

use crate::pb::{self, ErrorCode};

const TRAILER: &str = "aidb-error-bin";
const MAX_TRAILER: usize = 4096;
const MAX_MESSAGE: usize = 1024;

/// The error of `code`, retryable as the registry says.
pub fn error(code: ErrorCode, message: impl Into<String>) -> pb::Error {
    pb::Error {
        code: code.into(),
        message: message.into(),
        retryable: retryable(code),
        ..Default::default()
    }
}

/// A call that failed with `code`.
pub fn refuse(code: ErrorCode, message: impl Into<String>) -> Status {
    status(error(code, message))
}

/// The status that carries `error`.
pub fn status(mut error: pb::Error) -> Status {
    if let Some((cut, _)) = error
        .message
        .char_indices()
        .find(|(at, _)| *at >= MAX_MESSAGE)
    {
        error.message.truncate(cut);
    }
    if error.encoded_len() > MAX_TRAILER
        && let Some(current) = &mut error.current
    {
        (current.key, current.value) = (Bytes::new(), Bytes::new());
        error.current_value_omitted = true;
    }
    let mut trailers = MetadataMap::new();
    trailers.insert_bin(TRAILER, BinaryValue::from_bytes(&error.encode_to_vec()));
    Status::with_metadata(grpc_code(error.code()), error.message, trailers)
}

/// The server's own words in `status`, None when it has none.
pub fn reported(status: &Status) -> Option<pb::Error> {
    let trailer = status.metadata().get_bin(TRAILER)?.to_bytes().ok()?;
    pb::Error::decode(trailer)
        .ok()
        .filter(|error| error.code != 0)
}

/// The code that the server reported; `ErrorUnspecified` when it reported none.
pub fn code_of(status: &Status) -> ErrorCode {
    reported(status).map_or(ErrorCode::ErrorUnspecified, |error| error.code())
}

/// The connection could not be made: the request was never sent.
pub fn never_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The same request may be sent again as it is.
pub fn retryable(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::Moved
            | E::NotPrimary
            | E::TopologyStale
            | E::ShardUnavailable
            | E::Starting
            | E::Busy
            | E::Stalled
            | E::NoLease
            | E::ShuttingDown
            | E::ClockSkew
    )
}

pub fn grpc_code(code: ErrorCode) -> Code {
    use ErrorCode as E;
    match code {
        E::InvalidArgument
        | E::KeyEmpty
        | E::KeyTooLarge
        | E::ValueTooLarge
        | E::BatchTooLarge
        | E::TokenInvalid => Code::InvalidArgument,
        E::CrossSlot
        | E::ConditionFailed
        | E::Moved
        | E::NotPrimary
        | E::WrongCluster
        | E::RegistrationRefused => Code::FailedPrecondition,
        E::Unsupported => Code::Unimplemented,
        E::TopologyStale
        | E::ShardUnavailable
        | E::Starting
        | E::Stalled
        | E::NoLease
        | E::ShuttingDown
        | E::ClockSkew => Code::Unavailable,
        E::Busy | E::DiskFull => Code::ResourceExhausted,
        E::DeadlineExceeded => Code::DeadlineExceeded,
        E::SessionBroken | E::StaleEpoch | E::StaleTerm | E::Conflict => Code::Aborted,
        E::Poisoned | E::Corruption => Code::DataLoss,
        E::Internal => Code::Internal,
        E::UnknownOutcome | E::ErrorUnspecified => Code::Unknown,
        E::Unauthenticated => Code::Unauthenticated,
        E::PermissionDenied => Code::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_trailer() {
        let mut sent = error(ErrorCode::Moved, "slot 7 is at shard 2");
        sent.moved = Some(pb::Route {
            slot: 7,
            shard: 2,
            address: "127.0.0.1:1".into(),
            ..Default::default()
        });
        let status = status(sent.clone());
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reported(&status), Some(sent));
        assert_eq!(code_of(&status), ErrorCode::Moved);
    }

    #[test]
    fn a_large_current_value_is_left_out() {
        let mut sent = error(ErrorCode::ConditionFailed, "x".repeat(5000));
        sent.current = Some(pb::Entry {
            value: vec![1; 100_000].into(),
            version: 9,
            ..Default::default()
        });
        let received = reported(&status(sent)).unwrap();
        assert!(received.current_value_omitted && received.encoded_len() <= MAX_TRAILER);
        assert_eq!(received.current.unwrap().version, 9);
    }

    #[test]
    fn a_status_of_others_reports_nothing() {
        let status = Status::unavailable("tcp connect error");
        assert_eq!(reported(&status), None);
        assert_eq!(code_of(&status), ErrorCode::ErrorUnspecified);
        assert!(!never_sent(&status));
    }
}
