"""What a client counts of its own calls."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from aidb.attempts import Pause
from aidb.client_metrics import ClientMetrics
from aidb.commands import Call, CallAll, Emit
from aidb.errors import Busy
from aidb.interface import Entry

CALL = Call("127.0.0.1:1", "Get", None, 1.0, 1.0)
Counted = Generator[Any, Any, Any]


def asked(*commands: Any, error: Exception | None = None) -> Counted:
    yield from commands
    if error is not None:
        raise error
    return "answer"


@pytest.fixture
def metrics() -> ClientMetrics:
    return ClientMetrics()


def value(metrics: ClientMetrics, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry.get_sample_value(f"aidb_client_{name}", labels)


def finish(operation: Counted) -> Any:
    try:
        while True:
            next(operation)
    except StopIteration as stop:
        return stop.value


def test_a_call_counts_once_and_each_of_its_requests(metrics: ClientMetrics) -> None:
    operation = metrics.watched("get", asked(CALL, Pause(0.1), CALL, CallAll([CALL, CALL])))
    assert finish(operation) == "answer"
    assert value(metrics, "requests_total", method="get", code="OK") == 1
    assert value(metrics, "request_duration_seconds_count", method="get") == 1
    assert value(metrics, "sent_requests_total", method="get") == 4


def test_a_call_that_fails_counts_by_its_error(metrics: ClientMetrics) -> None:
    with pytest.raises(Busy):
        finish(metrics.watched("put", asked(CALL, error=Busy("full"))))
    assert value(metrics, "requests_total", method="put", code="BUSY") == 1
    with pytest.raises(ZeroDivisionError):
        finish(metrics.watched("put", asked(CALL, error=ZeroDivisionError())))
    assert value(metrics, "requests_total", method="put", code="FAILED") == 1


def test_a_call_that_is_given_up_counts_and_is_closed(metrics: ClientMetrics) -> None:
    inner = asked(CALL, CALL)
    operation = metrics.watched("scan", inner)
    next(operation)
    operation.close()
    assert value(metrics, "requests_total", method="scan", code="CANCELLED") == 1
    assert inspect.getgeneratorstate(inner) == inspect.GEN_CLOSED


def test_what_a_scan_gives_is_no_request(metrics: ClientMetrics) -> None:
    entry = Emit(Entry(b"k", b"v", 1, None))
    assert finish(metrics.watched("scan", asked(CALL, entry, entry))) == "answer"
    assert value(metrics, "sent_requests_total", method="scan") == 1
