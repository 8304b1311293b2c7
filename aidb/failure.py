"""A failed call, told apart by what it says about the request: not done, or unknown.

gRPC's status alone does not tell: UNAVAILABLE stands for "never sent" as well as for "sent, and then the
connection broke". Our servers' answers carry a trailer that does. Without one, only the texts that grpc-core
gives to calls that found no connection count as "never sent"; everything else is unknown. Taking a doubtful
text for "not done" would apply a write twice, so the list errs to the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass

from aidb.errors import (
    AidbError,
    BatchTooLarge,
    DeadlineExceeded,
    ErrorCode,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ShardUnavailable,
    Unauthenticated,
    Unsupported,
)
from aidb.policy import Cause, Transport
from aidb.trailer import error_from_message, parse_trailer
from aidb.v1 import common_pb2

_NEVER_SENT = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "dns resolution failed",
)
# What handshakes that fail say, and what that means to whoever connects.
_HINTS = (
    ("wrong_version_number", "this port speaks no TLS: connect without certificates, or name another port"),
    (
        "certificate_verify_failed",
        "its certificate is not of the authority in ca.crt, has expired, or has the name of another domain",
    ),
    ("certificate_required", "it demands a certificate: name a directory with tls.crt and tls.key"),
    ("unknown_ca", "it does not trust the authority of this client's certificate"),
    ("certificate_expired", "this client's certificate has expired: renew it"),
    # TLS 1.3 lets the client finish before its certificate was looked at.
    (
        "socket closed",
        "it hung up: a secured port does, without TLS and a valid certificate of its authority",
    ),
)
_TOO_LARGE = ("larger than max", "length too large", "exceeds the max")

_REFUSALS: dict[str, type[AidbError]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "UNIMPLEMENTED": Unsupported,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call, or an item of a batch, has no answer. ``route`` comes with MOVED."""

    cause: Cause
    error: AidbError
    route: common_pb2.Route | None = None


def hint(details: str) -> str:
    """What a failed handshake's text means and what to do, in brackets; nothing for other texts."""
    lowered = details.lower()
    if not any(words in lowered for words in _NEVER_SENT):
        return ""
    return next((f" ({meaning})" for words, meaning in _HINTS if words in lowered), "")


def failure_of_message(message: common_pb2.Error, shard: int | None = None) -> Failure:
    """From a server's own words."""
    error = error_from_message(message, shard)
    try:
        cause = ErrorCode(message.code)
    except ValueError:  # a newer server's code: only its flag is known
        cause = ErrorCode.STARTING if message.retryable else ErrorCode.INVALID_ARGUMENT
    return Failure(cause, error, message.moved if message.HasField("moved") else None)


def too_late(address: str) -> Failure:
    """For a call that was not sent because its time was up."""
    return Failure(
        ErrorCode.DEADLINE_EXCEEDED, DeadlineExceeded(f"the time was up before {address} could be asked")
    )


def failure_of_status(
    status: str, details: str, trailer: bytes | None, address: str, shard: int | None = None
) -> Failure:
    """From a gRPC status (by name), its text, and the trailer if there was one."""
    message = parse_trailer(trailer) if trailer else None
    if message is not None:
        return failure_of_message(message, shard)
    text = f"{address}: {details or status}{hint(details)}"
    lowered = details.lower()
    if status == "UNIMPLEMENTED":
        text += " (this program serves no keys: name a node or, with direct=False, a router)"
    if status in _REFUSALS:
        error = _REFUSALS[status](text, shard=shard)
        return Failure(ErrorCode(error.code), error)
    # CANCELLED is how our servers end a call whose transport deadline passed before ours did.
    if status in ("DEADLINE_EXCEEDED", "CANCELLED"):
        return Failure(Transport.TIMEOUT, DeadlineExceeded(f"{address} gave no answer in time", shard=shard))
    if any(words in lowered for words in _TOO_LARGE):
        return Failure(ErrorCode.BATCH_TOO_LARGE, BatchTooLarge(text, shard=shard))
    if status == "UNAVAILABLE":
        never_sent = any(words in lowered for words in _NEVER_SENT)
        return Failure(
            Transport.UNREACHABLE if never_sent else Transport.LOST, ShardUnavailable(text, shard=shard)
        )
    return Failure(Transport.LOST, Internal(text, shard=shard))
