"""Spans of a gRPC server in Python: of the coordinator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aidb import logs
from aidb.tracing.provided import SCOPE
from aidb.tracing.traceparent import METADATA, parse

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer


class Serving:
    """Spans of a server. Without a provider nothing is done."""

    def __init__(self) -> None:
        self._tracer: Tracer | None = None

    def begin(self, provider: TracerProvider | None) -> None:
        self._tracer = None if provider is None else provider.get_tracer(SCOPE)

    @contextmanager
    def call(self, method: str, metadata: Iterable[tuple[str, Any]] | None) -> Iterator[None]:
        """Of calls that are part of a sampled trace: members' own, several a second, are not."""
        parent = None if self._tracer is None else _parent(metadata)
        if self._tracer is None or parent is None:
            yield
            return
        from opentelemetry import trace

        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        attributes = {"rpc.system": "grpc", "rpc.method": method}
        with (
            self._tracer.start_as_current_span(
                method,
                context,
                trace.SpanKind.SERVER,
                attributes,
                record_exception=False,
            ),
            logs.about(trace=f"{parent.trace_id:032x}"),
        ):
            yield


# Of this process, which serves one port.
SERVING = Serving()


def _parent(metadata: Iterable[tuple[str, Any]] | None) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    text = next((value for key, value in metadata or () if key == METADATA), "")
    found = parse(text) if isinstance(text, str) else None
    if found is None or not found.sampled:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(found.trace_id, found.span_id, is_remote=True, trace_flags=flags)
