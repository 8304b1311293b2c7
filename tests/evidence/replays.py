"""Replays as they are of logs of any age: an old one is not logged again, and ours are young."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aidb_node.recovery import replay

_LOGGED_MS = replay.LOGGED_MS


@contextmanager
def replayed_as_of_any_age(rng: random.Random, numbers: Counter[str]) -> Iterator[None]:
    """Of what is replayed meanwhile by this process, all is taken for old, what is older than a moment, or
    nothing is.
    """
    replay.LOGGED_MS = rng.choice((-_LOGGED_MS, rng.randrange(10_000), _LOGGED_MS))
    numbers["replays_without_log"] += replay.LOGGED_MS < _LOGGED_MS
    try:
        yield
    finally:
        replay.LOGGED_MS = _LOGGED_MS
