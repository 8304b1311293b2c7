"""Whom to ask for the topology: every program answers from its copy. No I/O."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

from aidb.errors import ClusterUnreachable, InvalidArgument
from aidb.failure import Failure
from aidb.options import Retry
from aidb.policy import Transport
from aidb.retry import backoff
from aidb.topology import View

DEFAULT_ADDRESS = "127.0.0.1:7400"

LIFETIME = 60.0  # of a stream, about, in seconds: what a silently lost connection can cost
ANSWER_WITHIN = 2.0
POKE_INTERVAL = 0.5
REFUSED_FOR = 3.0


class Sources:
    """The addresses given by the application first, then all members, in turn; and the rests between. With
    ``only`` the addresses given alone.

    A source is left when it fails, or when a call found its topology too old, but not more often than each
    0.5 s.
    """

    def __init__(self, seeds: Sequence[str], retry: Retry, rng: random.Random, *, only: bool = False) -> None:
        self.seeds = tuple(seeds)
        self._only = only
        self.last_failure: Failure | None = None
        self._retry = retry
        self._rng = rng
        self._turn = 0
        self._failures = 0
        self._unreachable_since: float | None = None

    def current(self, view: View) -> str:
        """The address to ask."""
        others = [member.address for member in view.members() if member.address not in self.seeds]
        known = [*self.seeds] if self._only else [*self.seeds, *others]
        return known[self._turn % len(known)]

    def lifetime(self) -> float:
        """Seconds for the next stream, jittered so that clients do not reopen together."""
        return LIFETIME * self._rng.uniform(0.75, 1.25)

    def answered(self) -> None:
        """The source gave a view."""
        self._failures = 0
        self._unreachable_since = None

    def ended(self, failure: Failure | None, poked: bool, lasted: float, now: float) -> float:
        """The source is done with, after ``lasted`` seconds; returns the seconds to rest before the next is
        asked.
        """
        if failure is not None and failure.cause is Transport.TIMEOUT and self._failures == 0 and not poked:
            return 0.0  # its lifetime is over
        self._turn += 1
        if poked:
            return max(0.0, POKE_INTERVAL - lasted)
        self._failures += 1
        if failure is not None:
            self.last_failure = failure
            if failure.cause is not Transport.UNREACHABLE:
                self._unreachable_since = None
            elif self._unreachable_since is None:
                self._unreachable_since = now
        return backoff(self._retry, self._failures, self._rng)

    def hopeless(self, now: float) -> bool:
        """Nothing but refused connections for 3 s: the cluster is not there."""
        return self._unreachable_since is not None and now - self._unreachable_since > REFUSED_FOR


def parse_addresses(address: str | None) -> list[str]:
    """The addresses in ``address``, ``$AIDB_ADDRESS``, or the default.

    Raises:
        InvalidArgument: one of them is not host:port.
    """
    given = address or os.environ.get("AIDB_ADDRESS") or DEFAULT_ADDRESS
    addresses = [part.strip() for part in given.split(",") if part.strip()]
    for one in addresses:
        host, separator, port = one.rpartition(":")
        if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise InvalidArgument(f"an address is host:port, as in 127.0.0.1:7400, not {one!r}")
    if not addresses:
        raise InvalidArgument(f"no address in {given!r}")
    return addresses


def is_direct(given: bool | None) -> bool:
    """``given``, else what ``$AIDB_DIRECT`` says, else True.

    Raises:
        InvalidArgument: the variable is neither yes nor no.
    """
    if given is not None:
        return given
    text = os.environ.get("AIDB_DIRECT", "").strip().lower()
    if text in ("", "1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise InvalidArgument(f"AIDB_DIRECT is true or false, not {text!r}")


def keyspace_of(given: int | None) -> int:
    """``given``, else ``$AIDB_KEYSPACE``, else 0, which is the default one.

    Raises:
        InvalidArgument: it is none.
    """
    text = os.environ.get("AIDB_KEYSPACE", "").strip()
    if given is None and text and not text.isdecimal():
        raise InvalidArgument(f"AIDB_KEYSPACE is a number, not {text!r}")
    keyspace = int(text or 0) if given is None else given
    if not 0 <= keyspace < 1 << 32:
        raise InvalidArgument(f"a keyspace is a number from 0 to {(1 << 32) - 1}, not {keyspace}")
    return keyspace


def unreachable(sources: Sources) -> ClusterUnreachable:
    """What connecting raises when no source answered."""
    why = "no answer" if sources.last_failure is None else sources.last_failure.error.message
    asked = ", ".join(sources.seeds)
    return ClusterUnreachable(
        f"no topology from {asked} ({why}); is the cluster up (`aidb up`)? "
        "If it is secured, name its certificates (tls, AIDB_TLS)"
    )
