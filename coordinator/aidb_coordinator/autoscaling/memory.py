"""What the autoscaler remembers over restarts: mode and settings, when numbers changed, and what it began.

    autoscaler.json   {"magic": "aidb-autoscaler", "format": 1, "sha256", "memory": {...}}

Samples are not kept. So a coordinator that begins shrinks nothing until it has seen a whole window; changes
are kept, so that it does not forget a cooldown. sha256 is over the canonical JSON of `memory`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from aidb.local.layout import write_atomically
from aidb_coordinator.autoscaler.history import SHARDS, Change, Sample
from aidb_coordinator.autoscaler.rules import Mode
from aidb_coordinator.store import StoreError

MAGIC = "aidb-autoscaler"
FORMAT = 1
FILE = "autoscaler.json"
MOST_STEPS = 32
MOST_CHANGES = 1_024


@dataclass(frozen=True, slots=True)
class Changed:
    """A `Change` by the wall clock: milliseconds since 1970."""

    at_ms: int
    subject: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Begun:
    """A step that was begun as an operation. at_ms: since 1970."""

    at_ms: int
    what: str
    operation: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """mode None: as the coordinator is started. numbers: last seen, by subject as a string; -1 is the number
    of shards.
    """

    mode: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    changes: tuple[Changed, ...] = ()
    steps: tuple[Begun, ...] = ()

    def seen(self, sample: Sample, now_ms: int, keep_ms: int) -> tuple[Memory, tuple[Changed, ...]]:
        """With the numbers of a sample, and what they changed; the same object when nothing did."""
        numbers = {str(SHARDS): len(sample.shards)}
        numbers |= {str(shard.id): shard.wanted for shard in sample.shards}
        if numbers == self.numbers:
            return self, ()
        found = tuple(
            Changed(now_ms, int(subject), self.numbers[subject], after)
            for subject, after in numbers.items()
            if self.numbers.get(subject, after) != after
        )
        kept = tuple(change for change in self.changes if change.at_ms >= now_ms - keep_ms)
        return replace(self, numbers=numbers, changes=(*kept, *found)[-MOST_CHANGES:]), found

    def with_step(self, step: Begun) -> Memory:
        return replace(self, steps=(*self.steps, step)[-MOST_STEPS:])

    def history(self, now: float, now_ms: int) -> tuple[Change, ...]:
        """The changes by a clock that shows `now`. One that seems to be of the future is of just now."""
        return tuple(
            Change(now - max(0, now_ms - one.at_ms) / 1000, one.subject, one.before, one.after)
            for one in self.changes
        )


class MemoryKeeper(Protocol):
    """Calls block; they are made from one thread at a time, by the leader."""

    def load(self) -> Memory:
        """Raises StoreError."""

    def save(self, memory: Memory) -> None:
        """Durably. Raises StoreError."""


class MemoryFile(MemoryKeeper):
    """In the coordinator's directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def load(self) -> Memory:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error
        try:
            return decode(content)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"{self._path} is damaged: {error}; remove it to begin with the mode and the settings "
                "that the coordinator is started with"
            ) from error

    def save(self, memory: Memory) -> None:
        try:
            write_atomically(self._path, encode(memory), durable=True)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror}") from error


def encode(memory: Memory) -> bytes:
    body = _canonical(asdict(memory))
    head = {"magic": MAGIC, "format": FORMAT, "sha256": hashlib.sha256(body).hexdigest()}
    return _canonical(head)[:-1] + b',"memory":' + body + b"}\n"


def decode(content: bytes) -> Memory:
    """Raises ValueError, KeyError, TypeError, AttributeError."""
    document = json.loads(content)
    if document["magic"] != MAGIC or document["format"] != FORMAT:
        raise ValueError(f"it is of format {document['format']}, this version reads {FORMAT}")
    found = document["memory"]
    if hashlib.sha256(_canonical(found)).hexdigest() != document["sha256"]:
        raise ValueError("its checksum differs")
    mode = found["mode"]
    return Memory(
        mode=None if mode is None else Mode(mode).value,
        settings={str(name): str(value) for name, value in found["settings"].items()},
        numbers={str(int(name)): int(value) for name, value in found["numbers"].items()},
        changes=tuple(Changed(**change) for change in found["changes"]),
        steps=tuple(Begun(**{**step, "reasons": tuple(step["reasons"])}) for step in found["steps"]),
    )


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
