"""A client's spans, without a cluster: operations are played by hand."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from aidb.commands import Call, CallAll, Emit, Operation
from aidb.errors import ShardUnavailable
from aidb.failure import Failure
from aidb.interface import Entry
from aidb.policy import Transport
from aidb.tracing import provided, spans
from aidb.tracing.traceparent import parse
from aidb.v1 import storage_pb2


class Provided:
    def __init__(self, sampler: Sampler) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Provided:
    return _given(monkeypatch, ALWAYS_ON)


def _given(monkeypatch: pytest.MonkeyPatch, sampler: Sampler) -> Provided:
    """As the application's own, for this test alone: OpenTelemetry lets it be set once in a process."""
    made = Provided(sampler)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made.provider)
    return made


def _call(address: str = "a:1", shard: int = 2) -> Call:
    return Call(address, "Get", storage_pb2.GetRequest(key=b"planted-key"), 10.0, 1.0, shard)


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_without_a_provider_the_operation_is_itself() -> None:
    operation = _twice()
    assert spans.traced("get", operation) is operation


def test_opentelemetry_is_not_imported_by_the_client() -> None:
    check = "import sys, aidb, aidb.client, aidb.aio.client; sys.exit('opentelemetry' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def _twice() -> Operation[str]:
    first = yield _call()
    assert isinstance(first, Failure)
    second = yield _call("b:2")
    return str(second)


def _failure() -> Failure:
    return Failure(Transport.UNREACHABLE, ShardUnavailable("shard 2 is gone: planted-key"))


def test_a_call_is_one_span_with_all_that_it_sends(given: Provided) -> None:
    operation = spans.traced("get", _twice())
    first = next(operation)
    second = operation.send(_failure())
    with pytest.raises(StopIteration) as stopped:
        operation.send("answer")
    assert stopped.value.value == "answer"
    (span,) = given.ended
    assert span.name == "aidb.get"
    assert span.kind is trace.SpanKind.CLIENT
    for command in (first, second):
        assert isinstance(command, Call)
        sent = parse(command.request.header.traceparent)
        assert sent is not None
        assert span.context is not None
        assert (sent.trace_id, sent.span_id, sent.sampled) == (
            span.context.trace_id,
            span.context.span_id,
            True,
        )
    found = _attributes(span)
    assert (found["server.address"], found["aidb.shard"], found["aidb.sent"]) == ("b:2", 2, 2)
    (event,) = span.events
    assert dict(event.attributes or {})["error.type"] == "SHARD_UNAVAILABLE"
    assert "planted-key" not in span.to_json()


def test_it_is_a_child_of_the_applications_span(given: Provided) -> None:
    with given.provider.get_tracer("app").start_as_current_span("request") as outer:
        operation = spans.traced("get", _twice())
        next(operation)
        # And the application's span stays the current one.
        assert trace.get_current_span() is outer
        operation.close()
    inner, _ = given.ended
    assert inner.parent is not None
    assert inner.parent.span_id == outer.get_span_context().span_id


def test_an_error_is_told_by_its_code_alone(given: Provided) -> None:
    def failing() -> Operation[None]:
        yield CallAll([_call(), _call("b:2")])
        raise ShardUnavailable("planted-key")

    operation = spans.traced("get_many", failing())
    next(operation)
    with pytest.raises(ShardUnavailable):
        operation.send([_failure(), storage_pb2.GetResponse()])
    (span,) = given.ended
    assert span.status.status_code is trace.StatusCode.ERROR
    assert _attributes(span)["error.type"] == "SHARD_UNAVAILABLE"
    assert _attributes(span)["aidb.sent"] == 2
    assert "planted-key" not in span.to_json()


def test_a_scan_that_is_not_read_to_its_end_ends_its_span(given: Provided) -> None:
    def scanning() -> Operation[None]:
        yield Emit(Entry(b"planted-key", b"planted-value", 1))

    operation = spans.traced("scan", scanning())
    next(operation)
    assert not given.ended
    operation.close()
    (span,) = given.ended
    assert "planted" not in span.to_json()


def test_what_is_not_sampled_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given = _given(monkeypatch, ALWAYS_OFF)
    operation = spans.traced("get", _twice())
    command = next(operation)
    assert isinstance(command, Call)
    assert command.request.header.traceparent == ""
    operation.close()
    assert not given.ended


def test_a_provider_that_does_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    assert provided.tracer() is None
