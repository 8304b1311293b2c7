"""Threads that write ever higher numbers to keys, and know what each key may hold now."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

import aidb
from aidb.client import Client
from aidb.interface import Durability
from tests.threads import Threads

# Every so manieth write of a key deletes it.
DELETES = 7


def state_of(number: int) -> bytes | None:
    """What a key's `number`-th write leaves; 0: it was never written."""
    return None if number % DELETES == 0 else b"%d" % number


class Writers(Threads):
    """A context manager. `errors`: what calls ended with; `longest`: what a call took, in seconds."""

    def __init__(
        self,
        address: str,
        keys: Sequence[bytes],
        threads: int = 3,
        timeout: float = 10.0,
        durability: Durability | None = None,
    ) -> None:
        super().__init__()
        self._address = address
        self._timeout = timeout
        self._durability = durability
        self._keys = keys
        self.acknowledged: dict[bytes, int] = dict.fromkeys(keys, 0)
        self.written: dict[bytes, int] = dict.fromkeys(keys, 0)
        self.errors: list[aidb.AidbError] = []
        self.longest = 0.0
        parts = [keys[index::threads] for index in range(threads)]
        self._threads = [threading.Thread(target=self._run, args=(part,)) for part in parts]

    @property
    def count(self) -> int:
        return sum(self.acknowledged.values())

    def _run(self, keys: Sequence[bytes]) -> None:
        with aidb.connect(self._address, timeout=self._timeout) as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                for key in keys:
                    self._write(client, key, number)

    def _write(self, client: Client, key: bytes, number: int) -> None:
        self.written[key] = number
        value = state_of(number)
        began = time.monotonic()
        try:
            if value is None:
                client.delete(key, durability=self._durability)
            else:
                client.put(key, value, durability=self._durability)
        except aidb.AidbError as error:
            self.errors.append(error)
        else:
            self.acknowledged[key] = number
        self.longest = max(self.longest, time.monotonic() - began)

    def problems(self, client: Client) -> Iterable[str]:
        """Keys that have neither the last acknowledged write nor a later one. Writers have stopped."""
        for key in self._keys:
            found = client.get(key, consistency="strong")
            allowed = range(self.acknowledged[key], self.written[key] + 1)
            if found not in map(state_of, allowed):
                yield f"{key!r} has {found!r}, acknowledged {allowed[0]}, written {allowed[-1]}"
