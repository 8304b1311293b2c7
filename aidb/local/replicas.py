"""Which replicas the shards of a local cluster are to have: `replicas.json` in the coordinator's directory,
which the coordinator writes and the supervisor follows.

    {"format": 1, "replicas": {"0": [0, 1], "3": []}}     numbers of replicas, oldest first, by shard

Shards that it does not name have as many as the cluster was made with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from aidb.local.layout import write_atomically

FILE = "replicas.json"
FORMAT = 1


def name_of(shard: int, number: int) -> str:
    return f"shard-{shard}-replica-{number}"


def read(path: Path) -> Mapping[int, tuple[int, ...]]:
    """Empty when there is none. Raises OSError, and ValueError for what is damaged or newer."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']} is not {FORMAT}")
        found = document["replicas"].items()
        return {int(shard): tuple(map(int, numbers)) for shard, numbers in found}
    except (KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"it is no list of replicas: {error}") from error


def write(path: Path, wanted: Mapping[int, tuple[int, ...]]) -> None:
    """Raises OSError."""
    document = {"format": FORMAT, "replicas": {str(shard): wanted[shard] for shard in sorted(wanted)}}
    write_atomically(path, json.dumps(document).encode(), durable=True)
