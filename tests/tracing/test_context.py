"""What comes as trace context, and what the environment asks for."""

from __future__ import annotations

import pytest

from aidb.tracing.provider import asked_for
from aidb.tracing.traceparent import TraceParent, encode, parse

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7


def test_what_is_encoded_is_read_again() -> None:
    text = encode(TRACE, SPAN)
    assert text == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert parse(text) == TraceParent(TRACE, SPAN, True)


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE:032x}-{SPAN:016x}-00", False),
        (f"00-{TRACE:032x}-{SPAN:016x}-03", True),
        (f"cc-{TRACE:032x}-{SPAN:016x}-01-what comes later", True),
    ],
)
def test_flags_and_later_versions(text: str, sampled: bool) -> None:
    assert parse(text) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"ff-{TRACE:032x}-{SPAN:016x}-01",
        f"00-{0:032x}-{SPAN:016x}-01",
        f"00-{TRACE:032x}-{0:016x}-01",
        f"00-{TRACE:032X}-{SPAN:016x}-01",
        f"00-{TRACE:032x}-{SPAN:016x}-01-more",
        f"00-{TRACE:032x}-{SPAN:016x}-01\n",
    ],
)
def test_what_is_no_context_is_none(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_TRACES_EXPORTER": "console"}, ["console"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp_proto_http", "console"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, []),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ["otlp_proto_grpc"],
        ),
    ],
)
def test_what_the_environment_asks_for(environment: dict[str, str], names: list[str]) -> None:
    assert asked_for(environment) == names
