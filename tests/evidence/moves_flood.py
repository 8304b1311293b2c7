"""Writers that give slots more than a move of them can take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import aidb
from aidb.client import Client
from tests.threads import Threads

_VALUE_BYTES = 1000
_BATCH = 16


class Flood(Threads):
    """A context manager: each thread puts batches, one after the other, to keys of its own. `fastest`: the
    most bytes that were acknowledged within a second.
    """

    def __init__(self, address: str, keys: Sequence[bytes], threads: int = 3) -> None:
        super().__init__()
        self._address = address
        self._keys = keys
        self._acknowledged = dict.fromkeys(keys, 0)
        self._written = dict.fromkeys(keys, 0)
        self._lock = threading.Lock()
        self._second = (0, 0)
        self.fastest = 0
        self.bytes = 0
        self.errors = 0
        parts = [keys[index::threads] for index in range(threads)]
        self._threads = [
            threading.Thread(target=self._run, args=(part,), name="flood") for part in parts if part
        ]

    def _run(self, keys: Sequence[bytes]) -> None:
        number = 0
        with aidb.connect(self._address, timeout=20) as client:
            while not self._stop.is_set():
                number += 1
                for begin in range(0, len(keys), _BATCH):
                    self._put(client, keys[begin : begin + _BATCH], number)

    def _put(self, client: Client, keys: Sequence[bytes], number: int) -> None:
        for key in keys:
            self._written[key] = number
        try:
            client.put_many({key: _value(number) or b"" for key in keys}).raise_for_errors()
        except aidb.AidbError:
            self.errors += 1
            return
        for key in keys:
            self._acknowledged[key] = number
        self._count(len(keys) * _VALUE_BYTES)

    def _count(self, size: int) -> None:
        second = int(time.monotonic())
        with self._lock:
            self.bytes += size
            self._second = (second, size + (self._second[1] if self._second[0] == second else 0))
            self.fastest = max(self.fastest, self._second[1])

    def problems(self, client: Client) -> Iterator[str]:
        """When it has ended."""
        for key in self._keys:
            found = client.get(key, consistency="strong")
            allowed = range(self._acknowledged[key], self._written[key] + 1)
            if found not in ([None] if 0 in allowed else []) + [
                _value(number) for number in allowed if number
            ]:
                yield f"{key!r} has {found and found[:9]!r}, acknowledged {allowed[0]}, written {allowed[-1]}"


def _value(number: int) -> bytes | None:
    """0: it was never written."""
    if number == 0:
        return None
    return b"%08d-" % number + b"x" * (_VALUE_BYTES - 9)
