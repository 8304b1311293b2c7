"""Every error that AiDb raises.

    AidbError
      RequestError                  the request itself; sending it again cannot help
        InvalidArgument  KeyEmpty  KeyTooLarge  ValueTooLarge  BatchTooLarge  CrossSlot
        Unsupported  TokenInvalid  Closed
        ConditionFailed             .current_version, .current_value
        OpenRefused                 an embedded store: DirectoryLocked  NotAStore  NewerFormat
      Unavailable                   nothing was done; the same request may succeed later or elsewhere
        Moved  NotPrimary  TopologyStale  ShardUnavailable  ClusterUnreachable  Starting
        Busy  Stalled  NoLease  ShuttingDown  ClockSkew
      DeadlineExceeded              the time was up and nothing was done
      UnknownOutcome                a write that may or may not have been done
      SessionBroken                 acknowledged writes were lost: .token_lsn, .cut_lsn
      NodeError                     the server is damaged: Poisoned  DiskFull  Corruption  Internal
      ClusterError                  WrongCluster  StaleEpoch  StaleTerm  RegistrationRefused  Conflict
      SecurityError                 Unauthenticated  PermissionDenied

Each code of the registry (`proto/aidb/v1/common.proto`) has one class here and one page below `docs/errors/`.
This module imports neither grpc nor protobuf, so that `import aidb` stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar

TRAILER = "aidb-error-bin"


class ErrorCode(IntEnum):
    """The registry of error codes: the names and numbers of ``aidb.v1.ErrorCode``."""

    ERROR_UNSPECIFIED = 0
    INVALID_ARGUMENT = 1
    KEY_EMPTY = 2
    KEY_TOO_LARGE = 3
    VALUE_TOO_LARGE = 4
    BATCH_TOO_LARGE = 5
    CROSS_SLOT = 6
    CONDITION_FAILED = 7
    UNSUPPORTED = 8
    TOKEN_INVALID = 9
    MOVED = 20
    NOT_PRIMARY = 21
    TOPOLOGY_STALE = 22
    SHARD_UNAVAILABLE = 23
    STARTING = 24
    DEADLINE_EXCEEDED = 40
    BUSY = 41
    STALLED = 42
    NO_LEASE = 43
    SHUTTING_DOWN = 44
    UNKNOWN_OUTCOME = 60
    SESSION_BROKEN = 61
    POISONED = 80
    DISK_FULL = 81
    CORRUPTION = 82
    CLOCK_SKEW = 83
    INTERNAL = 84
    WRONG_CLUSTER = 100
    STALE_EPOCH = 101
    STALE_TERM = 102
    REGISTRATION_REFUSED = 103
    CONFLICT = 104
    UNAUTHENTICATED = 120
    PERMISSION_DENIED = 121


class AidbError(Exception):
    """The base of all errors of AiDb.

    Attributes:
        code: the registry's code; stable, one documentation page each.
        message: what happened, to what, what to do.
        retryable: the same request may be sent again as it is.
        retry_after: seconds to wait before that, or None when the server named no time.
        shard: the shard that answered, or None.
        details: more facts, by name; the keys depend on the class.
    """

    default_code: ClassVar[ErrorCode] = ErrorCode.ERROR_UNSPECIFIED
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        shard: int | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code: int = self.default_code if code is None else code
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.shard = shard
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{code_name(self.code)}: {self.message}"


class RequestError(AidbError):
    """The request itself is refused; sending it again as it is cannot help."""


class InvalidArgument(RequestError):
    """A parameter is out of range or contradicts another."""

    default_code = ErrorCode.INVALID_ARGUMENT


class KeyEmpty(RequestError):
    """Keys have at least one byte."""

    default_code = ErrorCode.KEY_EMPTY


class KeyTooLarge(RequestError):
    """The key is longer than the cluster's limit (8 KiB by default)."""

    default_code = ErrorCode.KEY_TOO_LARGE


class ValueTooLarge(RequestError):
    """The value is longer than the cluster's limit (16 MiB by default)."""

    default_code = ErrorCode.VALUE_TOO_LARGE


class BatchTooLarge(RequestError):
    """An atomic batch is larger than the cluster's limit (32 MiB by default); other batches are split."""

    default_code = ErrorCode.BATCH_TOO_LARGE


class CrossSlot(RequestError):
    """An atomic batch has keys in several slots (V5): give them one hash tag, as in ``{user7}:name``."""

    default_code = ErrorCode.CROSS_SLOT


class ConditionFailed(RequestError):
    """The condition of a write does not hold; nothing was written.

    Attributes:
        current_version: version of the key found, 0 when there is no such key.
        current_value: its value, None when there is no such key.
    """

    default_code = ErrorCode.CONDITION_FAILED

    def __init__(
        self,
        message: str = "the condition does not hold",
        *,
        current_version: int = 0,
        current_value: bytes | None = None,
        **common: Any,
    ) -> None:
        super().__init__(message, **common)
        self.current_version = current_version
        self.current_value = current_value


class Unsupported(RequestError):
    """A reserved feature, or one that the cluster's feature level has not reached."""

    default_code = ErrorCode.UNSUPPORTED


class TokenInvalid(RequestError):
    """The session token is damaged, or of a newer format."""

    default_code = ErrorCode.TOKEN_INVALID


