"""Value objects that tune a client. All times are seconds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from aidb.errors import InvalidArgument
from aidb.security.names import DEFAULT_DOMAIN

ReadBalance = Literal["rendezvous", "two_choices", "least_loaded", "round_robin", "random"]


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a failed call is tried again, always within its own timeout.

    The n-th wait is random between 0 and min(cap, base * 2^n) ("full jitter"). Retries draw on a budget that
    the client's calls share, so that a sick cluster is not buried under them: it holds ``budget`` retries,
    and gains ``per_call`` for each call and ``per_second`` for each second.

    Attributes:
        base: the first wait is at most this long.
        cap: no wait is longer.
        attempts: sends of one call at most; 1 = never retry.
        read_attempt_timeout: a read that one member does not answer for this long goes to the next.
    """

    base: float = 0.02
    cap: float = 1.0
    attempts: int = 100
    budget: float = 100.0
    per_call: float = 0.2
    per_second: float = 10.0
    read_attempt_timeout: float = 1.0

    def __post_init__(self) -> None:
        if self.base <= 0 or self.cap < self.base or self.attempts < 1 or self.read_attempt_timeout <= 0:
            raise InvalidArgument("retry needs 0 < base <= cap, attempts >= 1 and read_attempt_timeout > 0")
        if min(self.budget, self.per_call, self.per_second) < 0:
            raise InvalidArgument("budget, per_call and per_second of a retry are not negative")


@dataclass(frozen=True, slots=True)
class Hedge:
    """A single read that is not answered after the 95th percentile of recent answers goes to a second member
    as well; the first answer counts, the other call is cancelled. Only reads that several members may answer
    are hedged.

    Attributes:
        extra: hedges for each read, at most: 0.05 is five more reads for a hundred.
        burst: so many may be saved up while none were needed.
        least: no read is hedged earlier, in seconds.
    """

    extra: float = 0.05
    burst: float = 10.0
    least: float = 0.001

    def __post_init__(self) -> None:
        if not 0 < self.extra <= 1 or self.burst < 1 or self.least < 0:
            raise InvalidArgument("a hedge needs 0 < extra <= 1, burst >= 1 and least >= 0")


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections.

    Attributes:
        channels: connections per server.
        keepalive: seconds without traffic in an unanswered call after which the connection is probed.
        keepalive_timeout: seconds without an answer to that until the connection counts as lost.
        workers: parts of a batch that a synchronous client sends at the same time.
        batch_bytes: a batch part carries at most this many bytes of keys and values.
        batch_items: and at most this many items.
    """

    channels: int = 2
    keepalive: float = 10.0
    keepalive_timeout: float = 5.0
    workers: int = 16
    batch_bytes: int = 4 << 20
    batch_items: int = 2000

    def __post_init__(self) -> None:
        if min(self.channels, self.workers, self.batch_bytes, self.batch_items) < 1:
            raise InvalidArgument("channels, workers, batch_bytes and batch_items of a pool are at least 1")
        if min(self.keepalive, self.keepalive_timeout) <= 0:
            raise InvalidArgument("keepalive times are positive")


@dataclass(frozen=True, slots=True)
class Tls:
    """How to connect to a cluster that is secured.

    Attributes:
        directory: holds ca.crt, tls.crt and tls.key. Looked at again each second: new calls take new files.
        token: the bearer token, which decides what this client may do.
        token_file: a file that holds it instead; looked at again too.
        domain: of the programs' names in their certificates, where the cluster has another than the default.
    """

    directory: str | os.PathLike[str]
    token: str = field(default="", repr=False)
    token_file: str | os.PathLike[str] | None = None
    domain: str = DEFAULT_DOMAIN

    @classmethod
    def from_environment(cls) -> Tls | None:
        """``$AIDB_TLS``, ``$AIDB_TOKEN`` or ``$AIDB_TOKEN_FILE``, ``$AIDB_TLS_DOMAIN``; None without the
        first.
        """
        directory = os.environ.get("AIDB_TLS")
        if not directory:
            return None
        return cls(
            directory,
            os.environ.get("AIDB_TOKEN", ""),
            os.environ.get("AIDB_TOKEN_FILE") or None,
            os.environ.get("AIDB_TLS_DOMAIN") or DEFAULT_DOMAIN,
        )
