"""Where operations are kept: those that have not ended, and the last that have.

    operations.json   {"magic": "aidb-operations", "format": 1, "sha256", "operations": [...]}

Written as the topology is (new file, fsync, rename, fsync of the directory), under the same lock. sha256 is
over the canonical JSON of `operations`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from aidb.local.layout import write_atomically
from aidb_coordinator.rebalance import PlannedMove
from aidb_coordinator.scaling.operation import Kind, Operation, Phase, State
from aidb_coordinator.slot_load import By
from aidb_coordinator.store import StoreError
from aidb_coordinator.topology import SlotSpan

MAGIC = "aidb-operations"
FORMAT = 1
FILE = "operations.json"


class Journal(Protocol):
    """Calls block; they are made from one thread at a time, by the leader."""

    def load(self) -> tuple[Operation, ...]:
        """Oldest first. Raises StoreError."""

    def save(self, operations: Sequence[Operation]) -> None:
        """All of them, durably. Raises StoreError; then it is not known which are there after a crash."""


class FileJournal(Journal):
    """In the coordinator's directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def load(self) -> tuple[Operation, ...]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error
        try:
            return decode(content)
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise StoreError(
                f"{self._path} is damaged: {error}; remove it to give the operations in it up: what "
                "they have done stays, and they can be asked for again"
            ) from error

    def save(self, operations: Sequence[Operation]) -> None:
        try:
            write_atomically(self._path, encode(operations), durable=True)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror}") from error


def give_up(journal: Journal, now_ms: int) -> None:
    """Before the cluster is another one: what was asked of the one before may not be wanted any more. Raises
    StoreError.
    """
    known = journal.load()
    error = "the cluster was restored meanwhile: ask for it again, if it is still wanted"
    after = tuple(
        one if one.ended else replace(one, state=State.FAILED, error=error, plan=(), since_ms=now_ms)
        for one in known
    )
    if after != known:
        journal.save(after)


def encode(operations: Sequence[Operation]) -> bytes:
    body = _canonical([_to_json(operation) for operation in operations])
    head = {"magic": MAGIC, "format": FORMAT, "sha256": hashlib.sha256(body).hexdigest()}
    return _canonical(head)[:-1] + b',"operations":' + body + b"}\n"


def decode(content: bytes) -> tuple[Operation, ...]:
    """Raises ValueError, KeyError, TypeError, AttributeError."""
    document = json.loads(content)
    if document["magic"] != MAGIC or document["format"] != FORMAT:
        raise ValueError(f"it is of format {document['format']}, this version reads {FORMAT}")
    found = document["operations"]
    if hashlib.sha256(_canonical(found)).hexdigest() != document["sha256"]:
        raise ValueError("its checksum differs")
    return tuple(map(_from_json, found))


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _to_json(operation: Operation) -> dict[str, Any]:
    return {
        "id": operation.id,
        "kind": operation.kind.value,
        "shards": operation.shards,
        "state": operation.state.value,
        "phase": operation.phase.value,
        "created_ms": operation.created_ms,
        "since_ms": operation.since_ms,
        "replicas": operation.replicas,
        "names": operation.names,
        "by": operation.by.value,
        "asked_by": operation.asked_by,
        "plan": [
            {
                "slots": [[span.first, span.last] for span in move.slots],
                "source": move.source,
                "target": move.target,
            }
            for move in operation.plan
        ],
        "plans": operation.plans,
        "moved": operation.moved,
        "error": operation.error,
    }


def _from_json(found: dict[str, Any]) -> Operation:
    plan = tuple(
        PlannedMove(
            tuple(SlotSpan(first, last) for first, last in move["slots"]), move["source"], move["target"]
        )
        for move in found["plan"]
    )
    known = {
        "kind": Kind(found["kind"]),
        "state": State(found["state"]),
        "phase": Phase(found["phase"]),
        "by": By(found["by"]),
        "shards": tuple(found["shards"]),
        "names": tuple(found["names"]),
        "plan": plan,
    }
    return Operation(**{**found, **known})