class Closed(RequestError):
    """The client or store is closed, or was opened before this process was forked."""

    default_code = ErrorCode.INVALID_ARGUMENT


class OpenRefused(RequestError):
    """An embedded store cannot be opened as asked."""

    default_code = ErrorCode.INVALID_ARGUMENT


class DirectoryLocked(OpenRefused):
    """Another process holds the directory."""


class NotAStore(OpenRefused):
    """The directory holds something else."""


class NewerFormat(OpenRefused):
    """The directory was written by a newer version."""


class Unavailable(AidbError):
    """Nothing was done; the same request may succeed later or elsewhere."""

    default_retryable = True


class Moved(Unavailable):
    """The slot is at another shard. Seen only when more than five redirects did not find it."""

    default_code = ErrorCode.MOVED


class NotPrimary(Unavailable):
    """The member asked is a replica or has been replaced."""

    default_code = ErrorCode.NOT_PRIMARY


class TopologyStale(Unavailable):
    """The node could not refresh to the client's topology version."""

    default_code = ErrorCode.TOPOLOGY_STALE


class ShardUnavailable(Unavailable):
    """The shard's primary is gone or out of reach; writes stop until it is back."""

    default_code = ErrorCode.SHARD_UNAVAILABLE


class ClusterUnreachable(ShardUnavailable):
    """No address given answers: is the cluster up?"""


class Starting(Unavailable):
    """The node does not serve yet."""

    default_code = ErrorCode.STARTING


class Busy(Unavailable):
    """The server sheds load; ``retry_after`` says when to come back."""

    default_code = ErrorCode.BUSY


class Stalled(Unavailable):
    """The engine's backpressure holds writes."""

    default_code = ErrorCode.STALLED


class NoLease(Unavailable):
    """The primary's evidence of ownership is too old (D1)."""

    default_code = ErrorCode.NO_LEASE


class ShuttingDown(Unavailable):
    """The node leaves the cluster."""

    default_code = ErrorCode.SHUTTING_DOWN


class ClockSkew(Unavailable):
    """The node's clock is beyond the bound, so it refuses to serve (C7)."""

    default_code = ErrorCode.CLOCK_SKEW


class DeadlineExceeded(AidbError):
    """The time was up. For a write: nothing was done (else `UnknownOutcome` is raised)."""

    default_code = ErrorCode.DEADLINE_EXCEEDED


class UnknownOutcome(AidbError):
    """A write may or may not have been done (V6): read the key to find out."""

    default_code = ErrorCode.UNKNOWN_OUTCOME


class SessionBroken(AidbError):
    """Writes that this session saw acknowledged were lost by a takeover (C5). Raised once per loss.

    Attributes:
        token_lsn: what the session had seen of the shard.
        cut_lsn: what the shard still has.
    """

    default_code = ErrorCode.SESSION_BROKEN

    def __init__(self, message: str, *, token_lsn: int = 0, cut_lsn: int = 0, **common: Any) -> None:
        super().__init__(message, **common)
        self.token_lsn = token_lsn
        self.cut_lsn = cut_lsn


class NodeError(AidbError):
    """The server is damaged or out of space; somebody has to look at it."""


class Poisoned(NodeError):
    """The store refuses writes after damage or a failed sync."""

    default_code = ErrorCode.POISONED


class DiskFull(NodeError):
    """The disk of the shard is full."""

    default_code = ErrorCode.DISK_FULL


class Corruption(NodeError):
    """Stored data fails its checksum."""

    default_code = ErrorCode.CORRUPTION


class Internal(NodeError):
    """A defect of the server."""

    default_code = ErrorCode.INTERNAL


class ClusterError(AidbError):
    """The coordinator refuses."""


class WrongCluster(ClusterError):
    """Two clusters are mixed up: their uids differ (D8)."""

    default_code = ErrorCode.WRONG_CLUSTER


class StaleEpoch(ClusterError):
    """A newer epoch of the shard exists."""

    default_code = ErrorCode.STALE_EPOCH


class StaleTerm(ClusterError):
    """A newer coordinator exists."""

    default_code = ErrorCode.STALE_TERM


class RegistrationRefused(ClusterError):
    """The coordinator does not accept this member."""

    default_code = ErrorCode.REGISTRATION_REFUSED


class Conflict(ClusterError):
    """A compare-and-swap lost against another writer."""

    default_code = ErrorCode.CONFLICT


class SecurityError(AidbError):
    """The caller is not known or not allowed."""


class Unauthenticated(SecurityError):
    """No valid credentials were given."""

    default_code = ErrorCode.UNAUTHENTICATED


class PermissionDenied(SecurityError):
    """The credentials do not allow this."""

    default_code = ErrorCode.PERMISSION_DENIED


def _leaves(base: type[AidbError]) -> dict[int, type[AidbError]]:
    """Code -> class; where several classes share a code, the one declared first stands for it."""
    found: dict[int, type[AidbError]] = {}
    pending = [base]
    while pending:
        kind = pending.pop(0)
        if "default_code" in kind.__dict__:
            found.setdefault(kind.default_code, kind)
        pending.extend(kind.__subclasses__())
    return found


BY_CODE: dict[int, type[AidbError]] = _leaves(AidbError)


def code_name(code: int) -> str:
    """The registry's name of ``code``; codes of newer servers show as ``CODE_<n>``."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"CODE_{code}"
