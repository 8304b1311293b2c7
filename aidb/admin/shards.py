"""`list-shards` and `status`: the coordinator's view, once or again and again."""

from __future__ import annotations

from typing import Any

from aidb.cli import output
from aidb.cli import status as view
from aidb.cli.connection import find_address
from aidb.cli.exits import Exit
from aidb.cli.parameters import Output

_COLUMNS = ("SHARD", "STATE", "EPOCH", "SLOTS", "KEYS", "BYTES", "PRIMARY", "REPLICAS", "REASON")


def list_shards(address: str | None, timeout: float, how: Output) -> int:
    """A line a shard. Raises Failure."""
    shards = view.document(view.fetch(find_address(address), timeout))["shards"]
    if how is Output.JSON:
        output.document(shards)
    else:
        output.table(_COLUMNS, [_row(shard) for shard in shards])
    return int(Exit.OK)


def status(address: str | None, timeout: float, how: Output) -> int:
    """As `aidb status`. Raises Failure."""
    view.status(address, timeout, how is Output.JSON)
    return int(Exit.OK)


def _row(shard: dict[str, Any]) -> tuple[str, ...]:
    primary, replicas = shard["primary"], shard["replicas"]
    where = "none yet" if primary is None else f"{primary['name']} {primary['address']}"
    healthy = sum(1 for replica in replicas if replica["state"] == "Healthy")
    return (
        f"{shard['id']}",
        shard["state"],
        f"{shard['epoch']}",
        f"{shard['slots']:,}",
        f"{shard['keys']:,}",
        output.human_bytes(shard["bytes"]),
        where,
        f"{healthy} of {len(replicas)} healthy" if replicas else "none",
        shard["reason"],
    )
