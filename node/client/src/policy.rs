//! What to do about an error: one table for both clients (the other is the Python SDK's); `tests/routing_cases.json`
//! holds them to the same answers.
//!
//! The rule behind it (V6): what says "not done" may always be tried again. An unknown outcome may be tried again only
//! for reads, and for plain writes under the same request id, which the shard remembers. A conditional write is never
//! sent again after an unknown outcome: the second answer would judge the first attempt's effect.

use crate::pb::ErrorCode;

/// What a request may do twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
    ConditionalWrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A server's word.
    Code(ErrorCode),
    /// No connection: the request was never sent.
    Unreachable,
    /// The connection broke, or an answer made no sense: the outcome is unknown.
    Lost,
    /// No answer in time: the outcome is unknown.
    Timeout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To the caller, as it is.
    Raise,
    /// To the address in the error, at once.
    Redirect,
    /// At once, while there is one that was not asked.
    OtherMember,
    /// Wait, then again.
    Backoff,
    /// Wait for a newer topology or the backoff, then again.
    Refresh,
    /// Wait, then the same request id with attempt + 1.
    Resend,
    /// To the caller, as UNKNOWN_OUTCOME.
    Unknown,
}

/// The next action. Causes without a row are refusals of the request.
pub fn decide(cause: Cause, kind: Kind) -> Action {
    use Action::{Backoff, OtherMember, Raise, Redirect, Refresh, Resend, Unknown};
    use ErrorCode as E;
    let (read, write, conditional) = match cause {
        Cause::Code(E::Moved) => (Redirect, Redirect, Redirect),
        Cause::Code(E::NotPrimary) => (Refresh, Refresh, Refresh),
        Cause::Code(E::TopologyStale | E::Starting | E::Busy | E::Stalled) => {
            (OtherMember, Backoff, Backoff)
        }
        Cause::Code(E::ShardUnavailable | E::NoLease | E::ShuttingDown | E::ClockSkew)
        | Cause::Unreachable => (OtherMember, Refresh, Refresh),
        Cause::Code(E::Poisoned | E::DiskFull | E::Corruption) => (OtherMember, Raise, Raise),
        Cause::Code(E::UnknownOutcome | E::Internal) | Cause::Lost | Cause::Timeout => {
            (OtherMember, Resend, Unknown)
        }
        Cause::Code(_) => (Raise, Raise, Raise),
    };
    match kind {
        Kind::Read => read,
        Kind::Write => write,
        Kind::ConditionalWrite => conditional,
    }
}

/// Whether a cause speaks of the member, not of the request or the shard: it is left alone for a while.
pub fn ejects(cause: Cause) -> bool {
    use ErrorCode as E;
    matches!(
        cause,
        Cause::Unreachable
            | Cause::Lost
            | Cause::Timeout
            | Cause::Code(E::Starting | E::ShuttingDown | E::ClockSkew | E::Internal)
    )
}
