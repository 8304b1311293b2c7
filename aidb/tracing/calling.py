"""Spans of gRPC calls that are made by stubs in Python, to the coordinator above all."""

from __future__ import annotations

from typing import Any

import grpc

from aidb.tracing.provided import tracer
from aidb.tracing.traceparent import METADATA, encode


class Calling(grpc.UnaryUnaryClientInterceptor):
    """Spans of a stub's calls, whose context goes along as metadata."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        found = tracer()
        if found is None:
            return continuation(details, request)
        from opentelemetry.trace import SpanKind, Status, StatusCode

        method = details.method.rpartition("/")[2]
        attributes = {"rpc.system": "grpc", "rpc.method": method}
        span = found.start_span(f"aidb.{method}", kind=SpanKind.CLIENT, attributes=attributes)
        context = span.get_span_context()
        if context.is_valid and context.trace_flags.sampled:
            details = _With(details, (METADATA, encode(context.trace_id, context.span_id)))

        def ended(call: Any) -> None:
            code = call.code()
            if code is not grpc.StatusCode.OK:
                span.set_attribute("error.type", code.name)
                span.set_status(Status(StatusCode.ERROR, code.name))
            span.end()

        call = continuation(details, request)
        call.add_done_callback(ended)
        return call


class _With(grpc.ClientCallDetails):
    def __init__(self, given: Any, pair: tuple[str, str]) -> None:
        self.method, self.timeout = given.method, given.timeout
        self.credentials, self.wait_for_ready = given.credentials, given.wait_for_ready
        self.compression = given.compression
        self.metadata = (*(given.metadata or ()), pair)
