"""What the native side noticed of requests: spans of those that are traced, records of those that were slow.

The native side keeps what it notices in a bounded ring; a thread takes it from there, a few times a second,
so that no request waits for a log or a collector. What does not fit, there or here, is counted and told.
No record and no span has a key or a value.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from aidb.logs import fields
from aidb.tracing import provider
from aidb.tracing.traceparent import TraceParent, parse

if TYPE_CHECKING:
    from aidb_node._native import Observed
    from aidb_node.spans import NodeSpans

log = logging.getLogger("aidb.node.requests")

_PERIOD = 0.25
_BATCH = 256
# Records of slow requests, a second: where everything is slow, more of them say no more.
_SLOW_A_SECOND = 20
_TELL_SECONDS = 10.0
_FLUSH_SECONDS = 2.0


class Source(Protocol):
    """`Server` has it."""

    def observed(self, most: int) -> tuple[list[Observed], int]:
        """The oldest, at most so many, and how many were lost since the last call."""


def exporting(name: str, role: str) -> NodeSpans | None:
    """As the environment says; None: no traces."""
    if not provider.asked_for():
        return None
    try:
        from aidb_node.spans import GivenIds, NodeSpans
    except ModuleNotFoundError as error:
        provider.not_installed(error)
        return None
    ids = GivenIds()
    traces = provider.provider_of("aidb-node", ids=ids, service_instance_id=name, aidb_role=role)
    return None if traces is None else NodeSpans(traces, ids)


class Observing:
    """A thread, from its construction until `close`."""

    def __init__(self, source: Source, spans: NodeSpans | None) -> None:
        self._source = source
        self._spans = spans
        self._slow = _Allowance(_SLOW_A_SECOND)
        self._lost = 0
        self._told_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observing", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Takes what is there and sends it, if that is done soon."""
        self._stop.set()
        self._thread.join(_FLUSH_SECONDS)
        if self._spans is not None:
            self._spans.close(_FLUSH_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD):
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while True:
            found, lost = self._source.observed(_BATCH)
            self._lost += lost
            for one in found:
                self._tell(one)
            self._tell_of_what_is_missing()
            if len(found) < _BATCH:
                return

    def _tell(self, one: Observed) -> None:
        parent = parse(one.traceparent) if one.traceparent else None
        if self._spans is not None and one.span_id and parent is not None and parent.sampled:
            self._spans.export(one, parent)
        if one.slow and self._slow.take(time.monotonic()):
            log.warning("slow request", extra=fields(**_said(one, parent)))

    def _tell_of_what_is_missing(self) -> None:
        now = time.monotonic()
        left_out = self._slow.left_out
        if not (self._lost or left_out) or now < self._told_at + _TELL_SECONDS:
            return
        log.warning("more was noticed of requests than is told", extra=fields(lost=self._lost, slow=left_out))
        self._lost, self._slow.left_out, self._told_at = 0, 0, now


class _Allowance:
    """So many in a second."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = 0
        self._taken = 0
        self.left_out = 0

    def take(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._taken = int(now), 0
        if self._taken >= self._most:
            self.left_out += 1
            return False
        self._taken += 1
        return True


def request_id(client: int, seq: int) -> str:
    """As logs and spans say it; empty: it has none."""
    return f"{client:016x}-{seq}" if client or seq else ""


def _said(one: Observed, parent: TraceParent | None) -> dict[str, object]:
    said: dict[str, object] = {
        "method": one.method,
        "code": one.code,
        "duration_ms": round(one.duration_ns / 1e6, 3),
    }
    if one.shard is not None:
        said["shard"] = one.shard
    if identity := request_id(one.client, one.seq):
        said |= {"request": identity, "attempt": one.attempt}
    if parent is not None:
        said["trace"] = f"{parent.trace_id:032x}"
    return said
