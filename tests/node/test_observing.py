"""What is made of the requests that the native side noticed. That it notices them: tests/tracing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

import pytest
from aidb_node import observing
from aidb_node.observing import Observing
from aidb_node.spans import GivenIds, NodeSpans
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aidb.tracing.traceparent import encode
from tests.coordinator.process import until

TRACE, CALLER, OWN = 0xA1, 0xB2, 0xC3


@dataclass(frozen=True)
class Request:
    method: str = "Get"
    code: str = "OK"
    began_unix_ns: int = 1_000_000_000
    duration_ns: int = 2_500_000
    shard: int | None = 3
    client: int = 0xFF
    seq: int = 9
    attempt: int = 1
    traceparent: str = ""
    span_id: str = ""
    slow: bool = False


class Ring:
    """As the native one; `lost` is told once."""

    def __init__(self, *requests: Request, lost: int = 0) -> None:
        self._requests, self._lost = list(requests), lost

    def observed(self, most: int) -> tuple[list[Any], int]:
        taken, self._requests = self._requests[:most], self._requests[most:]
        lost, self._lost = self._lost, 0
        return cast("list[Any]", taken), lost

    @property
    def empty(self) -> bool:
        return not self._requests


def _told(ring: Ring, caplog: pytest.LogCaptureFixture, spans: NodeSpans | None = None) -> list[Any]:
    """The records; each has its fields in ``aidb_fields``."""
    with caplog.at_level(logging.INFO, "aidb.node.requests"):
        thread = Observing(ring, spans)
        until(lambda: ring.empty)
        thread.close()
    return [record for record in caplog.records if record.name == "aidb.node.requests"]


def _exporter() -> tuple[InMemorySpanExporter, NodeSpans]:
    exporter, ids = InMemorySpanExporter(), GivenIds()
    provider = TracerProvider(id_generator=ids)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter, NodeSpans(provider, ids)


def test_a_slow_request_is_a_record_with_its_ids(caplog: pytest.LogCaptureFixture) -> None:
    slow = Request(slow=True, code="BUSY", traceparent=encode(TRACE, CALLER), span_id=f"{OWN:016x}")
    (record,) = _told(Ring(slow, Request()), caplog)
    assert (record.levelname, record.getMessage()) == ("WARNING", "slow request")
    assert record.aidb_fields == {
        "method": "Get",
        "code": "BUSY",
        "duration_ms": 2.5,
        "shard": 3,
        "request": "00000000000000ff-9",
        "attempt": 1,
        "trace": f"{TRACE:032x}",
    }


def test_what_is_not_known_is_not_said(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = _told(Ring(Request(slow=True, shard=None, client=0, seq=0)), caplog)
    assert set(record.aidb_fields) == {"method", "code", "duration_ms"}


def test_a_flood_of_slow_requests_is_cut_and_counted() -> None:
    allowance = observing._Allowance(20)
    assert [allowance.take(1000.5) for _ in range(30)].count(True) == 20
    assert allowance.left_out == 10
    assert allowance.take(1001.0)


def test_what_was_lost_is_told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "_TELL_SECONDS", 0.0)
    (record,) = _told(Ring(Request(), lost=7), caplog)
    assert record.aidb_fields == {"lost": 7, "slow": 0}


def test_a_span_has_the_ids_and_times_of_the_native_side(caplog: pytest.LogCaptureFixture) -> None:
    exporter, spans = _exporter()
    traced = Request(traceparent=encode(TRACE, CALLER), span_id=f"{OWN:016x}")
    assert _told(Ring(traced), caplog, spans) == []
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.context.span_id, span.parent.span_id) == (TRACE, OWN, CALLER)
    assert (span.start_time, span.end_time) == (1_000_000_000, 1_002_500_000)
    assert (span.name, span.kind) == ("Get", trace.SpanKind.SERVER)
    found = dict(span.attributes or {})
    assert (found["aidb.shard"], found["aidb.request"], found["aidb.code"]) == (
        3,
        "00000000000000ff-9",
        "OK",
    )


@pytest.mark.parametrize(
    "request_", [Request(), Request(traceparent="00-x", span_id="01"), Request(traceparent=encode(1, 2))]
)
def test_what_is_not_traced_is_no_span(request_: Request, caplog: pytest.LogCaptureFixture) -> None:
    exporter, spans = _exporter()
    _told(Ring(request_), caplog, spans)
    assert exporter.get_finished_spans() == ()


def test_a_failed_request_is_a_failed_span(caplog: pytest.LogCaptureFixture) -> None:
    exporter, spans = _exporter()
    failed = Request(code="STALLED", traceparent=encode(TRACE, CALLER), span_id=f"{OWN:016x}")
    _told(Ring(failed), caplog, spans)
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR
    assert dict(span.attributes or {})["error.type"] == "STALLED"


def test_more_than_a_batch_is_taken_at_once(caplog: pytest.LogCaptureFixture) -> None:
    exporter, spans = _exporter()
    traced = [Request(traceparent=encode(TRACE, CALLER), span_id=f"{n + 1:016x}") for n in range(700)]
    _told(Ring(*traced), caplog, spans)
    assert len(exporter.get_finished_spans()) == 700
