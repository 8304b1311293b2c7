"""Spans of requests that have ended: the native side measured them and chose their ids, which are in what it
sent on. Needs OpenTelemetry.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from aidb.tracing.provider import close

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from aidb.tracing.traceparent import TraceParent
    from aidb_node._native import Observed


class GivenIds(RandomIdGenerator):
    """The next span of this thread has the id that is set."""

    def __init__(self) -> None:
        self._next = threading.local()

    def give(self, span_id: int) -> None:
        self._next.value = span_id

    def generate_span_id(self) -> int:
        given: int = getattr(self._next, "value", 0)
        self._next.value = 0
        return given or super().generate_span_id()


class NodeSpans:
    """Of one program. `traces` was made with `ids`."""

    def __init__(self, traces: TracerProvider, ids: GivenIds) -> None:
        self._ids = ids
        self._traces = traces
        self._tracer = traces.get_tracer("aidb-node")

    def close(self, seconds: float) -> None:
        close(self._traces, seconds)

    def export(self, one: Observed, parent: TraceParent) -> None:
        """`parent` is sampled."""
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        remote = trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
        context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        self._ids.give(int(one.span_id, 16))
        span = self._tracer.start_span(
            one.method, context, trace.SpanKind.SERVER, _attributes(one), start_time=one.began_unix_ns
        )
        if one.code != "OK":
            span.set_status(trace.Status(trace.StatusCode.ERROR, one.code))
        span.end(one.began_unix_ns + one.duration_ns)


def _attributes(one: Observed) -> dict[str, str | int]:
    from aidb_node.observing import request_id

    attributes: dict[str, str | int] = {"rpc.system": "grpc", "rpc.method": one.method, "aidb.code": one.code}
    if one.code != "OK":
        attributes["error.type"] = one.code
    if one.shard is not None:
        attributes["aidb.shard"] = one.shard
    if identity := request_id(one.client, one.seq):
        attributes |= {"aidb.request": identity, "aidb.attempt": one.attempt}
    return attributes
