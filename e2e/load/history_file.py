"""A history as lines of JSON, gzipped: written in the pod, read by the tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.checkers.history import Consistency, Kind, Operation, Outcome


def write(path: Path, operations: Iterable[Operation]) -> None:
    with gzip.open(path, "wt", compresslevel=1) as file:
        for operation in operations:
            file.write(json.dumps(_row(operation)) + "\n")


def read(content: bytes) -> list[Operation]:
    return [_operation(json.loads(line)) for line in gzip.decompress(content).splitlines()]


def _row(one: Operation) -> list[object]:
    return [
        one.session,
        _text(one.key),
        one.kind.value,
        _text(one.value),
        one.start,
        one.end,
        one.outcome.value,
        one.version,
        one.consistency.value,
        one.bound_ns,
        _text(one.expected),
        _text(one.found),
    ]


def _operation(row: Sequence[Any]) -> Operation:
    session, key, kind, value, start, end, outcome, version, consistency, bound, expected, found = row
    return Operation(
        session,
        key.encode("latin-1"),
        Kind(kind),
        _bytes(value),
        start,
        end,
        Outcome(outcome),
        version,
        Consistency(consistency),
        bound,
        _bytes(expected),
        _bytes(found),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")
