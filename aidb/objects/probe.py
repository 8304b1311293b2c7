"""What a store really does with a second create of a key. Some accept the condition and ignore it, some
only when creates race: both are tried, on keys of their own that are removed afterwards.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

from aidb.objects.errors import Damaged, Exists
from aidb.objects.store import ObjectStore

_RACERS = 8
_RACES = 4


def refuses_second_create(store: ObjectStore, prefix: str) -> bool:
    """Whether creates below ``prefix`` are exclusive.

    Raises:
        Damaged: the store gives back something else than was written.
        ObjectError: it cannot be asked.
    """
    name = f"{prefix}/probe/{uuid.uuid4().hex}"
    keys = [f"{name}-{number}" for number in range(_RACES + 1)]
    try:
        return _in_turn(store, keys[0]) and all(_racing(store, key) for key in keys[1:])
    finally:
        for key in keys:
            store.delete(key)


def _in_turn(store: ObjectStore, key: str) -> bool:
    store.create(key, b"first")
    refused = not _created(store, key, b"second")
    found = store.get(key)
    if found != b"first" and refused or found not in (b"first", b"second"):
        raise Damaged(f"{store.url} gives back {found[:20]!r} where {b'first'!r} was written: do not use it")
    return refused


def _racing(store: ObjectStore, key: str) -> bool:
    with ThreadPoolExecutor(_RACERS) as pool:
        bodies = [f"racer {number}".encode() for number in range(_RACERS)]
        won = list(pool.map(lambda body: _created(store, key, body), bodies))
    return won.count(True) == 1 and store.get(key) == bodies[won.index(True)]


def _created(store: ObjectStore, key: str, body: bytes) -> bool:
    try:
        store.create(key, body)
    except Exists:
        return False
    return True
