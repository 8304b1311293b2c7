"""W3C trace context, version 00: `00-<trace id>-<parent id>-<flags>`. Without OpenTelemetry, no I/O."""

from __future__ import annotations

import re
from typing import NamedTuple

# Later versions may have more behind the flags; what is here is read as of version 00.
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
METADATA = "traceparent"


class TraceParent(NamedTuple):
    trace_id: int
    span_id: int
    sampled: bool


def parse(text: str) -> TraceParent | None:
    """None for what is none: a trace that is lost is no error of the request's."""
    found = _FORM.fullmatch(text)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    trace_id, span_id = int(found[2], 16), int(found[3], 16)
    if trace_id == 0 or span_id == 0:
        return None
    return TraceParent(trace_id, span_id, bool(int(found[4], 16) & 1))


def encode(trace_id: int, span_id: int) -> str:
    """Of a span that is sampled: of others nothing is sent."""
    return f"00-{trace_id:032x}-{span_id:016x}-01"
